"""Which label images lie beside an image: OME-Zarr lists them in its group ``labels``."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlsplit, urlunsplit

from napari_cryoet.exceptions import StreamError
from napari_cryoet.formats.ome_zarr import is_safe_path
from napari_cryoet.streaming.addresses import shown_address
from napari_cryoet.streaming.documents import read_parsed
from napari_cryoet.streaming.sources import open_source
from napari_cryoet.streaming.zarr_metadata import parse_json

if TYPE_CHECKING:
    from pathlib import Path

    from napari_cryoet.http import Http
    from napari_cryoet.streaming.disk_cache import DiskCache

_MAX_BYTES = 2**20
_MAX_LABELS = 1024


def find_labels(
    url_or_path: str | Path,
    *,
    stop: threading.Event | None = None,
    cache: DiskCache | Literal["shared"] | None = "shared",
    http: Http | None = None,
) -> list[str]:
    """Addresses or paths of the label images of an image, as `open_pyramid` takes them; empty where there are none.

    Parameters
    ----------
    url_or_path, stop, cache, http
        As in `open_pyramid`.

    Raises
    ------
    FormatError
        If the list is damaged.
    StreamError
        If it may exist but can't be read.
    StoppedError
        When ``stop`` is set.
    """
    group = _below(str(url_or_path), "")  # kept on disk by itself: it changes, or comes, while its image stays the same
    source = open_source(group, cache=cache, http=http)
    refusal: StreamError | None = None
    for key in ("zarr.json", ".zattrs"):
        parse = partial(parse_json, where=f"{shown_address(source.url).rstrip('/')}/{key}")
        try:
            document = read_parsed(source, key, parse, length=_MAX_BYTES, stop=stop)
        except StreamError as error:
            refusal = refusal or error  # which counts only if there is no other list: some stores refuse what they lack
            continue
        if document is None:
            continue
        attributes = document.get("attributes") if key.endswith("zarr.json") else document
        place = attributes.get("ome", attributes) if isinstance(attributes, dict) else {}
        names = place.get("labels") if isinstance(place, dict) else None
        names = names[:_MAX_LABELS] if isinstance(names, list) else []
        return [_below(str(url_or_path), name) for name in names if isinstance(name, str) and is_safe_path(name)]
    if refusal is not None:
        raise refusal
    return []


def _below(address: str, name: str) -> str:
    """The address of a label image, or of the group of all of them where it has no name."""
    if "://" in address:
        address = address.strip()  # as `open_source` does
    if "://" not in address or address.lower().startswith("s3://"):  # in keys of S3, ? and # mean themselves
        return f"{address.rstrip('/')}/labels/{name.strip('/')}"
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/labels/{quote(name.strip('/'))}"))
