"""Pictures and movies show exact data at the same place, whatever the window and the server."""

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QImage, QPainter
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt.streaming.progressive import make_layer, stream_of
from napari_cryoet._qt.views.camera import camera_of, show_camera
from napari_cryoet._qt.views.picture import (
    Frames,
    Marks,
    paint_marks,
    save_movie,
    save_picture,
)
from napari_cryoet.exceptions import NetworkError, SaveError, StoppedError, StreamError
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.specs import METADATA_KEY, LayerSpec
from napari_cryoet.network.policy import policy
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.task import Task
from napari_cryoet.views.movie import sweep
from server import Server, status
from views.cameras import camera_at

SPACING = 10.0
GRAYS = 51  # so that each has a gray level of its own
NO_MARKS = {"scale_bar": False, "legend": False, "citation": False}
CITED = {
    "dataset_id": 10000,
    "dataset_title": "Yeast",
    "authors": ["Ada Vitreous"],
    "object_name": "ribosome",
}


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).integers(0, GRAYS + 1, (100, 64, 64)).astype("f4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("pyramids")
    write_pyramid(folder / "image.zarr", values, SPACING)
    return folder


@pytest.fixture
def server(folder):
    with Server(folder, latency_s=0.05) as server:
        yield server


@pytest.fixture
def shown(viewer_in_window, server):
    """A viewer that shows the whole plane of a served volume."""
    viewer = viewer_in_window
    pyramid = open_pyramid(f"{server.url}/image.zarr")
    options = {
        "name": "TS_026",
        "contrast_limits": (0, GRAYS),
        "scale": (SPACING,) * 3,
        "units": ("angstrom",) * 3,
        "metadata": {METADATA_KEY: CITED},
    }
    layer, _ = make_layer(LayerSpec(pyramid.levels, options, "image"), viewer=viewer)
    viewer.add_layer(layer)
    return viewer


def camera_on(n_voxels=64, z=50):
    """A camera on a square of voxels around the middle of a plane."""
    middle = (63 * SPACING / 2,) * 2
    return camera_at((z * SPACING, *middle), (n_voxels * SPACING,) * 2)


def gray_of(plane):
    return np.round(plane / GRAYS * 255)


def pixels_of(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def assert_is_plane(frame, plane):
    """Assert that each two by two pixels of a frame show the voxel of an exact plane."""
    assert frame.shape == (128, 128, 3)
    np.testing.assert_allclose(frame[..., 0], gray_of(plane).repeat(2, 0).repeat(2, 1), atol=1)


@pytest.mark.parametrize("n", [25, pytest.param(100, marks=pytest.mark.slow)])
def test_no_frame_of_a_sweep_is_coarse(shown, values, tmp_path, n):
    cameras = sweep(camera_on(), 0, (n - 1) * SPACING, n)
    said = []
    path = save_movie(
        shown,
        tmp_path / "sweep.gif",
        cameras,
        (128, 128),
        task=Task(lambda fraction, text: said.append((fraction, text))),
        **NO_MARKS,
    )
    with Image.open(path) as movie:
        assert movie.n_frames == n
        for z in range(n):
            movie.seek(z)
            assert_is_plane(np.asarray(movie.convert("RGB")), values[z])
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert f"frame {n} of {n}" in said[-1][1]


def test_a_stopped_movie_leaves_no_file(shown, server, tmp_path):
    task = Task(lambda fraction, _text: task.stop() if fraction > 0.2 else None)
    with pytest.raises(StoppedError):
        save_movie(shown, tmp_path / "sweep.mp4", sweep(camera_on(), 0, 300, 31), task=task)
    server.script(r"image.zarr/\d", None)  # never answers
    task = Task()
    QTimer.singleShot(300, task.stop)
    with pytest.raises(StoppedError):
        save_movie(shown, tmp_path / "sweep.mp4", sweep(camera_on(), 900, 990, 10), task=task)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_the_same_at_any_window_size(shown, tmp_path, values):
    pictures = []
    for number, size in enumerate([(800, 480), (620, 560)]):
        shown.window.resize(*size)
        QApplication.processEvents()
        before = camera_of(shown)
        path = tmp_path / f"{number}.png"
        save_picture(shown, path, (128, 128), camera=camera_on(), **NO_MARKS)
        pictures.append(pixels_of(path))
        assert camera_of(shown) == before
    assert_is_plane(pictures[0], values[50])
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("is_3d", [False, True])
def test_a_picture_as_large_as_the_canvas_is_what_the_canvas_shows(qtbot, shown, tmp_path, is_3d):
    show_camera(shown, camera_on())
    layer = shown.layers[0]
    if is_3d:  # a plane through a coarse level
        shown.dims.ndisplay = 3
        layer.depiction = "plane"
        layer.plane.position = (40, 20, 40)
        layer.plane.normal = (1, 0.5, 0)
        shown.scene.camera.angles = (20, -30, 100)
    qtbot.waitUntil(lambda: stream_of(layer).state.is_exact)
    height, width = shown.canvas.size
    picture = pixels_of(save_picture(shown, tmp_path / "0.png", (width, height), **NO_MARKS))
    assert len(np.unique(picture)) > 20
    np.testing.assert_allclose(picture, shown.screenshot(flash=False)[..., :3], atol=1)


def test_coarse_data_is_drawn_only_if_that_is_fine(request, tmp_path, server, monkeypatch):
    camera = camera_on()
    monkeypatch.setattr(policy(), "coarse_only", True)
    shown = request.getfixturevalue("shown")
    with pytest.raises(StreamError, match="coarser"):
        save_picture(shown, tmp_path / "exact.png", camera=camera)
    coarse = save_picture(shown, tmp_path / "coarse.png", (64, 64), camera=camera, is_coarse=True)
    assert len(np.unique(pixels_of(coarse))) > 10
    server.script(r"image.zarr/0/", status(403))
    monkeypatch.setattr(policy(), "coarse_only", False)
    with pytest.raises((StreamError, NetworkError), match="TS_026"):
        save_picture(shown, tmp_path / "exact.png", camera=camera)
    assert [file.name for file in tmp_path.iterdir()] == ["coarse.png"]
    with pytest.raises(SaveError, match="pixels"):
        save_picture(shown, tmp_path / "exact.png", (99_999, 100), camera=camera)
    with pytest.raises(SaveError, match="png"):
        save_picture(shown, tmp_path / "exact.jpg", camera=camera)


@pytest.mark.parametrize("n_voxels", [64, 20, 300])
def test_the_scale_bar_fits_the_field(qapp, n_voxels):
    size_px = (600, 400)
    canvas = QImage(*size_px, QImage.Format.Format_RGB32)
    canvas.fill(Qt.GlobalColor.black)
    painter = QPainter(canvas)
    paint_marks(painter, size_px, camera_on(n_voxels), Marks(has_scale_bar=True))
    painter.end()
    rows = [
        [canvas.pixelColor(x, y).lightness() == 255 for x in range(600)] for y in range(300, 400)
    ]
    longest = max(sum(row) for row in rows)
    length_nm = longest * n_voxels * SPACING / 400 / 10
    assert 60 <= longest <= 120  # a tenth to a fifth of the width
    step = next(each for each in (1, 2, 5, 10, 20, 50, 100) if each > length_nm * 0.97)
    assert length_nm == pytest.approx(step, rel=0.03)


def test_the_legend_names_the_shown_objects_in_their_colours(shown, tmp_path):
    for name, color, visible in (
        ("FAS", "#ff0000", True),
        ("ribosome", "#00ff00", True),
        ("membrane", "#0000ff", False),
    ):
        metadata = {METADATA_KEY: CITED | {"object_name": name}}
        options = {"border_color": color, "visible": visible, "metadata": metadata}
        shown.add_points([(5e3, 5e3, 5e3)], **options)
    frames = Frames(shown, (600, 400))
    assert frames.marks.legend == (("ribosome", (0, 1, 0, 1)), ("FAS", (1, 0, 0, 1)))
    assert frames.marks.citation == "Ada Vitreous. Yeast. DS-10000"
    frames.close()
    with_marks = pixels_of(save_picture(shown, tmp_path / "marks.png", (600, 400)))
    assert (with_marks[:60, :60] == (0, 255, 0)).all(-1).any()
    assert (with_marks[:60, :60] == (255, 0, 0)).all(-1).any()
    assert not (with_marks == (0, 0, 255)).all(-1).any()
    drawing = save_picture(shown, tmp_path / "marks.svg", (600, 400)).read_text()
    assert "ribosome" in drawing
    assert "DS-10000" in drawing
