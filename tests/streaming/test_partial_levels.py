"""A level of which a pack left out some chunks: nothing invented is shown as exact, and coarser levels stand in."""

import json
import shutil
import threading

import numpy as np
import pytest

from napari_cryoet.exceptions import FormatError, LeftOutError
from napari_cryoet.streaming import Display, open_pyramid
from napari_cryoet.volumes import open_volume
from portal_images import SHAPE, noise

HERE = [0, 0, 0]  # the chunk that is kept


@pytest.fixture(scope="module")
def values():
    return noise(SHAPE)


@pytest.fixture
def partial(portal_images, tmp_path):
    """An image whose finest level has only its first chunk, as a class pack has it."""
    path = tmp_path / "image.zarr"
    shutil.copytree(portal_images / "image.zarr", path)
    for chunk in (path / "0").rglob("[0-9]*"):
        if chunk.is_file() and chunk.relative_to(path / "0").as_posix() != "0/0/0":
            chunk.unlink()
    note(path, {"0": [HERE]})
    return path


def note(path, levels):
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["napari-cryoet-partial"] = levels
    (path / ".zattrs").write_text(json.dumps(attributes))


def settled(pyramid, part):
    """A display, and its picture of a part of the finest level once it doesn't improve any more."""
    changed = threading.Event()
    display = Display(pyramid, on_change=changed.set, placeholder=np.nan)
    np.asarray(display.levels[0][part])
    while not display.state.is_settled:
        assert changed.wait(60)
        changed.clear()
        np.asarray(display.levels[0][part])
    return display, np.asarray(display.levels[0][part])


def test_only_what_is_here_can_be_read_exactly(partial, values):
    pyramid = open_pyramid(partial)
    here = ((0, 60), (0, 256), (200, 256))
    np.testing.assert_array_equal(pyramid.read(0, here), values[:, :256, 200:256])
    for read in (pyramid.read, pyramid.fetch):
        with pytest.raises(LeftOutError, match="coarser"):
            read(0, ((0, 60), (0, 256), (200, 257)))
    with pytest.raises(LeftOutError):
        pyramid.levels[0][3].compute()
    np.testing.assert_array_equal(pyramid.read(1), values[::2, ::2, ::2])
    pyramid.close()


def test_a_picture_has_the_coarser_level_where_a_part_was_left_out(partial, values):
    pyramid = open_pyramid(partial)
    display, picture = settled(pyramid, np.s_[30])
    coarse = values[::2, ::2, ::2][15].repeat(2, 0).repeat(2, 1)[: SHAPE[1], : SHAPE[2]]
    np.testing.assert_array_equal(picture[:256, :256], values[30, :256, :256])
    np.testing.assert_array_equal(picture[256:], coarse[256:])
    state = display.state
    assert (state.is_exact, state.is_partial, state.missing_blocks) == (False, True, 0)
    assert state.error is None
    assert state.full_bytes == 0
    display.close()
    pyramid.close()


def test_a_view_of_what_is_here_is_exact(partial, values):
    pyramid = open_pyramid(partial)
    display, picture = settled(pyramid, np.s_[30, :64, :64])
    assert display.state.is_exact
    np.testing.assert_array_equal(picture, values[30, :64, :64])
    assert not display.state.is_partial
    display.close()
    pyramid.close()


def test_measures_use_whole_levels(partial):
    volume = open_volume(partial)
    assert volume.whole_levels == [1, 2]
    assert volume.grid_for(0.1).level == 1
    volume.close()


@pytest.mark.parametrize("levels", [{"0": [[9, 0, 0]]}, {"0": [[0]]}, {"0": 1}, {"2": []}])
def test_a_wrong_list_is_refused(partial, levels):
    note(partial, levels)
    with pytest.raises(FormatError):
        open_pyramid(partial)
