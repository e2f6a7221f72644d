"""The founding command for ``wan compare``: shortcuts against the same-seed baseline."""

from door import open_door

if __name__ == "__main__":
    open_door("compare")
