"""What an array's own metadata says, for zarr v2 (``.zarray``) and v3 (``zarr.json``).

Only what block-level reading needs is understood here; whatever else an array may be (other codecs, other orders,
shards) is named ``"other"`` and left to zarr itself.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_cryoet.exceptions import FormatError

#: How a chunk's bytes are made: one Blosc frame or plain bytes, both in C order; or in some other way.
Encoding = Literal["blosc", "plain", "other"]

_MAX_DIMENSIONS = 8
_MAX_LENGTH = 2**40
_MAX_CHUNK_BYTES = 2**31

# zarr v2 names its codecs in the file. These are known to do nothing but compress or filter numbers.
_SAFE_V2_CODECS = frozenset(
    {"blosc", "zlib", "gzip", "bz2", "lzma", "zstd", "lz4", "shuffle", "delta", "fixedscaleoffset", "quantize"}
    | {"bitround", "packbits", "astype", "crc32", "crc32c", "adler32", "fletcher32", "zfpy", "pcodec"}
)
_SAFE_V3_CODECS = frozenset(
    {"bytes", "transpose", "blosc", "gzip", "zstd", "crc32c", "sharding_indexed"}
    | {f"numcodecs.{name}" for name in _SAFE_V2_CODECS}
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
        Shape of what is compressed together: smaller than ``chunk_shape`` in sharded arrays.
    stored_dtype
        Of the bytes in the file, with their byte order.
    fill_value
        The value of voxels whose chunk is missing.
    encoding
        How a chunk's bytes are made.
    key_prefix, separator
        How a chunk's file is called.
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

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype in this machine's byte order."""
        return self.stored_dtype.newbyteorder("=")

    @property
    def chunk_nbytes(self) -> int:
        """Size of a whole chunk once it is decompressed."""
        return math.prod(self.chunk_shape) * self.stored_dtype.itemsize

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
    encoding: Encoding = "other"
    if document.get("order", "C") == "C" and not filters:
        encoding = "plain" if compressor is None else "blosc" if names == ["blosc"] else "other"
    return _checked(
        ArrayMetadata(
            2,
            shape,
            chunks,
            chunks,
            dtype,
            _fill_value(document.get("fill_value"), dtype, where),
            encoding,
            "",
            separator,
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
    if not isinstance(name, str) or name not in _V3_TYPES:
        raise FormatError(f"{where}: the data type {name!r} is not supported.")
    dtype = np.dtype(name)
    key_encoding, key_options = _named(document, "chunk_key_encoding", where)
    if key_encoding not in {"default", "v2"}:
        raise FormatError(f"{where}: chunk_key_encoding {key_encoding!r} is not supported.")
    separator = key_options.get("separator", "/" if key_encoding == "default" else ".")
    if separator not in (".", "/"):
        raise FormatError(f"{where}: the separator of chunk keys is {separator!r}.")
    encoding, inner, order = _v3_codecs(document, chunks, where)
    fill = _fill_value(document.get("fill_value"), dtype, where)
    prefix = f"c{separator}" if key_encoding == "default" else ""
    stored = dtype.newbyteorder(order)
    return _checked(ArrayMetadata(3, shape, chunks, inner, stored, fill, encoding, prefix, separator), where)


def _v3_codecs(
    document: dict[str, Any], chunks: tuple[int, ...], where: str
) -> tuple[Encoding, tuple[int, ...], Literal["<", ">"]]:
    """How chunks are encoded, the shape of what is compressed together, and the byte order."""
    codecs = document.get("codecs")
    if not isinstance(codecs, list) or not all(isinstance(codec, dict) for codec in codecs):
        raise FormatError(f"{where}: codecs is not a list of objects.")
    names = [codec.get("name") for codec in codecs]
    options = [codec.get("configuration") or {} for codec in codecs]
    for name, option in zip(names, options, strict=True):
        if not isinstance(name, str) or name not in _SAFE_V3_CODECS or not isinstance(option, dict):
            raise FormatError(f"{where}: the codec {name!r} is not supported.")
    if "sharding_indexed" in names:
        for part in ("codecs", "index_codecs"):
            _v3_codecs({"codecs": options[-1].get(part)}, chunks, where)
    if names == ["sharding_indexed"]:
        return "other", _lengths(options[0], "chunk_shape", where, smallest=1), "<"
    if names[:1] != ["bytes"] or names[1:] not in ([], ["blosc"]):
        return "other", chunks, "<"
    return ("blosc" if len(names) > 1 else "plain"), chunks, (">" if options[0].get("endian") == "big" else "<")


def _checked(metadata: ArrayMetadata, where: str) -> ArrayMetadata:
    """Refuse what no honest file has."""
    if not 1 <= len(metadata.shape) <= _MAX_DIMENSIONS:
        raise FormatError(f"{where}: an array of {len(metadata.shape)} dimensions is not supported.")
    if not len(metadata.shape) == len(metadata.chunk_shape) == len(metadata.inner_chunk_shape):
        raise FormatError(f"{where}: shape and chunks have different numbers of dimensions.")
    inner_nbytes = math.prod(metadata.inner_chunk_shape) * metadata.stored_dtype.itemsize
    if inner_nbytes > _MAX_CHUNK_BYTES:
        raise FormatError(f"{where}: chunks of {inner_nbytes / 2**30:.1f} GiB are too large to read.")
    return metadata


def _lengths(document: dict[str, Any], name: str, where: str, *, smallest: int) -> tuple[int, ...]:
    values = document.get(name)
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise FormatError(f"{where}: {name} is not a list of whole numbers.")
    if not all(smallest <= value <= _MAX_LENGTH for value in values):
        raise FormatError(f"{where}: {name} is {values}.")
    return tuple(values)


def _named(document: dict[str, Any], name: str, where: str) -> tuple[str, dict[str, Any]]:
    """A v3 extension point: its name and configuration."""
    value = document.get(name)
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
        dtype = np.dtype(text)
    except TypeError as error:
        raise FormatError(f"{where}: the data type {text!r} is unknown.") from error
    if dtype.kind not in "biufc":
        raise FormatError(f"{where}: the data type {text!r} is not a number.")
    return dtype


def _fill_value(value: Any, dtype: np.dtype[Any], where: str) -> Any:
    """The fill value as a scalar of the dtype; zero where the file leaves it open."""
    if value is None:
        return dtype.type(0)
    words: dict[Any, Any] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
    try:
        if isinstance(value, str) and value.startswith("0x"):
            bits = int(value, 16).to_bytes(dtype.itemsize, "big")
            return np.frombuffer(bits, dtype.newbyteorder(">"))[0].astype(dtype)
        if isinstance(value, list) and dtype.kind == "c" and len(value) == 2:
            real, imaginary = (float(words.get(part, 0) or part) for part in value)
            return dtype.type(complex(real, imaginary))
        return dtype.type(words.get(value, value))
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{where}: the fill value {value!r} does not fit the data type {dtype}.") from error
