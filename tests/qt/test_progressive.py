"""A streamed layer in a real viewer: nothing is read on the GUI thread, every picture ends exact and in its place."""

import gc
import itertools
import math
import threading
import time
import weakref
from contextlib import nullcontext

import mrcfile
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.settings import get_settings

import fault_server as faults
from blocks_here import planes_in_memory
from fault_server import FaultServer, Faulty
from gui_waits import Gate
from napari_cryoet._qt import plain_slicing, progressive
from napari_cryoet._qt.adopting import adopt_layers_of
from napari_cryoet._qt.first_view import first_view
from napari_cryoet._qt.progressive import StreamStatus, attach, display_of, make_layer, stream_of
from napari_cryoet._qt.redraws import Redraws
from napari_cryoet.exceptions import StreamError
from napari_cryoet.formats.mrc import open_mrc
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.layer_spec import METADATA_KEY, LayerSpec
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.cache import MemoryCache
from napari_cryoet.streaming.fetcher import Fetcher
from napari_cryoet.streaming.pyramid import Pyramid
from ome_images import noise as noise_of_cells
from ome_images import write_image
from quiet import is_quiet
from stream_server import StreamServer

SHAPE = (45, 71, 58)
SPACING = 13.48


def noise(shape=SHAPE):
    return np.random.default_rng(0).normal(size=shape).astype("f4")


@pytest.fixture
def served(tmp_path):
    with StreamServer(tmp_path) as server:
        yield server


@pytest.fixture
def viewer(viewer_in_window):
    return viewer_in_window


def stream(served, tmp_path, values, kind="tomogram"):
    write_pyramid(tmp_path / "a.zarr", values, SPACING, kind)
    return open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(MemoryCache(256 * 2**20)))


def add(viewer, pyramid, kind="image", **options):
    options = {"scale": (SPACING,) * 3, "units": "angstrom", **options}
    if kind == "image":
        options.setdefault("contrast_limits", (-3, 3))
    layer, status = make_layer(LayerSpec(pyramid.levels, options, kind), viewer=viewer)
    viewer.add_layer(layer)
    return layer, status


def image_of(pyramid):
    return LayerSpec(pyramid.levels, {"contrast_limits": (-3, 3)}, "image")


def wait_exact(qtbot, status, layer, expected):
    """Until what napari has drawn from is what it should be."""

    def is_drawn():
        assert status.state.is_exact
        assert np.array_equal(layer._slice.image.raw, expected)

    qtbot.waitUntil(is_drawn)


def wait_until_quiet(qtbot, pyramid, served):
    """Until nothing more comes or is asked for."""
    qtbot.wait(20)  # whatever is left for the event loop may ask for something
    qtbot.waitUntil(lambda: is_quiet(pyramid._fetcher, served))


def test_the_middle_plane_ends_exact_and_so_does_every_other(qtbot, viewer, served, tmp_path):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values))
    wait_exact(qtbot, status, layer, values[22])
    for z in (0, 44, 7):
        viewer.dims.set_current_step(0, z)
        wait_exact(qtbot, status, layer, values[z])


@pytest.mark.parametrize("axis", [1, 2])
def test_planes_across_the_other_axes_end_exact(axis, qtbot, viewer, served, tmp_path):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values))
    viewer.dims.order = {1: (1, 0, 2), 2: (2, 0, 1)}[axis]
    viewer.dims.set_current_step(axis, 33)
    wait_exact(qtbot, status, layer, np.take(values, 33, axis))


@pytest.mark.parametrize(("axis", "box"), [(1, ((0, 45), (35, 36), (0, 58))), (2, ((0, 45), (0, 71), (28, 29)))])
def test_the_first_picture_across_another_axis_is_the_whole_plane(axis, box, qtbot, viewer, served, tmp_path):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values))
    wait_exact(qtbot, status, layer, values[22])
    display = layer._slicing_state.display
    look, seen = display._look, []
    display._look = lambda view, picture: (seen.append(view.box), look(view, picture))
    viewer.dims.order = {1: (1, 0, 2), 2: (2, 0, 1)}[axis]
    wait_exact(qtbot, status, layer, np.take(values, box[axis][0], axis))
    assert set(seen) == {box}


def test_three_dimensions_end_exact_at_the_chosen_level(qtbot, viewer, served, tmp_path):
    pyramid = stream(served, tmp_path, noise())
    layer, status = add(viewer, pyramid)
    viewer.dims.ndisplay = 3
    wait_exact(qtbot, status, layer, pyramid.read(2))
    layer.locked_data_level = 1
    wait_exact(qtbot, status, layer, pyramid.read(1))


def test_masks_stream_as_labels(qtbot, viewer, served, tmp_path):
    values = (noise() > 1).astype("i1")
    layer, status = add(viewer, stream(served, tmp_path, values, "mask"), "labels")
    wait_exact(qtbot, status, layer, values[22])
    viewer.dims.ndisplay = 3
    wait_exact(qtbot, status, layer, layer.data[2].compute()[:12, :18, :15])


def test_nothing_is_read_on_the_gui_thread_and_no_exact_array_is_computed(qtbot, viewer, served, tmp_path, monkeypatch):
    values = noise()
    pyramid = stream(served, tmp_path, values)

    def refuse(*_, **__):
        raise AssertionError("somebody waits for exact values")

    monkeypatch.setattr(Pyramid, "read", refuse)
    gui = threading.get_ident()
    read = type(pyramid._source).read

    def guarded(self, *arguments, **options):
        assert threading.get_ident() != gui
        return read(self, *arguments, **options)

    monkeypatch.setattr(type(pyramid._source), "read", guarded)
    layer, status = add(viewer, pyramid)
    wait_exact(qtbot, status, layer, values[22])
    viewer.dims.set_current_step(0, 3)
    viewer.camera.zoom *= 3
    qtbot.waitUntil(lambda: status.state.is_exact)
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: status.state.is_exact)


def test_adding_and_scrubbing_do_not_wait_for_a_silent_server(qtbot, viewer, served, tmp_path):
    pyramid = stream(served, tmp_path, noise())
    served.gate.clear()
    layer, status = add(viewer, pyramid)
    for z in range(10):
        viewer.dims.set_current_step(0, z)
    assert layer._slice.image.raw.shape == SHAPE[1:]
    assert not status.state.is_exact
    served.gate.set()
    qtbot.waitUntil(lambda: status.state.is_exact)


def picture_without_depth(served, tmp_path, *, levels=3, kind="image"):
    values = noise((150, 130)) if kind == "image" else (noise((150, 130)) > 1).astype("i1")
    write_image(tmp_path / "yx.zarr", values, "yx", levels=levels, chunks=(64, 64))
    return values, open_pyramid(f"{served.url}/yx.zarr", fetcher=Fetcher(MemoryCache(256 * 2**20)), cache=None)


@pytest.mark.parametrize("kind", ["image", "labels"])
@pytest.mark.parametrize("levels", [1, 3])
def test_a_picture_without_depth_waits_for_no_server_either(levels, kind, qtbot, viewer, served, tmp_path):
    values, pyramid = picture_without_depth(served, tmp_path, levels=levels, kind=kind)
    served.gate.clear()
    layer, status = add(viewer, pyramid, kind, scale=(SPACING,) * 2)
    assert layer.ndim == 2
    assert status.state.is_progressive
    assert not status.state.is_exact
    served.gate.set()
    qtbot.waitUntil(lambda: status.state.is_exact)
    viewer.reset_view()
    layer.locked_data_level = 0 if levels > 1 else None
    wait_exact(qtbot, status, layer, values)


def test_data_that_come_back_to_a_picture_without_depth_are_not_waited_for(qtbot, viewer, served, tmp_path):
    _, pyramid = picture_without_depth(served, tmp_path)
    served.gate.clear()
    layer, status = add(viewer, pyramid, scale=(SPACING,) * 2)
    layer.data = [np.zeros((8, 8)), np.zeros((4, 4))]
    layer.data = pyramid.levels
    assert not status.state.is_exact
    served.gate.set()
    qtbot.waitUntil(lambda: status.state.is_exact)


def test_only_the_plane_that_will_be_shown_is_fetched_while_the_layer_is_added(qtbot, viewer, served, tmp_path):
    values = noise((60, 200, 200))
    pyramid = stream(served, tmp_path, values)
    layer, status = make_layer(image_of(pyramid), viewer=viewer)
    viewer.add_layer(layer)
    qtbot.waitUntil(lambda: bool(planes_in_memory(pyramid)) and not pyramid._fetcher._traffic.flights)
    assert 29 in planes_in_memory(pyramid)
    assert len(planes_in_memory(pyramid)) <= 3 * 5  # that block, and once it is shown two on each side
    wait_exact(qtbot, status, layer, values[29])


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_a_first_sight_waits_for_no_rest_of_the_window(ndisplay, qtbot, viewer, served, tmp_path, monkeypatch):
    monkeypatch.setattr(progressive.shared_redraws, "_free_at", time.monotonic() + 1000)
    viewer.dims.ndisplay = ndisplay
    pyramid = stream(served, tmp_path, noise())
    served.gate.clear()
    layer, _ = add(viewer, pyramid)
    display = layer._slicing_state.display
    assert display.is_blank
    served.gate.set()
    qtbot.waitUntil(lambda: not display.is_blank)


def test_the_last_picture_of_a_volume_waits_for_no_rest(qtbot, viewer, served, tmp_path, monkeypatch):
    monkeypatch.setattr(progressive, "_REFRESH_3D_S", 3600.0)
    values = noise_of_cells((32, 24, 20))
    write_image(tmp_path / "a.zarr", values, "zyx", levels=1, chunks=(16, 24, 20))
    second_half = threading.Event()
    served.before_answer = lambda path, _: second_half.wait(60) if path.endswith("/1.0.0") else None
    viewer.dims.ndisplay = 3
    pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(MemoryCache(2**28)))
    served.gate.clear()
    layer, status = add(viewer, pyramid)
    assert layer._slicing_state.display.is_blank
    served.gate.set()
    qtbot.waitUntil(lambda: np.array_equal(layer._slice.image.raw[:16], values[:16]))
    assert not status.state.is_exact
    second_half.set()
    wait_exact(qtbot, status, layer, values)


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_what_is_shown_first_is_foreseen(ndisplay, qtbot, viewer, served, tmp_path):
    pyramid = stream(served, tmp_path, noise())
    viewer.dims.ndisplay = ndisplay
    layer, _ = make_layer(image_of(pyramid))
    foreseen = first_view(pyramid, viewer)
    viewer.add_layer(layer)
    view = layer._slicing_state.display._aim.view
    assert foreseen == (view.level, view.box)


def test_what_is_shown_of_a_second_layer_is_foreseen(qtbot, viewer, served, tmp_path):
    pyramid = stream(served, tmp_path, noise())
    viewer.add_image(np.zeros((45, 71, 58), "f4"), scale=(SPACING,) * 3)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 33)
    layer, _ = make_layer(LayerSpec(pyramid.levels, {"contrast_limits": (-3, 3), "scale": (SPACING,) * 3}, "image"))
    assert first_view(pyramid, viewer, layer) == (0, ((0, 45), (33, 34), (0, 58)))
    away = viewer.add_points([[0, -50 * SPACING, 0]], ndim=3)
    viewer.dims.set_point(1, -50 * SPACING)
    assert away is not None
    assert first_view(pyramid, viewer, layer) is None


def test_nothing_is_fetched_while_a_layer_is_made_that_no_viewer_was_named_for(viewer, served, tmp_path):
    pyramid = stream(served, tmp_path, noise())
    seen = len(served.requests)
    layer, _ = make_layer(image_of(pyramid))
    viewer.add_layer(layer)
    assert len(served.requests) == seen


def test_layer_data_are_exact_dask_arrays_for_everybody_else(qtbot, viewer, served, tmp_path):
    values = noise()
    layer, _ = add(viewer, stream(served, tmp_path, values))
    served.latency_s = 0.05
    assert np.array_equal(np.asarray(layer.data[0])[:45, :71, :58], values)
    assert np.array_equal(layer.data[0][44, :71, :58].compute(), values[44])


def test_a_layer_works_with_async_slicing_too(qtbot, viewer, served, tmp_path):
    values = noise()
    settings = get_settings().experimental
    settings.async_ = True
    try:
        layer, status = add(viewer, stream(served, tmp_path, values))
        wait_exact(qtbot, status, layer, values[22])
        viewer.dims.set_current_step(0, 5)
        wait_exact(qtbot, status, layer, values[5])
    finally:
        settings.async_ = False


def test_what_is_only_padding_is_not_drawn(qtbot, viewer, served, tmp_path):
    pyramid = stream(served, tmp_path, noise())
    layer, status = add(viewer, pyramid)
    assert layer.data[0].shape == (48, 72, 60)
    qtbot.waitUntil(lambda: status.state.is_exact)
    assert layer._slice.image.raw.shape == (71, 58)
    assert viewer.dims.nsteps[0] == 45
    viewer.add_points([[60, 0, 0]], scale=layer.scale, units="angstrom", ndim=3)  # whose plane can be gone to
    viewer.dims.set_current_step(0, 46)
    assert layer._slice.empty
    viewer.dims.set_current_step(0, 44)
    assert not layer._slice.empty


def drawn_centre(viewer, layer, index_yx):
    """Where the middle of a pixel of the drawn texture lies in the world, y and x or z, y, x."""
    node = viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
    texture_xyz = np.asarray(index_yx)[::-1] + (0.5 if len(index_yx) == 2 else 0.0)
    return node.transform.map(texture_xyz)[: len(index_yx)][::-1]


PLANTED = np.array([(0, 0, 0), (44, 70, 57), (21, 34, 55), (22, 35, 13), (23, 69, 2), (43, 1, 30), (8, 40, 28)])


def assert_drawn_where_planted(viewer, layer, planted, tolerance):
    """Every bright pixel lies where something is planted, and wherever something is planted there is one."""
    bright = np.argwhere(layer._slice.image.raw)
    centres = np.array([drawn_centre(viewer, layer, index) for index in bright]) / SPACING
    distances = np.abs(centres[:, None] - planted[None]).max(axis=-1)
    assert distances.min(axis=0).max() <= tolerance
    assert distances.min(axis=1).max() <= tolerance


@pytest.mark.parametrize("kind", ["tomogram", "mask", "instances"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_planted_voxels_are_drawn_at_their_places_at_every_level(level, kind, qtbot, viewer, served, tmp_path):
    factor = 2**level
    # only every n-th instance voxel is in the coarse levels: plant where one is
    planted = PLANTED // factor * factor if kind == "instances" else PLANTED
    values = np.zeros(SHAPE, {"tomogram": "f4", "mask": "i1", "instances": "u2"}[kind])
    values[tuple(planted.T)] = 1
    layer_kind, options = ("image", {"contrast_limits": (0, 1)}) if kind == "tomogram" else ("labels", {})
    layer, status = add(viewer, stream(served, tmp_path, values, kind), layer_kind, **options)
    layer.locked_data_level = level
    tolerance = 0.01 if kind == "instances" else (factor - 1) / 2 + 0.01
    for z in {int(z) for z in planted[:, 0]}:
        viewer.dims.set_current_step(0, z)
        qtbot.waitUntil(lambda: status.state.is_exact)
        in_plane = planted[planted[:, 0] // factor == z // factor]
        assert_drawn_where_planted(viewer, layer, in_plane[:, 1:], tolerance)
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: status.state.is_exact)
    assert_drawn_where_planted(viewer, layer, planted, tolerance)


DEPTH = 5


def write_deep(path, values, *, is_strided, rounds_up):
    """Write an image of five levels, as no file of the portal has: too many for padding, which one would see."""
    group, datasets = zarr.open_group(path, mode="w", zarr_format=2), []
    for level in range(DEPTH):
        group.create_array(str(level), shape=values.shape, chunks=(16, 32, 32), dtype=values.dtype)[...] = values
        scale = {"type": "scale", "scale": [SPACING * 2**level] * 3}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
        whole = values[tuple(slice(size // 2 * 2) for size in values.shape)]
        if rounds_up:
            whole = np.pad(values, [(0, size % 2) for size in values.shape])
        z, y, x = (size // 2 for size in whole.shape)
        values = whole[::2, ::2, ::2] if is_strided else whole.reshape(z, 2, y, 2, x, 2).sum((1, 3, 5))
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    how = {"type": "nearest"} if is_strided else {}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets} | how]


@pytest.mark.parametrize("rounds_up", [False, True])
@pytest.mark.parametrize("is_strided", [False, True])
def test_planted_voxels_are_drawn_at_their_places_at_levels_that_are_not_padded(
    is_strided, rounds_up, qtbot, viewer, served, tmp_path
):
    planted = np.array([(0, 0, 0), (63, 127, 95), (15, 34, 55), (32, 66, 13), (16, 79, 2), (47, 1, 30)])
    planted = planted // 16 * 16 if is_strided else planted
    values = np.zeros((75, 141, 107), "u2" if is_strided else "f4")
    values[tuple(planted.T)] = 1
    write_deep(tmp_path / "a.zarr", values, is_strided=is_strided, rounds_up=rounds_up)
    pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(MemoryCache(256 * 2**20)))
    assert pyramid.shapes == pyramid.padded_shapes
    layer_kind, options = ("labels", {}) if is_strided else ("image", {"contrast_limits": (0, 1)})
    layer, status = add(viewer, pyramid, layer_kind, **options)
    viewer.dims.set_current_step(0, 16)
    for level in range(DEPTH):
        layer.locked_data_level = level
        tolerance = 0.01 if is_strided else (2**level - 1) / 2 + 0.01
        viewer.dims.ndisplay = 3
        qtbot.waitUntil(lambda: status.state.is_exact)
        assert_drawn_where_planted(viewer, layer, planted, tolerance)
        viewer.dims.ndisplay = 2
        qtbot.waitUntil(lambda: status.state.is_exact)
        in_plane = planted[planted[:, 0] // 2**level == 16 // 2**level]
        assert_drawn_where_planted(viewer, layer, in_plane[:, 1:], tolerance)


@pytest.mark.parametrize("is_strided", [False, True])
def test_each_plane_is_the_nearest_one_of_a_level_two_and_a_half_times_as_coarse(
    is_strided, qtbot, viewer, served, tmp_path
):
    factor, sizes = 2.5, (28, 11)  # of which the last half plane is lost
    places = [np.arange(28.0), np.arange(11) * factor if is_strided else (np.arange(11) + 0.5) * factor - 0.5]
    group, datasets = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2), []
    for level, (size, at) in enumerate(zip(sizes, places, strict=True)):
        values = np.broadcast_to(at[:, None, None] + 100, (size, size, size)).astype("f4")
        group.create_array(str(level), shape=values.shape, chunks=(4, 16, 16), dtype="f4")[...] = values
        scale = {"type": "scale", "scale": [SPACING * factor**level] * 3}
        datasets.append({"path": str(level), "coordinateTransformations": [scale]})
    axes = [{"name": name, "type": "space", "unit": "angstrom"} for name in "zyx"]
    how = {"type": "nearest"} if is_strided else {}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets} | how]
    layer, status = add(viewer, open_pyramid(f"{served.url}/a.zarr"), contrast_limits=(100, 128))
    layer.locked_data_level = 1
    for z in range(28):
        viewer.dims.set_current_step(0, z)
        qtbot.waitUntil(lambda: status.state.is_exact)
        shown = layer._slice.image.raw
        assert shown.shape == (11, 11)
        assert abs(shown[0, 0] - 100 - z) == np.abs(places[1] - z).min()


@pytest.mark.parametrize("kind", ["tomogram", "instances"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_value_under_the_mouse_in_3d_is_of_the_voxel_that_is_drawn_there(
    level, kind, qtbot, viewer, served, tmp_path
):
    factor = 2**level
    places = np.array([(44, 68, 56), (8, 16, 8), (20, 40, 28), (40, 64, 4)])
    values = np.zeros(SHAPE, {"tomogram": "f4", "instances": "u2"}[kind])
    for number, (z, y, x) in enumerate(places, 1):
        values[z : z + factor, y : y + factor, x : x + factor] = number
    layer_kind, options = ("image", {"contrast_limits": (0, 4)}) if kind == "tomogram" else ("labels", {})
    layer, status = add(viewer, stream(served, tmp_path, values, kind), layer_kind, **options)
    viewer.dims.ndisplay = 3
    layer.locked_data_level = level
    qtbot.waitUntil(lambda: status.state.is_exact)
    coarse = layer._slice.image.raw
    centres = places + ((factor - 1) / 2 if kind == "tomogram" else 0.0)
    for place, centre in zip(places // factor, centres, strict=True):
        for axis, near in itertools.product(range(3), (-0.4, 0.0, 0.4)):
            beside = centre + np.where(np.arange(3) == axis, 0.0, near * factor)
            if (beside < 0).any() or (beside > np.array(SHAPE) - 1).any():
                continue
            ahead = {"view_direction": np.eye(3)[axis], "dims_displayed": [0, 1, 2], "world": True}
            assert layer.get_value(beside * SPACING, **ahead) == (level, coarse[tuple(place)]), (place, axis, near)


@pytest.mark.parametrize("kind", ["tomogram", "instances"])
def test_an_oblique_plane_is_drawn_where_the_layer_says_at_every_level(kind, qtbot, viewer, served, tmp_path):
    values = np.zeros(SHAPE, {"tomogram": "f4", "instances": "u2"}[kind])
    layer_kind, options = ("image", {"contrast_limits": (0, 1)}) if kind == "tomogram" else ("labels", {})
    layer, status = add(viewer, stream(served, tmp_path, values, kind), layer_kind, **options)
    layer.depiction = "plane"
    layer.plane.normal = (0, 3, 4)
    viewer.dims.ndisplay = 3
    for level, place in itertools.product((None, 1, 0), [(30, 40, 20), (8.5, 70, 3)]):
        layer.locked_data_level = level
        layer.plane.position = place
        qtbot.waitUntil(lambda: status.state.is_exact)
        node = viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
        np.testing.assert_allclose(drawn_centre(viewer, layer, node.plane_position) / SPACING, place, atol=1e-3)
        np.testing.assert_allclose(np.divide(node.plane_normal, np.linalg.norm(node.plane_normal)), (0, 0.6, 0.8))


def test_an_oblique_plane_moves_through_what_three_dimensions_have_and_asks_for_nothing(
    qtbot, viewer, served, tmp_path
):
    pyramid = stream(served, tmp_path, noise())
    layer, status = add(viewer, pyramid)
    layer.depiction = "plane"
    viewer.dims.ndisplay = 3
    wait_exact(qtbot, status, layer, pyramid.read(2))
    wait_until_quiet(qtbot, pyramid, served)
    seen = len(served.requests)
    for place, normal in [((30, 40, 20), (0, 3, 4)), ((8.5, 70, 3), (1, 1, 1)), ((44, 0, 57), (1, 0, 0))]:
        layer.plane.position, layer.plane.normal = place, normal
        assert status.state.is_exact
        wait_until_quiet(qtbot, pyramid, served)
    assert len(served.requests) == seen
    wait_exact(qtbot, status, layer, pyramid.read(2))


def test_a_picture_of_two_axes_goes_on_to_sharpen_in_3d_whatever_its_depiction_is(qtbot, viewer, served, tmp_path):
    values = noise_of_cells((41, 50))
    write_image(tmp_path / "a.zarr", values, "yx")
    layer, status = add(viewer, open_pyramid(f"{served.url}/a.zarr"), scale=(1.0, 1.0))
    viewer.dims.ndisplay = 3
    layer.depiction = "plane"
    layer.plane.position = (3, 4, 5)
    layer.locked_data_level = 0
    wait_exact(qtbot, status, layer, values)


@pytest.mark.parametrize(("kind", "layer_kind"), [("tomogram", "image"), ("mask", "labels")])
def test_a_finer_volume_is_the_coarser_one_until_it_has_come(kind, layer_kind, qtbot, viewer, served, tmp_path):
    values = noise() if kind == "tomogram" else (noise() > 1).astype("i1")
    pyramid = stream(served, tmp_path, values, kind)
    layer, status = add(viewer, pyramid, layer_kind)
    viewer.dims.ndisplay = 3
    truth = open_pyramid(tmp_path / "a.zarr")
    fine, coarse = truth.read(1), truth.read(2)
    wait_exact(qtbot, status, layer, coarse)
    wait_until_quiet(qtbot, pyramid, served)
    served.gate.clear()
    layer.locked_data_level = 1
    halves = [np.minimum(np.arange(size) // 2, n - 1) for size, n in zip(fine.shape, coarse.shape, strict=True)]
    assert np.array_equal(layer._slice.image.raw, coarse[np.ix_(*halves)])
    assert not status.state.is_exact
    served.gate.set()
    wait_exact(qtbot, status, layer, fine)


@pytest.mark.parametrize("kind", ["tomogram", "instances"])
def test_a_volume_of_which_nothing_is_known_is_a_few_voxels_in_its_place(kind, qtbot, viewer, served, tmp_path):
    values = np.zeros(SHAPE, {"tomogram": "f4", "instances": "u2"}[kind])
    planted = PLANTED // 4 * 4
    values[tuple(planted.T)] = 1
    layer_kind, options = ("image", {"contrast_limits": (0, 1)}) if kind == "tomogram" else ("labels", {})
    pyramid = stream(served, tmp_path, values, kind)
    viewer.dims.ndisplay = 3
    served.gate.clear()
    layer, status = add(viewer, pyramid, layer_kind, **options)

    placeholder = layer._slice.image.raw.shape
    assert max(placeholder) <= 3
    first, last = (drawn_centre(viewer, layer, np.multiply(placeholder, at) - 0.5) / SPACING for at in (0, 1))
    offset = -0.5 if kind == "tomogram" else -2.0  # a voxel made by taking every 4th lies around the one it is
    np.testing.assert_allclose(first, [offset] * 3, atol=1e-3)
    np.testing.assert_allclose(last, np.multiply(pyramid.shapes[2], 4) + offset, atol=1e-3)

    served.gate.set()
    qtbot.waitUntil(lambda: status.state.is_exact and layer._slice.image.raw.shape == pyramid.shapes[2])
    assert_drawn_where_planted(viewer, layer, planted, 0.01 if kind == "instances" else 1.51)


@pytest.mark.parametrize("shape", [SHAPE, (32, 300, 256), (4, 64, 310)])
def test_what_stands_for_a_volume_has_a_power_of_two_where_the_volume_has(shape, qtbot, viewer, served, tmp_path):
    pyramid = stream(served, tmp_path, np.ones(shape, "f4"))
    viewer.dims.ndisplay = 3
    served.gate.clear()
    layer, status = add(viewer, pyramid, contrast_limits=(0, 1))
    placeholder = layer._slice.image.raw.shape
    served.gate.set()
    qtbot.waitUntil(lambda: status.state.is_exact)
    drawn = layer._slice.image.raw.shape
    assert max(placeholder) <= 3 < max(drawn)
    assert [size.bit_count() == 1 for size in placeholder] == [size.bit_count() == 1 for size in drawn]


@pytest.mark.parametrize("level", [1, 2])
def test_the_plane_of_a_coarse_level_is_the_one_that_covers_the_point(level, qtbot, viewer, served, tmp_path):
    factor = 2**level
    pyramid = stream(served, tmp_path, np.arange(45, dtype="f4")[:, None, None] * np.ones(SHAPE, "f4"))
    coarse = pyramid.read(level)
    layer, status = add(viewer, pyramid, contrast_limits=(0, 45))
    layer.locked_data_level = level
    for z in range(45):
        viewer.dims.set_current_step(0, z)
        wait_exact(qtbot, status, layer, coarse[z // factor])


def test_a_coarse_picture_stands_in_until_the_exact_one_is_there(qtbot, viewer, served, tmp_path):
    values = np.zeros((45, 300, 310), "f4")
    values[10:30, 100:200, 50:100] = 1
    pyramid = stream(served, tmp_path, values)
    pyramid.read(2)
    served.gate.clear()
    layer, status = add(viewer, pyramid, contrast_limits=(0, 1))
    raw = layer._slice.image.raw
    assert raw.shape == (300, 310)
    assert np.abs(raw - values[22]).sum() / raw.size < 0.02
    served.gate.set()
    wait_exact(qtbot, status, layer, values[22])


def test_a_failing_server_is_told_and_retried_and_never_raises(qtbot, viewer, served, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    values = noise()
    pyramid = stream(served, tmp_path, values)
    served.statuses["a.zarr/0/"] = 503
    layer, status = add(viewer, pyramid)
    with qtbot.waitSignal(status.changed, check_params_cb=lambda state: state.error is not None):
        pass
    assert isinstance(status.state.error, StreamError)
    assert not status.state.is_exact
    served.statuses.clear()
    status.retry()
    wait_exact(qtbot, status, layer, values[22])
    assert status.state.error is None


def test_stop_asks_for_nothing_and_retry_goes_on(qtbot, viewer, served, tmp_path):
    values = noise()
    pyramid = stream(served, tmp_path, values)
    layer, status = make_layer(image_of(pyramid), viewer=viewer)
    status.stop()
    viewer.layers.append(layer)
    wait_until_quiet(qtbot, pyramid, served)
    seen = len(served.requests)
    viewer.dims.set_current_step(0, 3)
    wait_until_quiet(qtbot, pyramid, served)
    assert len(served.requests) == seen
    assert status.state.is_stopped
    status.retry()
    wait_exact(qtbot, status, layer, values[3])


def test_a_removed_layer_fetches_nothing_and_goes_on_when_it_comes_back(qtbot, viewer, served, tmp_path):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values))
    wait_exact(qtbot, status, layer, values[22])
    viewer.layers.remove(layer)
    assert status.state.is_stopped
    viewer.layers.append(layer)
    viewer.dims.set_current_step(0, 2)
    wait_exact(qtbot, status, layer, values[2])


def test_a_layer_that_moves_to_another_viewer_goes_on_there(qtbot, viewer, served, tmp_path):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values), metadata={METADATA_KEY: {}})
    wait_exact(qtbot, status, layer, values[22])
    other = ViewerModel()
    adopt_layers_of(other)
    viewer.layers.remove(layer)
    other.add_layer(layer)
    other.dims.set_current_step(0, 3)
    wait_exact(qtbot, status, layer, values[3])
    assert status.view == id(other.layers)
    other.layers.remove(layer)
    assert status.state.is_stopped


def test_a_layer_in_two_viewers_goes_on_when_it_leaves_one(qtbot, viewer, served, tmp_path):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values), metadata={METADATA_KEY: {}})
    other = ViewerModel()
    adopt_layers_of(other)
    other.add_layer(layer)
    viewer.layers.remove(layer)
    other.dims.set_current_step(0, 3)
    wait_exact(qtbot, status, layer, values[3])


def test_a_layer_of_which_the_plane_shows_nothing_lacks_nothing(qtbot, viewer, served, tmp_path):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values), visible=False)
    viewer.add_points([[60, 0, 0]], scale=layer.scale, units="angstrom", ndim=3)  # whose plane can be gone to
    viewer.dims.set_current_step(0, 50)
    layer.visible = True
    assert layer._slice.empty
    assert status.state.is_exact
    served.gate.clear()
    viewer.dims.set_current_step(0, 5)
    assert not status.state.is_exact
    viewer.dims.set_current_step(0, 50)
    assert status.state.is_exact
    served.gate.set()
    viewer.dims.set_current_step(0, 5)
    wait_exact(qtbot, status, layer, values[5])


def test_a_layer_that_was_stopped_by_hand_is_still_stopped_when_it_comes_back(qtbot, viewer, served, tmp_path):
    values = noise()
    pyramid = stream(served, tmp_path, values)
    layer, status = add(viewer, pyramid)
    wait_exact(qtbot, status, layer, values[22])
    status.stop()
    viewer.layers.remove(layer)
    viewer.layers.append(layer)
    assert status.state.is_stopped
    wait_until_quiet(qtbot, pyramid, served)
    seen = len(served.requests)
    viewer.dims.set_current_step(0, 2)
    wait_until_quiet(qtbot, pyramid, served)
    assert len(served.requests) == seen
    status.retry()
    wait_exact(qtbot, status, layer, values[2])


def test_closing_the_viewer_leaves_no_thread(qtbot, make_napari_viewer, served, tmp_path):
    before = set(threading.enumerate())  # what other tests have left may take longer
    viewer = make_napari_viewer(show=True)
    _, status = add(viewer, stream(served, tmp_path, noise()))
    qtbot.waitUntil(lambda: status.state.is_exact)
    viewer.close()

    def fetching():
        return [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("napari-cryoet")]

    qtbot.waitUntil(lambda: not fetching())


def test_a_layer_that_is_forgotten_lets_go_of_its_display(qtbot, served, tmp_path):
    import gc
    import weakref

    pyramid = stream(served, tmp_path, noise())
    layer, status = make_layer(image_of(pyramid))
    gone = weakref.ref(layer)
    display = layer._slicing_state.display
    qtbot.wait(1)
    del layer, status
    gc.collect()
    assert gone() is None
    assert display._is_closed


def test_other_data_given_to_the_layer_are_drawn(qtbot, viewer, served, tmp_path):
    layer, status = add(viewer, stream(served, tmp_path, noise()))
    qtbot.waitUntil(lambda: status.state.is_exact)
    others = [np.full((48 // f, 72 // f, 60 // f), 2, "f4") for f in (1, 2, 4)]
    layer.data = others
    layer.refresh()
    assert (layer._slice.image.raw == 2).all()


def test_a_layer_that_is_given_other_data_streams_no_more_until_its_own_are_back(qtbot, viewer, served, tmp_path):
    values = noise()
    pyramid = stream(served, tmp_path, values)
    served.gate.clear()
    layer, status = add(viewer, pyramid)
    layer.data = [np.full((48 // f, 72 // f, 60 // f), 2, "f4") for f in (1, 2, 4)]
    assert (stream_of(layer), display_of(layer)) == (None, None)
    assert status.state.is_stopped
    viewer.layers.remove(layer)
    viewer.layers.append(layer)
    viewer.dims.set_current_step(0, 4)
    assert status.state.is_stopped
    layer.data = pyramid.levels
    assert stream_of(layer) is status
    served.gate.set()
    viewer.dims.set_current_step(0, 5)
    wait_exact(qtbot, status, layer, values[5])


def test_other_data_are_sliced_by_nobody_but_napari(qtbot, viewer, served, tmp_path):
    pyramid = stream(served, tmp_path, noise())
    layer, status = add(viewer, pyramid)
    for data, is_its_own in (
        ([np.full((48 // f, 72 // f, 60 // f), 2, "f4") for f in (1, 2, 4)], False),
        (pyramid.levels, True),
    ):
        layer.data = data
        status._wake()  # as pausing it does, or what was under way
        assert status.redraw() == is_its_own


def test_the_layer_keeps_its_class_and_name(qtbot, viewer, served, tmp_path):
    layer, _ = add(viewer, stream(served, tmp_path, noise()), name="tomogram")
    assert isinstance(layer, Image)
    assert layer.as_layer_data_tuple()[2] == "image"


def test_a_layer_that_is_in_the_viewer_already_can_stream(qtbot, viewer, served, tmp_path):
    values = noise()
    pyramid = stream(served, tmp_path, values)
    layer = viewer.add_image(pyramid.levels, contrast_limits=(-3, 3), cache=False)
    status = attach(layer, pyramid, viewer=viewer)
    viewer.dims.set_current_step(0, 9)
    wait_exact(qtbot, status, layer, values[9])


def test_a_picture_that_sharpens_may_be_drawn_twenty_times_a_second_and_a_volume_three_times(
    qtbot, viewer, served, tmp_path
):
    pyramid = stream(served, tmp_path, noise())
    served.gate.clear()
    _, status = add(viewer, pyramid)
    rests_s = []
    for ndisplay in (2, 3):
        viewer.dims.ndisplay = ndisplay
        status._drawn_at = 1000.0
        rests_s.append(status.may_redraw_at() - 1000.0)
    assert rests_s == pytest.approx([1 / 20, 1 / 3], rel=0.02)
    served.gate.set()
    qtbot.waitUntil(lambda: status.state.is_exact)


def test_a_volume_that_sharpens_is_drawn_at_most_three_times_a_second(qtbot, viewer, served, tmp_path):
    served.latency_s = 0.005
    pyramid = stream(served, tmp_path, noise((300, 300, 300)))
    _, status = add(viewer, pyramid)
    drawn = []
    status.changed.connect(lambda _: drawn.append(status._drawn_at))
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: status.state.is_exact)
    qtbot.wait(400)
    moments = sorted(set(drawn) - {-math.inf})
    assert moments
    assert all(later - earlier > 0.3 for earlier, later in itertools.pairwise(moments))


def test_a_napari_with_another_seam_slices_exact_arrays_on_its_own_thread(qtbot, viewer, served, tmp_path, monkeypatch):
    monkeypatch.setattr(progressive, "lacks", lambda feature: ("something else",))
    values = noise()
    pyramid = stream(served, tmp_path, values)
    settings = get_settings().experimental
    try:
        layer, status = add(viewer, pyramid)
        assert settings.async_
        assert stream_of(layer) is status  # so that the dock can say how the layer loads
        assert not status.state.is_progressive
        status.stop()
        status.retry()
        qtbot.waitUntil(lambda: np.array_equal(layer._slice.image.raw[:71, :58], values[22]))
    finally:
        settings.async_ = False


def test_what_a_person_has_saved_of_napari_is_not_changed(tmp_path, monkeypatch):
    settings = get_settings()
    monkeypatch.setitem(settings.env_settings, "experimental", {})
    try:
        plain_slicing.slice_on_another_thread()
        assert settings.experimental.async_
        settings.save(tmp_path / "saved.yaml")
        assert "async" not in (tmp_path / "saved.yaml").read_text()
    finally:
        settings.experimental.async_ = False


def test_a_layer_whose_data_do_not_stream_is_made_as_ever():
    layer, status = make_layer(LayerSpec(np.zeros((8, 8, 8), "f4"), {"name": "plain"}, "image"))
    assert (layer.name, status) == ("plain", None)
    layer, status = make_layer(LayerSpec(np.zeros((2, 3)), {"size": 3}, "points"))
    assert (len(layer.data), status) == (2, None)


def test_an_mrc_file_of_one_level_streams_too(qtbot, viewer, tmp_path):
    values = noise()
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(values)
    levels, _ = open_mrc(tmp_path / "a.mrc")
    layer, status = make_layer(LayerSpec(levels, {"contrast_limits": (-3, 3)}, "image"), viewer=viewer)
    viewer.add_layer(layer)
    wait_exact(qtbot, status, layer, values[22])
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 70)
    wait_exact(qtbot, status, layer, values[:, 70])
    viewer.dims.ndisplay = 3
    wait_exact(qtbot, status, layer, values.transpose(1, 0, 2))


@pytest.mark.parametrize("is_made_before", [False, True])
@pytest.mark.parametrize(("kind", "seen"), [("image", slice(12, 30)), ("labels", slice(20, 22))])
def test_objects_are_not_drawn_out_whatever_the_file_says(kind, seen, is_made_before, qtbot, tmp_path, monkeypatch):
    """The portal's files of plain masks don't say that they are labels."""
    monkeypatch.setattr(Fetcher, "ask", lambda *_, **__: None)  # so that nothing comes, though it is expected
    values, memory = np.ones((40, 12, 10), "i1"), MemoryCache(2**20)
    options = {"shape": values.shape, "chunks": (2, 12, 10), "dtype": values.dtype, "zarr_format": 2}
    zarr.create_array(tmp_path / "mask.zarr", **options)[...] = values
    pyramid = open_pyramid(tmp_path / "mask.zarr", fetcher=Fetcher(memory))
    assert (pyramid.is_labels, pyramid.coarse_offset) == (False, "mean")
    options = {"visible": False} | ({"contrast_limits": (0, 1)} if kind == "image" else {})
    if is_made_before:
        layer = {"image": Image, "labels": Labels}[kind](pyramid.levels[0], **options)
        attach(layer, pyramid)
    else:
        layer, _ = make_layer(LayerSpec(pyramid.levels[0], options, kind))
    assert pyramid.key(0, (10, 0, 0)) not in memory
    memory.put(pyramid.key(0, (10, 0, 0)), values[20:22], values[20:22].nbytes)
    display_of(layer).release()
    shown = display_of(layer).overview(0, ((0, 40), (5, 6), (0, 10)))
    expected = np.zeros(40, bool)
    expected[seen] = True
    assert np.array_equal(shown.any((1, 2)), expected)


def test_what_has_not_come_is_drawn_out_only_until_loading_is_stopped(qtbot, viewer, served, tmp_path):
    values, memory = noise((40, 12, 10)), MemoryCache(2**20)
    options = {"shape": values.shape, "chunks": (2, 12, 10), "dtype": values.dtype, "zarr_format": 2}
    zarr.create_array(tmp_path / "a.zarr", **options)[...] = values
    pyramid = open_pyramid(f"{served.url}/a.zarr", fetcher=Fetcher(memory))
    served.gate.clear()
    memory.put(pyramid.key(0, (10, 0, 0)), values[20:22], values[20:22].nbytes)
    layer, status = make_layer(image_of(pyramid), viewer=viewer)
    viewer.add_layer(layer)

    def wait_until_seen(planes):
        """Until something is seen in some planes across z, and nothing in others."""
        shown = layer._slicing_state.display
        across = {2: 1, 3: (0, 2)}

        def is_seen():
            is_there = (layer._slice.image.raw != shown.placeholder).any(across[viewer.dims.ndisplay])
            assert list(np.flatnonzero(is_there)) == list(planes)

        qtbot.waitUntil(is_seen)

    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 5)
    wait_until_seen(range(12, 30))
    status.stop()
    wait_until_seen(range(20, 22))
    viewer.dims.set_current_step(1, 6)
    wait_until_seen(range(20, 22))
    viewer.dims.ndisplay = 3
    wait_until_seen(range(20, 22))
    viewer.dims.ndisplay = 2
    wait_until_seen(range(20, 22))
    status.retry()
    wait_until_seen(range(12, 30))
    viewer.dims.ndisplay = 3
    wait_until_seen(range(20, 22))  # nothing is made up in volumes
    served.gate.set()
    wait_exact(qtbot, status, layer, values.transpose(1, 0, 2))


def test_a_layer_that_streams_goes_on_by_what_it_has_where_it_is_attached_once_more(qtbot, viewer, served, tmp_path):
    pyramid, other = stream(served, tmp_path, noise()), ViewerModel()
    layer, status = add(viewer, pyramid)
    display = display_of(layer)
    viewer.layers.remove(layer)
    assert status.state.is_stopped
    other.add_layer(layer)
    assert attach(layer, pyramid, viewer=other) is status
    assert display_of(layer) is display
    assert not status.state.is_stopped
    wait_exact(qtbot, status, layer, noise()[22])


def test_a_layer_of_other_data_is_told_to_be_of_others(qtbot, served, tmp_path, caplog):
    try:
        assert not attach(Image(np.zeros((8, 8, 8))), stream(served, tmp_path, noise())).state.is_progressive
    finally:
        get_settings().experimental.async_ = False
    assert "not this pyramid" in caplog.text


def _another_request(make_request):
    """Slice requests that are made with other arguments, as a later napari may."""

    def make(self, slice_input, data_slice):
        return make_request(self, slice_input=slice_input, data_slice=data_slice, dask_indexer=nullcontext)

    return make


def _another_state(_init):
    """A slicing state that is made of its layer alone."""

    def initialize(self, layer):
        raise AssertionError(layer)

    return initialize


@pytest.mark.parametrize(
    ("name", "other"),
    [("_make_slice_request_internal", _another_request), ("__init__", _another_state), ("data_slice", None)],
)
def test_a_napari_that_slices_with_other_arguments_slices_exact_arrays(
    name, other, qtbot, served, tmp_path, monkeypatch, caplog
):
    pyramid = stream(served, tmp_path, noise())
    layer = Image(pyramid.levels, visible=False, contrast_limits=(-3, 3))
    kind = type(layer._slicing_state)
    owner = next(each for each in kind.__mro__ if name in vars(each))
    monkeypatch.setattr(owner, name, other(vars(owner)[name]) if other else property(lambda self: self.elsewhere))
    settings = get_settings().experimental
    try:
        status = attach(layer, pyramid)
        assert settings.async_
        assert not status.state.is_progressive
        assert type(layer._slicing_state) is kind
        assert "another kind" in caplog.text
    finally:
        settings.async_ = False


def test_what_napari_has_sliced_meanwhile_is_not_sliced_again(qtbot, viewer, served, tmp_path, monkeypatch):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values))
    wait_exact(qtbot, status, layer, values[22])
    refreshed, told = [], []
    monkeypatch.setattr(type(layer), "refresh", lambda *_, **__: refreshed.append(1))
    status.changed.connect(told.append)
    status._wake()
    status.begin_slice()  # as a step of the slider does
    status.end_slice()
    qtbot.waitUntil(lambda: bool(told))
    assert not refreshed
    status._wake()
    qtbot.waitUntil(lambda: len(told) > 1)
    assert refreshed


def test_the_thumbnail_is_of_the_last_picture_too(qtbot, viewer, served, tmp_path):
    layer, status = add_mask_behind_a_gate(viewer, served, tmp_path)
    served.gate.set()
    qtbot.waitUntil(lambda: status.state.is_exact)

    qtbot.waitUntil(lambda: bool(layer.thumbnail[..., :3].any()))
    assert not status.thumbnail.is_due


def test_no_thumbnail_is_made_while_one_steps(qtbot, viewer, served, tmp_path, monkeypatch):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values))
    for plane in (20, 18, 16, 22):  # what comes later would be on another thumbnail
        viewer.dims.set_current_step(0, plane)
        wait_exact(qtbot, status, layer, values[plane])
    qtbot.waitUntil(lambda: not status.thumbnail._timer.isActive())
    made = []
    layer.events.thumbnail.connect(lambda: made.append(viewer.dims.current_step[0]))
    for plane in (20, 18, 16):
        viewer.dims.set_current_step(0, plane)
    assert not made
    assert status.thumbnail.is_due
    qtbot.waitUntil(lambda: made == [16])
    layer.opacity = 0.5
    assert made == [16, 16]


def test_the_thumbnail_is_also_of_what_napari_has_sliced_without_making_one(qtbot, viewer, served, tmp_path):
    layer, status = add_mask_behind_a_gate(viewer, served, tmp_path)
    status._redraw_timer.timeout.disconnect()
    status._redraw_timer.timeout.connect(lambda: (status.state.is_exact or layer.set_view_slice(), status._on_time()))
    served.gate.set()
    qtbot.waitUntil(lambda: status.state.is_exact)

    qtbot.waitUntil(lambda: bool(layer.thumbnail[..., :3].any()))


def add_mask_behind_a_gate(viewer, served, tmp_path):
    values = np.zeros((45, 300, 310), "i1")
    values[:, 100:200, 50:250] = 1
    pyramid = stream(served, tmp_path, values, "mask")
    served.gate.clear()
    layer, status = add(viewer, pyramid, "labels")
    assert not layer.thumbnail[..., :3].any()
    return layer, status


def test_news_of_a_layer_that_others_had_drawn_along_is_drawn_too(qtbot, monkeypatch):
    monkeypatch.setattr(progressive, "shared_redraws", progressive.shared_redraws.__class__())
    layer = Image(noise())
    status = StreamStatus(layer, None)
    status._wake()
    progressive.shared_redraws.redraw()  # another's timer was first
    with qtbot.waitSignal(status.changed):
        status._wake()


@pytest.mark.usefixtures("qtbot")
def test_news_that_came_within_the_same_tick_of_the_clock_as_a_picture_are_drawn(monkeypatch):
    layer, drawn = Image(noise()), []
    status = StreamStatus(layer, None)
    monkeypatch.setattr(progressive, "stream_of", {layer: status}.get)
    monkeypatch.setattr(layer, "refresh", lambda **_options: drawn.append(True))
    status._sliced_at = status._woken_at = 1.0  # where the clock ticks 64 times a second
    status.redraw()
    assert drawn
    status._sliced_at = 2.0
    status.redraw()
    assert len(drawn) == 1


def test_a_step_puts_off_looking_for_garbage_and_what_sharpens_by_itself_does_not(
    qtbot, viewer, served, tmp_path, monkeypatch
):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values))
    wait_exact(qtbot, status, layer, values[22])
    moments = []
    monkeypatch.setattr(progressive.shared_tidying(), "put_off", lambda: moments.append(viewer.dims.current_step[0]))
    viewer.dims.set_current_step(0, 9)
    assert set(moments) == {9}
    wait_exact(qtbot, status, layer, values[9])
    moments.clear()
    status._wake()
    with qtbot.waitSignal(status.changed):
        pass
    assert not moments


def test_how_far_a_picture_is_gets_told_also_where_somebody_fails_who_hears_of_it(qtbot, viewer, served, tmp_path):
    layer, status = add(viewer, stream(served, tmp_path, noise()))
    qtbot.waitUntil(lambda: status.state.is_exact)
    told = []
    status.changed.connect(told.append)

    def fail(_event):
        raise RuntimeError("of another plugin")

    layer.events.set_data.connect(fail)
    status._woken_at = math.inf
    with pytest.raises(RuntimeError, match="another plugin"):
        status.redraw()
    layer.events.set_data.disconnect(fail)
    assert [state.is_exact for state in told] == [True]


def test_a_layer_is_drawn_again_though_one_that_is_drawn_before_it_fails(qtbot, monkeypatch):
    monkeypatch.setattr(progressive, "shared_redraws", progressive.shared_redraws.__class__())
    layers = [Image(noise()), Image(noise())]
    first, second = [StreamStatus(layer, None) for layer in layers]
    monkeypatch.setattr(progressive, "stream_of", dict(zip(layers, (first, second), strict=True)).get)
    monkeypatch.setattr(layers[0], "refresh", lambda **_options: 1 / 0)
    first._wake()
    first._redraw_timer.stop()
    with qtbot.captureExceptions() as errors, qtbot.waitSignal(second.changed):
        second._wake()  # whose timer draws both
    assert [kind for kind, _, _ in errors] == [ZeroDivisionError]


def test_how_much_of_a_large_file_has_come_is_told_though_nothing_of_it_can_be_drawn_yet(
    qtbot, viewer, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_cryoet.http_bodies._MAX_SKIP_BYTES", 2**16)
    values = noise((12, 256, 256))
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(values)
    with FaultServer() as server, Gate(is_in_middle=True) as gate:
        files = Faulty(faults.files(tmp_path), faults.whole)
        levels, _ = open_mrc(server.behave(files).replace("/file", "/a.mrc"))
        files.fault = lambda good: gate(faults.whole(good))
        layer, status = make_layer(LayerSpec(levels, {"contrast_limits": (-3, 3)}, "image"), viewer=viewer)
        told = [0]
        status.changed.connect(lambda state: told.append(state.bytes_read))
        viewer.add_layer(layer)
        qtbot.waitUntil(lambda: told[-1] >= 2**20)
        assert not status.state.is_exact
        gate.open()
        wait_exact(qtbot, status, layer, values[5])
        qtbot.waitUntil(lambda: not status._say_again.isActive())


def test_a_step_counts_as_one_and_what_is_drawn_again_after_it_does_not(qtbot, viewer, served, tmp_path, monkeypatch):
    values, steps = noise(), []
    layer, status = add(viewer, stream(served, tmp_path, values))
    wait_exact(qtbot, status, layer, values[22])
    served.gate.clear()
    monkeypatch.setattr(progressive.shared_redraws, "step", lambda layer_status, _at: steps.append(layer_status))
    viewer.dims.set_current_step(0, 7)
    assert not status.state.is_exact
    served.gate.set()
    wait_exact(qtbot, status, layer, values[7])
    assert steps == [status]


def test_a_picture_that_makes_way_for_steps_says_how_far_it_is(qtbot, viewer, served, tmp_path, monkeypatch):
    layer, status = add(viewer, stream(served, tmp_path, noise()))
    wait_exact(qtbot, status, layer, noise()[22])
    monkeypatch.setattr(Redraws, "_may_redraw_at", lambda self, redrawn, now: now + 0.05)
    drawn = []
    layer.events.set_data.connect(drawn.append)
    with qtbot.waitSignal(status.changed):
        status._wake()
    assert not drawn
    monkeypatch.setattr(progressive, "_SILENT_S", 1000)
    with qtbot.assertNotEmitted(status.changed, wait=200):  # each time that it is put off again
        status._wake()


def test_what_streamed_in_a_layer_before_it_was_given_another_image_is_gone(qtbot, viewer, served, tmp_path):
    layer = add(viewer, stream(served, tmp_path, noise()))[0]
    qtbot.waitUntil(lambda: stream_of(layer).state.is_exact)
    gone = weakref.ref(display_of(layer))
    write_pyramid(tmp_path / "b.zarr", noise((44, 60, 52)), SPACING)
    layer.data = open_pyramid(f"{served.url}/b.zarr", fetcher=Fetcher(MemoryCache(256 * 2**20))).levels
    qtbot.waitUntil(lambda: stream_of(layer).state.is_exact)
    qtbot.waitUntil(lambda: gc.collect() >= 0 and gone() is None)


def test_a_layer_that_was_given_another_image_while_it_was_out_streams_that(qtbot, viewer, served, tmp_path):
    layer, _ = add(viewer, stream(served, tmp_path, noise()))
    viewer.layers.remove(layer)
    values = noise((44, 60, 52))
    write_pyramid(tmp_path / "b.zarr", values, SPACING)
    pyramid = open_pyramid(f"{served.url}/b.zarr", fetcher=Fetcher(MemoryCache(256 * 2**20)))
    layer.data = pyramid.levels
    viewer.add_layer(layer)
    viewer.dims.set_current_step(0, 9)
    assert display_of(layer) is not None
    wait_exact(qtbot, stream_of(layer), layer, values[9])


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_a_layer_that_is_given_its_own_levels_again_is_as_large_as_before(kind, qtbot, viewer, served, tmp_path):
    values = noise((43, 67, 53)) if kind == "image" else (noise((43, 67, 53)) > 1).astype(np.int8)
    pyramid = stream(served, tmp_path, values, "tomogram" if kind == "image" else "mask")
    layer, status = add(viewer, pyramid, kind)
    for levels in (pyramid.levels, layer.data):
        layer.data = levels
        assert layer.data.shape == (43, 67, 53)
    viewer._new_labels()  # what napari's button does
    assert viewer.layers[-1].data.shape == (43, 67, 53)
    assert stream_of(layer) is status


def test_a_hidden_layer_does_not_say_for_ever_how_far_it_is(qtbot, viewer, served, tmp_path):
    pyramid = stream(served, tmp_path, noise())
    served.gate.clear()
    layer, status = add(viewer, pyramid)
    qtbot.waitUntil(status._say_again.isActive)
    layer.visible = False
    served.gate.set()
    qtbot.waitUntil(lambda: not status.state.missing_blocks and not status._say_again.isActive(), timeout=5000)
