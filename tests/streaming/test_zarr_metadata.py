"""What an array's metadata says is what zarr itself reads in it; what it can't be is refused."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import from_dtype
from numcodecs import LZ4, Blosc, Delta, GZip, Zlib, Zstd

from napari_cryoet.exceptions import FormatError
from napari_cryoet.streaming.sharding import ShardLayout
from napari_cryoet.streaming.zarr_metadata import parse_json, parse_v2_array, parse_v3_array

V2 = {"zarr_format": 2, "shape": [4, 5], "chunks": [2, 3], "dtype": "<f4", "compressor": None, "order": "C"}
V3 = {
    "zarr_format": 3,
    "shape": [4, 5],
    "data_type": "float32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "fill_value": 0,
}


def v2_of(tmp_path, **options):
    zarr.create_array(str(tmp_path / "a"), shape=(40, 50), chunks=(20, 30), zarr_format=2, **options)
    return parse_v2_array(parse_json((tmp_path / "a" / ".zarray").read_bytes(), "a"), "a")


def v3_of(tmp_path, **options):
    zarr.create_array(str(tmp_path / "a"), shape=(40, 50), zarr_format=3, **options)
    return parse_v3_array(parse_json((tmp_path / "a" / "zarr.json").read_bytes(), "a"), "a")


@pytest.mark.parametrize(
    ("options", "encoding"),
    [
        ({"compressors": Blosc()}, "blosc"),
        ({"compressors": None}, "plain"),
        ({"compressors": Zstd()}, "packed"),
        ({"compressors": Zlib()}, "packed"),
        ({"compressors": GZip()}, "packed"),
        ({"compressors": LZ4()}, "other"),
        ({"compressors": Blosc(), "order": "F"}, "other"),
        ({"compressors": Blosc(), "filters": [Delta("<f4")]}, "other"),
    ],
)
def test_v2_encodings_are_told_apart(options, encoding, tmp_path):
    metadata = v2_of(tmp_path, dtype="f4", **options)
    assert metadata.encoding == encoding
    assert (metadata.shape, metadata.chunk_shape, metadata.chunk_nbytes) == ((40, 50), (20, 30), 2400)


@pytest.mark.parametrize(
    ("options", "encoding"),
    [
        ({"chunks": (20, 30), "compressors": zarr.codecs.BloscCodec()}, "blosc"),
        ({"chunks": (20, 30), "compressors": None}, "plain"),
        ({"chunks": (20, 30), "compressors": zarr.codecs.GzipCodec()}, "packed"),
        ({"chunks": (20, 30), "compressors": [zarr.codecs.BloscCodec(), zarr.codecs.Crc32cCodec()]}, "packed"),
        ({"chunks": (10, 10), "shards": (20, 30)}, "packed"),
        ({"chunks": (10, 10), "shards": (20, 30), "compressors": zarr.codecs.BloscCodec()}, "blosc"),
        ({"chunks": (10, 10), "shards": (20, 30), "compressors": None}, "plain"),
        (
            {"chunks": (10, 10), "shards": (20, 30), "filters": [zarr.codecs.TransposeCodec(order=(1, 0))]},
            "other",
        ),
        ({"chunks": (20, 30), "filters": [zarr.codecs.TransposeCodec(order=(1, 0))]}, "other"),
    ],
)
def test_v3_encodings_are_told_apart(options, encoding, tmp_path):
    metadata = v3_of(tmp_path, dtype="f4", **options)
    assert metadata.encoding == encoding
    assert metadata.chunk_shape == (20, 30)
    assert metadata.inner_chunk_shape == options["chunks"]
    assert metadata.chunk_key((1, 0)) == "c/1/0"


SHARDED = {
    "name": "sharding_indexed",
    "configuration": {
        "chunk_shape": [1, 3],
        "codecs": [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "zstd"}],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "start",
    },
}


def sharded(**changes):
    return V3 | {"codecs": [SHARDED | {"configuration": SHARDED["configuration"] | changes}]}


def test_the_layout_of_shards_is_read():
    metadata = parse_v3_array(sharded(), "a")
    assert metadata.shards == ShardLayout((2, 1), "start", "<", has_checksum=True)
    assert metadata.codecs == ("zstd",)
    assert metadata.stored_dtype == np.dtype(">f4")
    assert metadata.chunk_nbytes == 12


def test_shards_that_only_zarr_can_read_are_left_to_it():
    packed_index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd"}]
    for change in ({"index_codecs": packed_index}, {"codecs": [SHARDED | {}]}):
        metadata = parse_v3_array(sharded(**change), "a")
        assert (metadata.encoding, metadata.shards) == ("other", None)


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (None, "<f4", 0),
        ("NaN", "<f4", np.nan),
        ("-Infinity", "<f8", -np.inf),
        (7, "|u1", 7),
        (True, "|b1", True),
        (1.5, "<f4", 1.5),
    ],
)
def test_fill_values_are_read(value, dtype, expected):
    fill = parse_v2_array(V2 | {"dtype": dtype, "fill_value": value}, "a").fill_value
    assert fill == expected or (np.isnan(fill) and np.isnan(expected))


def test_a_fill_value_in_bits_is_read():
    assert parse_v3_array(V3 | {"fill_value": "0x3fc00000"}, "a").fill_value == 1.5


FILL_DTYPES = ["bool", "int8", "uint16", "int64", "uint64", "float16", "float32", "float64", "complex64", "complex128"]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FILL_DTYPES).flatmap(lambda name: from_dtype(np.dtype(name)).map(lambda v: np.dtype(name).type(v)))
)
def test_any_fill_value_that_zarr_writes_is_read_to_the_last_bit(fill):
    for zarr_format, parse in ((2, parse_v2_array), (3, parse_v3_array)):
        store = {}
        array = zarr.create_array(
            store, shape=(3,), chunks=(2,), dtype=fill.dtype, fill_value=fill, zarr_format=zarr_format
        )
        document = store[".zarray" if zarr_format == 2 else "zarr.json"].to_bytes()
        read = parse(parse_json(document, "a"), "a").fill_value
        assert read.dtype == fill.dtype
        assert bits_of(read) == bits_of(array[0]) == bits_of(fill)


def bits_of(value):
    """The bytes of a value; one NaN is as good as another."""
    value = np.asarray(value).reshape(1)
    parts = value.view(f"f{value.itemsize // 2}") if value.dtype.kind == "c" else value
    return b"".join(b"nan" if part != part else part.tobytes() for part in parts)


def test_extensions_that_need_not_be_understood_are_passed_over():
    assert parse_v3_array(V3 | {"note": {"must_understand": False}}, "a").shape == (4, 5)


def test_what_needs_no_options_may_be_its_name_alone():
    short = {"codecs": ["bytes", "crc32c"], "chunk_key_encoding": "default", "data_type": {"name": "float32"}}
    long = {"codecs": [{"name": "bytes"}, {"name": "crc32c"}], "chunk_key_encoding": {"name": "default"}}
    assert parse_v3_array(V3 | short, "a") == parse_v3_array(V3 | long, "a")


def test_shards_in_shards_without_end_are_refused():
    codecs = [{"name": "bytes"}]
    for _ in range(2000):
        options = {"chunk_shape": [2, 3], "codecs": codecs, "index_codecs": [{"name": "bytes"}]}
        codecs = [{"name": "sharding_indexed", "configuration": options}]
    with pytest.raises(FormatError, match="without end"):
        parse_v3_array(V3 | {"codecs": codecs}, "a")


def test_chunks_are_called_as_the_metadata_say():
    assert parse_v2_array(V2, "a").chunk_key((1, 2)) == "1.2"
    assert parse_v2_array(V2 | {"dimension_separator": "/"}, "a").chunk_key((1, 2)) == "1/2"
    dotted = {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}}
    assert parse_v3_array(V3 | dotted, "a").chunk_key((1, 2)) == "c.1.2"
    old = {"chunk_key_encoding": {"name": "v2"}}
    assert parse_v3_array(V3 | old, "a").chunk_key((1, 2)) == "1.2"


def test_big_endian_values_become_native():
    metadata = parse_v2_array(V2 | {"dtype": ">i2"}, "a")
    assert metadata.stored_dtype == np.dtype(">i2")
    assert metadata.dtype == np.dtype("i2")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": None}, "shape"),
        ({"shape": [4.5, 5]}, "shape"),
        ({"shape": [True, 5]}, "shape"),
        ({"shape": [2**60, 5]}, "shape"),
        ({"shape": []}, "0 dimensions"),
        ({"shape": [1] * 20, "chunks": [1] * 20}, "20 dimensions"),
        ({"chunks": [0, 3]}, "chunks"),
        ({"chunks": [2**20, 2**20], "compressor": {"id": "blosc"}}, "too large"),
        ({"shape": [2**40, 5], "chunks": [1, 5]}, "too many"),
        ({"order": "K"}, "order"),
        ({"dtype": "<f16"}, "not a number"),
        ({"dtype": "<M8[ns]"}, "not a number"),
        ({"dtype": "|S8"}, "not a number"),
        ({"dtype": "<i2", "fill_value": 1.5}, "fill value"),
        ({"dtype": "|i1", "fill_value": 300}, "fill value"),
        ({"dtype": "|b1", "fill_value": "false"}, "fill value"),
        ({"dtype": "<c8", "fill_value": [1]}, "fill value"),
        ({"dtype": "<U4"}, "not a number"),
        ({"dtype": "nonsense"}, "unknown"),
        ({"dtype": "(-1,)f4"}, "unknown"),
        ({"dtype": "i4, (2"}, "unknown"),
        ({"dtype": "\ud800"}, "unknown"),
        ({"dtype": "\0"}, "unknown"),
        ({"dtype": [["a", "<f4"]]}, "plain numbers"),
        ({"compressor": {"id": "pickle"}}, "pickle"),
        ({"compressor": "blosc2000"}, "blosc2000"),
        ({"filters": [{"id": "json2"}]}, "json2"),
        ({"dimension_separator": "../"}, "dimension_separator"),
        ({"dimension_separator": ["/"]}, "dimension_separator"),
        ({"compressor": {"id": ["blosc"]}}, "codec"),
        ({"fill_value": "many"}, "fill value"),
        ({"fill_value": "0x7e01"}, "fill value"),  # NaN in half as many bits
        ({"fill_value": [1, 2]}, "fill value"),
    ],
)
def test_impossible_v2_metadata_is_refused_and_named(change, words):
    with pytest.raises(FormatError, match=words):
        parse_v2_array(V2 | change, "a")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chunk_grid": {"name": "rectilinear"}}, "rectilinear"),
        ({"chunk_grid": None}, "chunk_grid"),
        ({"chunk_grid": {"name": "regular", "configuration": []}}, "chunk_shape"),
        ({"data_type": "string"}, "string"),
        ({"data_type": {"name": "struct"}}, "struct"),
        ({"chunk_key_encoding": {"name": "hashed"}}, "hashed"),
        ({"chunk_key_encoding": {"name": "default", "configuration": {"separator": "//"}}}, "separator"),
        ({"codecs": "bytes"}, "codecs"),
        ({"storage_transformers": [{"name": "x"}]}, "storage transformers"),
        ({"my_extension": {"a": 1}}, "my_extension"),
        ({"codecs": [{"name": "bytes", "configuration": {"endian": "middle"}}]}, "endian"),
        (sharded(chunk_shape=[2, 2]), "evenly"),
        (sharded(chunk_shape=[2]), "evenly"),
        (sharded(index_location="middle"), "index_location"),
        (sharded(index_codecs=None), "codecs"),
        (
            {"shape": [2**30, 2**30]}
            | {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**15, 2**12]}}}
            | {"codecs": sharded(chunk_shape=[1, 1])["codecs"]},
            "finely",
        ),
        ({"codecs": [{"name": {}}]}, "codec"),
        ({"codecs": [{"name": "numcodecs.pickle"}]}, "pickle"),
        ({"codecs": [{"name": "sharding_indexed", "configuration": {"chunk_shape": [1, 1], "codecs": 3}}]}, "codecs"),
        (
            {
                "codecs": [
                    {
                        "name": "sharding_indexed",
                        "configuration": {"chunk_shape": [1, 1], "codecs": [{"name": "evil"}], "index_codecs": []},
                    }
                ]
            },
            "evil",
        ),
    ],
)
def test_impossible_v3_metadata_is_refused_and_named(change, words):
    with pytest.raises(FormatError, match=words):
        parse_v3_array(V3 | change, "a")


@pytest.mark.parametrize("content", [b"", b"{", b"3", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(content):
    with pytest.raises(FormatError):
        parse_json(content, "a")


def test_a_json_object_is_read():
    assert parse_json(json.dumps({"a": 1}).encode(), "a") == {"a": 1}
