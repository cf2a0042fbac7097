"""Views at the page of a run, and the ways in: links, files, and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from napari import Viewer
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QInputDialog, QMenu

from napari_cryoet import View, open_portal, read_view, write_view
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.launch import LaunchOptions, launch
from napari_cryoet._qt.views import kept
from napari_cryoet._qt.views.restore import restorer_of
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet.exceptions import CryoETError, PortalError
from napari_cryoet.viewer import view_of
from napari_cryoet.views.links import parse_link
from napari_cryoet.views.store import keep_view, kept_views
from qt.buttons import button_in

RUN, DATASET, NAME = 9001, 90001, "DEMO_001"


@pytest.fixture
def dock(qtbot: QtBot, demo_at_home: Path, make_browser: Callable[..., PortalBrowser]):
    """The dock at a run of the demo, with its default layers."""
    browser = make_browser()
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("demo")
    with qtbot.waitSignal(browser.navigator.run_arrived) as arrived:
        browser.navigator.go_to_run(RUN)
    browser.run_layers.open_default(arrived.args[0])
    qtbot.waitUntil(lambda: not browser.manager.coming())
    return browser


def items(dock: PortalBrowser) -> dict[str, Callable[[], None]]:
    """The items of the menu of views, those of kept views after their names."""
    button_in(dock.screens.run, "Views ▾").click()
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    menu.close()
    found = {}
    for action in menu.actions():
        below = action.menu()
        for each in below.actions() if below is not None else ():
            found[f"{action.text()}: {each.text()}"] = each.trigger
        found[action.text()] = action.trigger
    return found


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set the answer to the question for a name."""

    def make(name: str) -> None:
        monkeypatch.setattr(QInputDialog, "getText", lambda *_args, **_options: (name, True))

    return make


def test_two_clicks_copy_a_link_that_the_search_box_opens(qtbot: QtBot, dock) -> None:
    items(dock)["Copy link"]()
    link = QApplication.clipboard().text()
    assert "Copied a link" in dock.screens.notice.text
    view = view_of(dock.viewer)
    linked = parse_link(link)
    assert isinstance(linked, View)
    assert linked.layers == view.layers
    dock.viewer.scene.camera.zoom *= 3
    with qtbot.waitSignal(restorer_of(dock).opened):
        dock.screens.search.setText(link)
        qtbot.keyClick(dock.screens.search, Qt.Key.Key_Return)
    assert dock.screens.search.text() == ""
    assert view_of(dock.viewer) == view


def test_damaged_links_are_refused_in_the_search_box(dock, qtbot: QtBot) -> None:
    dock.screens.search.setText("napari-cryoet:v1/damaged")
    qtbot.waitUntil(lambda: "damaged" in dock.screens.notice.text)


def test_views_are_kept_renamed_opened_by_a_key_and_deleted(
    qtbot: QtBot, dock, answer: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer("A membrane")
    items(dock)["Keep this view…"]()
    first = view_of(dock.viewer)
    dock.viewer.scene.camera.zoom *= 2
    answer("B/2: ribosome")
    items(dock)["Keep this view…"]()
    second = view_of(dock.viewer)
    titles = [each.title for each in kept_views(DATASET, NAME)]
    assert titles == ["A membrane", "B/2: ribosome"]
    items(dock)["Keep this view…"]()
    assert "Choose another name" in dock.screens.notice.text
    with qtbot.waitActive(dock):
        dock.activateWindow()
    for view in (first, second):  # the last one was opened last, then the first comes
        with qtbot.waitSignal(restorer_of(dock).opened):
            qtbot.keyClick(dock.screens.run.tree, Qt.Key.Key_V)
        assert view_of(dock.viewer).camera == view.camera
    answer("Membrane")
    items(dock)["A membrane: Rename…"]()
    monkeypatch.setattr(kept, "agrees", lambda *_args, **_options: True)
    items(dock)[f"{titles[1]}: Delete…"]()
    (left,) = kept_views(DATASET, NAME)
    assert left.title == read_view(left.path).words.title == "Membrane"


def test_a_view_is_saved_and_opened_as_a_file(
    qtbot: QtBot, dock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "a.view.json")
    for name in ("getSaveFileName", "getOpenFileName"):
        monkeypatch.setattr(QFileDialog, name, lambda *_args: (path, ""))
    items(dock)["Save view…"]()
    assert read_view(path) == view_of(dock.viewer)
    with qtbot.waitSignal(restorer_of(dock).opened):
        items(dock)["Open view…"]()


def test_live_data_is_linked_through_the_portal_or_else_by_our_own_link(
    qtbot: QtBot, dock, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = view_of(dock.viewer)
    live = replace(view, runs=(replace(view.runs[0], source="live"),))
    keep_view(live, "Live", DATASET, NAME)

    def refuse(_view: View, _config: str) -> str:
        raise PortalError("There is no viewer.")

    class Live:
        def neuroglancer_config(self, tomogram_id: int, **_options: object) -> str:
            return str(tomogram_id)

    monkeypatch.setattr(dock.session, "portal_of", lambda _source, _job: Live())  # the network
    for link_of, told in (
        (lambda _view, config: f"https://portal/{config}", "in a browser"),
        (refuse, "no viewer"),
    ):
        monkeypatch.setattr(kept, "portal_link", link_of)
        items(dock)["Live: Copy link"]()
        qtbot.waitUntil(lambda told=told: told in dock.screens.notice.text)
        link = QApplication.clipboard().text()
        assert link.startswith("https://portal/9") or (
            parse_link(link) == replace(live, words=parse_link(link).words)
        )


def test_napari_opens_the_file_of_a_view(
    qtbot: QtBot, demo_at_home: Path, tmp_path: Path, viewer_in_window: Viewer
) -> None:
    browser = open_dock(viewer_in_window, "CryoET Explorer")
    page = open_portal("demo").run_page(RUN)
    browser.manager.open_tomogram(page, page.default_tomogram)
    qtbot.waitUntil(lambda: not browser.manager.coming())
    view = view_of(viewer_in_window)
    path = write_view(view, tmp_path / "a")
    viewer_in_window.layers.clear()
    with qtbot.waitSignal(restorer_of(browser).opened):
        assert viewer_in_window.open(str(path), plugin="napari-cryoet") == []
    assert view_of(viewer_in_window).layers == view.layers


def test_a_view_is_drawn_from_the_command_line(
    qtbot: QtBot, dock, tmp_path: Path, demo_at_home: Path
) -> None:
    view = view_of(dock.viewer)
    picture = tmp_path / "a.png"
    assert launch(LaunchOptions(source="", view=view, screenshot=picture)) == 0
    drawn = np.asarray(Image.open(picture).convert("RGB"))[150:650, 450:850].astype(int)
    assert len(np.unique(drawn)) > 50
    elsewhere = replace(view, runs=(replace(view.runs[0], source="https://x.invalid/graphql"),))
    with pytest.raises(CryoETError, match=r"x\.invalid"):
        launch(LaunchOptions(source="", view=elsewhere, screenshot=tmp_path / "b.png"))
