"""The files of an OME-Zarr, from its metadata: over HTTP nobody lists a folder."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from napari_cryoet.download.names import clean_name
from napari_cryoet.download.transfer import in_thread
from napari_cryoet.exceptions import FormatError

MAX_CHUNKS: Final = 500_000  # a tomogram has some hundreds; more is a mistake or an attack

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ZarrFiles:
    """Keys below the root of an OME-Zarr: all that its chunks may have, and those of its metadata, the root's last."""

    chunks: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)


async def find_files(read: Callable[[str], Awaitable[bytes | None]]) -> ZarrFiles | None:
    """The files of an OME-Zarr or of an array, of Zarr 2 or 3; None where there is none.

    Parameters
    ----------
    read
        Gives the content of a key, or None where it is missing.

    Raises
    ------
    FormatError
        If its metadata is damaged.
    """
    found = ZarrFiles()

    async def document(key: str) -> Json | None:
        content = await read(key)
        return None if content is None else _parsed(content, key)

    async def add_levels(attributes: Json, name: str) -> None:
        for path in level_paths(attributes):
            array = await document(f"{path}/{name}")
            if array is None:
                raise FormatError(f"Its {path}/{name} is missing on the server.")
            found.chunks.extend(await in_thread(chunk_keys, array, f"{path}/"))
            if name == ".zarray" and await document(f"{path}/.zattrs") is not None:
                found.documents.append(f"{path}/.zattrs")
            found.documents.append(f"{path}/{name}")

    if (root := await document("zarr.json")) is not None:
        if root.get("node_type") == "array":
            found.chunks.extend(await in_thread(chunk_keys, root))
        else:
            await add_levels(root.get("attributes") or {}, "zarr.json")
        found.documents.append("zarr.json")
        return found
    roots = {key: await document(key) for key in (".zattrs", ".zarray", ".zgroup")}
    if (array := roots[".zarray"]) is not None:
        found.chunks.extend(await in_thread(chunk_keys, array))
    elif (attributes := roots[".zattrs"]) is not None:
        await add_levels(attributes, ".zarray")
    else:
        return None
    found.documents.extend(key for key, content in roots.items() if content is not None)
    return found


def level_paths(attributes: Json) -> tuple[str, ...]:
    """The paths of the levels of all images that a group's attributes name, finest first.

    Raises
    ------
    FormatError
        If there are none, or one leads out of the group.
    """
    try:
        scales = attributes.get("ome", attributes)["multiscales"]
        paths = dict.fromkeys(dataset["path"] for scale in scales for dataset in scale["datasets"])
    except (LookupError, TypeError, AttributeError):
        paths = {}
    if not paths:
        raise FormatError("The OME-Zarr's metadata names no levels.")
    for path in paths:
        if not isinstance(path, str) or any(part != clean_name(part) for part in path.split("/")):
            raise FormatError(f"The OME-Zarr's metadata names a level with an unusable path: {path!r}.")
    return tuple(paths)


def chunk_keys(array: Json, path: str = "") -> list[str]:
    """The keys of all chunks, or shards, of an array, from its ``.zarray`` or ``zarr.json``.

    One that isn't stored holds the fill value.

    Raises
    ------
    FormatError
        If zarr doesn't understand it, or it has absurdly many chunks.
    """
    import zarr
    from zarr.storage import MemoryStore, StorePath

    try:
        opened = zarr.Array.from_dict(StorePath(MemoryStore()), array)
        sizes = zip(opened.shape, opened.shards or opened.chunks, strict=True)
        counts = [-(-size // chunk) for size, chunk in sizes]
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, NotImplementedError) as error:
        raise FormatError(f"The OME-Zarr has an array that can't be understood: {error}.") from error
    if not 0 <= math.prod(counts) <= MAX_CHUNKS:
        raise FormatError(f"The OME-Zarr would have {math.prod(counts):,} chunks, which can't be right.")
    return [path + opened.metadata.encode_chunk_key(index) for index in itertools.product(*map(range, counts))]


def _parsed(content: bytes, key: str) -> Json:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"Its {key} is no JSON.") from error
    if not isinstance(document, dict):
        raise FormatError(f"Its {key} is no JSON object.")
    return document
