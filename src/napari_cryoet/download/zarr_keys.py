"""The files of an OME-Zarr, derived from its metadata, since HTTP can't list folders."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from napari_cryoet.download.transfer import in_thread, read_document
from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.ome_zarr import PARTIAL, find_multiscales, is_safe_path

MAX_CHUNKS: Final = 500_000  # a tomogram has hundreds; more is a mistake or an attack


class ZarrFiles(NamedTuple):
    """Chunk keys, of which some may be missing (the fill value), and metadata by key, with the root last."""

    chunks: list[str]
    documents: dict[str, bytes]


async def find_files(
    url: str, slots: asyncio.Semaphore, first_level: int = 0, *, keeps_grid: bool = False
) -> ZarrFiles | None:
    """The files of an OME-Zarr, or of its levels from one on; None if there is none. Each request takes a slot.

    If finer levels are left out, the metadata list only the others, with their translations. With
    ``keeps_grid`` the metadata list all levels, and state that the finer ones are empty.
    """
    roots = await _read_all(url, slots, ("zarr.json", ".zattrs", ".zgroup"))
    if not roots.keys() & {"zarr.json", ".zattrs"}:
        return None
    root, name = ("zarr.json", "zarr.json") if "zarr.json" in roots else (".zattrs", ".zarray")
    chunks, documents = list[str](), dict[str, bytes]()
    try:
        left_out: list[str] = []
        if first_level and keeps_grid:
            left_out = list(_level_paths(roots[root]))[:-1][:first_level]
            roots[root] = _with_attribute(roots[root], PARTIAL, {path: [] for path in left_out})
        elif first_level:
            roots[root] = _from_level(roots[root], first_level)
        paths = list(_level_paths(roots[root]))
        names = [name] if name == "zarr.json" else [".zattrs", name]
        documents = await _read_all(
            url, slots, [f"{path}/{each}" for path in paths for each in names]
        )
        for path in paths:
            if f"{path}/{name}" not in documents:
                raise ValueError(f"{path}/{name} is missing")
            if path in left_out:
                continue
            chunks += await in_thread(_chunk_keys, documents[f"{path}/{name}"], path)
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
    ) as error:
        raise FormatError(f"The OME-Zarr's metadata can't be understood: {error}.") from error
    return ZarrFiles(chunks, documents | roots)


async def _read_all(url: str, slots: asyncio.Semaphore, keys: Iterable[str]) -> dict[str, bytes]:
    """The contents of the existing files by key, read concurrently."""

    async def read(key: str) -> bytes | None:
        async with slots:
            return await read_document(f"{url.rstrip('/')}/{quote(key)}")

    contents = await asyncio.gather(*map(read, keys))
    return {
        key: content for key, content in zip(keys, contents, strict=True) if content is not None
    }


def _attributes(document: dict[str, Any]) -> dict[str, Any]:
    """A group's attributes, from its ``zarr.json`` or ``.zattrs``."""
    attributes: dict[str, Any] = document.get("attributes", document)
    return attributes


def _level_paths(root: bytes) -> Iterator[str]:
    """The paths of the levels of all images in a group's attributes, finest first."""
    attributes = _attributes(_parsed(root))
    paths = dict.fromkeys(
        level["path"] for image in find_multiscales(attributes) for level in image["datasets"]
    )
    if not paths:
        raise ValueError("it names no levels")
    for path in paths:
        if not is_safe_path(path):
            raise ValueError(f"a level has the unusable path {path!r}")
        yield path


def _with_attribute(root: bytes, name: str, value: Any) -> bytes:
    document = _parsed(root)
    _attributes(document)[name] = value
    return msgspec.json.encode(document)


def _from_level(root: bytes, first_level: int) -> bytes:
    """The metadata without the finer levels of each image."""
    document = _parsed(root)
    for image in find_multiscales(_attributes(document)):
        finest, *_ = datasets = image["datasets"]
        image["datasets"] = datasets[min(first_level, len(datasets) - 1) :]
        for dataset in image["datasets"]:
            _add_translation(dataset, finest)
    return msgspec.json.encode(document)


def _add_translation(dataset: dict[str, Any], finest: Mapping[str, Any]) -> None:
    """Add a level's translation: its first voxel is centred on the finest voxels that it averages."""
    scales = [_transformation(each, "scale") for each in (finest, dataset)]
    if all(scales) and not _transformation(dataset, "translation"):
        shift = [(coarse - fine) / 2 for fine, coarse in zip(*scales, strict=True)]
        dataset["coordinateTransformations"].append({"type": "translation", "translation": shift})


def _transformation(dataset: Mapping[str, Any], kind: str) -> list[float]:
    return next(
        (
            each[kind]
            for each in dataset.get("coordinateTransformations") or ()
            if each["type"] == kind
        ),
        [],
    )


def _chunk_keys(document: bytes, path: str) -> list[str]:
    """The keys of all chunks or shards of an array, from its ``.zarray`` or ``zarr.json``."""
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
