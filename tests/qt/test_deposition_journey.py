"""Depositions of the demo in a real window, by clicks and keys: from the list over a run's layers and back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from napari.layers import Image
from qtpy.QtCore import Qt

from napari_cryoet._qt.browser import PortalBrowser
from napari_cryoet._qt.memory import Memory
from napari_cryoet.packs.serve import serve_pack
from napari_cryoet.packs.transport import PackTransport
from napari_cryoet.portal.pages import RunCount
from napari_cryoet.portal.transports import HttpTransport
from qt.test_browser import current_screen, press
from qt.test_depositions import activate, index_of, list_depositions, rows_of, wait_for_deposition

LONG_MS = 60_000
COMMUNITY = 90903  # it added annotations to the datasets of both others


@pytest.fixture(params=["in process", "over HTTP"])
def source(request, demo_pack) -> Iterator[str]:
    if request.param == "in process":
        yield str(demo_pack)
        return
    with serve_pack(demo_pack) as server:
        yield server.graphql_url


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The names of the queries that were asked so far."""
    asked: list[str] = []
    for transport in (PackTransport, HttpTransport):

        def noted(self, request, *args, execute=transport.execute, **options):
            asked.append(request.document.definitions[0].name.value)
            return execute(self, request, *args, **options)

        monkeypatch.setattr(transport, "execute", noted)
    return asked


def test_from_the_list_of_depositions_to_the_layers_of_a_run_and_back(
    qtbot, make_napari_viewer, source, asked, tmp_path
):
    viewer = make_napari_viewer(show=True)
    browser = PortalBrowser(viewer, memory=Memory(tmp_path / "browser.ini"))
    viewer.window.add_dock_widget(browser, name="CryoET Data Portal", area="right")
    try:
        with qtbot.waitSignal(browser.session.catalogue_changed, timeout=LONG_MS):
            browser.use_source(source)
        activate(qtbot, browser.window())
        list_depositions(qtbot, browser)
        assert browser.screens.depositions.count.text() == "3 depositions"
        view = browser.screens.depositions.view
        view.setFocus()
        assert browser.screens.depositions.model.record_at(view.currentIndex()).id == COMMUNITY, "the newest"
        assert asked == ["Catalogue"], "one request brings both lists"

        press(qtbot, view, Qt.Key.Key_Return)
        wait_for_deposition(qtbot, browser)
        assert asked == ["Catalogue", "DepositionPage"], "one request brings the page"
        header = browser.screens.deposition.header
        assert header.counts.text() == "adds to 2 datasets · 6 annotations"
        names = [row.name for _, row in rows_of(browser) if isinstance(row, RunCount)]
        assert names == ["DEMO_001", "MIX_001", "MIX_003"]

        tree = browser.screens.deposition.tree
        qtbot.waitUntil(tree.hasFocus)
        run = index_of(browser, RunCount)
        while tree.currentIndex() != run:
            before = tree.currentIndex()
            press(qtbot, tree, Qt.Key.Key_Down)
            assert tree.currentIndex() != before
        press(qtbot, tree, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: any(isinstance(layer, Image) for layer in viewer.layers), timeout=LONG_MS)
        qtbot.waitUntil(lambda: not browser.link.coming(), timeout=LONG_MS)
        assert browser.screens.breadcrumb.text == "Depositions › CZCDP-90903 › DS-90001 › DEMO_001"
        n_layers = len(viewer.layers)

        press(qtbot, browser.screens.run.tomograms, Qt.Key.Key_Backspace)
        assert current_screen(browser) is browser.screens.dataset
        qtbot.waitUntil(lambda: browser.screens.dataset.model.loaded > 0)
        press(qtbot, browser.screens.dataset.view, Qt.Key.Key_Backspace)
        assert current_screen(browser) is browser.screens.deposition
        assert asked == ["Catalogue", "DepositionPage", "RunPage", "DatasetPage"]
        assert len(viewer.layers) == n_layers, "going about touches no layer"
    finally:
        browser.close_down()


def test_a_deposition_with_a_key_photo_shows_it(qtbot, make_napari_viewer, demo_pack, tmp_path):
    viewer = make_napari_viewer(show=True)
    browser = PortalBrowser(viewer, memory=Memory(tmp_path / "browser.ini"))
    viewer.window.add_dock_widget(browser, name="CryoET Data Portal", area="right")
    try:
        with qtbot.waitSignal(browser.session.catalogue_changed, timeout=LONG_MS):
            browser.use_source(str(demo_pack))
        browser.navigator.go_to_deposition(90901)
        wait_for_deposition(qtbot, browser)
        photo = browser.screens.deposition.header.photo

        def shades() -> int:
            picture = photo.grab().toImage()
            return len({picture.pixelColor(x, picture.height() // 2).lightness() for x in range(picture.width())})

        qtbot.waitUntil(lambda: shades() > 10, timeout=LONG_MS)
    finally:
        browser.close_down()
