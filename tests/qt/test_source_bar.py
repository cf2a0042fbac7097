"""Choosing a source on the start page, in the menu, by URL or among recent ones.

And its local data.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QDialogButtonBox,
    QFileDialog,
    QLineEdit,
    QMenu,
    QPushButton,
)

from napari_cryoet._qt.browser.data_use import HeldDataDialog
from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.browser.source_bar import AddressDialog
from napari_cryoet.discovery.search import Search
from napari_cryoet.portal.portal import Source
from napari_cryoet.settings import Recent, Settings
from qt.buttons import button_in
from qt.fake_portal import FakePortal


def click(qtbot, widget) -> None:
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def entries(browser: PortalBrowser):
    bar = browser.screens.source_bar
    bar.sources.aboutToShow.emit()
    return {action.text(): action for action in bar.sources.actions() if not action.isSeparator()}


def dialog_of(browser: PortalBrowser, kind: type):
    (dialog,) = browser.findChildren(kind)
    return dialog


def test_the_menu_opens_by_key_and_lists_every_kind_of_source(
    qtbot, make_browser, portal, memory, tmp_path
):
    memory.remember(Recent(str(tmp_path), 0, "Mine & yours"))
    browser = make_browser(portal)
    bar = browser.screens.source_bar
    bar.button.setFocus()
    qtbot.keyClick(bar.button, Qt.Key.Key_Space)
    qtbot.waitUntil(bar.sources.isVisible)
    bar.sources.close()
    assert list(entries(browser)) == [
        "Explore the demo",
        "Take a lesson",
        "Browse the live portal",
        "Open an address…",
        "Open a pack…",
        "Recent",  # the title of a group
        "Mine && yours",
    ]
    with qtbot.waitSignal(browser.session.opening) as opening:
        entries(browser)["Mine && yours"].trigger()
    assert opening.args == [str(tmp_path)]


def test_packs_are_remembered_without_accessing_the_disk(
    qtbot, make_browser, portal, memory, monkeypatch
):
    path = "/a/disk/that/sleeps"
    accessed = []
    is_dir = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda each: accessed.append(str(each)) or is_dir(each))
    portal.source = Source("pack", path, "Class 3")
    browser = make_browser(portal)
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source(path)
    assert memory.recent == (Recent(path, 0, "Class 3"),)
    assert list(entries(browser))[-1] == "Class 3"
    memory.source = ""
    again = make_browser(portal)
    with qtbot.waitSignal(again.session.opening) as opening:
        click(qtbot, button_in(again.screens.start, "Class 3"))
    assert opening.args == [path]
    assert path not in accessed


def test_a_recent_run_opens_from_the_start_page_by_key(
    qtbot, browser, make_browser, portal, memory
):
    with qtbot.waitSignal(browser.navigator.run_arrived):
        browser.navigator.go_to_run(506)
    memory.source = ""
    again = make_browser(portal)
    button = button_in(again.screens.start, "TS_006 · DS-10000 · Live portal")
    button.setFocus()
    with qtbot.waitSignal(again.navigator.run_arrived) as arrived:
        qtbot.keyClick(button, Qt.Key.Key_Space)
    assert arrived.args[0].run.id == 506
    assert not again.manager.coming()


def test_a_source_opens_as_it_was_left(qtbot, make_browser, portal, memory):
    other = FakePortal()
    other.source = Source("demo", "demo", "Demo")

    def start() -> PortalBrowser:
        return make_browser(open_portal=lambda source, _job: other if source == "demo" else portal)

    search = Search(text="lamellae", released=(date(2020, 1, 1), None), processing=("denoised",))
    browser = start()
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("live")
    browser.finder.set_search(search)
    browser.navigator.go_to_dataset(10000)
    qtbot.waitUntil(lambda: len(browser.screens.dataset.runs) > 0)
    with qtbot.waitSignal(browser.navigator.run_arrived):
        browser.screens.dataset.view.opened.emit(browser.screens.dataset.runs[6])
    browser.hide()  # as when napari closes, at once: nothing waits for a timer
    assert [crumb["kind"] for crumb in memory.pages["live"].crumbs][-1] == "run"
    browser.use_source("demo")
    qtbot.waitUntil(lambda: browser.session.source is not None)
    browser.close_down()

    again = start()
    qtbot.waitUntil(lambda: again.session.source is not None)
    assert again.screens.breadcrumb.accessibleName() == "Datasets"
    portal.requests.clear()
    with qtbot.waitSignal(again.navigator.run_arrived) as arrived:
        entries(again)["Browse the live portal"].trigger()
    assert arrived.args[1] is False, "layers are opened only on request"
    assert again.screens.breadcrumb.accessibleName() == "Datasets › DS-10000 › TS_006"
    assert again.screens.search.text() == "lamellae"
    assert again.finder.search == search
    assert [request[0] for request in portal.requests] == ["catalogue", "run_page"]
    assert not again.isAncestorOf(QApplication.focusWidget())
    again.navigator.go_up()
    qtbot.waitUntil(lambda: len(again.screens.dataset.runs) > 0)

    with qtbot.waitSignal(again.session.catalogue_changed):
        entries(again)["Browse the live portal"].trigger()
    assert again.screens.breadcrumb.accessibleName() == "Datasets", "an open source starts over"


@pytest.mark.parametrize(
    "pages",
    [
        "7",
        '{"live": 7}',
        '{"live": [[], {}]}',
        '{"live": [[{"kind": "moon"}], {"moons": 1}]}',
        '{"live": [[{"kind": "run", "id": 506}], {"text": 7}]}',
        '{"live": [[{"kind": "datasets"}, {"kind": "run", "id": "x"}], {}]}',
    ],
)
def test_an_unreadable_page_is_the_list_of_datasets(qtbot, make_browser, portal, tmp_path, pages):
    path = tmp_path / "strange.json"
    path.write_text(f'{{"source": "live", "pages": {pages}}}')
    browser = make_browser(portal, memory=Settings(path))
    with qtbot.waitSignal(browser.session.catalogue_changed):
        pass
    assert browser.screens.breadcrumb.accessibleName() == "Datasets"
    assert browser.screens.datasets.isVisible()
    assert browser.finder.search == Search()


def test_an_address_is_checked_before_it_is_opened(qtbot, make_browser, portal, served_demo):
    browser = make_browser(portal)
    click(qtbot, button_in(browser.screens.start, "Open an address…"))
    dialog = dialog_of(browser, AddressDialog)
    address, buttons = dialog.findChild(QLineEdit), dialog.findChild(QDialogButtonBox)
    qtbot.keyClicks(address, "localhost:1")
    qtbot.keyClick(address, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: "localhost" in dialog.labelText())
    address.setText(served_demo["graphql"].removeprefix("http://").removesuffix("/graphql"))
    with qtbot.waitSignal(browser.session.opening) as opening:
        click(qtbot, buttons.button(QDialogButtonBox.StandardButton.Ok))
    assert opening.args == [served_demo["graphql"]]


def test_local_data_are_listed_and_cleared(qtbot, browser, memory, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cryoet.held.cache_path", lambda: tmp_path / "cache")
    for name in ("cache/answers", "cache/demo-3", "downloads"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(b"x" * 1000)
    memory.download_folder = tmp_path / "downloads"
    opened = []
    monkeypatch.setattr(
        "napari_cryoet._qt.widgets.controls.QDesktopServices.openUrl",
        lambda url: opened.append(url.toLocalFile()),
    )
    monkeypatch.setattr(
        "napari_cryoet._qt.browser.data_use.agrees", lambda *_args, **_options: True
    )
    bar = browser.screens.source_bar
    bar.options.setFocus()
    qtbot.keyClick(bar.options, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: isinstance(QApplication.activePopupWidget(), QMenu))
    bar.options_menu.setActiveAction(bar.held_data)
    qtbot.keyClick(bar.options_menu, Qt.Key.Key_Return)
    dialog = dialog_of(browser, HeldDataDialog)

    def buttons():
        return {button.accessibleName(): button for button in dialog.rows.findChildren(QPushButton)}

    qtbot.waitUntil(lambda: "2 KB cached" in dialog.message.text())
    assert "Clear Downloads" not in buttons(), "these are the user's own"
    click(qtbot, buttons()["Open folder of Downloads"])
    assert opened == [str(tmp_path / "downloads")]
    click(qtbot, buttons()["Clear Portal pages"])
    qtbot.waitUntil(lambda: "1 KB cached" in dialog.message.text())
    assert not (tmp_path / "cache" / "answers").exists()
    assert (tmp_path / "cache" / "demo-3" / "file").exists()


def test_packs_are_chosen_as_folder_or_zip(
    qtbot, make_browser, portal, demo_pack, tmp_path, monkeypatch
):
    browser = make_browser(portal)
    path = tmp_path / "class.zip"
    for chosen, source in [(path, path), (demo_pack / "pack.json", demo_pack)]:
        monkeypatch.setattr(
            QFileDialog, "getOpenFileName", lambda *_args, chosen=chosen: (str(chosen), "")
        )
        with qtbot.waitSignal(browser.session.opening) as opening:
            entries(browser)["Open a pack…"].trigger()
        assert opening.args == [str(source)]
