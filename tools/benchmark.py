"""The founding command for ``wan bench``: time of the sampling loop."""

from door import open_door

if __name__ == "__main__":
    open_door("bench")
