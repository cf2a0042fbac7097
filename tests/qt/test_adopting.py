"""Layers with our data are set up, whoever creates and adds them."""

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Layer, Points
from napari.layers._layer_actions import _extract_multiscale_level_from_selection
from napari_builtins.io import napari_write_image, napari_write_labels
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QProgressDialog, QPushButton, QWidget

from napari_cryoet._qt import plugin
from napari_cryoet._qt.plugin import make_editable_copy
from napari_cryoet._qt.streaming.progressive import StreamStatus, stream_of
from napari_cryoet._qt.viewer.adding import adopt_layers_of
from napari_cryoet.exceptions import SaveError
from napari_cryoet.formats.ndjson import lines_of
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.load import load_annotation, load_tomogram
from napari_cryoet.picks import Picks
from napari_cryoet.streaming import pyramid_of
from napari_cryoet.streaming.pyramid import Pyramid

SHAPE_ZYX = (9, 14, 21)
SPACING, FINER_SPACING = 13.48, 4.99


@pytest.fixture
def viewer(qtbot, viewer_model):
    adopt_layers_of(viewer_model)
    return viewer_model


@pytest.fixture
def tomogram(tmp_path):
    volume = np.random.default_rng(0).normal(size=SHAPE_ZYX).astype(np.float32)
    write_pyramid(tmp_path / "TS.zarr", volume, SPACING)
    return load_tomogram(tmp_path / "TS.zarr")


@pytest.fixture
def mask(tmp_path):
    values = (np.arange(22 * 36 * 55) % 3).reshape(22, 36, 55).astype(np.int8)
    write_pyramid(tmp_path / "mask.zarr", values, FINER_SPACING, "mask")
    return load_annotation(tmp_path / "mask.zarr", FINER_SPACING)[0]


def add(viewer, *specs):
    """Add a layer as napari does after reading a file."""
    return [viewer.add_layer(Layer.create(*spec)) for spec in specs]


def test_new_labels_have_the_volumes_shape(viewer, tomogram):
    (image,) = add(viewer, tomogram)
    viewer.layers.selection.active = image
    viewer._new_labels()  # what napari's button does

    assert viewer.layers[1].data.shape == SHAPE_ZYX


@pytest.mark.parametrize("is_tomogram_first", [True, False])
def test_sliders_match_the_tomogram_despite_other_layers(
    viewer, tomogram, mask, tmp_path, is_tomogram_first
):
    positions = np.array([[0.0, 2.0, 3.0], [8 * SPACING / FINER_SPACING, 5.0, 7.0]])
    rotations = np.eye(3)[None].repeat(2, axis=0)
    (tmp_path / "picks.ndjson").write_bytes(
        b"".join(lines_of(Picks(positions, rotations_zyx=rotations)))
    )
    others = (*load_annotation(tmp_path / "picks.ndjson", FINER_SPACING), mask)
    add(viewer, *((tomogram, *others) if is_tomogram_first else (*others, tomogram)))

    assert [tuple(axis) for axis in viewer.dims.range] == [
        (0, pytest.approx((size - 1) * SPACING), SPACING) for size in SHAPE_ZYX
    ]
    assert viewer.dims.nsteps == SHAPE_ZYX


def test_finer_picks_leave_the_plane(viewer_in_hidden_window, tomogram, tmp_path):
    viewer = viewer_in_hidden_window
    adopt_layers_of(viewer)
    add(viewer, tomogram)
    before = viewer.dims.point
    (tmp_path / "picks.ndjson").write_bytes(b"".join(lines_of(Picks([[3.0, 4.0, 5.0]]))))
    (points,) = add(viewer, *load_annotation(tmp_path / "picks.ndjson", FINER_SPACING))

    assert viewer.dims.point == before
    assert points.data_to_world(points.data[0]) == pytest.approx(
        np.array([3, 4, 5]) * FINER_SPACING
    )


def test_a_spoiled_contrast_leads_back_either_way(qtbot, viewer, tomogram):
    (image,) = add(viewer, tomogram)
    qtbot.waitUntil(lambda: stream_of(image).state.is_exact)
    opening = image.contrast_limits
    image.contrast_limits = (100, 101)

    image.reset_contrast_limits()  # what napari's buttons do
    assert opening[0] < image.contrast_limits[0] < image.contrast_limits[1] < opening[1], (
        "a coarse level is shown, which has less noise"
    )

    image.contrast_limits, image.gamma = (100, 101), 0.2
    viewer.layers.selection.active = image
    plugin.restore_contrast(viewer)
    assert (image.contrast_limits, image.gamma) == (opening, 1)


def test_a_tiff_volume_gets_its_spacing_and_fills_the_view(viewer_in_hidden_window, tmp_path):
    viewer = viewer_in_hidden_window
    adopt_layers_of(viewer)
    path, metadata = tmp_path / "a.tif", {"axes": "ZYX", "unit": "nm", "spacing": 1.348}
    tifffile.imwrite(
        path, np.zeros(SHAPE_ZYX, "f4"), imagej=True, resolution=(1 / 1.348,) * 2, metadata=metadata
    )
    (layer,) = viewer.open(str(path), plugin="napari")

    assert layer.scale == pytest.approx([SPACING] * 3)
    assert layer.level_shapes[0].tolist() == list(SHAPE_ZYX)
    assert viewer.dims.current_step == (4, 6, 10)
    assert viewer.scene.camera.center[1:] == pytest.approx((6.5 * SPACING, 10 * SPACING))
    tifffile.imwrite(tmp_path / "b.tif", np.zeros(SHAPE_ZYX, "f4"))
    assert viewer.open(str(tmp_path / "b.tif"), plugin="napari")[0].scale.tolist() == [1] * 3


def test_a_copied_layer_streams(viewer, tomogram):
    (image,) = add(viewer, tomogram)
    (copy,) = add(viewer, image.as_layer_data_tuple())

    assert isinstance(stream_of(copy), StreamStatus)
    assert stream_of(copy) is not stream_of(image)


def test_an_extracted_level_keeps_its_position(viewer, tomogram):
    (image,) = add(viewer, tomogram)
    viewer.layers.selection = {image}
    _extract_multiscale_level_from_selection(viewer.layers, 2)
    alone = viewer.layers[1]

    assert alone.translate.tolist() == [0.5 * (2**2 - 1) * SPACING] * 3
    assert alone.data.shape == pyramid_of(image.data).shapes[2]
    assert stream_of(alone) is None


def test_other_layers_are_unchanged(viewer):
    theirs = [viewer.add_image(np.zeros((4, 4, 4))), viewer.add_points(np.zeros((1, 3)))]

    assert [type(layer) for layer in theirs] == [Image, Points]


def test_saving_several_resolutions_to_one_file_is_refused(viewer, tomogram, mask, tmp_path):
    for layer, write in zip(
        add(viewer, tomogram, mask), (napari_write_image, napari_write_labels), strict=True
    ):
        with pytest.raises(SaveError, match="several resolutions"):
            write(str(tmp_path / "a.tif"), *layer.as_layer_data_tuple()[:2])
        assert not (tmp_path / "a.tif").exists()


def test_a_copy_of_a_streamed_mask_can_be_painted(qtbot, viewer, mask):
    (layer,) = add(viewer, mask)
    assert not layer.editable
    viewer.layers.selection = {layer}
    make_editable_copy(viewer)
    copy = viewer.layers[1]
    assert np.array_equal(copy.data, np.asarray(layer.data[0]))
    assert copy.scale.tolist() == [FINER_SPACING] * 3
    copy.data_setitem((np.array([1]), np.array([2]), np.array([3])), 7)
    assert copy.data[1, 2, 3] == 7


def test_a_copy_of_a_mask_is_asked_for_and_can_be_stopped(qtbot, viewer, mask, monkeypatch):
    (layer,) = add(viewer, mask)
    viewer.layers.selection = {layer}
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    asked, shown = [], []
    answers = iter([False, True])
    monkeypatch.setattr(plugin, "viewer_to_ask_in", lambda: viewer)
    monkeypatch.setattr(plugin, "main_window", lambda _viewer: window)
    monkeypatch.setattr(plugin, "show_info", shown.append)
    monkeypatch.setattr(
        plugin, "agrees", lambda *_texts, **options: asked.append(options) or next(answers)
    )

    def read_slowly(_pyramid, _level, _box, *, task):
        task.wait(60)

    monkeypatch.setattr(Pyramid, "read", read_slowly)

    def press_stop():
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, QProgressDialog):
            dialog.findChild(QPushButton).click()

    timer = QTimer(interval=20)
    timer.timeout.connect(press_stop)
    timer.start()
    for _ in range(2):  # refused, then agreed and stopped
        plugin.make_editable_copy(viewer)
    timer.stop()

    assert "KB of memory" in asked[0]["details"]
    assert len(viewer.layers) == 1
    assert [text.split(";")[0] for text in shown] == ["Stopped"]
