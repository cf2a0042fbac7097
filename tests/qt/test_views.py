"""A view that is taken from one viewer and opened in another shows the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Vectors
from pytestqt.qtbot import QtBot

from napari_cryoet import open_portal
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.settings import Settings
from napari_cryoet.viewer import show_orientations, show_slabs, view_of
from napari_cryoet.views.view import View

RUN, OTHER_RUN = 9001, 9002
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
    with qtbot.waitSignal(dock.restorer.opened) as signal:
        dock.open_view(view, **options)
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


@pytest.mark.parametrize(
    "change",
    [
        *(in_2d, along_y, along_x, in_3d, as_volume, in_a_slab),
        *(with_arrows, without_arrows, with_a_mask, with_hidden_layers),
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
    assert [layer.kind for layer in view.layers].count("annotation") == 3
    assert open_in(qtbot, other, view) == ""
    again = view_of(other.viewer)
    assert again.layers == view.layers
    assert again == view
