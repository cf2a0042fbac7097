"""TIFF volumes: files by tifffile are read exactly, and a damaged file is never read as another volume."""

import os
import pickle
import sys

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cryoet.exceptions import (
    ChangedError,
    CryoETError,
    FormatError,
    OtherKindError,
    StreamError,
)
from napari_cryoet.formats.tiff import open_tiff

SHAPE = (7, 33, 46)
VALUES = np.random.default_rng(3).integers(0, 100, SHAPE).astype(np.uint8)


def write(path, values=VALUES, **options):
    tifffile.imwrite(path, values, **({"photometric": "minisblack"} | options))
    return path


def test_one_z_plane_is_a_volume_but_a_2d_image_is_not(tmp_path):
    level = open_tiff(
        write(tmp_path / "a.tif", VALUES[:1].astype("u1"), ome=True, metadata={"axes": "ZYX"})
    )[0]
    np.testing.assert_array_equal(np.asarray(level[0, 3:5]), VALUES[0, 3:5])
    np.testing.assert_array_equal(
        np.asarray(pickle.loads(pickle.dumps(level))), VALUES[:1]
    )  # like in another process
    with pytest.raises(OtherKindError):
        open_tiff(write(tmp_path / "b.tif", VALUES[0].astype("u1")))


@pytest.mark.parametrize("unit", ["nm", "um", "\\u00B5m", "micron", "\\u00C5"])
def test_imagej_voxel_sizes_may_have_any_unit(unit, tmp_path):
    factor = {"nm": 10, "\\u00C5": 1}.get(unit, 1e4)
    metadata = {"axes": "ZYX", "unit": unit, "spacing": 3.0}
    path = write(tmp_path / "a.tif", imagej=True, resolution=(1 / 2, 1 / 4), metadata=metadata)

    assert open_tiff(path)[1] == pytest.approx((3 * factor, 4 * factor, 2 * factor))


def test_channels_with_a_distance_between_slices_are_planes(tmp_path):
    metadata = {"unit": "nm", "spacing": 1.5}  # tifffile then writes planes as channels
    path = write(tmp_path / "a.tif", imagej=True, resolution=(1 / 1.5,) * 2, metadata=metadata)
    level, spacing = open_tiff(path)

    assert level.shape == SHAPE
    assert spacing == pytest.approx((15, 15, 15))
    with pytest.raises(OtherKindError):
        open_tiff(write(tmp_path / "b.tif", imagej=True, resolution=(1, 1)))


def test_ome_voxel_sizes_default_to_micrometres(tmp_path):
    sizes = {
        "PhysicalSizeX": 2,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 3e-3,
        "PhysicalSizeZ": 4e-3,
    }
    path = write(tmp_path / "a.ome.tif", ome=True, metadata={"axes": "ZYX"} | sizes)

    assert open_tiff(path)[1] == pytest.approx((40, 30, 20))


@pytest.mark.parametrize(
    "options",
    [
        {"resolution": (300, 300)},
        {
            "imagej": True,
            "resolution": (1, 1),
            "metadata": {"axes": "ZYX", "unit": "furlong", "spacing": 1},
        },
        {"imagej": True, "resolution": (1, 1), "metadata": {"axes": "ZYX", "unit": "nm"}},
    ],
    ids=str,
)
def test_missing_voxel_sizes_are_not_guessed(options, tmp_path):
    assert open_tiff(write(tmp_path / "a.tif", **options))[1] is None


@pytest.mark.parametrize("options", [{}, {"metadata": None, "compression": "zlib"}], ids=str)
@pytest.mark.parametrize("fraction", [0.3, 0.9])
def test_truncated_files_are_refused(options, fraction, tmp_path):
    path = write(
        tmp_path / "a.tif",
        np.random.default_rng(0).integers(0, 2**16, SHAPE).astype("u2"),
        **options,
    )
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with pytest.raises((StreamError, FormatError)):
        open_tiff(path)


def test_only_damaged_planes_raise_errors(tmp_path):
    path = write(tmp_path / "a.tif", metadata=None, compression="zlib")
    with tifffile.TiffFile(path) as file:
        start, length = file.pages[4].dataoffsets[0], file.pages[4].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start : start + length] = bytes(length)
    path.write_bytes(content)
    level = open_tiff(path)[0]

    np.testing.assert_array_equal(np.asarray(level[3]), VALUES[3])
    with pytest.raises(StreamError):
        np.asarray(level)


def test_reading_a_changed_file_raises_an_error(tmp_path):
    path = write(tmp_path / "a.tif")
    level = open_tiff(path)[0]
    write(path, VALUES[:5].astype("u1"))
    with pytest.raises(ChangedError):
        np.asarray(level)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes")
def test_pipes_and_missing_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    for name in ("a.tif", "b.tif"):
        with pytest.raises(FormatError):
            open_tiff(tmp_path / name)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_corrupted_bytes_raise_only_our_errors(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("tiff")
    content = bytearray(
        write(folder / "a.tif", VALUES[:, :5, :6].astype("u1"), ome=True).read_bytes()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "a.tif").write_bytes(content)
    try:
        np.asarray(open_tiff(folder / "a.tif")[0])
    except CryoETError as error:
        assert str(error)  # noqa: PT017
