"""Find and parse the metadata of an OME-Zarr image or zarr array (v2, v3, shards) in a few rounds of requests.

The first round requests all documents of the usual layout at once; a second one fetches the rest.
zarr-python parses the metadata of arrays, once their codecs are known to be safe.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cryoet.exceptions import FormatError, OtherKindError, StreamError
from napari_cryoet.formats.ome_zarr import (
    Multiscale,
    is_safe_path,
    parse_multiscale,
    parse_partial,
    with_old_axes,
)
from napari_cryoet.locations import Location, PathOrUrl
from napari_cryoet.network import client
from napari_cryoet.streaming.sources import ByteSource, open_source
from napari_cryoet.task import UNWATCHED, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from napari_cryoet.streaming.disk_cache import DiskCache
    from napari_cryoet.streaming.piece import Piece

#: The first bytes of a chunk, usually enough for its Blosc table.
HEAD_BYTES = 4096

_MAX_METADATA_BYTES = 16 * 2**20
_GUESSED_LEVELS = ("0", "1", "2")
_ROOT_DOCUMENTS = (".zattrs", ".zarray", "zarr.json")

_MAX_CHUNK_BYTES = 2**31
_MAX_FILES_LISTED = 2**22
_MAX_LABELS = 1024

#: Codecs that do nothing but compress or filter numbers; numcodecs knows others, such as
#: ``pickle``.
_SAFE_V2_CODECS = frozenset(
    {
        "blosc",
        "zlib",
        "gzip",
        "bz2",
        "lzma",
        "zstd",
        "lz4",
        "shuffle",
        "delta",
        "fixedscaleoffset",
        "quantize",
    }
    | {
        "bitround",
        "packbits",
        "astype",
        "crc32",
        "crc32c",
        "adler32",
        "fletcher32",
        "zfpy",
        "pcodec",
    }
)
_SAFE_V3_CODECS = frozenset(
    {"bytes", "transpose", "blosc", "gzip", "zstd", "crc32c", "sharding_indexed"}
    | {f"numcodecs.{name}" for name in _SAFE_V2_CODECS}
)
#: Codecs that are decoded here, by their names in the file. numcodecs' checksums differ from those
#: of zarr v3.
_COMPRESSORS = {name: name for name in ("blosc", "zstd", "gzip", "zlib")}
_COMPRESSORS |= {f"numcodecs.{name}": name for name in _COMPRESSORS}


@dataclass(frozen=True, slots=True, eq=False)
class ArrayLayout:
    """The metadata of an array.

    Attributes
    ----------
    path
        Relative to the image.
    chunk_shape
        In voxels.
    stored_dtype
        The type of the values in the file, with their byte order.
    fill_value
        The value of voxels whose chunk is missing.
    codecs
        The codecs of a chunk in the order of writing: at most one compressor, then perhaps a checksum. None if only
        zarr can decode it.
    chunks_per_shard
        How many chunks share a file along each axis; None if each chunk is a file.
    chunk_document
        The metadata of an array that consists of one such chunk.
    file_name
        Maps the index of a chunk or shard to its file name, relative to the array.
    dimension_names
        The array's own axis names; empty unless all axes are named.
    are_here
        Which chunks or shards a pack has, if it left out some; None if a missing one holds the fill value.
    """

    path: str
    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    stored_dtype: np.dtype[Any]
    fill_value: Any
    codecs: tuple[str, ...] | None
    chunks_per_shard: tuple[int, ...] | None
    chunk_document: dict[str, Any]
    file_name: Callable[[tuple[int, ...]], str]
    dimension_names: tuple[str, ...] = ()
    are_here: NDArray[np.bool_] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values in this machine's byte order."""
        return self.stored_dtype.newbyteorder("=")

    @property
    def chunk_bytes(self) -> int:
        """Decoded size of a chunk."""
        return math.prod(self.chunk_shape) * self.stored_dtype.itemsize

    @property
    def file_shape(self) -> tuple[int, ...]:
        """The shape of one file: a chunk or a shard."""
        shards = self.chunks_per_shard or (1,) * len(self.chunk_shape)
        return tuple(n * count for n, count in zip(self.chunk_shape, shards, strict=True))

    def file_key(self, file: tuple[int, ...]) -> str:
        """The file of a chunk or shard, relative to the image."""
        return _below(self.path, self.file_name(file))


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """The metadata at an address; a single array has no ``multiscale``.

    ``pieces`` maps keys to the pieces read.
    """

    attributes: dict[str, Any]
    multiscale: Multiscale | None
    arrays: tuple[ArrayLayout, ...]
    pieces: dict[str, Piece]

    @property
    def etags(self) -> tuple[tuple[str, str | None], ...]:
        """The versions of all files read."""
        return tuple(sorted((key, piece.etag) for key, piece in self.pieces.items()))

    def head_of(self, array: ArrayLayout) -> Piece | None:
        """The first bytes of an array's first chunk, if they were read."""
        return self.pieces.get(_head_key(array) or "")

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """The arrays' own axis names; empty unless all axes are named."""
        finest = self.arrays[0]
        return finest.dimension_names or _all_names(
            self.attributes.get("_ARRAY_DIMENSIONS"), len(finest.shape)
        )


def find(source: ByteSource, task: Task = UNWATCHED) -> ImageMetadata:
    """Read all metadata of an image or array, and the first bytes of its first chunks if useful.

    FormatError if there is none; OtherKindError for anything else, such as a zarr group.
    """
    documents, where = _Documents(source, task), source.place
    guessed_heads = [f"{level}/0/0/0" for level in _GUESSED_LEVELS]
    documents.read(
        [*_ROOT_DOCUMENTS, *(f"{level}/.zarray" for level in _GUESSED_LEVELS)], heads=guessed_heads
    )
    if (root := documents.get("zarr.json")) is not None:
        attributes = root.get("attributes") or {}
        if not isinstance(attributes, dict):
            raise FormatError(f"{where}/zarr.json: attributes is not an object.")
        is_array = root.get("node_type") == "array"
        return _find(documents, attributes, "zarr.json", [""] if is_array else None)
    if documents.get(".zarray") is not None:
        return _find(documents, documents.get(".zattrs") or {}, ".zarray", [""])
    if (attributes := documents.get(".zattrs")) is not None:
        return _find(documents, attributes, ".zarray", None)
    documents.read([".zgroup"])
    documents.raise_first_error()
    if documents.get(".zgroup") is not None:
        raise OtherKindError(f"{where} is a zarr group, not an OME-Zarr image.")
    raise FormatError(
        f"There is no OME-Zarr image at {where}.",
        hint="Check the address; it should name a folder that ends in .zarr.",
    )


def _find(
    documents: _Documents, attributes: dict[str, Any], name: str, paths: list[str] | None
) -> ImageMetadata:
    """Read the arrays at ``paths``, by default those in the image's attributes."""
    where, multiscale = documents.where, None
    if paths is None:
        _require_image(documents, attributes)
        multiscale = parse_multiscale(attributes, where)
        paths = [level.path for level in multiscale.levels]
    keys = [_below(path, name) for path in paths]
    documents.read(keys)
    arrays = [
        parse_array(documents.need(key), path, f"{where}/{key}")
        for key, path in zip(keys, paths, strict=True)
    ]
    partial = parse_partial(attributes, where)
    if arrays[-1].path in partial:
        raise FormatError(f"{where}: no level is here whole.")
    arrays = [
        _with_files(array, partial[array.path], where) if array.path in partial else array
        for array in arrays
    ]
    documents.read([], heads=[key for array in arrays if (key := _head_key(array))])
    if multiscale is not None and not arrays[0].dimension_names:
        multiscale = with_old_axes(multiscale, len(arrays[0].shape))
    _check_levels(multiscale, arrays, where)
    return ImageMetadata(attributes, multiscale, tuple(arrays), documents.pieces)


def _with_files(array: ArrayLayout, files: list[tuple[int, ...]], where: str) -> ArrayLayout:
    """The layout of an array that has only some of its chunks or shards."""
    sizes = zip(array.shape, array.file_shape, strict=True)
    counts = tuple(-(-size // length) for size, length in sizes)
    possible = math.prod(counts) <= _MAX_FILES_LISTED and all(
        len(file) == len(counts) and all(0 <= at < n for at, n in zip(file, counts, strict=True))
        for file in files
    )
    if not possible:
        raise FormatError(f"{where}: the list of the chunks of level {array.path!r} is wrong.")
    are_here = np.zeros(counts, np.bool_)
    for file in files:
        are_here[file] = True
    return replace(array, are_here=are_here)


def _head_key(array: ArrayLayout) -> str | None:
    """The file of the first chunk, if that chunk is a Blosc frame."""
    return (
        array.file_key((0,) * len(array.shape))
        if array.codecs == ("blosc",) and array.chunks_per_shard is None
        else None
    )


def _require_image(documents: _Documents, attributes: dict[str, Any]) -> None:
    ome = attributes.get("ome")
    objects = [attributes, ome] if isinstance(ome, dict) else [attributes]
    if any("multiscales" in item for item in objects):
        return
    documents.raise_first_error()  # it may be an array
    hint = "It may be a collection of images: open one of those in it."
    raise OtherKindError(
        f"{documents.where} is a zarr group without multiscales, not an OME-Zarr image.", hint=hint
    )


def _check_levels(multiscale: Multiscale | None, arrays: list[ArrayLayout], where: str) -> None:
    """Raise FormatError for levels that don't belong to one image."""
    finest = arrays[0]
    names, own = (
        tuple(axis.name for axis in multiscale.axes) if multiscale else (),
        finest.dimension_names,
    )
    if names and len(names) != len(finest.shape):
        raise FormatError(
            f"{where}: {len(names)} axes are named, but the array has {len(finest.shape)}."
        )
    if names != own and sorted(names) == sorted(own):
        raise FormatError(
            f"{where}: its axes are {', '.join(names)}, but its arrays' axes are {', '.join(own)}."
        )
    for array in arrays:
        if not all(array.shape):
            raise FormatError(f"{where}: level {array.path!r} is empty.")
        if len(array.shape) != len(finest.shape) or array.dtype != finest.dtype:
            raise FormatError(
                f"{where}: level {array.path!r} differs from the finest one in its axes or data type."
            )
    for finer, coarser in itertools.pairwise(arrays):
        if any(a < b for a, b in zip(finer.shape, coarser.shape, strict=True)):
            raise FormatError(
                f"{where}: level {coarser.path!r} is larger than level {finer.path!r}."
            )


class _Documents:
    """The documents read so far; errors are raised only when a document is needed."""

    def __init__(self, source: ByteSource, task: Task) -> None:
        self.where = source.place
        self.pieces: dict[str, Piece] = {}
        self._source, self._stop = source, task
        self._requested: set[str] = set()
        self._errors: dict[str, StreamError] = {}

    def read(self, documents: Iterable[str], *, heads: Iterable[str] = ()) -> None:
        """Read documents and the first bytes of chunks in one round, each at most once."""
        # request ranges of documents too: the responses then give the size twice
        wanted = dict.fromkeys(documents, _MAX_METADATA_BYTES) | dict.fromkeys(heads, HEAD_BYTES)
        wanted = {key: length for key, length in wanted.items() if key not in self._requested}
        self._requested.update(wanted)
        client.run(self._read_all(wanted), self._stop, server=self._source.server)

    async def _read_all(self, wanted: dict[str, int]) -> None:
        await asyncio.gather(*(self._read(key, length) for key, length in wanted.items()))

    async def _read(self, key: str, length: int) -> None:
        try:
            piece = await self._source.read(key, length=length, limit_bytes=length)
        except StreamError as error:
            self._errors[key] = error
            return
        if piece is not None:
            self.pieces[key] = piece

    def get(self, key: str) -> dict[str, Any] | None:
        """A document; None if it is missing or couldn't be read."""
        piece = self.pieces.get(key)
        if piece is None:
            return None
        return parse_json(piece.content, f"{self.where}/{key}")

    def need(self, key: str) -> dict[str, Any]:
        """A document; raises its error, or a FormatError if it is missing."""
        document = self.get(key)
        if document is not None:
            return document
        if key in self._errors:
            raise self._errors[key]
        raise FormatError(f"{self.where} is incomplete: {key} is missing.")

    def raise_first_error(self) -> None:
        """Raise the first error of a root document, if there was one."""
        for key in _ROOT_DOCUMENTS:
            if key in self._errors:
                raise self._errors[key]


def parse_json(content: bytes, where: str) -> dict[str, Any]:
    """A JSON object; FormatError if it is anything else."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is not valid JSON.") from error
    if not isinstance(value, dict):
        raise FormatError(f"{where} does not hold a JSON object.")
    return value


def parse_array(document: dict[str, Any], path: str, where: str) -> ArrayLayout:
    """Parse an array's ``.zarray`` or ``zarr.json``; FormatError if it isn't supported."""
    import zarr
    from zarr.storage import MemoryStore, StorePath

    is_v2 = document.get("zarr_format") == 2
    try:
        known = (
            _known_v2_codecs(document, where)
            if is_v2
            else _known_v3_codecs(document["codecs"], where)
        )
        array = zarr.Array.from_dict(StorePath(MemoryStore()), document)
        dtype, chunks, file_shape = array.dtype, array.chunks, array.shards or array.chunks
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        NotImplementedError,
        RecursionError,
    ) as error:
        raise FormatError(f"{where}: zarr does not understand this array ({error}).") from error
    if dtype.kind not in "biufc" or dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise FormatError(f"{where}: {dtype} is not a type of plain numbers.")
    chunk_document, shards = document | {"shape": list(file_shape)}, None
    if file_shape != chunks and _is_usual_shard(document["codecs"]):
        shards = tuple(n // m for n, m in zip(file_shape, chunks, strict=True))
        inner = document["codecs"][0]["configuration"]["codecs"]
        known = _known_v3_codecs(inner, where)
        grid = {"name": "regular", "configuration": {"chunk_shape": list(chunks)}}
        chunk_document |= {"shape": list(chunks), "chunk_grid": grid, "codecs": inner}
    if not is_v2:
        options = chunk_document["codecs"][0].get("configuration") or {}
        dtype = dtype.newbyteorder(">" if options.get("endian") == "big" else "<")
    fill_value = array.metadata.fill_value
    layout = ArrayLayout(
        path=path,
        shape=array.shape,
        chunk_shape=file_shape if shards is None else chunks,
        stored_dtype=dtype,
        fill_value=dtype.newbyteorder("=").type(0 if fill_value is None else fill_value),
        codecs=known,
        chunks_per_shard=shards,
        chunk_document=chunk_document,
        file_name=array.metadata.encode_chunk_key,
        dimension_names=_all_names(document.get("dimension_names"), len(array.shape)),
    )
    if layout.codecs != () and layout.chunk_bytes > _MAX_CHUNK_BYTES:
        raise FormatError(
            f"{where}: chunks of {layout.chunk_bytes / 2**30:.1f} GiB are too large to read."
        )
    return layout


def _known_v2_codecs(document: dict[str, Any], where: str) -> tuple[str, ...] | None:
    """The codecs of a v2 chunk, or None if only zarr can decode it."""
    compressor, filters = document.get("compressor"), document.get("filters") or []
    codecs = ([compressor] if compressor is not None else []) + (
        filters if isinstance(filters, list) else [filters]
    )
    names = [_safe_name(codec, "id", _SAFE_V2_CODECS, where) for codec in codecs]
    is_plain = (
        not filters and document.get("order", "C") == "C" and set(names) <= _COMPRESSORS.keys()
    )
    return tuple(_COMPRESSORS[name] for name in names) if is_plain else None


def _known_v3_codecs(codecs: Any, where: str) -> tuple[str, ...] | None:
    names = [_safe_name(codec, "name", _SAFE_V3_CODECS, where) for codec in codecs]
    for codec, name in zip(codecs, names, strict=True):
        if name == "sharding_indexed":
            options = codec.get("configuration")
            for field in ("codecs", "index_codecs"):
                _known_v3_codecs(options.get(field) if isinstance(options, dict) else None, where)
    checksum = ("crc32c",) if names[-1] == "crc32c" else ()
    compressors = names[1:-1] if checksum else names[1:]
    if names[0] != "bytes" or len(compressors) > 1 or not set(compressors) <= _COMPRESSORS.keys():
        return None
    return tuple(_COMPRESSORS[name] for name in compressors) + checksum


def _safe_name(codec: Any, field: str, safe: frozenset[str], where: str) -> str:
    name = codec.get(field) if isinstance(codec, dict) else codec
    if not isinstance(codec, dict) or not isinstance(name, str) or name not in safe:
        raise FormatError(f"{where}: the codec {name!r} is not supported.")
    return name


def _is_usual_shard(codecs: list[dict[str, Any]]) -> bool:
    """Whether a shard consists of its chunks followed by the usual index."""
    options = codecs[0].get("configuration") or {}
    index = [
        (codec["name"], codec.get("configuration") or {})
        for codec in options.get("index_codecs", [])
    ]
    is_usual_index = [name for name, _ in index] == ["bytes", "crc32c"] and index[0][1].get(
        "endian"
    ) == "little"
    return len(codecs) == 1 and is_usual_index and options.get("index_location", "end") == "end"


def _all_names(names: Any, count: int) -> tuple[str, ...]:
    """The names of all axes; empty if any is missing."""
    is_complete = (
        isinstance(names, list)
        and len(names) == count
        and all(isinstance(n, str) and n for n in names)
    )
    return tuple(names) if is_complete else ()


def _below(path: str, key: str) -> str:
    return f"{path}/{key}" if path else key


def find_labels(
    url_or_path: PathOrUrl,
    *,
    task: Task = UNWATCHED,
    cache: DiskCache | Literal["shared"] | None = "shared",
) -> list[str]:
    """Addresses or paths of the label images of an image, for `open_pyramid`; empty if there are none.

    Parameters and errors are as in `open_pyramid`.
    """
    labels = Location.of(url_or_path).below("labels")
    documents = _Documents(open_source(labels, cache=cache), task)
    documents.read(["zarr.json", ".zattrs"])
    if (document := documents.get("zarr.json")) is not None:
        attributes = document.get("attributes")
    elif (attributes := documents.get(".zattrs")) is None:
        documents.raise_first_error()
        return []
    group = attributes.get("ome", attributes) if isinstance(attributes, dict) else {}
    names = group.get("labels") if isinstance(group, dict) else None
    names = names[:_MAX_LABELS] if isinstance(names, list) else []
    return [
        labels.below(name.strip("/")).text
        for name in names
        if isinstance(name, str) and is_safe_path(name)
    ]
