"""Bytes of small pictures: key photos and thumbnails, from the web or from an offline pack."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from urllib.parse import urlsplit
from urllib.request import url2pathname

from napari_cryoet.exceptions import FormatError
from napari_cryoet.files import without_login

MAX_FILE_BYTES = 4_000_000


def read_picture(url: str, *, folder: Path | None = None, stop: Event | None = None) -> bytes:
    """The bytes of a picture file.

    Parameters
    ----------
    url
        A web address; or a ``file:`` address, which is read only if it lies below ``folder``.
    folder
        The pack that is browsed; None where records come from a server, whose addresses may not lead to our disk.

    Raises
    ------
    FormatError
        If the file is too large, missing, or not ours to read.
    NetworkError
        If the server doesn't give it.
    """
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"}:
        from napari_cryoet.network.client import fetch

        answer = fetch(url, limit_bytes=MAX_FILE_BYTES, stop=stop)
        if answer is None:
            raise FormatError(f"There is no picture at {without_login(url)}.")
        return answer.body
    path = Path(url2pathname(parts.path)).resolve()
    if parts.scheme != "file" or folder is None or not path.is_relative_to(folder.resolve()):
        raise FormatError(f"The picture's address leads neither to the web nor into the pack: {url}")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FormatError(f"The pack has no picture {path.name}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise FormatError(f"The picture {path.name} is too large.")
    return content
