"""Values equal those that zarr wrote, in every layout."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Blosc, GZip, Zstd

from napari_cryoet.exceptions import FormatError, StreamError
from napari_cryoet.streaming import find_labels, open_pyramid
from portal_images import LZ4, noise, write_array, write_image
from server import Server

DTYPES = ["|b1", "|i1", "|u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">u4", "<f2", "<f4", ">f4", "<f8"]
V2_LAYOUTS = {
    "blosc lz4": {"chunks": (32, 40, 40), "compressors": LZ4},
    "blosc zstd, bit shuffle": {
        "chunks": (32, 40, 40),
        "compressors": Blosc("zstd", 3, Blosc.BITSHUFFLE),
    },
    "blosc without shuffle": {
        "chunks": (32, 40, 40),
        "compressors": Blosc("blosclz", 1, Blosc.NOSHUFFLE),
    },
    "blosc of small blocks": {
        "chunks": (32, 41, 39),
        "compressors": Blosc("lz4", 5, Blosc.SHUFFLE, 10_000),
    },
    "zstd": {"chunks": (16, 20, 30), "compressors": Zstd(1)},
    "gzip": {"chunks": (16, 20, 30), "compressors": GZip(1)},
    "none": {"chunks": (32, 40, 40), "compressors": None},
    "none, Fortran order": {"chunks": (32, 40, 40), "compressors": None, "order": "F"},
    "blosc, Fortran order": {"chunks": (32, 40, 40), "compressors": LZ4, "order": "F"},
    "chunks of a plane": {"chunks": (1, 60, 70), "compressors": LZ4},
    "folders": {"chunks": (32, 40, 40), "chunk_key_encoding": {"name": "v2", "separator": "/"}},
}
V3_LAYOUTS = {
    "blosc": {
        "chunks": (32, 40, 40),
        "compressors": zarr.codecs.BloscCodec(cname="lz4", shuffle="shuffle"),
    },
    "bit shuffle": {
        "chunks": (32, 40, 40),
        "compressors": zarr.codecs.BloscCodec(cname="lz4", shuffle="bitshuffle"),
    },
    "zstd": {"chunks": (16, 20, 30), "compressors": zarr.codecs.ZstdCodec()},
    "gzip": {"chunks": (16, 20, 30), "compressors": zarr.codecs.GzipCodec()},
    "checksum": {
        "chunks": (16, 20, 30),
        "compressors": [zarr.codecs.ZstdCodec(), zarr.codecs.Crc32cCodec()],
    },
    "none": {"chunks": (32, 40, 40), "compressors": None},
    "shards": {"chunks": (16, 20, 20), "shards": (32, 40, 40)},
    "shards, uncompressed": {"chunks": (16, 20, 20), "shards": (32, 40, 40), "compressors": None},
    "transposed": {
        "chunks": (32, 40, 40),
        "filters": [zarr.codecs.TransposeCodec(order=(2, 0, 1))],
    },
    "v2 keys": {"chunks": (32, 40, 40), "chunk_key_encoding": {"name": "v2", "separator": "."}},
    "flat keys": {
        "chunks": (32, 40, 40),
        "chunk_key_encoding": {"name": "default", "separator": "."},
    },
}
LAYOUTS = {f"v2, {name}": {"zarr_format": 2} | layout for name, layout in V2_LAYOUTS.items()}
LAYOUTS |= {f"v3, {name}": {"zarr_format": 3} | layout for name, layout in V3_LAYOUTS.items()}
SHAPE = (37, 61, 73)
BOX = ((15, 33), (38, 61), (39, 42))  # across chunk borders, up to the end of an axis


def assert_reads(address, values):
    pyramid = open_pyramid(address, cache=None)
    assert pyramid.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(pyramid.read(0, BOX), values[tuple(slice(*span) for span in BOX)])
    np.testing.assert_array_equal(
        pyramid.levels[0][20, 5:60:3, -7].compute(), values[20, 5:60:3, -7]
    )
    np.testing.assert_array_equal(pyramid.read(0), values)
    pyramid.close()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["v2, blosc lz4", "v2, none", "v3, blosc", "v3, shards"])
def test_every_dtype_is_read_exactly(layout, dtype, tmp_path):
    assert_reads(
        tmp_path / "a.zarr",
        write_array(tmp_path / "a.zarr", noise(SHAPE, dtype), **LAYOUTS[layout]),
    )


@pytest.mark.parametrize("dtype", ["<f4", ">i2", "|u1"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_exactly_from_disk_and_server(layout, dtype, tmp_path):
    values = write_array(tmp_path / "a.zarr", noise(SHAPE, dtype), **LAYOUTS[layout])
    assert_reads(tmp_path / "a.zarr", values)
    with Server(tmp_path) as server:
        assert_reads(f"{server.url}/a.zarr", values)


@st.composite
def arrays(draw):
    """The shape and layout of an array with any number of axes, and a box in it."""
    shape = draw(st.lists(st.integers(1, 20), min_size=2, max_size=4).map(tuple))
    chunks = tuple(draw(st.integers(1, size + 3)) for size in shape)
    options = {"chunks": chunks, "zarr_format": draw(st.sampled_from([2, 3]))}
    match draw(st.sampled_from(["auto", "none", "blosc", "shards"])):
        case "none":
            options["compressors"] = None
        case "blosc" if options["zarr_format"] == 2:
            options["compressors"] = Blosc(
                "lz4", 1, Blosc.SHUFFLE, draw(st.sampled_from([0, 128, 1000]))
            )
        case "shards" if options["zarr_format"] == 3:
            options["shards"] = tuple(size * draw(st.integers(1, 3)) for size in chunks)
    box = tuple(
        tuple(sorted((draw(st.integers(0, size)), draw(st.integers(0, size))))) for size in shape
    )
    return shape, draw(st.sampled_from(["<f4", ">i2", "|u1"])), options, box


@settings(max_examples=60)
@given(arrays())
def test_any_box_of_any_array_is_read_exactly(given_array):
    shape, dtype, options, box = given_array
    with tempfile.TemporaryDirectory() as folder:
        values = write_array(Path(folder, "a.zarr"), noise(shape, dtype), **options)
        pyramid = open_pyramid(Path(folder, "a.zarr"))
        cut = tuple(slice(*span) for span in box)
        np.testing.assert_array_equal(pyramid.read(0, box), values[cut])
        np.testing.assert_array_equal(pyramid.levels[0][cut].compute(), values[cut])


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("fill", [0, 7.5, float("nan")])
def test_missing_chunks_have_the_fill_value(fill, zarr_format, tmp_path):
    values = noise(SHAPE)
    write_array(
        tmp_path / "a.zarr", values, zarr_format=zarr_format, chunks=(16, 32, 32), fill_value=fill
    )
    (tmp_path / "a.zarr" / ("1.0.1" if zarr_format == 2 else "c/1/0/1")).unlink()
    values[16:32, :32, 32:64] = fill
    with Server(tmp_path) as server:
        np.testing.assert_array_equal(
            open_pyramid(f"{server.url}/a.zarr", cache=None).read(0), values
        )
    np.testing.assert_array_equal(open_pyramid(tmp_path / "a.zarr").read(0), values)


def test_missing_inner_chunks_have_the_fill_value(tmp_path):
    array = zarr.create_array(
        str(tmp_path / "a.zarr"),
        shape=SHAPE,
        dtype="<u2",
        chunks=(8, 16, 16),
        shards=(16, 32, 32),
        fill_value=9,
    )
    array[:8, :16, :16] = 5
    expected = np.full(SHAPE, 9, "<u2")
    expected[:8, :16, :16] = 5
    np.testing.assert_array_equal(open_pyramid(tmp_path / "a.zarr").read(0), expected)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("yx", (60, 70)),
        ("zyx", (9, 60, 70)),
        ("czyx", (3, 9, 60, 70)),
        ("tczyx", (2, 3, 9, 30, 35)),
    ],
)
def test_images_with_two_to_five_axes_are_read_exactly(axes, shape, zarr_format, tmp_path):
    levels = write_image(
        tmp_path / "a.zarr", noise(shape, "<u2"), axes=axes, zarr_format=zarr_format
    )
    pyramid = open_pyramid(tmp_path / "a.zarr")
    assert pyramid.axes == tuple(axes)
    assert pyramid.shapes == tuple(level.shape for level in levels)
    for level, values in enumerate(levels):
        np.testing.assert_array_equal(pyramid.read(level), values)
    last = tuple(size - 1 for size in shape[:-2])
    np.testing.assert_array_equal(
        pyramid.levels[0][last][: shape[-2], : shape[-1]].compute(), levels[0][last]
    )


def test_scales_and_units_are_read_from_the_metadata(tmp_path):
    write_image(tmp_path / "a.zarr", noise((8, 9, 10)), scale=[13.48, 5.0, 4.99])
    pyramid = open_pyramid(tmp_path / "a.zarr")
    assert pyramid.units == ("angstrom",) * 3
    assert [tuple(scale) for scale in pyramid.scales] == [
        (13.48 * 2**level, 5.0 * 2**level, 4.99 * 2**level) for level in range(3)
    ]


def test_levels_may_be_in_nested_groups(tmp_path):
    paths = ["scale0/image", "scale1/image", "other/deep/er/scale2"]
    levels = write_image(tmp_path / "a" / "b c" / "d.zarr", noise((9, 60, 70)), paths=paths)
    with Server(tmp_path) as server:
        for address in (tmp_path / "a" / "b c" / "d.zarr", f"{server.url}/a/b%20c/d.zarr"):
            pyramid = open_pyramid(address, cache=None)
            for level, values in enumerate(levels):
                np.testing.assert_array_equal(pyramid.read(level), values)


def test_one_array_of_an_image_opens_as_a_single_level(tmp_path):
    levels = write_image(tmp_path / "a.zarr", noise((9, 60, 70)))
    pyramid = open_pyramid(tmp_path / "a.zarr" / "1")
    assert len(pyramid.levels) == 1
    np.testing.assert_array_equal(pyramid.read(0), levels[1])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_are_listed_and_opened_as_labels(zarr_format, tmp_path):
    write_image(tmp_path / "a.zarr", noise((9, 60, 70)), zarr_format=zarr_format)
    labels = zarr.open_group(str(tmp_path / "a.zarr" / "labels"), mode="w", zarr_format=zarr_format)
    names = ["cells", "nuclei"]
    labels.attrs.update({"ome": {"labels": names}} if zarr_format == 3 else {"labels": names})
    for name in names:
        written = write_image(
            tmp_path / "a.zarr" / "labels" / name,
            noise((9, 60, 70), "<u4"),
            zarr_format=zarr_format,
        )
    with Server(tmp_path) as server:
        addresses = find_labels(f"{server.url}/a.zarr", cache=None)
        assert [address.rstrip("/").rpartition("/")[2] for address in addresses] == names
        pyramid = open_pyramid(addresses[1], is_labels=True, cache=None)
        assert pyramid.is_labels
        np.testing.assert_array_equal(pyramid.read(0), written[0])
        assert find_labels(f"{server.url}/a.zarr/0", cache=None) == []


def test_tilt_series_are_read_exactly(tmp_path):
    stack = noise((41, 70, 64), "<i2")
    levels = write_image(tmp_path / "tilts.zarr", stack, levels=1, chunks=(1, 64, 64))
    pyramid = open_pyramid(tmp_path / "tilts.zarr")
    np.testing.assert_array_equal(pyramid.levels[0][17].compute(), levels[0][17])
    np.testing.assert_array_equal(pyramid.read(0), stack)


DAMAGES = {
    "cut": lambda content: content[:1000],
    "empty": lambda content: b"",
    "one byte short": lambda content: content[:-1],
    "web page": lambda content: b"<html>Please sign in.</html>" * 50,
}
FRAME_DAMAGES = {
    "other size": lambda frame: frame[:4] + (1000).to_bytes(4, "little") + frame[8:],
    "blocks of another size": lambda frame: frame[:8] + (1000).to_bytes(4, "little") + frame[12:],
    "starts beyond the end": lambda frame: frame[:16] + b"\xff\xff\xff\x7f" + frame[20:],
    "starts before the beginning": lambda frame: frame[:16] + b"\xff\xff\xff\xff" + frame[20:],
}


@pytest.mark.parametrize(
    ("layout", "damage"),
    [
        (layout, damage)
        for layout in ("v2, gzip", "v2, none", "v3, shards", "v3, zstd")
        for damage in DAMAGES
    ]
    + [("v2, blosc lz4", damage) for damage in (*DAMAGES, *FRAME_DAMAGES)],
)
def test_a_damaged_chunk_is_an_error(layout, damage, tmp_path):
    values = write_array(tmp_path / "a.zarr", noise(SHAPE), **LAYOUTS[layout])
    chunk = tmp_path / "a.zarr" / ("0.0.0" if layout.startswith("v2") else "c/0/0/0")
    chunk.write_bytes((DAMAGES | FRAME_DAMAGES)[damage](chunk.read_bytes()))
    pyramid = open_pyramid(tmp_path / "a.zarr")
    with pytest.raises(StreamError):
        pyramid.read(0)
    np.testing.assert_array_equal(
        pyramid.read(0, ((32, 37), (40, 61), (40, 73))), values[32:, 40:, 40:]
    )


@pytest.mark.parametrize(
    "document",
    [
        {
            "multiscales": [
                {"axes": [{"name": name} for name in "zyx"], "datasets": [{"path": "../../0"}]}
            ]
        },
        {
            "multiscales": [
                {"axes": [{"name": name} for name in "zyx"], "datasets": [{"path": "9"}]}
            ]
        },
        {"multiscales": []},
        {"plate": {"wells": [{"path": "A/1"}]}},
        [],
    ],
    ids=["path outside the image", "missing level", "no image", "plate", "not an object"],
)
def test_groups_without_an_image_are_refused(document, tmp_path):
    write_image(tmp_path / "a.zarr", noise((9, 20, 20)))
    (tmp_path / "a.zarr" / ".zattrs").write_text(json.dumps(document))
    with pytest.raises(FormatError):
        open_pyramid(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    "codec", [{"id": "pickle"}, {"id": "delta", "dtype": "<f4"}, {"id": "no such codec"}]
)
def test_unsafe_and_unknown_codecs_are_refused(codec, tmp_path):
    write_array(tmp_path / "a.zarr", noise((9, 20, 20)), chunks=(9, 20, 20))
    document = json.loads((tmp_path / "a.zarr" / ".zarray").read_text())
    (tmp_path / "a.zarr" / ".zarray").write_text(json.dumps(document | {"compressor": codec}))
    with pytest.raises((FormatError, StreamError)):
        open_pyramid(tmp_path / "a.zarr").read(0)
