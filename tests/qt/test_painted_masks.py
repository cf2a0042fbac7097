"""A mask of one level that is painted on while it streams: what was painted is kept, and planes go on to come."""

import inspect
import threading
from types import SimpleNamespace

import mrcfile
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_cryoet._qt import drawing
from napari_cryoet._qt.adopting import adopt_layers_of
from napari_cryoet._qt.mirrors import Mirror, why_not_mirrored
from napari_cryoet._qt.progressive import display_of, make_layer, stream_of
from napari_cryoet.formats.mrc import open_mrc
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.layer_spec import METADATA_KEY, LayerSpec
from napari_cryoet.streaming import exact_array, open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.exact import ExactLevel
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.own_levels import pyramid_below
from quiet import is_quiet
from stream_server import StreamServer

SHAPE = (45, 70, 58)
SPACING = 13.48
PLUGIN = "napari-cryoet"


@pytest.fixture
def served(tmp_path):
    with StreamServer(tmp_path) as server:
        yield server


@pytest.fixture
def viewer(viewer_in_window):
    return viewer_in_window


@pytest.fixture
def values():
    values = np.zeros(SHAPE, "i1")
    values[:, 20:50, 10:40] = 1
    values[10:20, 5:15, 45:50] = 2
    return values


@pytest.fixture
def levels(served, tmp_path, values):
    """The mask on a server, opened."""
    with mrcfile.new(tmp_path / "mask.mrc") as file:
        file.set_data(values)
    return open_mrc(f"{served.url}/mask.mrc").levels


@pytest.fixture
def mask(viewer, levels):
    """Its layer, and how that streams."""
    return add(viewer, levels)


def add(viewer, data):
    options = {"scale": (SPACING,) * 3, "units": "angstrom", "metadata": {METADATA_KEY: {"file_id": 7}}}
    adopt_layers_of(viewer)
    layer, status = make_layer(LayerSpec(data, options, "labels"), viewer=viewer)
    viewer.add_layer(layer)
    layer.brush_size = 9
    return layer, status


def shown(layer):
    return layer._slice.image.raw


def wait_for(qtbot, layer, expected):
    qtbot.waitUntil(lambda: np.array_equal(shown(layer), expected))


def paint(layer, values, at, label):
    """Paint a dab, also into what is expected; what was there before."""
    before = values.copy()
    layer.paint(at, label)
    painted = np.zeros(SHAPE, bool)
    z, y, x = at
    rows, columns = np.mgrid[-4:5, -4:5]
    near = rows**2 + columns**2 <= 4.5**2
    painted[z, y - 4 : y + 5, x - 4 : x + 5] = near
    values[painted] = label
    return before


def test_planes_still_come_after_painting_and_the_window_waits_for_none(qtbot, viewer, served, mask, values):
    layer, status = mask
    wait_for(qtbot, layer, values[22])
    paint(layer, values, (22, 10, 12), 5)
    assert np.array_equal(shown(layer), values[22])
    assert stream_of(layer) is status
    served.gate.clear()
    for z in (3, 40, 22):
        viewer.dims.set_current_step(0, z)  # would wait for ever
    assert np.array_equal(shown(layer), values[22])
    viewer.dims.set_current_step(0, 3)
    served.gate.set()
    wait_for(qtbot, layer, values[3])
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 10)
    wait_for(qtbot, layer, values[:, 10])
    viewer.dims.ndisplay = 3
    wait_for(qtbot, layer, values.transpose(1, 0, 2))
    qtbot.waitUntil(lambda: status.state.is_exact)


def test_no_exact_value_is_computed_on_the_gui_thread_to_draw_what_was_painted(
    qtbot, viewer, mask, values, monkeypatch
):
    layer, _ = mask
    wait_for(qtbot, layer, values[22])
    paint(layer, values, (22, 10, 12), 5)
    read = ExactLevel.read

    def guarded(level, key):
        assert threading.current_thread() is not threading.main_thread()
        return read(level, key)

    monkeypatch.setattr(ExactLevel, "read", guarded)
    for z in (3, 40, 22):
        viewer.dims.set_current_step(0, z)
        wait_for(qtbot, layer, values[z])
    layer.refresh()
    assert np.array_equal(shown(layer), values[22])


def test_painting_is_undone_and_done_again(qtbot, viewer, mask, values):
    layer, status = mask
    wait_for(qtbot, layer, values[22])
    states = [values.copy()]
    for number, at in enumerate([(22, 10, 12), (22, 12, 14), (22, 40, 30)]):
        paint(layer, values, at, 3 + number)
        states.append(values.copy())
    viewer.dims.set_current_step(0, 30)
    wait_for(qtbot, layer, values[30])
    paint(layer, values, (30, 40, 30), 0)
    for state in reversed(states):
        layer.undo()
        assert np.array_equal(np.asarray(layer.data), state)
        assert np.array_equal(shown(layer), state[30])
    for _ in states:
        layer.redo()
    assert np.array_equal(np.asarray(layer.data), values)
    assert stream_of(layer) is status


def test_a_stroke_of_many_dabs_is_undone_as_one_change(qtbot, viewer, mask, values, monkeypatch):
    layer, status = mask
    wait_for(qtbot, layer, values[22])
    before, made, make = values.copy(), [], exact_array._dask_array
    with layer.block_history():
        for x in range(10, 40, 3):
            paint(layer, values, (22, 30, x), 5)
    monkeypatch.setattr(exact_array, "_dask_array", lambda *arguments: made.append(arguments) or make(*arguments))
    for count, replay, expected in [(1, layer.undo, before), (2, layer.redo, values), (3, layer.undo, before)]:
        replay()
        assert len(made) == count
        assert np.array_equal(shown(layer), expected[22])
        assert np.array_equal(np.asarray(layer.data), expected)
    layer.undo()
    assert len(made) == 3, "nothing is left to undo"
    assert stream_of(layer) is status


def test_everybody_who_reads_the_layer_sees_what_was_painted(qtbot, mask, values):
    layer, _ = mask
    wait_for(qtbot, layer, values[22])
    paint(layer, values, (22, 10, 12), 5)
    assert np.array_equal(np.asarray(layer.data), values)
    assert np.array_equal(layer.data[20:25].compute(), values[20:25])
    assert int((layer.data == 5).sum().compute()) == (values == 5).sum()
    assert layer.get_value((22 * SPACING, 10 * SPACING, 12 * SPACING), world=True) == 5


def test_filling_and_erasing_are_kept_too(qtbot, viewer, mask, values):
    layer, _ = mask
    wait_for(qtbot, layer, values[22])
    layer.fill((22, 30, 20), 6)
    values[22][values[22] == 1] = 6
    assert np.array_equal(shown(layer), values[22])
    paint(layer, values, (22, 30, 20), 0)
    layer.preserve_labels = True
    layer.paint((22, 30, 20), 4)
    values[22][(values[22] == 0) & (np.hypot(*np.mgrid[-30:40, -20:38]) <= 4.5)] = 4
    viewer.dims.set_current_step(0, 30)
    wait_for(qtbot, layer, values[30])
    viewer.dims.set_current_step(0, 22)
    assert np.array_equal(shown(layer), values[22])
    assert np.array_equal(np.asarray(layer.data), values)


def test_a_painted_mask_is_saved_with_what_was_painted(qtbot, mask, values, tmp_path):
    layer, _ = mask
    wait_for(qtbot, layer, values[22])
    paint(layer, values, (22, 10, 12), 5)
    layer.save(str(tmp_path / "saved.mrc"), plugin=PLUGIN)
    with mrcfile.open(tmp_path / "saved.mrc") as file:
        assert np.array_equal(file.data, values)


def test_a_copy_of_a_painted_mask_streams_and_is_painted_by_itself(qtbot, viewer, served, mask, values):
    layer, _ = mask
    wait_for(qtbot, layer, values[22])
    paint(layer, values, (22, 10, 12), 5)
    copy = Labels(layer.data.copy(), scale=layer.scale, units=layer.units, metadata=layer.metadata, visible=False)
    viewer.add_layer(copy)
    assert stream_of(copy) is not None
    copy.visible = True
    wait_for(qtbot, copy, values[22])
    before = paint(layer, values, (22, 40, 30), 6)
    assert np.array_equal(np.asarray(copy.data), before)
    assert np.array_equal(np.asarray(layer.data), values)


def test_other_planes_of_the_mask_show_what_is_painted_and_undone(qtbot, viewer, mask, values):
    layer, _ = mask
    wait_for(qtbot, layer, values[22])
    other = ViewerModel()
    assert why_not_mirrored(layer) == ""
    mirror = Mirror(layer, other, viewer)
    other.add_layer(mirror.copy)
    other.dims.order = (1, 0, 2)
    other.dims.set_current_step(1, 10)
    try:
        mirror.set_active(True)
        wait_for(qtbot, mirror.copy, values[:, 10])
        before = paint(layer, values, (22, 10, 12), 5)
        wait_for(qtbot, mirror.copy, values[:, 10])
        assert display_of(mirror.copy) is not None
        assert why_not_mirrored(layer) == ""
        layer.undo()
        wait_for(qtbot, mirror.copy, before[:, 10])
    finally:
        mirror.close()


def test_the_finest_level_alone_is_as_large_as_ever_once_it_was_painted(qtbot, viewer, served, tmp_path):
    odd = np.ones((45, 71, 59), "i1")
    write_pyramid(tmp_path / "odd.zarr", odd, SPACING, "mask")
    pyramid = open_pyramid(f"{served.url}/odd.zarr", fetcher=Fetcher(MemoryCache(2**26)))
    layer, status = add(viewer, pyramid.levels[0])
    wait_for(qtbot, layer, odd[22])
    extent = layer.extent.data.copy()
    layer.paint((22, 10, 12), 5)
    del layer.extent
    assert np.array_equal(layer.extent.data, extent)
    assert stream_of(layer) is status
    layer.save(str(tmp_path / "saved.mrc"), plugin=PLUGIN)
    with mrcfile.open(tmp_path / "saved.mrc") as file:
        assert file.data.shape == odd.shape
        assert file.data[22, 10, 12] == 5


@pytest.fixture
def padded(qtbot, viewer, served, tmp_path):
    """The finest level alone of an image of odd size, as napari makes a layer of it, whose levels are padded."""
    odd = np.zeros((45, 71, 59), "i1")
    odd[:, 30, :] = 1  # up to the edge
    write_pyramid(tmp_path / "odd.zarr", odd, SPACING, "mask")
    pyramid = open_pyramid(f"{served.url}/odd.zarr", fetcher=Fetcher(MemoryCache(2**26)))
    layer, status = add(viewer, pyramid.levels[0])
    wait_for(qtbot, layer, odd[22])
    assert layer.data.shape > odd.shape
    return layer, status, odd


def test_a_brush_at_the_edge_paints_no_padding(padded):
    layer, status, values = padded
    layer.paint((22, 70, 58), 5)
    rows, columns = np.mgrid[:71, :59]
    values[22][np.hypot(rows - 70, columns - 58) <= 4.5] = 5
    assert np.array_equal(shown(layer), values[22])
    assert (layer.data == 5).sum().compute() == (values == 5).sum()
    layer.paint_polygon(np.array([[22, 50, 40], [22, 50, 80], [22, 80, 80], [22, 80, 40]]), 6)
    values[22, 50:, 40:] = 6
    assert np.array_equal(shown(layer), values[22])
    assert (layer.data == 6).sum().compute() == (values == 6).sum()
    layer.n_edit_dimensions = 3
    layer.paint((44, 70, 58), 7)
    assert (layer.data[:45, :71, :59] == 7).sum().compute() == (layer.data == 7).sum().compute() > 1
    for _ in range(3):
        layer.undo()
    assert layer.data.max().compute() == 1
    assert stream_of(layer) is status


def test_the_background_is_filled_up_to_the_edge_and_not_around_it(padded):
    layer, status, values = padded
    layer.fill((22, 10, 10), 6)
    values[22, :30] = 6
    assert np.array_equal(shown(layer), values[22])
    assert (layer.data == 6).sum().compute() == (values == 6).sum()
    layer.fill((22, 71, 10), 7)  # beside it
    layer.undo()
    assert layer.data.max().compute() == 1
    assert stream_of(layer) is status


# --- where it hasn't come yet


def drag(layer, *places, ahead=None):
    """Draw with the mouse through some places of the plane that is shown, or of what lies under it ahead in 3D."""
    event = SimpleNamespace(
        type="mouse_press",
        button=1,
        view_direction=ahead,
        dims_displayed=list(layer._slice_input.displayed),
        position=None,
        modifiers=(),
    )
    for number, place in enumerate(places):
        event.position = np.array(place) * SPACING
        if number == 0:
            called = [callback(layer, event) for callback in layer.mouse_drag_callbacks]
            strokes = list(filter(inspect.isgenerator, called))
        for stroke in strokes:
            next(stroke, None)
        event.type = "mouse_move"
    event.type = "mouse_release"
    for stroke in strokes:
        next(stroke, None)


@pytest.fixture
def said(monkeypatch):
    said = []
    monkeypatch.setattr(drawing, "show_info", said.append)
    monkeypatch.setattr(drawing, "show_warning", said.append)
    return said


def test_who_draws_where_nothing_can_be_had_is_told_why(qtbot, viewer, served, levels, values, said, monkeypatch):
    monkeypatch.setattr(drawing, "_AGAIN_S", 1000.0)
    served.statuses["mask.mrc"] = 403
    layer, _ = add(viewer, levels)
    layer.mode, layer.selected_label = "paint", 5
    drag(layer, (22, 10, 12))
    qtbot.waitUntil(layer._fetched.done)
    drag(layer, (22, 10, 12), (22, 12, 14), (22, 14, 16))
    assert len(said) == 1, "not with each dab"
    monkeypatch.setattr(drawing, "_AGAIN_S", 0.0)
    drag(layer, (22, 10, 12))
    assert "can't be had where you draw: The server 127.0.0.1 doesn't allow access to mask.mrc" in said[1]
    served.statuses.clear()
    qtbot.waitUntil(layer._fetched.done)
    drag(layer, (22, 10, 12))
    qtbot.waitUntil(layer._fetched.done)
    drag(layer, (22, 10, 12))
    assert np.asarray(layer.data[22, 10, 12]) == 5


def test_who_draws_where_nothing_has_come_is_told_and_the_window_does_not_wait(
    qtbot, viewer, served, levels, values, said
):
    served.gate.clear()
    layer, status = add(viewer, levels)
    layer.mode, layer.selected_label = "paint", 5
    drag(layer, (22, 10, 12), (22, 12, 14), (22, 14, 16))
    drag(layer, (22, 10, 12))
    assert len(said) == 1
    assert "hasn't come yet where you draw" in said[0]
    assert stream_of(layer) is status
    assert not layer._undo_history
    served.gate.set()
    wait_for(qtbot, layer, values[22])
    qtbot.waitUntil(layer._fetched.done)
    drag(layer, (22, 10, 12))
    assert np.asarray(layer.data[22, 10, 12]) == 5
    assert len(said) == 1
    layer.undo()
    assert np.array_equal(np.asarray(layer.data), values)


AHEAD = np.array([1.0, 0.0, 0.0])  # along z


@pytest.mark.parametrize("mode", ["paint", "erase", "fill"])
def test_who_draws_in_3d_is_told_to_draw_in_planes(mode, qtbot, viewer, mask, values, said):
    layer, status = mask
    layer.name = "my <b>mask"
    viewer.dims.ndisplay = 3
    wait_for(qtbot, layer, values)
    layer.mode, layer.selected_label = mode, 5
    drag(layer, (22, 30, 20), (22, 32, 22), ahead=AHEAD)
    assert len(said) == 1, "not with each dab"
    assert said[0].startswith("Nothing can be drawn on “my <b>mask” in 3D while it streams. Switch the view to 2D")
    assert np.array_equal(np.asarray(layer.data), values)
    assert not layer._undo_history
    viewer.dims.ndisplay = 2
    wait_for(qtbot, layer, values[22])
    drag(layer, (22, 30, 20))
    assert layer.data[22, 30, 20].compute() == (0 if mode == "erase" else 5)
    assert len(said) == 1
    assert stream_of(layer) is status


def test_a_mask_in_memory_is_drawn_on_in_3d(qtbot, viewer, mask, values, said):
    layer, _ = mask
    layer.data = np.asarray(layer.data)
    viewer.dims.ndisplay = 3
    layer.mode, layer.selected_label = "paint", 5
    drag(layer, (22, 30, 20), ahead=AHEAD)
    assert layer.data[0, 30, 20] == 5
    assert said == []


def test_what_lies_under_the_mouse_in_3d_is_picked_as_ever(qtbot, viewer, mask, values, said):
    layer, _ = mask
    viewer.dims.ndisplay = 3
    wait_for(qtbot, layer, values)
    layer.mode = "pick"
    drag(layer, (15, 10, 47), ahead=AHEAD)
    assert layer.selected_label == 2
    assert said == []


def test_a_mask_that_was_drawn_on_before_it_streamed_can_be_let_alone(qtbot, viewer, mask, levels, values, said):
    layer = Labels(levels, scale=(SPACING,) * 3, units="angstrom")
    layer.mode, layer.selected_label = "paint", 5
    viewer.add_layer(layer)
    assert stream_of(layer) is not None
    layer.mode = "pan_zoom"
    drag(layer, (22, 30, 20))
    assert np.array_equal(np.asarray(layer.data), values)
    layer.mode = "paint"
    viewer.dims.ndisplay = 3
    drag(layer, (22, 30, 20), ahead=AHEAD)
    assert len(said) == 1


def test_who_fills_where_nothing_has_come_is_told_too(qtbot, viewer, served, levels, values, said):
    served.gate.clear()
    layer, _ = add(viewer, levels)
    layer.mode, layer.selected_label = "fill", 5
    drag(layer, (22, 30, 20))
    assert len(said) == 1
    served.gate.set()
    wait_for(qtbot, layer, values[22])
    qtbot.waitUntil(layer._fetched.done)
    drag(layer, (22, 30, 20))
    values[22][values[22] == 1] = 5
    assert np.array_equal(shown(layer), values[22])


def test_scripts_that_paint_where_nothing_has_come_wait_for_it(qtbot, mask, values, said):
    layer, _ = mask
    wait_for(qtbot, layer, values[22])
    pyramid = pyramid_below(layer.data)
    pyramid.drop_all()
    paint(layer, values, (40, 10, 12), 5)
    assert np.array_equal(np.asarray(layer.data), values)
    assert said == []


def test_undoing_waits_for_nothing_though_what_it_was_painted_over_is_gone(qtbot, viewer, served, mask, values):
    layer, _ = mask
    wait_for(qtbot, layer, values[22])
    before = paint(layer, values, (22, 10, 12), 5)
    pyramid = pyramid_below(layer.data)
    qtbot.waitUntil(lambda: is_quiet(pyramid._fetcher, served))
    pyramid.drop_all()
    served.gate.clear()
    layer.undo()
    served.gate.set()
    wait_for(qtbot, layer, before[22])
