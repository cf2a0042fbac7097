"""MRC headers by mrcfile and IMOD: signed bytes, permuted axes, origins; and files that aren't volumes."""

import itertools
import struct

import mrcfile
import numpy as np
import pytest

from napari_cryoet.exceptions import FormatError, OtherKindError
from napari_cryoet.formats.mrc import parse_header
from napari_cryoet.volumes.opening import open_mrc

SHAPE = (6, 11, 7)
IMOD = 1146047817


def write(path, values, spacing_angstrom=13.48):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(values)
        file.voxel_size = spacing_angstrom
    return path


@pytest.fixture
def header(tmp_path):
    return bytearray(write(tmp_path / "h.mrc", np.zeros(SHAPE, "f4")).read_bytes()[:1024])


@pytest.mark.parametrize("axes_crs", sorted(itertools.permutations((1, 2, 3))))
def test_permuted_axes_are_reordered_to_zyx(axes_crs, tmp_path):
    values, path = np.linspace(-3, 3, 462, dtype="f4").reshape(SHAPE), tmp_path / "a.mrc"
    write(
        path, np.ascontiguousarray(values.transpose([3 - axis for axis in reversed(axes_crs)])), 0
    )
    with mrcfile.open(path, "r+") as file:
        file.header.mapc, file.header.mapr, file.header.maps = axes_crs
        file.header.mx, file.header.my, file.header.mz = SHAPE[::-1]
        file.header.cella = tuple(
            size * width for size, width in zip(SHAPE[::-1], (2, 3, 5), strict=True)
        )
        file.header.nxstart, file.header.nystart, file.header.nzstart = (
            10,
            20,
            30,
        )  # of columns, rows and sections
    levels, header = open_mrc(path)

    np.testing.assert_array_equal(levels[0].compute(), values)
    assert header.shape_zyx == SHAPE
    assert header.spacing_angstrom == (5, 3, 2)
    starts = dict(zip(axes_crs, (10, 20, 30), strict=True))
    assert header.origin_angstrom == (starts[3] * 5, starts[2] * 3, starts[1] * 2)


@pytest.mark.parametrize(
    ("stamp", "flags", "densities", "dtype"),
    [
        (IMOD, 0, (0, 100), "u1"),
        (IMOD, 2 + 8, (0, 100), "u1"),
        (IMOD, 1, (0, 250), "i1"),
        (0, 0, (-3, 100), "i1"),
        (0, 0, (0, 100), "i1"),
        (0, 0, (0, 250), "u1"),  # 250 doesn't fit a signed byte
        (0, 0, (0, -1), "i1"),  # two ways to mark undetermined densities
        (0, 0, (0, 1e30), "i1"),
    ],
)
def test_byte_signedness_follows_imod_and_the_standard(header, stamp, flags, densities, dtype):
    struct.pack_into("<i", header, 12, 0)
    struct.pack_into("<2f", header, 76, *densities)
    struct.pack_into("<2i", header, 152, stamp, flags)

    assert parse_header(bytes(header), "a.mrc").dtype == dtype


@pytest.mark.parametrize(
    ("stamp", "flags", "version", "origin_zyx"),
    [
        (0, 0, 20141, (30, -20, 10)),
        (IMOD, 0, 0, (-30, 20, -10)),
        (IMOD, 4, 0, (30, -20, 10)),
        (IMOD, 0, 20140, (30, -20, 10)),
    ],
)
def test_old_imod_origins_have_the_opposite_sign(header, stamp, flags, version, origin_zyx):
    struct.pack_into("<3f", header, 196, 10, -20, 30)
    struct.pack_into("<i", header, 108, version)
    struct.pack_into("<2i", header, 152, stamp, flags)

    assert parse_header(bytes(header), "a.mrc").origin_angstrom == origin_zyx


def test_start_voxels_give_the_origin_if_none_is_set(header):
    struct.pack_into("<3i", header, 16, 1, -2, 3)
    assert parse_header(bytes(header), "a.mrc").origin_angstrom == pytest.approx(
        (3 * 13.48, -2 * 13.48, 13.48)
    )

    header[208:212] = bytes(4)  # before 2000, these words had another meaning
    struct.pack_into("<3f", header, 196, 10, -20, 30)
    assert parse_header(bytes(header), "a.mrc").origin_angstrom == pytest.approx(
        (3 * 13.48, -2 * 13.48, 13.48)
    )


@pytest.mark.parametrize(
    ("position", "value", "noun"),
    [
        (0, struct.pack("<i", -5), "-5 x 11 x 6"),
        (0, struct.pack("<i", 2**30), "voxels"),
        (12, struct.pack("<i", 7), "mode 7"),
        (12, struct.pack("<i", 4), "complex"),
        (12, struct.pack("<i", 101), "4-bit"),
        (92, struct.pack("<i", -1), "extended header"),
        (64, struct.pack("<3i", 1, 1, 3), "1, 1, 3"),
        (0, b"\x1f\x8b", "gzip"),
        (0, b"BZh9", "bzip2"),
    ],
)
def test_unsupported_headers_are_refused(header, position, value, noun):
    header[position : position + len(value)] = value
    with pytest.raises(FormatError, match=noun):
        parse_header(bytes(header), "file")


def test_imods_4_bit_values_are_refused(header):
    struct.pack_into("<i", header, 12, 0)
    struct.pack_into("<2i", header, 152, IMOD, 16)
    with pytest.raises(FormatError, match="4-bit"):
        parse_header(bytes(header), "a.mrc")


def test_files_that_are_not_mrc_are_refused(tmp_path):
    for content in (b"abc", b"route\n" * 300):
        (tmp_path / "a.map").write_bytes(content)
        with pytest.raises(OtherKindError):
            open_mrc(tmp_path / "a.map")
    with pytest.raises(FormatError, match="no file"):
        open_mrc(tmp_path / "b.mrc")
