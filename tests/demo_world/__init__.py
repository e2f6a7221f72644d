"""The demo world of the package."""
