"""The founding command for ``wan report``: one HTML page about runs and measurements."""

from door import open_door

if __name__ == "__main__":
    open_door("report")
