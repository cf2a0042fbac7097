"""MRC files open lazily, whatever wrote them, and what is wrong with one is said before it is shown."""

import itertools
import struct

import mrcfile
import numpy as np
import pytest

from napari_cryoet.exceptions import FormatError, StreamError
from napari_cryoet.formats.mrc import open_mrc, parse_header
from napari_cryoet.streaming import pyramid_of
from stream_server import StreamServer

SHAPE = (6, 11, 7)
VALUES = {
    0: np.arange(462).reshape(SHAPE) % 251 - 125,
    1: np.arange(462).reshape(SHAPE) - 200,
    2: np.linspace(-3, 3, 462).reshape(SHAPE),
    6: np.arange(462).reshape(SHAPE) + 60_000,
    12: np.linspace(-3, 3, 462).reshape(SHAPE),
}
TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def write(path, values, spacing_angstrom=13.48, extended=b""):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(values)
        file.voxel_size = spacing_angstrom
        if extended:
            file.set_extended_header(np.frombuffer(extended, "V1"))
    return path


@pytest.fixture
def header(tmp_path):
    path = write(tmp_path / "h.mrc", np.zeros(SHAPE, "f4"))
    return bytearray(path.read_bytes()[:1024])


@pytest.mark.parametrize("mode", TYPES)
def test_every_mode_of_real_numbers_opens(mode, tmp_path):
    values = VALUES[mode].astype(TYPES[mode])
    path = write(tmp_path / "a.mrc", values)
    levels, spacing = open_mrc(path)
    assert len(levels) == 1
    assert levels[0].dtype == values.dtype
    assert np.array_equal(levels[0].compute(), values)
    assert spacing == (13.48, 13.48, 13.48)


@pytest.mark.parametrize("mode", TYPES)
@pytest.mark.parametrize("stamp", [b"\x11\x11\0\0", b"\0\0\0\0", b"\x44\x44\0\0"], ids=["right", "none", "wrong"])
def test_big_endian_files_open_whatever_their_stamp_says(mode, stamp, tmp_path):
    values = VALUES[mode].astype(TYPES[mode])
    raw = bytearray(write(tmp_path / "a.mrc", values).read_bytes())
    words = np.frombuffer(raw[:208], "<i4").astype(">i4").tobytes()
    raw[:208] = words
    raw[212:216] = stamp
    raw[1024:] = values.astype(values.dtype.newbyteorder(">")).tobytes()
    (tmp_path / "b.map").write_bytes(raw)
    levels, spacing = open_mrc(tmp_path / "b.map")
    assert np.array_equal(levels[0].compute(), values)
    assert levels[0].dtype.isnative
    assert spacing == (13.48, 13.48, 13.48)


def test_planes_are_read_over_http_as_they_are_asked_for(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 300, 200)).astype("f4")
    write(tmp_path / "a.mrc", values)
    with StreamServer(tmp_path) as server:
        levels, _ = open_mrc(f"{server.url}/a.mrc")
        assert server.bytes_sent < 2000
        assert np.array_equal(levels[0][17].compute(), values[17])
        assert server.bytes_sent < 1_500_000
        assert np.array_equal(levels[0][:, 5, 9].compute(), values[:, 5, 9])


def test_the_extended_header_is_passed_over(tmp_path):
    values = VALUES[2].astype("f4")
    levels, _ = open_mrc(write(tmp_path / "a.mrc", values, extended=bytes(range(256)) * 3))
    assert np.array_equal(levels[0].compute(), values)


def test_an_anisotropic_voxel_size_is_given_in_z_y_x(tmp_path):
    levels, spacing = open_mrc(write(tmp_path / "a.mrc", VALUES[2].astype("f4"), (1.5, 2.5, 10)))
    assert spacing == (10, 2.5, 1.5)
    assert levels[0].shape == SHAPE


def test_no_voxel_size_is_none(tmp_path):
    assert open_mrc(write(tmp_path / "a.mrc", VALUES[2].astype("f4"), 0)).spacing_angstrom is None


def test_the_levels_stream_like_any_pyramid(tmp_path):
    levels, _ = open_mrc(write(tmp_path / "a.mrc", VALUES[2].astype("f4")))
    pyramid = pyramid_of(levels)
    assert pyramid.axes == ("z", "y", "x")
    assert np.array_equal(pyramid.read(0), levels[0].compute())


def test_a_real_sub_tomogram_average_opens(real_data):
    levels, spacing = open_mrc(real_data / "tomograms" / "EMD-3197.map")
    with mrcfile.open(real_data / "tomograms" / "EMD-3197.map") as file:
        assert np.array_equal(levels[0].compute(), file.data)
    assert levels[0].shape == (20, 20, 20)
    assert spacing == pytest.approx((11.4, 11.4, 11.4))


@pytest.mark.parametrize(
    ("position", "value", "words"),
    [
        (0, struct.pack("<i", -5), "-5 x 11 x 6"),
        (0, struct.pack("<i", 2**30), "no MRC file"),
        (12, struct.pack("<i", 7), "data mode 7"),
        (12, struct.pack("<i", 4), "complex"),
        (12, struct.pack("<i", 101), "4-bit"),
        (12, struct.pack("<i", 16), "colours"),
        (92, struct.pack("<i", -1), "extended header"),
        (64, struct.pack("<3i", 1, 1, 3), "names its axes 1, 1, 3"),
        (64, struct.pack("<3i", 0, 2, 3), "names its axes 0, 2, 3"),
        (0, b"\x1f\x8b", "compressed with gzip"),
        (0, b"BZh9", "compressed with bzip2"),
    ],
)
def test_what_can_not_be_shown_is_refused_and_says_why(header, position, value, words):
    header[position : position + len(value)] = value
    with pytest.raises(FormatError, match=words):
        parse_header(bytes(header), "file")


def write_turned(path, values_zyx, axes_crs, spacing_xyz=(2, 3, 5)):
    """A file whose columns, rows and sections run along other axes, as the standard has it."""
    stored = np.ascontiguousarray(values_zyx.transpose([3 - axis for axis in reversed(axes_crs)]))
    write(path, stored, 0)
    with mrcfile.open(path, "r+") as file:
        file.header.mapc, file.header.mapr, file.header.maps = axes_crs
        file.header.mx, file.header.my, file.header.mz = values_zyx.shape[::-1]
        file.header.cella = tuple(size * width for size, width in zip(values_zyx.shape[::-1], spacing_xyz, strict=True))
    return path


ORDERS = sorted(itertools.permutations((1, 2, 3)))


@pytest.mark.parametrize("axes_crs", ORDERS)
def test_whichever_axes_are_stored_first_the_volume_is_z_y_x(axes_crs, tmp_path):
    values = VALUES[2].astype("f4")
    levels, spacing = open_mrc(write_turned(tmp_path / "a.mrc", values, axes_crs))
    assert np.array_equal(levels[0].compute(), values)
    assert spacing == (5, 3, 2)
    pyramid = pyramid_of(levels)
    assert np.array_equal(pyramid.read(0, ((2, 5), (1, 9), (3, 4))), values[2:5, 1:9, 3:4])


def test_a_turned_file_says_which_way_its_first_voxel_is_moved(tmp_path):
    path = write_turned(tmp_path / "a.mrc", VALUES[2].astype("f4"), (3, 1, 2))
    with mrcfile.open(path, "r+") as file:
        file.header.nxstart, file.header.nystart, file.header.nzstart = 10, 20, 30  # of columns, rows and sections
    header = parse_header(path.read_bytes()[:1024], "a.mrc")
    assert header.origin_angstrom == (10 * 5, 30 * 3, 20 * 2)
    assert header.shape_zyx == SHAPE
    assert header.stored_shape == (11, 7, 6)


@pytest.mark.parametrize("axes_crs", [(3, 2, 1), (2, 1, 3), (3, 1, 2)])
def test_of_a_large_turned_file_only_some_is_read_for_a_part(axes_crs, tmp_path):
    values = np.random.default_rng(0).normal(size=(90, 230, 170)).astype("f4")
    write_turned(tmp_path / "a.mrc", values, axes_crs)
    with StreamServer(tmp_path) as server:
        levels, _ = open_mrc(f"{server.url}/a.mrc")
        assert server.bytes_sent < 2000
        part = (slice(3, 20), slice(100, 130), slice(7, 9))
        assert np.array_equal(levels[0][part].compute(), values[part])
        assert server.bytes_sent < values.nbytes / 3
        assert np.array_equal(levels[0].compute(), values)


def test_a_turned_file_that_changes_is_read_no_more(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 230, 170)).astype("f4")
    path = write_turned(tmp_path / "a.mrc", values, (3, 2, 1))
    levels, _ = open_mrc(path)
    assert np.array_equal(levels[0][:, :, 0].compute(), values[:, :, 0])
    write_turned(path, values + 1, (3, 2, 1))
    with pytest.raises(StreamError):
        levels[0].compute()


def test_a_turned_file_that_ends_early_is_refused_at_once(tmp_path):
    path = write_turned(tmp_path / "a.mrc", VALUES[2].astype("f4"), (3, 2, 1))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(StreamError, match="the last of its 7 planes"):
        open_mrc(path)


def test_a_short_or_missing_file_is_refused(tmp_path):
    (tmp_path / "a.mrc").write_bytes(b"abc")
    with pytest.raises(FormatError, match="only 3 bytes"):
        open_mrc(tmp_path / "a.mrc")
    with pytest.raises(FormatError, match="There is no file"):
        open_mrc(tmp_path / "b.mrc")


@pytest.mark.parametrize("is_remote", [False, True])
def test_a_file_that_ends_early_is_refused_at_once(tmp_path, is_remote):
    path = write(tmp_path / "a.mrc", VALUES[2].astype("f4"))
    path.write_bytes(path.read_bytes()[:-400])
    with StreamServer(tmp_path) as server, pytest.raises(StreamError, match="cut short"):
        open_mrc(f"{server.url}/a.mrc" if is_remote else path)


def test_a_stack_of_volumes_is_not_taken_for_one(header):
    struct.pack_into("<i", header, 88, 401)
    struct.pack_into("<i", header, 36, 2)
    with pytest.raises(FormatError, match=r"a\.mrc is a stack of 3 volumes of 2 planes"):
        parse_header(bytes(header), "a.mrc")

    struct.pack_into("<i", header, 36, SHAPE[0])  # a stack of one
    assert parse_header(bytes(header), "a.mrc").shape_zyx == SHAPE


IMOD = 1146047817


@pytest.mark.parametrize(
    ("stamp", "flags", "densities", "dtype"),
    [
        (IMOD, 0, (0, 100), "u1"),
        (IMOD, 2 + 8, (0, 100), "u1"),
        (IMOD, 1, (0, 250), "i1"),
        (0, 0, (-3, 100), "i1"),
        (0, 0, (0, 100), "i1"),
        (0, 0, (0, 250), "u1"),  # no signed byte is 250
        (0, 0, (0, -1), "i1"),  # densities that nobody determined, in two ways
        (0, 0, (0, 1e30), "i1"),
    ],
)
def test_bytes_are_signed_as_imod_and_the_standard_say(header, stamp, flags, densities, dtype):
    struct.pack_into("<i", header, 12, 0)
    struct.pack_into("<2f", header, 76, *densities)
    struct.pack_into("<2i", header, 152, stamp, flags)

    assert parse_header(bytes(header), "a.mrc").dtype == dtype


def test_half_bytes_of_imod_are_refused(header):
    struct.pack_into("<i", header, 12, 0)
    struct.pack_into("<2i", header, 152, IMOD, 16)

    with pytest.raises(FormatError, match="4-bit integers"):
        parse_header(bytes(header), "a.mrc")


@pytest.mark.parametrize(
    ("stamp", "flags", "version", "origin_zyx"),
    [
        (0, 0, 20141, (30, -20, 10)),
        (IMOD, 0, 0, (-30, 20, -10)),
        (IMOD, 4, 0, (30, -20, 10)),
        (IMOD, 0, 20140, (30, -20, 10)),
    ],
)
def test_an_origin_is_where_the_first_voxel_is_also_in_imods_own_way(header, stamp, flags, version, origin_zyx):
    struct.pack_into("<3f", header, 196, 10, -20, 30)
    struct.pack_into("<i", header, 108, version)
    struct.pack_into("<2i", header, 152, stamp, flags)

    assert parse_header(bytes(header), "a.mrc").origin_angstrom == origin_zyx


def test_an_origin_in_voxels_counts_where_there_is_no_other(header):
    struct.pack_into("<3i", header, 16, 1, -2, 3)
    assert parse_header(bytes(header), "a.mrc").origin_angstrom == pytest.approx((3 * 13.48, -2 * 13.48, 13.48))

    header[208:212] = bytes(4)  # before 2000, the origin stood elsewhere
    struct.pack_into("<3f", header, 196, 10, -20, 30)
    assert parse_header(bytes(header), "a.mrc").origin_angstrom == pytest.approx((3 * 13.48, -2 * 13.48, 13.48))

    struct.pack_into("<3i", header, 16, 0, 0, 0)
    assert parse_header(bytes(header), "a.mrc").origin_angstrom is None
