"""The files of an OME-Zarr, from its metadata: over HTTP nobody lists a folder."""

from __future__ import annotations

import itertools
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec

from napari_cryoet.download.transfer import in_thread
from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.ome_zarr import find_multiscales, is_safe_path

MAX_CHUNKS: Final = 500_000  # a tomogram has some hundreds; more is a mistake or an attack


async def find_files(read: Callable[[str], Awaitable[bytes | None]]) -> tuple[list[str], list[str]] | None:
    """The keys of the chunks and of the metadata, the root's last, of an OME-Zarr; None where there is none.

    ``read`` gives the content of a key, or None where it is missing. Chunks that hold the fill value may be.
    """
    roots = {key: content for key in ("zarr.json", ".zattrs", ".zgroup") if (content := await read(key)) is not None}
    if not roots.keys() & {"zarr.json", ".zattrs"}:
        return None
    name = "zarr.json" if "zarr.json" in roots else ".zarray"
    chunks, documents = list[str](), list[str]()
    try:
        for path in _level_paths(roots):
            if (content := await read(f"{path}/{name}")) is None:
                raise ValueError(f"{path}/{name} is missing")
            chunks += await in_thread(_chunk_keys, content, path)
            if name == ".zarray" and await read(f"{path}/.zattrs") is not None:
                documents.append(f"{path}/.zattrs")
            documents.append(f"{path}/{name}")
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise FormatError(f"The OME-Zarr's metadata can't be understood: {error}.") from error
    return chunks, [*documents, *roots]


def _level_paths(roots: dict[str, bytes]) -> Iterator[str]:
    """The paths of the levels of all images that a group's attributes name, finest first."""
    attributes = _parsed(roots["zarr.json"])["attributes"] if "zarr.json" in roots else _parsed(roots[".zattrs"])
    paths = dict.fromkeys(level["path"] for image in find_multiscales(attributes) for level in image["datasets"])
    if not paths:
        raise ValueError("it names no levels")
    for path in paths:
        if not is_safe_path(path):
            raise ValueError(f"a level has the unusable path {path!r}")
        yield path


def _chunk_keys(document: bytes, path: str) -> list[str]:
    """The keys of all chunks, or shards, of an array, from its ``.zarray`` or ``zarr.json``."""
    import zarr
    from zarr.storage import MemoryStore, StorePath

    array = zarr.Array.from_dict(StorePath(MemoryStore()), _parsed(document))
    sizes = zip(array.shape, array.shards or array.chunks, strict=True)
    counts = [-(-size // chunk) for size, chunk in sizes]
    if not 0 <= math.prod(counts) <= MAX_CHUNKS:
        raise ValueError(f"it would have {math.prod(counts):,} chunks")
    indices = itertools.product(*map(range, counts))
    return [f"{path}/{array.metadata.encode_chunk_key(index)}" for index in indices]


def _parsed(document: bytes) -> dict[str, Any]:
    return msgspec.json.decode(document, type=dict[str, Any])
