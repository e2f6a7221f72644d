"""The founding command for ``wan download``: the checkpoint of a task, from its hub."""

from door import open_door

if __name__ == "__main__":
    open_door("download")
