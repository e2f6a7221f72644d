"""The founding command for ``wan doctor``: what is wrong with a checkpoint folder, and what mends it."""

from door import open_door

if __name__ == "__main__":
    open_door("doctor")
