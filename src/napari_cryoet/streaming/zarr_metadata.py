"""What an array's own metadata says, for zarr v2 (``.zarray``) and v3 (``zarr.json``).

Only what is read without zarr is understood here; whatever else an array may be (other codecs, filters, other orders)
is named ``"other"`` and left to zarr itself.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cryoet.exceptions import FormatError
from napari_cryoet.streaming.packing import Codec
from napari_cryoet.streaming.sharding import ShardLayout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: How a chunk's bytes are made, in C order: as they are, as one Blosc frame, packed as a whole; or in some other way.
Encoding = Literal["plain", "blosc", "packed", "other"]

_MAX_DIMENSIONS = 8
_MAX_LENGTH = 2**40
_MAX_CHUNK_BYTES = 2**31
_MAX_CHUNKS_ALONG_AN_AXIS = 2**20

# zarr v2 names its codecs in the file. These are known to do nothing but compress or filter numbers.
_SAFE_V2_CODECS = frozenset(
    {"blosc", "zlib", "gzip", "bz2", "lzma", "zstd", "lz4", "shuffle", "delta", "fixedscaleoffset", "quantize"}
    | {"bitround", "packbits", "astype", "crc32", "crc32c", "adler32", "fletcher32", "zfpy", "pcodec"}
)
_SAFE_V3_CODECS = frozenset(
    {"bytes", "transpose", "blosc", "gzip", "zstd", "crc32c", "sharding_indexed"}
    | {f"numcodecs.{name}" for name in _SAFE_V2_CODECS}
)
# Checksums of numcodecs are left to zarr: they stand elsewhere than those of zarr v3.
_KNOWN_V2_CODECS: dict[str, Codec] = {"blosc": "blosc", "zstd": "zstd", "gzip": "gzip", "zlib": "zlib"}
_KNOWN_V3_CODECS: dict[str, Codec] = {
    "blosc": "blosc",
    "zstd": "zstd",
    "gzip": "gzip",
    "crc32c": "crc32c",
    **{f"numcodecs.{name}": codec for name, codec in _KNOWN_V2_CODECS.items()},
}
_V3_FIELDS = frozenset(
    {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs"}
    | {"attributes", "dimension_names", "storage_transformers", "consolidated_metadata"}
)
_V3_TYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
    | {"float16", "float32", "float64", "complex64", "complex128"}
)


@dataclass(frozen=True, slots=True)
class ArrayMetadata:
    """What is known about an array before any voxel is read.

    Attributes
    ----------
    zarr_format
        2 or 3.
    shape
        In voxels.
    chunk_shape
        Shape of what lies in one file.
    inner_chunk_shape
        Shape of what is encoded together: smaller than ``chunk_shape`` in sharded arrays.
    stored_dtype
        Of the bytes in the file, with their byte order.
    fill_value
        The value of voxels whose chunk is missing.
    encoding
        How the bytes of an (inner) chunk are made.
    key_prefix, separator
        How a chunk's file is called.
    codecs
        What was done to the bytes of an (inner) chunk, unless the encoding is ``"other"``.
    shards
        How inner chunks are found in their file, None where each has a file of its own.
    dimension_names
        What the array itself calls its axes (zarr v3); empty where it doesn't name them all.
    is_frame
        Whether each file is one Blosc frame, whatever was done to the values before.
    """

    zarr_format: int
    shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    inner_chunk_shape: tuple[int, ...]
    stored_dtype: np.dtype[Any]
    fill_value: Any
    encoding: Encoding
    key_prefix: str
    separator: str
    codecs: tuple[Codec, ...] = ()
    shards: ShardLayout | None = None
    dimension_names: tuple[str, ...] = ()
    is_frame: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in this machine's byte order."""
        return self.stored_dtype.newbyteorder("=")

    @property
    def chunk_nbytes(self) -> int:
        """Size of what is encoded together once it is decoded."""
        return math.prod(self.inner_chunk_shape) * self.stored_dtype.itemsize

    def chunk_key(self, chunk: tuple[int, ...]) -> str:
        """The name of a chunk's file, relative to the array."""
        return self.key_prefix + self.separator.join(map(str, chunk))


def parse_json(content: bytes, where: str) -> dict[str, Any]:
    """An object from JSON.

    Raises
    ------
    FormatError
        If it is anything else.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is not valid JSON.") from error
    if not isinstance(value, dict):
        raise FormatError(f"{where} does not hold a JSON object.")
    return value


def parse_v2_array(document: dict[str, Any], where: str) -> ArrayMetadata:
    """Read the content of a ``.zarray``.

    Raises
    ------
    FormatError
        Naming the field that is wrong.
    """
    shape = _lengths(document, "shape", where, smallest=0)
    chunks = _lengths(document, "chunks", where, smallest=1)
    dtype = _v2_dtype(document.get("dtype"), where)
    separator = document.get("dimension_separator", ".")
    if separator not in (".", "/"):
        raise FormatError(f"{where}: dimension_separator is {separator!r}.")
    compressor, filters = document.get("compressor"), document.get("filters") or []
    codecs = ([compressor] if compressor is not None else []) + (filters if isinstance(filters, list) else [filters])
    names = [codec.get("id") if isinstance(codec, dict) else codec for codec in codecs]
    for name in names:
        if not isinstance(name, str) or name not in _SAFE_V2_CODECS:
            raise FormatError(f"{where}: the codec {name!r} is not supported.")
    order = document.get("order", "C")
    if order not in ("C", "F"):
        raise FormatError(f"{where}: order is {order!r}.")
    known = None if filters or order != "C" else _known_codecs(names, _KNOWN_V2_CODECS)
    fill = _fill_value(document.get("fill_value"), dtype, where)
    encoding, is_frame = _encoding(known), (names[:1] if compressor is not None else names[-1:]) == ["blosc"]
    return _checked(
        ArrayMetadata(
            *(2, shape, chunks, chunks, dtype, fill, encoding, "", separator), codecs=known or (), is_frame=is_frame
        ),
        where,
    )


def parse_v3_array(document: dict[str, Any], where: str) -> ArrayMetadata:
    """Read the content of an array's ``zarr.json``.

    Raises
    ------
    FormatError
        Naming the field that is wrong.
    """
    shape = _lengths(document, "shape", where, smallest=0)
    grid = _named(document, "chunk_grid", where)
    if grid[0] != "regular":
        raise FormatError(f"{where}: chunks in a {grid[0]!r} grid are not supported.")
    chunks = _lengths(grid[1], "chunk_shape", where, smallest=1)
    name = document.get("data_type")
    if isinstance(name, dict) and not name.get("configuration"):
        name = name.get("name")
    if not isinstance(name, str) or name not in _V3_TYPES:
        raise FormatError(f"{where}: the data type {name!r} is not supported.")
    dtype = np.dtype(name)
    key_encoding, key_options = _named(document, "chunk_key_encoding", where)
    if key_encoding not in {"default", "v2"}:
        raise FormatError(f"{where}: chunk_key_encoding {key_encoding!r} is not supported.")
    separator = key_options.get("separator", "/" if key_encoding == "default" else ".")
    if separator not in (".", "/"):
        raise FormatError(f"{where}: the separator of chunk keys is {separator!r}.")
    if document.get("storage_transformers"):
        raise FormatError(f"{where}: storage transformers are not supported.")
    for field, value in document.items():
        if field not in _V3_FIELDS and not (isinstance(value, dict) and value.get("must_understand") is False):
            raise FormatError(f"{where}: the extension {field!r} is not supported.")
    try:
        pipeline = _v3_pipeline(document.get("codecs"), chunks, where)
    except RecursionError as error:
        raise FormatError(f"{where}: there are shards in shards without end.") from error
    return _checked(
        ArrayMetadata(
            zarr_format=3,
            shape=shape,
            chunk_shape=chunks,
            inner_chunk_shape=pipeline.chunk_shape,
            stored_dtype=dtype.newbyteorder(pipeline.byte_order),
            fill_value=_fill_value(document.get("fill_value"), dtype, where),
            encoding=_encoding(pipeline.codecs),
            key_prefix=f"c{separator}" if key_encoding == "default" else "",
            separator=separator,
            codecs=pipeline.codecs or (),
            shards=pipeline.shards,
            dimension_names=all_names(document.get("dimension_names"), len(shape)),
            is_frame=pipeline.is_frame,
        ),
        where,
    )


@dataclass(frozen=True, slots=True)
class _Pipeline:
    """How chunks are encoded in v3; ``codecs`` is None where that is left to zarr."""

    chunk_shape: tuple[int, ...]
    codecs: tuple[Codec, ...] | None
    byte_order: Literal["<", ">"] = "<"
    shards: ShardLayout | None = None
    is_frame: bool = False


def _v3_pipeline(codecs: Any, chunks: tuple[int, ...], where: str) -> _Pipeline:
    if not isinstance(codecs, list) or not all(isinstance(codec, dict | str) for codec in codecs):
        raise FormatError(f"{where}: codecs is not a list of objects.")
    codecs = [{"name": codec} if isinstance(codec, str) else codec for codec in codecs]  # what needs no options
    names = [codec.get("name") for codec in codecs]
    options = [codec.get("configuration") or {} for codec in codecs]
    for name, option in zip(names, options, strict=True):
        if not isinstance(name, str) or name not in _SAFE_V3_CODECS or not isinstance(option, dict):
            raise FormatError(f"{where}: the codec {name!r} is not supported.")
    if "sharding_indexed" in names:
        return _v3_shards(names, options, chunks, where)
    if names[:1] != ["bytes"]:
        return _Pipeline(chunks, None, is_frame=_is_frame(names))
    codecs = _known_codecs(names[1:], _KNOWN_V3_CODECS)
    return _Pipeline(chunks, codecs, _byte_order(options[0], where), is_frame=_is_frame(names))


def _v3_shards(names: list[str], options: list[dict[str, Any]], chunks: tuple[int, ...], where: str) -> _Pipeline:
    """Shards of chunks that are found by an index without compression, or what zarr makes of anything else."""
    option = options[names.index("sharding_indexed")]
    inner_shape = _lengths(option, "chunk_shape", where, smallest=1)
    is_whole = names != ["sharding_indexed"]  # other codecs turn or pack shards, which can be read only as a whole
    is_even = len(inner_shape) == len(chunks) and not any(n % m for n, m in zip(chunks, inner_shape, strict=True))
    if not (is_even or is_whole):
        raise FormatError(f"{where}: chunks of {inner_shape} don't fill shards of {chunks} evenly.")
    inner = _v3_pipeline(option.get("codecs"), inner_shape, where)
    index = _v3_pipeline(option.get("index_codecs"), (), where)
    location = option.get("index_location", "end")
    if location not in ("start", "end"):
        raise FormatError(f"{where}: index_location is {location!r}.")
    if is_whole:
        return _Pipeline(chunks, None, is_frame=_is_frame(names))
    is_plain_index = index.codecs in ((), ("crc32c",)) and index.shards is None
    if inner.codecs is None or inner.shards is not None or not is_plain_index:
        return _Pipeline(inner_shape, None)
    per_shard = tuple(n // m for n, m in zip(chunks, inner_shape, strict=True))
    layout = ShardLayout(per_shard, location, index.byte_order, has_checksum=bool(index.codecs))
    if not layout.is_small_enough:
        raise FormatError(f"{where}: shards of {per_shard} chunks are too finely cut.")
    return _Pipeline(inner_shape, inner.codecs, inner.byte_order, layout)


def _is_frame(names: Sequence[Any]) -> bool:
    """Whether Blosc comes last when a file is written."""
    return bool(names) and _KNOWN_V3_CODECS.get(names[-1]) == "blosc"


def _byte_order(options: dict[str, Any], where: str) -> Literal["<", ">"]:
    endian = options.get("endian", "little")
    if endian not in ("little", "big"):
        raise FormatError(f"{where}: endian is {endian!r}.")
    return ">" if endian == "big" else "<"


def _known_codecs(names: Sequence[Any], known: Mapping[str, Codec]) -> tuple[Codec, ...] | None:
    """The codecs where all of them can be undone without zarr, else None."""
    return tuple(known[name] for name in names) if all(name in known for name in names) else None


def _encoding(codecs: tuple[Codec, ...] | None) -> Encoding:
    match codecs:
        case None:
            return "other"
        case ():
            return "plain"
        case ("blosc",):
            return "blosc"
        case _:
            return "packed"


def _checked(metadata: ArrayMetadata, where: str) -> ArrayMetadata:
    """Refuse what no honest file has."""
    if not 1 <= len(metadata.shape) <= _MAX_DIMENSIONS:
        raise FormatError(f"{where}: an array of {len(metadata.shape)} dimensions is not supported.")
    if not len(metadata.shape) == len(metadata.chunk_shape) == len(metadata.inner_chunk_shape):
        raise FormatError(f"{where}: shape and chunks have different numbers of dimensions.")
    if metadata.encoding != "plain" and metadata.chunk_nbytes > _MAX_CHUNK_BYTES:
        raise FormatError(f"{where}: chunks of {metadata.chunk_nbytes / 2**30:.1f} GiB are too large to read.")
    if any(n > m * _MAX_CHUNKS_ALONG_AN_AXIS for n, m in zip(metadata.shape, metadata.inner_chunk_shape, strict=True)):
        raise FormatError(f"{where}: {metadata.shape} voxels in chunks of {metadata.inner_chunk_shape} are too many.")
    return metadata


def _lengths(document: dict[str, Any], name: str, where: str, *, smallest: int) -> tuple[int, ...]:
    values = document.get(name)
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise FormatError(f"{where}: {name} is not a list of whole numbers.")
    if not all(smallest <= value <= _MAX_LENGTH for value in values):
        raise FormatError(f"{where}: {name} is {values}.")
    return tuple(values)


def all_names(names: Any, count: int) -> tuple[str, ...]:
    """The names of so many axes, or nothing where there aren't as many, or some have none."""
    is_complete = isinstance(names, list) and len(names) == count and all(isinstance(n, str) and n for n in names)
    return tuple(names) if is_complete else ()


def _named(document: dict[str, Any], name: str, where: str) -> tuple[str, dict[str, Any]]:
    """A v3 extension point: its name and configuration, of which there may be none."""
    value = document.get(name)
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise FormatError(f"{where}: {name} is missing.")
    configuration = value.get("configuration") or {}
    if not isinstance(configuration, dict):
        raise FormatError(f"{where}: the configuration of {name} is not an object.")
    return value["name"], configuration


def _v2_dtype(text: Any, where: str) -> np.dtype[Any]:
    if not isinstance(text, str):
        raise FormatError(f"{where}: only arrays of plain numbers are supported.")
    try:
        if not text.isprintable():
            raise ValueError("no type is called so")
        dtype = np.dtype(text)
    except (TypeError, ValueError, SyntaxError) as error:  # numpy reads lists of types, too
        raise FormatError(f"{where}: the data type {text!r} is unknown.") from error
    if dtype.kind not in "biufc" or dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise FormatError(f"{where}: the data type {text!r} is not a number.")
    return dtype


def _fill_value(value: Any, dtype: np.dtype[Any], where: str) -> Any:
    """The fill value as a scalar of the dtype; zero where the file leaves it open."""
    if value is None:
        return dtype.type(0)
    try:
        match dtype.kind:
            case "b" if value in (0, 1) and not isinstance(value, str):
                return dtype.type(value)
            case "i" | "u" if not isinstance(value, str) and int(value) == value:
                return dtype.type(int(value))
            case "f":
                return _float(value, dtype)
            case "c" if isinstance(value, list) and len(value) == 2:
                part = np.dtype(f"f{dtype.itemsize // 2}")
                return dtype.type(complex(_float(value[0], part), _float(value[1], part)))
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{where}: the fill value {value!r} does not fit the data type {dtype}.") from error
    raise FormatError(f"{where}: the fill value {value!r} does not fit the data type {dtype}.")


def _float(value: Any, dtype: np.dtype[Any]) -> Any:
    """A number, the name of one that JSON doesn't have, or its bits in hexadecimal digits."""
    if isinstance(value, str) and value.startswith("0x"):
        if len(value) != len("0x") + 2 * dtype.itemsize:
            raise ValueError(f"{value} are the bits of another data type")
        bits = int(value, 16).to_bytes(dtype.itemsize, "big")
        return np.frombuffer(bits, dtype.newbyteorder(">"))[0].astype(dtype)
    with np.errstate(over="ignore"):
        return dtype.type(float(value))
