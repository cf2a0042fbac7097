"""What a plane cuts out of blocks is exactly that, under keys that say so."""

import threading

import numpy as np
import pytest

from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.stock import Stock
from napari_cryoet.streaming.thin import cut_box, is_part, plane_of, thin_key, thin_runs, whole_keys

SHAPE = (40, 300, 280)


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).normal(size=SHAPE).astype("f4")


@pytest.fixture
def pyramid(tmp_path, values):
    write_pyramid(tmp_path / "a.zarr", values, 10.0)
    return open_pyramid(tmp_path / "a.zarr", fetcher=Fetcher(MemoryCache(2**26)))


def across(axis, index):
    return tuple((index, index + 1) if i == axis else (0, size) for i, size in enumerate(SHAPE))


def test_a_plane_is_the_axis_that_a_box_has_one_of():
    assert plane_of(((0, 9), (4, 5), (0, 9))) == ((1, 4),)
    assert plane_of(((2, 3), (0, 9), (4, 5), (0, 9))) == ((0, 2), (2, 4))
    assert plane_of(((0, 9), (4, 6), (0, 9))) is None
    assert cut_box(((0, 2), (0, 256), (256, 280)), ((1, 4),)) == ((0, 2), (4, 5), (256, 280))


@pytest.mark.parametrize(("axis", "index"), [(0, 7), (1, 290), (2, 3)])
def test_parts_are_what_the_plane_cuts_out(axis, index, pyramid, values):
    box = across(axis, index)
    runs = thin_runs(pyramid, 0, pyramid.grid(0).covering(box), box, longest_bytes=2**20)
    keys = [key for run in runs for key in run.keys]
    assert len(set(keys)) == len(keys) == len(list(pyramid.grid(0).covering(box)))
    for run in runs:
        for key, part in run.load(run.keys, threading.Event()).items():
            place = cut_box(pyramid.grid(0).box(key[2]), ((axis, index),))
            assert np.array_equal(part, values[tuple(slice(*span) for span in place)])
            assert part.base is None  # keeps nothing larger in memory


def test_stock_counts_a_part_for_its_own_plane_only(pyramid):
    stock, box, other = Stock(pyramid, pyramid._fetcher.memory), across(1, 10), across(1, 11)
    assert len(stock.lacking(0, box)) == len(list(pyramid.grid(0).covering(box)))
    runs = thin_runs(pyramid, 0, pyramid.grid(0).covering(box), box, longest_bytes=2**20)
    pyramid._fetcher.fetch(runs)
    assert stock.has(0, box)
    assert not stock.has(0, other)


def test_parts_of_blocks_are_dropped_with_all_that_is_known_of_an_image(pyramid):
    box = across(1, 10)
    fetcher, block = pyramid._fetcher, (0, 0, 0)
    fetcher.fetch(thin_runs(pyramid, 0, pyramid.grid(0).covering(box), box, longest_bytes=2**20))
    part = thin_key(pyramid.key(0, block), plane_of(box))
    assert part in fetcher.memory
    fetcher.drop(pyramid.owner)
    assert part not in fetcher.memory


def test_a_changed_file_leaves_no_part_of_what_it_was(tmp_path, values):
    for name, content in (("a.zarr", values), ("new.zarr", -values)):
        write_pyramid(tmp_path / name, content, 10.0)
    pyramid = open_pyramid(tmp_path / "a.zarr", fetcher=Fetcher(MemoryCache(2**26)))
    fetcher, before, after = pyramid._fetcher, across(1, 10), across(1, 200)
    blocks = list(pyramid.grid(0).covering(before))
    fetcher.fetch(thin_runs(pyramid, 0, blocks, before, longest_bytes=2**20))
    for chunk in ("0/0/0/0", "0/0/0/1"):
        (tmp_path / "new.zarr" / chunk).replace(tmp_path / "a.zarr" / chunk)
    fetcher.fetch(thin_runs(pyramid, 0, blocks, after, longest_bytes=2**20))
    kept = [block for block in blocks if thin_key(pyramid.key(0, block), plane_of(before)) in fetcher.memory]
    assert kept == []


def test_parts_are_told_from_blocks_and_tables():
    assert is_part(thin_key((1, 0, (2, 0, 0)), ((1, 3),)))
    assert not is_part((1, 0, (2, 0, 0)))
    assert not is_part((1, "table", 0, (2, 0, 0)))


def test_whole_keys_are_those_of_the_plane_that_is_meant():
    block, other, meant = (2, 0, 0), (3, 0, 0), ((1, 5),)
    keys = ["x", (1, 0, block), (1, 0, block, meant), (1, 0, other, ((1, 6),)), (1, "table", 0, (0, 0, 0))]
    assert whole_keys(keys, meant) == [(1, 0, (2, 0, 0))]
    assert whole_keys(keys, None) == []


def test_a_box_that_is_no_plane_is_refused(pyramid):
    with pytest.raises(ValueError, match="no plane"):
        thin_runs(pyramid, 0, [(0, 0, 0)], ((0, 2), (0, 2), (0, 2)), longest_bytes=1)
