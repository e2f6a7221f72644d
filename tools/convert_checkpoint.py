"""The founding command for ``wan convert``: an official checkpoint in the diffusers layout."""

from door import open_door

if __name__ == "__main__":
    open_door("convert")
