"""The main job from end to end in a real window: on a pack in process, and over HTTP from a server that stumbles."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from napari.layers import Image, Points
from qtpy.QtCore import QModelIndex, Qt

from napari_cryoet._qt.annotation_model import AnnotationModel
from napari_cryoet._qt.browser import PortalBrowser
from napari_cryoet._qt.own_layers import LayerKey
from napari_cryoet.outline import AnnotationRow
from napari_cryoet.packs.handler import PackHandler
from napari_cryoet.packs.serve import serve_pack

LONG_MS = 30_000


@pytest.fixture
def stumbling_url(demo_pack, monkeypatch) -> Iterator[str]:
    """The address of the pack on a server that refuses every fourth request at first."""
    numbers, reply = itertools.count(1), PackHandler.handle_one_request

    def stumble(handler: PackHandler) -> None:
        if next(numbers) % 4 == 0:
            handler.close_connection = True  # hangs up without a word
        else:
            reply(handler)

    monkeypatch.setattr(PackHandler, "handle_one_request", stumble)
    with serve_pack(demo_pack) as server:
        yield server.graphql_url


@pytest.fixture(params=["in process", "over stumbling HTTP"])
def source(request, demo_pack) -> str:
    if request.param == "in process":
        return str(demo_pack)
    return str(request.getfixturevalue("stumbling_url"))


def click(qtbot, widget) -> None:
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def press(qtbot, widget, key: Qt.Key) -> None:
    qtbot.keyClick(widget, key)


def tree_rows(model: AnnotationModel) -> Iterator[tuple[QModelIndex, AnnotationRow]]:
    for group in range(model.rowCount()):
        parent = model.index(group, 0)
        for number in range(model.rowCount(parent)):
            index = model.index(number, 0, parent)
            yield index, model.record_at(index)


def test_from_the_source_to_picks_over_a_tomogram(qtbot, make_napari_viewer, memory, source):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1280, 800)
    browser = PortalBrowser(viewer, memory=memory)
    viewer.window.add_dock_widget(browser, name="CryoET Data Portal")
    screens, link = browser.screens, browser.link

    # a source, and a search in it
    with qtbot.waitSignal(browser.session.catalogue_changed, timeout=LONG_MS):
        browser.use_source(source)
    qtbot.keyClicks(screens.search, "cytoplasm ribosome")
    qtbot.waitUntil(lambda: screens.datasets.count.text() == "1 of 2 datasets")

    # a dataset, and its run with most annotations
    press(qtbot, screens.search, Qt.Key.Key_Down)
    press(qtbot, screens.datasets.view, Qt.Key.Key_Return)
    runs = screens.dataset.model
    qtbot.waitUntil(lambda: runs.loaded > 0, timeout=LONG_MS)
    richest = max(range(runs.loaded), key=lambda row: runs.run_at(runs.index(row)).annotation_count)
    screens.dataset.view.setCurrentIndex(runs.index(richest))
    with qtbot.waitSignal(browser.navigator.run_arrived, timeout=LONG_MS):
        press(qtbot, screens.dataset.view, Qt.Key.Key_Return)
    tomogram = screens.run.page.default_tomogram
    qtbot.waitUntil(lambda: not link.coming(), timeout=LONG_MS)
    assert not screens.notice.isVisible(), screens.notice.text
    assert LayerKey("tomogram", tomogram.id) in link.shown()

    # the picture becomes exact, and stays so plane by plane
    image = link.layers_of(LayerKey("tomogram", tomogram.id))[0]
    assert isinstance(image, Image)
    for plane in (image.data[0].shape[0] // 2, 3):
        viewer.dims.set_current_step(0, plane)
        qtbot.waitUntil(lambda: screens.status.label.text().endswith("exact"), timeout=LONG_MS)
    canvas = viewer.screenshot(canvas_only=True, flash=False)[..., :3]
    assert len(np.unique(canvas)) > 50, "the canvas shows grey levels, not one colour"

    # one more annotation by its tick, and away with it
    run = screens.run
    index, file = next(
        (index, row.shown_file)
        for index, row in tree_rows(run.annotations)
        if row.fits and row.shown_file is not None and LayerKey("annotation", row.shown_file.id) not in link.shown()
    )
    run.tree.setCurrentIndex(index)
    press(qtbot, run.tree, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: LayerKey("annotation", file.id) in link.shown(), timeout=LONG_MS)
    n_layers = len(viewer.layers)
    press(qtbot, run.tree, Qt.Key.Key_Space)
    assert LayerKey("annotation", file.id) not in link.shown()
    assert len(viewer.layers) < n_layers
    assert any(isinstance(layer, Points) for layer in viewer.layers)

    # 3D and back, then close the dock: the layers stay, nothing runs on
    viewer.dims.ndisplay = 3
    qtbot.wait(100)
    viewer.dims.ndisplay = 2
    viewer.window.remove_dock_widget(browser)
    assert LayerKey("tomogram", tomogram.id) in link.shown()
    browser.close()
