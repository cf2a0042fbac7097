import itertools
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Image, Labels, Points, Vectors
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.layers.ownership import LayerKey, key_of
from napari_cryoet._qt.picks.layer_picks import volume_for
from napari_cryoet._qt.viewer.manager import LayerManager
from napari_cryoet.formats.ndjson import lines_of
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.load import load_tomogram
from napari_cryoet.picks import Picks
from napari_cryoet.records import AnnotationShape, ShapeType
from samples import make_annotation, make_dataset, make_file, make_run, make_run_page, make_tomogram

SHAPE_ZYX = (20, 30, 41)
IDENTITY = np.eye(3)[None].repeat(2, axis=0)


def write_run(folder, run_id, name, shape_zyx=SHAPE_ZYX):
    """The page of a run on disk with a tomogram, points, oriented points and a mask."""
    run = make_run(id=run_id, name=name, dataset=make_dataset())
    folder = folder / name
    volume = np.random.default_rng(run_id).normal(0, 1, shape_zyx).astype(np.float32)
    write_pyramid(folder / "raw.zarr", volume, 13.48)
    write_pyramid(folder / "mask.zarr", (volume > 2).astype(np.int8), 13.48, "mask")
    two = np.array([[3.0, 2.0, 1.0], [9.0, 20.0, 30.0]])
    (folder / "points.ndjson").write_bytes(b"".join(lines_of(Picks(two))))
    (folder / "oriented.ndjson").write_bytes(b"".join(lines_of(Picks(two, rotations_zyx=IDENTITY))))
    sizes = dict(zip(("size_z", "size_y", "size_x"), shape_zyx, strict=True))
    url = (folder / "raw.zarr").as_uri()
    tomogram = make_tomogram(
        id=run_id + 1000, run_id=run_id, run=run, https_omezarr_dir=url, **sizes
    )
    kinds = {
        "points.ndjson": (ShapeType.POINT, "cytosolic ribosome"),
        "oriented.ndjson": (ShapeType.ORIENTED_POINT, "fatty acid synthase"),
        "mask.zarr": (ShapeType.SEGMENTATION_MASK, "membrane"),
    }
    files = []
    for number, (path, (shape_type, object_name)) in enumerate(kinds.items(), start=10 * run_id):
        annotation = make_annotation(
            id=number, run_id=run_id, run=run, object_id=None, object_name=object_name
        )
        shape = AnnotationShape(
            id=number, annotation_id=number, shape_type=shape_type, annotation=annotation
        )
        url = (folder / path).as_uri()
        files.append(
            make_file(
                shape_type, id=number, https_path=url, shape=shape, annotation_shape_id=number
            )
        )
    return make_run_page(tomograms=[tomogram], files=files, run=run)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs with tomograms of equal size, and one with a tomogram twice as large."""
    folder = tmp_path_factory.mktemp("runs")
    first, second = write_run(folder, 506, "TS_026"), write_run(folder, 507, "TS_027")
    larger = write_run(folder, 508, "TS_028", tuple(2 * size for size in SHAPE_ZYX))
    return SimpleNamespace(first=first, second=second, larger=larger)


@pytest.fixture
def manager(qtbot, viewer_model, tasks):
    manager = LayerManager(viewer_model, tasks)
    yield manager
    manager.close()


@pytest.fixture
def open_tomogram(qtbot, manager):
    def open_tomogram(page):
        key = LayerKey("tomogram", page.tomograms[0].id)
        manager.open_tomogram(page, page.tomograms[0])
        qtbot.waitUntil(lambda: key not in manager.coming())
        return manager.layers_of(key)[0]

    return open_tomogram


@pytest.fixture
def show(qtbot, manager):
    def show(page, shape_type):
        file = file_of(page, shape_type)
        key = LayerKey("annotation", file.id)
        manager.show_annotation(page, file)
        qtbot.waitUntil(lambda: key not in manager.coming())
        return manager.layers_of(key)

    return show


def visible_in(viewer):
    return {layer for layer in viewer.layers if layer.visible}


def file_of(page, shape_type):
    return next(file for file in page.annotation_files if file.shape.shape_type == shape_type)


def key_of_file(page, shape_type):
    return LayerKey("annotation", file_of(page, shape_type).id)


def kinds_of(layers):
    """The napari type of each layer, including subclasses."""
    return [
        next(kind for kind in (Image, Labels, Points, Vectors) if isinstance(layer, kind))
        for layer in layers
    ]


class TestSeveralLayers:
    @pytest.fixture
    def open_all(self, qtbot, runs, manager, tasks, monkeypatch):
        """Open annotations and their tomogram, which is loaded last."""
        has_annotations = threading.Event()

        def load_late(*arguments, **options):
            has_annotations.wait(60)
            return load_tomogram(*arguments, **options)

        def open_all():
            page = runs.first
            for file in page.annotation_files:
                manager.show_annotation(page, file)
            manager.open_tomogram(page, page.tomograms[0])
            qtbot.waitUntil(lambda: len(tasks.running) == 1)
            has_annotations.set()

        monkeypatch.setattr("napari_cryoet._qt.viewer.manager.load_tomogram", load_late)
        return open_all

    def test_each_is_added_in_an_event_of_its_own_and_the_tomogram_first(
        self, qtbot, manager, viewer_model, open_all
    ):
        passes = itertools.count()
        timer = QTimer(interval=0)
        timer.timeout.connect(lambda: next(passes))
        timer.start()
        added = []
        viewer_model.layers.events.inserted.connect(
            lambda event: added.append((next(passes), event.value, manager.progress))
        )
        open_all()
        qtbot.waitUntil(lambda: not manager.coming())  # nor are the arrows of points
        assert len(added) == 5
        numbers, layers, progress = zip(*added, strict=True)

        assert kinds_of(layers)[0] is Image
        assert {n_added for n_added, _ in progress} == {0, 1, 2, 3}
        assert {n_records for _, n_records in progress} == {4}
        assert min(np.diff(numbers)) > 1  # the timer fired in between

    def test_stop_leaves_those_that_are_there(self, qtbot, manager, viewer_model, open_all):
        viewer_model.layers.events.inserted.connect(lambda _event: manager.stop())
        open_all()
        qtbot.waitUntil(lambda: not manager.coming())
        QApplication.processEvents()

        assert kinds_of(viewer_model.layers) == [Image]


class TestShowing:
    def test_a_tomogram_opens_at_its_middle_plane(
        self, qtbot, runs, manager, viewer_model, open_tomogram
    ):
        layer = open_tomogram(runs.first)

        assert isinstance(layer, Image)
        assert list(viewer_model.layers) == [layer]
        assert viewer_model.dims.current_step[0] == 9
        qtbot.waitUntil(lambda: viewer_model.canvas.overlays.scale_bar.visible)
        assert viewer_model.layers.selection.active is layer
        assert manager.shown() == {LayerKey("tomogram", 1506)}

    def test_layers_are_ordered_by_kind_across_runs(
        self, runs, manager, viewer_model, open_tomogram, show
    ):
        mine = viewer_model.add_points([[1, 2, 3]], units=("angstrom",) * 3)
        manager.show_together(is_on=True)
        show(runs.first, ShapeType.POINT)
        show(runs.first, ShapeType.SEGMENTATION_MASK)
        open_tomogram(runs.first)
        open_tomogram(runs.second)

        assert kinds_of(viewer_model.layers) == [Image, Image, Labels, Points, Points]
        assert mine in viewer_model.layers[-2:]


class TestHiding:
    def test_hiding_removes_no_layer(self, runs, manager, viewer_model, open_tomogram, show):
        image = open_tomogram(runs.first)
        (points,) = show(runs.first, ShapeType.POINT)
        copy = Points.create(*points.as_layer_data_tuple())
        viewer_model.layers.append(copy)

        manager.hide(key_of_file(runs.first, ShapeType.POINT))

        assert list(viewer_model.layers) == [image, points, copy]
        assert [layer.visible for layer in viewer_model.layers] == [True, False, True]
        assert not manager.is_visible(key_of_file(runs.first, ShapeType.POINT))
        assert key_of_file(runs.first, ShapeType.POINT) in manager.shown()

        assert show(runs.first, ShapeType.POINT) == [points]
        assert points.visible


class TestOneRunAtATime:
    def test_choosing_a_run_hides_other_runs_and_restores_its_visibility(
        self, runs, manager, viewer_model, open_tomogram, show
    ):
        first = open_tomogram(runs.first)
        (points,) = show(runs.first, ShapeType.POINT)
        (mask,) = show(runs.first, ShapeType.SEGMENTATION_MASK)
        mask.visible = False
        mine = viewer_model.add_points([[1, 2, 3]], units=("angstrom",) * 3)
        second = open_tomogram(runs.second)

        assert visible_in(viewer_model) == {second, mine}
        viewer_model.layers.selection.active = second
        manager.show_run(506)
        assert visible_in(viewer_model) == {first, points, mine}
        assert viewer_model.layers.selection.active is first
        manager.show_together(is_on=True)
        assert visible_in(viewer_model) == {first, points, mine, second}
        manager.show_together(is_on=False)
        assert visible_in(viewer_model) == {first, points, mine}

    def test_picks_are_paired_with_the_tomogram_of_their_run(
        self, runs, manager, viewer_model, open_tomogram, show
    ):
        first = open_tomogram(runs.first)
        (points,) = show(runs.first, ShapeType.POINT)
        second = open_tomogram(runs.second)
        for is_on in (False, True):
            manager.show_together(is_on=is_on)
            assert volume_for(list(viewer_model.layers), points) is first
            assert volume_for(list(viewer_model.layers), None) is second

    def test_layers_of_an_unselected_run_stay_hidden_when_loaded(
        self, qtbot, runs, manager, viewer_model
    ):
        manager.open_tomogram(runs.first, runs.first.tomograms[0])
        manager.show_run(507)
        qtbot.waitUntil(lambda: not manager.coming())

        assert visible_in(viewer_model) == set()
        manager.show_run(506)
        assert visible_in(viewer_model) == set(viewer_model.layers)

    def test_sliders_cover_the_visible_layers(
        self, runs, manager, viewer_model, open_tomogram, show
    ):
        (points,) = show(runs.first, ShapeType.POINT)
        open_tomogram(runs.first)
        open_tomogram(runs.larger)
        steps = tuple(2 * size for size in SHAPE_ZYX)
        assert viewer_model.dims.nsteps == steps
        manager.show_run(506)
        assert viewer_model.dims.nsteps == SHAPE_ZYX
        viewer_model.add_points([[1, 2, 3]], units=("angstrom",) * 3, scale=[13.48] * 3)
        assert viewer_model.dims.nsteps == SHAPE_ZYX
        points.data = [[2 * SHAPE_ZYX[0], 0, 0]]
        assert viewer_model.dims.nsteps[0] > SHAPE_ZYX[0]
        manager.set_visible(key_of(points), False)
        assert viewer_model.dims.nsteps == SHAPE_ZYX
        manager.show_together(is_on=True)
        assert viewer_model.dims.nsteps == steps

    def test_the_view_is_fitted_only_if_the_extent_differs(
        self, runs, manager, viewer_model, open_tomogram
    ):
        camera, dims = viewer_model.scene.camera, viewer_model.dims
        open_tomogram(runs.first)
        camera.zoom, fitted = 3.21, camera.zoom
        dims.set_current_step(0, 3)
        open_tomogram(runs.second)
        assert (camera.zoom, dims.current_step[0]) == (3.21, 3)

        open_tomogram(runs.larger)
        assert camera.zoom == pytest.approx(fitted / 2, rel=0.05)
        assert dims.point[0] == pytest.approx(13.48 * 19)
        manager.show_run(506)
        assert camera.zoom == pytest.approx(fitted)
        assert dims.point[0] == pytest.approx(13.48 * 9)


class TestRemoving:
    def test_removing_points_removes_their_arrows(self, qtbot, runs, manager, viewer_model, show):
        points, _arrows = show(runs.first, ShapeType.ORIENTED_POINT)

        viewer_model.layers.remove(points)
        qtbot.waitUntil(lambda: not viewer_model.layers)

        assert manager.shown() == set()


class TestUserLayers:
    def test_opening_layers_keeps_camera_plane_and_selection(
        self, runs, viewer_model, open_tomogram, show
    ):
        mine = viewer_model.add_image(np.zeros((40, 50, 60)), units=("angstrom",) * 3)
        viewer_model.dims.set_current_step(0, 33)
        viewer_model.scene.camera.zoom = 3.21
        viewer_model.scene.camera.center = (0, 11, 12)
        plane = viewer_model.dims.point[0]

        open_tomogram(runs.first)
        show(runs.first, ShapeType.POINT)

        assert viewer_model.scene.camera.zoom == 3.21
        assert viewer_model.scene.camera.center == (0, 11, 12)
        assert viewer_model.dims.point[0] == pytest.approx(plane, abs=0.5)
        assert viewer_model.layers.selection.active is mine
        assert not viewer_model.canvas.overlays.scale_bar.visible


class TestReopenedDock:
    def test_layers_of_a_closed_dock_are_recognized(
        self, qtbot, runs, manager, viewer_model, open_tomogram, show
    ):
        open_tomogram(runs.first)
        show(runs.first, ShapeType.ORIENTED_POINT)
        manager.close()

        again = LayerManager(viewer_model)

        assert again.shown() == {
            LayerKey("tomogram", 1506),
            key_of_file(runs.first, ShapeType.ORIENTED_POINT),
        }
        with qtbot.waitSignal(again.appearance_changed):
            again.hide(key_of_file(runs.first, ShapeType.ORIENTED_POINT))
        again.close()


def test_closed_docks_leave_no_callbacks(qtbot, viewer_model, memory, runs, manager, open_tomogram):
    image = open_tomogram(runs.first)
    manager.close()
    before = callbacks_of(viewer_model, image)
    for _ in range(3):
        dock = PortalBrowser(viewer_model, memory=memory)
        qtbot.addWidget(dock)
        assert callbacks_of(viewer_model, image) > before
        dock.manager.hide(LayerKey("tomogram", 1506))
        dock.close_down()

    assert callbacks_of(viewer_model, image) == before


def callbacks_of(viewer, layer):
    """The number of slots connected to a viewer and one of its layers."""
    groups = (viewer.layers.events, viewer.dims.events, layer.events)
    emitters = [
        group.emitters[name] if hasattr(group, "emitters") else group[name]
        for group in groups
        for name in group
    ]
    return sum(len(getattr(emitter, "callbacks", emitter)) for emitter in emitters)
