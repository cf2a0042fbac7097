"""Volumes from other programs open or are refused with a reason; ignored metadata is reported."""

import struct

import numpy as np
import pytest
import zarr

from napari_cryoet import load_tomogram
from napari_cryoet.exceptions import FormatError, OtherKindError
from napari_cryoet.formats.masks import write_mask
from napari_cryoet.formats.mrc import write_mrc
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.volumes import open_volume
from ome_images import noise, write_image

ZYX = (7, 20, 18)


def about(path):
    return load_tomogram(path).options["metadata"][METADATA_KEY]


@pytest.mark.parametrize(
    ("shape", "axes", "words"),
    [
        ((2, 1, 6, 6, 6), "tczyx", "2 time points"),
        ((1, 3, 6, 6, 6), "tczyx", "3 channels"),
        ((6, 6, 6), "xyz", "in the order x, y, z"),
        ((1, 1, 6, 6, 6), "tczxy", "in the order t, c, z, x, y"),
        ((6, 6), "yx", "it has y, x"),
    ],
)
def test_images_that_are_not_one_volume_are_refused(shape, axes, words, tmp_path):
    write_image(tmp_path / "a.zarr", noise(shape), axes)

    with pytest.raises(OtherKindError, match=words):
        open_volume(tmp_path / "a.zarr")


def test_plain_arrays_use_dimension_names_or_else_zyx_order(tmp_path):
    names = {
        "turned": ["x", "y", "z"],
        "good": ["Z", "Y", "X"],
        "other": ["dim_0", "dim_1", "dim_2"],
        "none": None,
    }
    for name, dimensions in names.items():
        zarr.create_array(tmp_path / f"{name}.zarr", data=noise(ZYX), dimension_names=dimensions)
    zarr.create_array(tmp_path / "further.zarr", data=noise((1, 1, *ZYX)))
    zarr.create_array(tmp_path / "several.zarr", data=noise((7, 1, 20, 18)))

    for name in ("good", "other", "none", "further"):
        assert open_volume(tmp_path / f"{name}.zarr").shape_zyx == ZYX
    for name, words in (("turned", "in the order x, y, z"), ("several", "7 volumes")):
        with pytest.raises(OtherKindError, match=words):
            open_volume(tmp_path / f"{name}.zarr")


@pytest.mark.parametrize("name", ["a.zarr", "microtubule.em", "a.mrc.gz", "EMD-1.MAP.GZ"])
def test_files_that_are_not_volumes_are_refused_with_a_hint(name, tmp_path):
    (tmp_path / name).write_bytes(b"\x1f\x8b" + bytes(2000))

    with pytest.raises(FormatError, match=name) as raised:
        open_volume(tmp_path / name)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("unit", "scale", "spacing"),
    [
        ("nanometer", 1.0, 10.0),
        ("micrometer", 0.001348, 13.48),
        ("meter", 1e-9, 10.0),
        ("angstrom", 1.0, None),  # early portal files state this for all volumes
        ("parsec", 2.0, None),
    ],
)
def test_spacing_is_converted_to_angstrom(unit, scale, spacing, tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=noise(ZYX))
    axes = [{"name": name, "type": "space", "unit": unit} for name in "zyx"]
    datasets = [
        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [scale] * 3}]}
    ]
    group.attrs.update({"multiscales": [{"version": "0.4", "axes": axes, "datasets": datasets}]})

    actual = open_volume(tmp_path / "a.zarr").spacing_angstrom

    assert actual == (None if spacing is None else pytest.approx((spacing,) * 3))


class TestOrigins:
    def test_ome_zarr_origins_are_reported_but_not_applied(self, tmp_path):
        write_image(tmp_path / "a.zarr", noise(ZYX), "zyx")  # 5 µm along z

        assert not np.any(load_tomogram(tmp_path / "a.zarr").options.get("translate", 0))
        assert about(tmp_path / "a.zarr").origin_zyx_angstrom == (50_000, 0, 0)
        (warning,) = about(tmp_path / "a.zarr").warnings
        assert "x, y, z = 0, 0, 50000 Å" in warning

    def test_coarse_level_shifts_are_not_origins(self, tmp_path):
        write_mask(
            np.ones((8, 8, 8), "u1"),
            tmp_path / "a.zarr",
            spacing_angstrom=10,
            format="ome-zarr-0.5",
        )

        volume = open_volume(tmp_path / "a.zarr")
        assert (volume.origin_angstrom, volume.remarks) == (None, ())

    def test_mrc_origins_are_reported(self, tmp_path):
        write_mrc(tmp_path / "a.mrc", noise(ZYX, "f4"), 10.0)
        assert not about(tmp_path / "a.mrc").warnings
        with (tmp_path / "a.mrc").open("r+b") as file:
            file.seek(196)
            file.write(struct.pack("<3f", 120.5, -40, 30))

        (warning,) = about(tmp_path / "a.mrc").warnings
        assert "x, y, z = 120.5, -40, 30 Å" in warning
        assert about(tmp_path / "a.mrc").origin_zyx_angstrom == (30, -40, 120.5)


def test_reordered_mrc_axes_are_reported(tmp_path):
    write_mrc(tmp_path / "a.mrc", noise(ZYX, "f4"), 10.0)
    with (tmp_path / "a.mrc").open("r+b") as file:
        file.seek(64)
        file.write(struct.pack("<3i", 3, 1, 2))

    (warning,) = about(tmp_path / "a.mrc").warnings
    assert "y, x, z (slowest first)" in warning
    np.testing.assert_array_equal(
        open_volume(tmp_path / "a.mrc").levels[0], noise(ZYX, "f4").transpose(2, 0, 1)
    )
