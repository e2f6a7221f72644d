"""The files of runs that the page shows: videos, pictures and previews below the output folder, and no others."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

KINDS = {".mp4": "video/mp4", ".png": "image/png", ".webp": "image/webp", ".txt": "text/plain; charset=utf-8"}
"""What a browser is told of a file; every other kind of file is refused."""


def file_of(folder: Path, path: str) -> Path | None:
    """The file of a run or of a comparison at ``path`` below ``folder``; None for one that the page does not show.

    Hidden files, links, other kinds of files, and whatever leads out of the folder are not shown.
    """
    parts = path.split("/")
    if any(not part or part.startswith(".") or "\\" in part or "\0" in part for part in parts):
        return None
    found = folder.joinpath(*parts)
    try:
        is_inside = found.resolve(strict=True) == folder.resolve().joinpath(*parts)
    except OSError:
        return None
    return found if is_inside and found.is_file() and found.suffix.lower() in KINDS else None


def serve_file(folder: Path, request: Request) -> Response:
    """The answer to a request for ``{path}``; a download under its own name with ``?download``."""
    path = str(request.path_params["path"])
    found = file_of(folder, path)
    if found is None:
        return PlainTextResponse("there is no such file", status_code=404)
    name = f"{found.parent.name}{found.suffix}" if "download" in request.query_params else None
    headers = {"Cache-Control": "private, max-age=3600" if "v" in request.query_params else "no-cache"}
    headers |= {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
    return FileResponse(found, media_type=KINDS[found.suffix.lower()], filename=name, headers=headers)
