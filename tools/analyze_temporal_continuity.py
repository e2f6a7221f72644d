"""The founding command for ``wan continuity``: how much neighbouring frames differ, step by step."""

from door import open_door

if __name__ == "__main__":
    open_door("continuity")
