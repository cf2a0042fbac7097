"""The keys of an OME-Zarr pyramid, from its metadata alone: over HTTPS nobody lists a folder.

Pure: the metadata documents come in as parsed JSON, keys relative to the root of the pyramid come out.
Formats: Zarr specification version 2, Zarr core specification version 3.0 with the sharding codec, OME-NGFF 0.4, 0.5.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from napari_cryoet.exceptions import FormatError

MAX_KEYS = 500_000  # a tomogram has some hundreds; more is a mistake or an attack
_MAX_DIMENSIONS = 8

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkGrid:
    """How the chunks of one array are named: ``prefix`` + indices joined by ``separator``.

    For a sharded array a chunk is a shard, since that is what is stored under one key.
    """

    counts: tuple[int, ...]  # chunks along each axis
    prefix: str
    separator: str

    @property
    def n_keys(self) -> int:
        """Number of chunks."""
        return math.prod(self.counts)

    def __iter__(self) -> Iterator[str]:
        """Yield the key of every chunk, relative to the array."""
        if not self.counts:  # a scalar has one chunk
            yield self.prefix + ("0" if not self.prefix else "")
            return
        for indices in itertools.product(*(range(count) for count in self.counts)):
            yield self.prefix + self.separator.join(map(str, indices))


def array_paths(group_attributes: Json) -> tuple[str, ...]:
    """Return the paths of all levels of all pyramids that a group's attributes name, finest first.

    Raises
    ------
    FormatError
        If the attributes aren't those of an OME-NGFF image, or a path leads out of the group.
    """
    attributes = group_attributes.get("ome", group_attributes)
    try:
        paths = [dataset["path"] for scales in attributes["multiscales"] for dataset in scales["datasets"]]
    except (KeyError, TypeError) as error:
        raise FormatError("The OME-Zarr's metadata names no levels.") from error
    for path in paths:
        if not _is_safe_path(path):
            raise FormatError(f"The OME-Zarr's metadata names a level with an unusable path: {path!r}.")
    if not paths:
        raise FormatError("The OME-Zarr's metadata names no levels.")
    return tuple(dict.fromkeys(paths))


def chunk_grid_v2(array: Json) -> ChunkGrid:
    """Return how the chunks of a Zarr version 2 array are named, from its ``.zarray``."""
    separator = array.get("dimension_separator", ".")
    return _grid(array.get("shape"), array.get("chunks"), prefix="", separator=separator)


def chunk_grid_v3(array: Json) -> ChunkGrid:
    """Return how the chunks (the shards, where there are some) of a Zarr version 3 array are named."""
    try:
        if array["node_type"] != "array":
            raise FormatError("A level of the OME-Zarr is no array.")
        grid = array["chunk_grid"]
        if grid["name"] != "regular":
            raise FormatError(f"The OME-Zarr has a chunk grid of an unknown kind: {grid['name']!r}.")
        chunks = grid["configuration"]["chunk_shape"]
        encoding = array["chunk_key_encoding"]
        configuration = encoding.get("configuration") or {}
        shape = array["shape"]
        name = encoding["name"]
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError("The OME-Zarr's metadata lacks what says how its chunks are named.") from error
    match name:
        case "default":
            separator = configuration.get("separator", "/")
            return _grid(shape, chunks, prefix=f"c{separator}" if shape else "c", separator=separator)
        case "v2":
            return _grid(shape, chunks, prefix="", separator=configuration.get("separator", "."))
        case _:
            raise FormatError(f"The OME-Zarr names its chunks in an unknown way: {name!r}.")


def _grid(shape: Any, chunks: Any, *, prefix: str, separator: Any) -> ChunkGrid:
    """Return the grid after checks of everything that came from the network."""
    if separator not in ("/", "."):
        raise FormatError(f"The OME-Zarr separates chunk indices by {separator!r}.")
    if not (_are_sizes(shape, least=0) and _are_sizes(chunks, least=1) and len(shape) == len(chunks)):
        raise FormatError("The OME-Zarr's metadata gives no usable array shape and chunk shape.")
    if len(shape) > _MAX_DIMENSIONS:
        raise FormatError(f"The OME-Zarr has {len(shape)} axes.")
    counts = tuple(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
    grid = ChunkGrid(counts=counts, prefix=prefix, separator=separator)
    if grid.n_keys > MAX_KEYS:
        raise FormatError(f"The OME-Zarr would have {grid.n_keys:,} chunks, which can't be right.")
    return grid


def _are_sizes(value: Any, *, least: int) -> bool:
    return isinstance(value, list) and all(type(size) is int and size >= least for size in value)


def _is_safe_path(path: object) -> bool:
    """Whether a level's path stays in the pyramid and is made of ordinary names."""
    if not isinstance(path, str) or not 0 < len(path) <= 256 or "\\" in path:
        return False
    return all(segment not in ("", ".", "..") for segment in path.split("/"))
