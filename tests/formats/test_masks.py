"""Mask files: the portal's layout, and levels."""

import numpy as np
import pytest
import zarr

from napari_cryoet.formats.masks import write_mask

MASK = np.zeros((20, 31, 45), np.uint8)
MASK[3:9, 4:20, 5:30] = 1


@pytest.mark.parametrize("name", ["ome-zarr-0.4", "ome-zarr-0.5"])
def test_coarse_levels_keep_masks_and_subsample_instances(tmp_path, name):
    size = 300 if name == "ome-zarr-0.4" else 150  # more than a chunk, and odd at the next level
    mask = np.zeros((size, 5, 6), np.uint16)
    mask[size - 1, 4, 5] = 1
    levels = zarr.open_group(
        write_mask(mask, tmp_path / "a.zarr", spacing_angstrom=2.0, format=name).path, mode="r"
    )
    assert [int(levels[str(level)][:].sum()) for level in range(3)] == [1, 1, 1]
    np.testing.assert_array_equal(levels["0"][:], mask)

    instances = np.random.default_rng(0).integers(0, 500, (size, 5, 6))
    path = write_mask(instances, tmp_path / "b.zarr", spacing_angstrom=2.0, format=name).path
    np.testing.assert_array_equal(zarr.open_group(path, mode="r")["2"][:], instances[::4, ::4, ::4])
