"""What whole levels cost, and which are too large."""

from pathlib import Path

import numpy as np
import pytest
import zarr
from numcodecs import Blosc

from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.volume_levels import level_costs

MANY = 2**40


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory):
    path = tmp_path_factory.mktemp("levels") / "a.zarr"
    write_pyramid(path, np.random.default_rng(0).normal(size=(40, 120, 80)).astype("f4"), 10.0)
    return open_pyramid(path)


def obstacles(pyramid, **limits):
    return {cost.level: cost.obstacle for cost in level_costs(pyramid, **limits)}


def test_the_coarsest_comes_first_and_each_finer_one_costs_about_eight_times_as_much(pyramid):
    costs = level_costs(pyramid, largest_side=None, largest_bytes=MANY)
    assert [cost.level for cost in costs] == [2, 1, 0]
    assert [cost.memory_bytes for cost in costs] == [10 * 30 * 20 * 4, 20 * 60 * 40 * 4, 40 * 120 * 80 * 4]
    assert [cost.largest_side for cost in costs] == [30, 60, 120]
    assert {cost.obstacle for cost in costs} == {None}


def test_what_crosses_the_wire_is_about_what_the_files_take(pyramid):
    for cost in level_costs(pyramid, largest_side=None, largest_bytes=MANY):
        files = sum(path.stat().st_size for path in (Path(pyramid.url) / str(cost.level)).rglob("*") if path.is_file())
        assert cost.wire_bytes == pytest.approx(files, rel=0.15)


def test_what_a_graphics_card_cannot_hold_says_so(pyramid):
    assert obstacles(pyramid, largest_side=119, largest_bytes=MANY) == {0: "graphics card", 1: None, 2: None}
    assert obstacles(pyramid, largest_side=120, largest_bytes=MANY) == {0: None, 1: None, 2: None}


def test_what_memory_cannot_hold_says_so_but_the_coarsest_is_always_shown(pyramid):
    assert obstacles(pyramid, largest_side=2048, largest_bytes=1) == {0: "memory", 1: "memory", 2: None}


def test_a_mask_whose_first_corner_is_empty_costs_about_what_its_files_take(tmp_path):
    z, y, x = np.ogrid[:20, :600, :600]
    distance = np.sqrt((z - 10) ** 2 + (y - 400) ** 2 + (x - 400) ** 2)
    rings = ((distance % 20 < 5) & (distance < 190)).astype("i1")
    write_pyramid(tmp_path / "mask.zarr", rings, 10.0, "mask")
    for cost in level_costs(open_pyramid(tmp_path / "mask.zarr"), largest_side=None, largest_bytes=MANY):
        files = (tmp_path / "mask.zarr" / str(cost.level)).rglob("*/*/*")
        assert cost.wire_bytes == pytest.approx(sum(path.stat().st_size for path in files if path.is_file()), rel=0.3)


def test_what_was_met_of_a_level_is_what_its_cost_is_told_by(tmp_path):
    random = np.random.default_rng(0)
    values = np.zeros((8, 300, 300), "f4")
    values[:, 256:, :] = random.normal(size=(8, 44, 300))
    path = tmp_path / "a.zarr"
    array = zarr.create_array(
        str(path), shape=values.shape, chunks=(8, 128, 128), dtype="f4", zarr_format=2, compressors=Blosc("lz4", 5)
    )
    array[...] = values
    seen = open_pyramid(path)
    seen.read(0)
    (cost,) = level_costs(seen, largest_side=None, largest_bytes=MANY)
    files = sum(file.stat().st_size for file in path.rglob("*") if not file.name.startswith("."))
    assert cost.wire_bytes == pytest.approx(files, rel=0.01)
