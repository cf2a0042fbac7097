"""A view that is taken from one viewer and opened in another shows the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from napari import Viewer
from napari.components import ViewerModel
from napari.layers import Image, Labels, Vectors
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication

from napari_cryoet import (
    Basket,
    download_basket,
    load_picks,
    load_tomogram,
    open_portal,
    read_picks,
    write_picks,
)
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet._qt.review.reviewed_layer import ReviewedLayer
from napari_cryoet._qt.seam import opened_from
from napari_cryoet._qt.views import restore
from napari_cryoet._qt.views.capture import capture
from napari_cryoet._qt.views.restore import restorer_of
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.settings import Recent, Settings
from napari_cryoet.viewer import add_layers, show_orientations, show_slabs, view_of
from napari_cryoet.views.view import View, ViewedAnnotation, ViewedRun
from views.cameras import camera_at

RUN, OTHER_RUN, REAL_RUN = 9001, 9002, 249
TOMOGRAM, ORIENTED, MASK, INSTANCES = 9001, 9001, 9009, 9008
Open = Callable[..., tuple[ViewerModel, PortalBrowser]]


@pytest.fixture
def make_dock(qtbot: QtBot, memory: Settings) -> Iterator[Callable[[], PortalBrowser]]:
    """Make a dock with a viewer of its own."""
    made: list[PortalBrowser] = []

    def make() -> PortalBrowser:
        dock = PortalBrowser(ViewerModel(), memory=memory)
        qtbot.addWidget(dock)
        made.append(dock)
        return dock

    yield make
    for dock in made:
        dock.close_down()


def show(qtbot: QtBot, dock: PortalBrowser, page: RunPage, *file_ids: int) -> None:
    """Show a run's default tomogram and some annotation files."""
    manager = dock.manager
    assert page.default_tomogram is not None
    manager.open_tomogram(page, page.default_tomogram)
    for file in page.annotation_files:
        if file.id in file_ids:
            manager.show_annotation(page, file)
    qtbot.waitUntil(lambda: not manager.coming())


def open_in(qtbot: QtBot, dock: PortalBrowser, view: View, **options) -> str:
    """Open a view; the remarks about it."""
    with qtbot.waitSignal(restorer_of(dock).opened) as signal:
        restorer_of(dock).open(view, **options)
    return signal.args[1]


def only(viewer: ViewerModel, kind: type):
    (layer,) = (each for each in viewer.layers if isinstance(each, kind))
    return layer


def in_2d(dock: PortalBrowser) -> None:
    dims = dock.viewer.dims
    dims.set_point(0, 400.0)
    camera = dock.viewer.scene.camera
    camera.center = (0.0, 900.0, 1200.0)
    camera.zoom = 1.7
    image = only(dock.viewer, Image)
    image.contrast_limits = (-1.0, 2.5)
    image.gamma = 0.8
    image.colormap = "viridis"


def along_y(dock: PortalBrowser) -> None:
    in_2d(dock)
    dock.viewer.dims.order = (1, 0, 2)


def along_x(dock: PortalBrowser) -> None:
    dock.viewer.dims.order = (2, 1, 0)
    dock.viewer.dims.set_point(2, 1000.0)


def in_3d(dock: PortalBrowser) -> None:
    viewer = dock.viewer
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (10.0, -25.0, 130.0)
    viewer.scene.camera.perspective = 20
    image = only(viewer, Image)
    image.plane.normal = (1.0, 0.5, 0.0)
    image.plane.position = (3.0, 20.0, 15.0)
    dock.volumes.choose(image, len(image.data) - 1)


def as_volume(dock: PortalBrowser) -> None:
    dock.viewer.dims.ndisplay = 3
    image = only(dock.viewer, Image)
    image.depiction = "volume"
    image.rendering = "iso"
    image.iso_threshold = 0.25


def in_a_slab(dock: PortalBrowser) -> None:
    show_slabs(dock.viewer, picks_nm=12)
    dock.viewer.dims.margin_left = dock.viewer.dims.margin_right = (80.0, 0.0, 0.0)
    only(dock.viewer, Image).projection_mode = "mean"


def with_arrows(dock: PortalBrowser) -> None:
    points = dock.manager.layers_of(LayerKey("annotation", ORIENTED))[0]
    show_orientations(dock.viewer, points, "triads", length_angstrom=321.0)
    points.selected_data = {1, 3}
    points.border_color = "#12345678"
    points.symbol = "ring"
    points.size = 7
    only(dock.viewer, Vectors).opacity = 0.5
    cloud = dock.manager.layers_of(LayerKey("annotation", INSTANCES))[0]
    cloud.border_color = "#12345678"


def without_arrows(dock: PortalBrowser) -> None:
    points = dock.manager.layers_of(LayerKey("annotation", ORIENTED))[0]
    show_orientations(dock.viewer, points, "off")


def with_a_mask(dock: PortalBrowser) -> None:
    mask = only(dock.viewer, Labels)
    mask.opacity = 0.3
    mask.colormap = {None: "#00ff00", 0: "transparent", 1: "#00ff00"}
    dock.viewer.layers.move(dock.viewer.layers.index(mask), 0)


def with_hidden_layers(dock: PortalBrowser) -> None:
    only(dock.viewer, Labels).visible = False
    dock.manager.set_visible(LayerKey("annotation", ORIENTED), False)


def in_a_review(dock: PortalBrowser) -> None:
    points = dock.manager.layers_of(LayerKey("annotation", ORIENTED))[0]
    points.name = "Which of these?"
    reviewed = ReviewedLayer(dock.viewer, points, dock)
    reviewed.fade(reviewed.picks.ids[:2])
    reviewed.fly_to(1)
    assert "Which of these?" in " ".join(capture(dock.viewer).left_out)


@pytest.mark.parametrize(
    "change",
    [
        *(in_2d, along_y, along_x, in_3d, as_volume, in_a_slab),
        *(with_arrows, without_arrows, with_a_mask, with_hidden_layers, in_a_review),
    ],
)
def test_a_view_of_the_demo_is_the_same_once_opened(
    qtbot: QtBot, demo_at_home: Path, make_dock: Callable[[], PortalBrowser], change
) -> None:
    dock, other = make_dock(), make_dock()
    page = open_portal("demo").run_page(RUN)
    show(qtbot, dock, page, ORIENTED, MASK, INSTANCES)
    change(dock)
    view = view_of(dock.viewer)
    assert view.runs[0].source == "demo"
    alignment = page.default_tomogram.alignment
    names = {layer.tomogram.alignment for layer in view.layers if layer.tomogram is not None}
    assert names == {f"{alignment.alignment_method}, GLOBAL"}
    assert [layer.kind for layer in view.layers].count("annotation") == 3
    assert open_in(qtbot, other, view) == ""
    again = view_of(other.viewer)
    assert again.layers == view.layers
    assert again == view


@pytest.mark.parametrize(
    ("name", "run_ids"),
    [
        ("pack", (RUN, OTHER_RUN)),
        ("served demo", (RUN, OTHER_RUN)),
        pytest.param("real rows", (REAL_RUN,), marks=pytest.mark.slow),
    ],
)
def test_runs_of_other_sources_open_together(
    qtbot: QtBot,
    request: pytest.FixtureRequest,
    make_dock: Callable[[], PortalBrowser],
    memory: Settings,
    name: str,
    run_ids: tuple[int, ...],
) -> None:
    match name:
        case "pack":
            source = str(request.getfixturevalue("demo_pack"))
        case "served demo":
            source = request.getfixturevalue("served_demo")["graphql"]
        case _:
            source = str(request.getfixturevalue("real_pack").folder)
    memory.remember(Recent(source, 0, name))
    dock, other = make_dock(), make_dock()
    portal = open_portal(source)
    dock.manager.show_together(is_on=True)
    for run_id in run_ids:
        page = portal.run_page(run_id)
        files = {ORIENTED} if run_id == RUN else {each.id for each in page.annotation_files}
        show(qtbot, dock, page, *files)
    view = view_of(dock.viewer)
    with qtbot.waitSignal(other.session.catalogue_changed):
        other.use_source(source)  # a server of the user's own choice needs no other consent
    assert open_in(qtbot, other, view) == ""
    assert view_of(other.viewer) == view
    qtbot.waitUntil(lambda: other.screens.run.page is not None)
    assert other.screens.run.page.run.id == run_ids[0]


def test_a_download_opens_from_its_folder_or_from_where_it_was_downloaded(
    qtbot: QtBot,
    demo_at_home: Path,
    tmp_path: Path,
    make_dock: Callable[[], PortalBrowser],
    memory: Settings,
) -> None:
    folder = tmp_path / "download"
    basket = (
        Basket(source="demo").with_ids("tomograms", [TOMOGRAM + 1]).with_ids("annotations", [9001])
    )
    download_basket(basket, open_portal("demo"), folder)
    dock, beside, elsewhere = make_dock(), make_dock(), make_dock()
    show(qtbot, dock, open_portal(folder).run_page(RUN), ORIENTED)
    view = view_of(dock.viewer)
    assert open_in(qtbot, elsewhere, view) == ""
    assert open_in(qtbot, beside, view, folder=folder / "views") == ""
    assert view_of(beside.viewer) == view
    assert view_of(elsewhere.viewer).layers == view.layers
    assert view_of(elsewhere.viewer).runs == (replace(view.runs[0], pack_id=""),)


def test_what_a_view_cannot_hold_is_said_and_what_is_missing_too(
    qtbot: QtBot, demo_at_home: Path, tmp_path: Path, make_dock: Callable[[], PortalBrowser]
) -> None:
    dock, other = make_dock(), make_dock()
    show(qtbot, dock, open_portal("demo").run_page(RUN), ORIENTED)
    viewer = dock.viewer
    viewer.add_shapes(name="My shapes")
    write_pyramid(tmp_path / "own.zarr", np.zeros((8, 8, 8), np.float32), 40.0)
    add_layers(viewer, [load_tomogram(tmp_path / "own.zarr")])
    points = dock.manager.layers_of(LayerKey("annotation", ORIENTED))[0]
    kept = tmp_path / "kept.star"
    chosen = picks_of(points).take([0, 1], "kept 2 in review")
    write_picks(chosen, kept)
    add_layers(viewer, load_picks(chosen, name="chosen"))
    with opened_from(kept):
        add_layers(viewer, load_picks(read_picks(kept), name="kept"))
    points.data = points.data[1:]
    said = " ".join(capture(viewer, folder=tmp_path / "other").left_out)
    assert all(word in said for word in ("My shapes", "own.zarr", "edits", "other picks"))
    view, left_out = capture(viewer, folder=tmp_path)
    assert "own.zarr" not in " ".join(left_out)
    assert [layer.file for layer in view.layers if layer.file] == ["own.zarr", "kept.star"]
    missing = [
        replace(layer, name="My picks", annotation=ViewedAnnotation(path="none"))
        for layer in view.layers
        if layer.annotation is not None
    ]
    view = replace(view, layers=(*view.layers, *missing))
    other.viewer.add_points(np.zeros((1, 3)), name="mine")
    remarks = open_in(qtbot, other, view, folder=tmp_path)
    assert "My picks" in remarks
    names = {layer.name for layer in other.viewer.layers}
    assert {"mine", "own", *(layer.name for layer in view.layers[:2])} <= names
    assert view_of(other.viewer, folder=tmp_path).layers == view.layers[: -len(missing)]
    shown = next(layer for layer in view.layers if layer.annotation is not None)
    former = replace(shown, name="DEMO_001 · cytosolic ribosome · ground truth")
    other.viewer.layers.clear()
    open_in(qtbot, other, replace(view, layers=(former,)))
    assert "cytosolic ribosome · 85 oriented · ground truth · DEMO_001" in other.viewer.layers


def test_another_host_is_asked_about_before_any_request(
    qtbot: QtBot, make_dock: Callable[[], PortalBrowser], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(_parent, _title, text, *, details, **_options) -> bool:
        asked.append(text + details)
        return False

    monkeypatch.setattr(restore, "agrees", refuse)
    dock = make_dock()
    run = ViewedRun(source="https://evil.example.org/graphql", run_id=1)
    view = View(runs=(run,), camera=camera_at())
    with qtbot.assertNotEmitted(dock.tasks.started):
        restorer_of(dock).open(view)
    (question,) = asked
    assert "evil.example.org" in question


def test_the_canvas_is_the_same_pixel_by_pixel(
    qtbot: QtBot, demo_at_home: Path, memory: Settings, viewer_in_window: Viewer
) -> None:
    viewer = viewer_in_window

    def dock_in_window() -> PortalBrowser:
        dock = PortalBrowser(viewer, memory=memory)
        viewer.window.add_dock_widget(dock, name="CryoET", area="right")
        return dock

    def drawn(dock: PortalBrowser) -> np.ndarray:
        streams = [stream for layer, stream in dock.manager.streams() if layer.visible]
        qtbot.waitUntil(lambda: all(stream.state.is_exact for stream in streams))
        qtbot.waitUntil(lambda: all(layer.loaded for layer in viewer.layers))
        QApplication.processEvents()
        return viewer.screenshot(canvas_only=True, flash=False)

    dock = dock_in_window()
    show(qtbot, dock, open_portal("demo").run_page(RUN), ORIENTED, MASK)
    in_2d(dock)
    with qtbot.waitSignal(open_dock(viewer, "Orthogonal views").opened):
        pass
    before = drawn(dock)
    view = view_of(viewer)
    assert view.camera.ortho
    viewer.window.remove_dock_widget("all")
    viewer.layers.clear()
    viewer.scene.camera.reset()
    dock = dock_in_window()
    assert open_in(qtbot, dock, view) == ""
    qtbot.waitUntil(lambda: tuple(viewer.canvas.size) == before.shape[:2])
    qtbot.waitUntil(lambda: view_of(viewer) == view)
    assert np.array_equal(drawn(dock), before)
    viewer.window.resize(1000, 560)
    qtbot.waitUntil(lambda: viewer.canvas.size != before.shape[:2])
    qtbot.waitUntil(lambda: fits(viewer, view))
    viewer.window.resize(800, 480)


def fits(viewer: Viewer, view: View) -> bool:
    """Whether the canvas shows the view's field, and no more than it must."""
    shown = np.array(view_of(viewer).camera.field_angstrom)
    ratios = shown / view.camera.field_angstrom
    return bool(np.isclose(ratios.min(), 1))


def test_the_canvas_can_be_resized_once_the_layers_of_a_view_are_removed(
    qtbot: QtBot, demo_at_home: Path, make_dock: Callable[[], PortalBrowser]
) -> None:
    dock = make_dock()
    show(qtbot, dock, open_portal("demo").run_page(RUN))
    assert open_in(qtbot, dock, view_of(dock.viewer)) == ""
    dock.viewer.layers.clear()
    dock.viewer.canvas.size = (300, 500)
    assert dock.viewer.dims.ndim == 2
