"""Streamed layers in a real viewer: no reads on the GUI thread, and exact final pictures at exact positions."""

import itertools
import threading

import mrcfile
import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt import seam
from napari_cryoet._qt.streaming.progressive import make_layer
from napari_cryoet.exceptions import StreamError
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import LayerSpec
from napari_cryoet.streaming import Pyramid, open_pyramid
from napari_cryoet.streaming.engine import shared_engine
from napari_cryoet.volumes.opening import open_mrc
from ome_images import write_image
from qt.two_picks import messages
from server import Server
from server import status as refuse_with

SHAPE = (45, 71, 58)
SPACING = 13.48


def noise(shape=SHAPE):
    return np.random.default_rng(0).normal(size=shape).astype("f4")


@pytest.fixture
def served(tmp_path):
    with Server(tmp_path) as server:
        yield server


@pytest.fixture
def viewer(viewer_in_window):
    return viewer_in_window


def stream(served, tmp_path, values, kind="tomogram"):
    write_pyramid(tmp_path / "a.zarr", values, SPACING, kind)
    return open_pyramid(f"{served.url}/a.zarr")


def add(viewer, pyramid, kind="image", **options):
    options = {"scale": (SPACING,) * 3, "units": "angstrom", **options}
    if kind == "image":
        options.setdefault("contrast_limits", (-3, 3))
    layer, status = make_layer(LayerSpec(pyramid.levels, options, kind), viewer=viewer)
    viewer.add_layer(layer)
    return layer, status


def wait_exact(qtbot, status, layer, expected):
    """Wait until napari's slice equals the expected values."""

    def is_drawn():
        assert status.state.is_exact
        assert np.array_equal(layer._slice.image.raw, expected)

    qtbot.waitUntil(is_drawn)


def wait_until_quiet(qtbot, served):
    """Wait until no requests are in flight or queued."""
    QApplication.processEvents()  # pending events may send requests
    qtbot.waitUntil(lambda: shared_engine().is_idle and not served.answering)


@pytest.mark.parametrize("is_async", [False, True])
def test_every_plane_becomes_exact(is_async, qtbot, viewer, served, tmp_path):
    get_settings().experimental.async_ = is_async  # reset with the viewer
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values))
    wait_exact(qtbot, status, layer, values[22])
    for z in (0, 44, 7):
        viewer.dims.set_current_step(0, z)
        wait_exact(qtbot, status, layer, values[z])


def test_planes_along_other_axes_become_exact(qtbot, viewer, served, tmp_path):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values))
    for axis, order in ((1, (1, 0, 2)), (2, (2, 0, 1))):
        viewer.dims.order = order
        viewer.dims.set_current_step(axis, 33)
        wait_exact(qtbot, status, layer, np.take(values, 33, axis))


def test_no_data_are_read_on_the_gui_thread(qtbot, viewer, served, tmp_path, monkeypatch):
    values = noise()
    pyramid = stream(served, tmp_path, values)

    def refuse(*_, **__):
        raise AssertionError("exact values are read synchronously")

    monkeypatch.setattr(Pyramid, "read", refuse)
    gui = threading.get_ident()
    read = type(pyramid.image.files.source).read

    def guarded(self, *arguments, **options):
        assert threading.get_ident() != gui
        return read(self, *arguments, **options)

    monkeypatch.setattr(type(pyramid.image.files.source), "read", guarded)
    layer, status = add(viewer, pyramid)
    wait_exact(qtbot, status, layer, values[22])
    viewer.dims.set_current_step(0, 3)
    viewer.scene.camera.zoom *= 3
    qtbot.waitUntil(lambda: status.state.is_exact)
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: status.state.is_exact)


def test_a_2d_image_streams(qtbot, viewer, served, tmp_path):
    values = noise((150, 130))
    write_image(tmp_path / "yx.zarr", values, "yx", levels=3, chunks=(64, 64))
    pyramid = open_pyramid(f"{served.url}/yx.zarr", cache=None)
    served.script("", None)
    layer, status = add(viewer, pyramid, scale=(SPACING,) * 2)
    assert layer.ndim == 2
    assert not status.state.is_exact
    served.end()
    qtbot.waitUntil(lambda: status.state.is_exact)
    viewer.reset_view()
    layer.locked_data_level = 0
    wait_exact(qtbot, status, layer, values)


def drawn_centre(viewer, layer, index_yx):
    """The world position, as y, x or z, y, x, of the centre of a pixel in the drawn texture."""
    node = viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
    texture_xyz = np.asarray(index_yx)[::-1] + (0.5 if len(index_yx) == 2 else 0.0)
    return node.transform.map(texture_xyz)[: len(index_yx)][::-1]


PLANTED = np.array(
    [(0, 0, 0), (44, 70, 57), (21, 34, 55), (22, 35, 13), (23, 69, 2), (43, 1, 30), (8, 40, 28)]
)


def assert_drawn_where_planted(viewer, layer, planted, tolerance):
    """Assert that bright pixels and planted voxels are at the same positions."""
    bright = np.argwhere(layer._slice.image.raw)
    centres = np.array([drawn_centre(viewer, layer, index) for index in bright]) / SPACING
    distances = np.abs(centres[:, None] - planted[None]).max(axis=-1)
    assert distances.min(axis=0).max() <= tolerance
    assert distances.min(axis=1).max() <= tolerance


@pytest.mark.parametrize(("level", "kind"), [(0, "mask"), (1, "instances"), (2, "tomogram")])
def test_planted_voxels_are_drawn_at_their_positions_at_every_level(
    level, kind, qtbot, viewer, served, tmp_path
):
    factor = 2**level
    # coarse levels of instances keep only every n-th voxel: plant there
    planted = PLANTED // factor * factor if kind == "instances" else PLANTED
    values = np.zeros(SHAPE, {"tomogram": "f4", "mask": "i1", "instances": "u2"}[kind])
    values[tuple(planted.T)] = 1
    layer_kind, options = (
        ("image", {"contrast_limits": (0, 1)}) if kind == "tomogram" else ("labels", {})
    )
    layer, status = add(viewer, stream(served, tmp_path, values, kind), layer_kind, **options)
    layer.locked_data_level = level
    tolerance = 0.01 if kind == "instances" else (factor - 1) / 2 + 0.01
    for z in {int(z) for z in planted[:3, 0]}:
        viewer.dims.set_current_step(0, z)
        qtbot.waitUntil(lambda: status.state.is_exact)
        in_plane = planted[planted[:, 0] // factor == z // factor]
        assert_drawn_where_planted(viewer, layer, in_plane[:, 1:], tolerance)
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: status.state.is_exact)
    assert_drawn_where_planted(viewer, layer, planted, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tomogram", "instances"])
def test_an_oblique_plane_is_drawn_at_its_position_at_every_level(
    kind, qtbot, viewer, served, tmp_path
):
    values = np.zeros(SHAPE, {"tomogram": "f4", "instances": "u2"}[kind])
    layer_kind, options = (
        ("image", {"contrast_limits": (0, 1)}) if kind == "tomogram" else ("labels", {})
    )
    layer, status = add(viewer, stream(served, tmp_path, values, kind), layer_kind, **options)
    layer.depiction = "plane"
    layer.plane.normal = (0, 3, 4)
    viewer.dims.ndisplay = 3
    for level, position in itertools.product((None, 1, 0), [(30, 40, 20), (8.5, 70, 3)]):
        layer.locked_data_level = level
        layer.plane.position = position
        qtbot.waitUntil(lambda: status.state.is_exact)
        node = viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
        np.testing.assert_allclose(
            drawn_centre(viewer, layer, node.plane_position) / SPACING, position, atol=1e-3
        )
        np.testing.assert_allclose(
            np.divide(node.plane_normal, np.linalg.norm(node.plane_normal)), (0, 0.6, 0.8)
        )


@pytest.mark.parametrize(("kind", "layer_kind"), [("tomogram", "image"), ("mask", "labels")])
def test_a_volume_shows_the_coarser_level_until_the_finer_one_loads(
    kind, layer_kind, qtbot, viewer, served, tmp_path
):
    values = noise() if kind == "tomogram" else (noise() > 1).astype("i1")
    pyramid = stream(served, tmp_path, values, kind)
    layer, status = add(viewer, pyramid, layer_kind)
    viewer.dims.ndisplay = 3
    truth = open_pyramid(tmp_path / "a.zarr")
    fine, coarse = truth.read(1), truth.read(2)
    wait_exact(qtbot, status, layer, coarse)
    wait_until_quiet(qtbot, served)
    served.script("", None)
    layer.locked_data_level = 1
    halves = [
        np.minimum(np.arange(size) // 2, n - 1)
        for size, n in zip(fine.shape, coarse.shape, strict=True)
    ]
    assert np.array_equal(layer._slice.image.raw, coarse[np.ix_(*halves)])
    assert not status.state.is_exact
    served.end()
    wait_exact(qtbot, status, layer, fine)


@pytest.mark.usefixtures("quick_retries")
def test_server_errors_are_reported_and_can_be_retried(
    qtbot, viewer, served, tmp_path, monkeypatch
):
    values = noise()
    pyramid = stream(served, tmp_path, values)
    served.script("a.zarr/0/", refuse_with(503))
    layer, status = add(viewer, pyramid)
    with qtbot.waitSignal(status.changed, check_params_cb=lambda state: state.error is not None):
        pass
    assert isinstance(status.state.error, StreamError)
    assert not status.state.is_exact
    assert messages().count("status 503") == 1, "without a dock, napari shows it"
    served.end()
    status.retry()
    wait_exact(qtbot, status, layer, values[22])
    assert status.state.error is None


@pytest.mark.parametrize("how", ["stopped", "hidden", "removed"])
def test_a_stopped_hidden_or_removed_layer_requests_nothing(how, qtbot, viewer, served, tmp_path):
    values = noise()
    layer, status = add(viewer, stream(served, tmp_path, values))
    wait_exact(qtbot, status, layer, values[22])
    deactivate, reactivate = {
        "stopped": (status.stop, status.retry),
        "hidden": (
            lambda: setattr(layer, "visible", False),
            lambda: setattr(layer, "visible", True),
        ),
        "removed": (lambda: viewer.layers.remove(layer), lambda: viewer.layers.append(layer)),
    }[how]
    deactivate()
    wait_until_quiet(qtbot, served)
    n_requests = len(served.requests)
    viewer.dims.set_current_step(0, 3)
    wait_until_quiet(qtbot, served)
    assert len(served.requests) == n_requests
    reactivate()
    viewer.dims.set_current_step(0, 2)
    wait_exact(qtbot, status, layer, values[2])


def test_an_unsupported_napari_falls_back_to_async_slicing(
    qtbot, viewer, served, tmp_path, monkeypatch
):
    monkeypatch.setattr(seam, "can_stream", lambda: False)
    values = noise()
    pyramid = stream(served, tmp_path, values)
    layer, status = add(viewer, pyramid)
    assert get_settings().experimental.async_  # reset with the viewer
    assert status is None
    qtbot.waitUntil(lambda: np.array_equal(layer._slice.image.raw, values[22]))


def test_a_single_level_mrc_file_streams(qtbot, viewer, tmp_path):
    values = noise()
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(values)
    levels, _ = open_mrc(tmp_path / "a.mrc")
    layer, status = make_layer(
        LayerSpec(levels, {"contrast_limits": (-3, 3)}, "image"), viewer=viewer
    )
    viewer.add_layer(layer)
    wait_exact(qtbot, status, layer, values[22])
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 70)
    wait_exact(qtbot, status, layer, values[:, 70])
    viewer.dims.ndisplay = 3
    wait_exact(qtbot, status, layer, values.transpose(1, 0, 2))
