"""The choice of a source."""

from __future__ import annotations

import pytest

from napari_cryoet._qt.browser.source_bar import SourceBar


@pytest.fixture
def bar(qtbot, theme) -> SourceBar:
    bar = SourceBar(theme)
    qtbot.addWidget(bar)
    bar.show()
    return bar


def entries(bar: SourceBar):
    bar.button.items.aboutToShow.emit()
    return {action.text(): action for action in bar.button.items.actions() if not action.isSeparator()}


def test_the_menu_offers_every_kind_of_source(bar, tmp_path):
    bar.set_recent_packs([tmp_path / "Mine & yours"])
    assert list(entries(bar)) == [
        "Live portal",
        "Demo (works offline)",
        "Open a pack folder…",
        f"Mine && yours  ({tmp_path})",
    ]


def test_each_entry_asks_for_its_source(qtbot, bar, tmp_path):
    bar.set_recent_packs([tmp_path])
    chosen = []
    bar.source_chosen.connect(chosen.append)
    for text, action in entries(bar).items():
        if text == "Open a pack folder…":
            with qtbot.waitSignal(bar.pack_requested):
                action.trigger()
        else:
            action.trigger()
    assert chosen == ["live", "demo", str(tmp_path)]


def test_the_menu_drops_on_a_key(qtbot, bar):
    from qtpy.QtCore import Qt

    bar.button.setFocus()
    qtbot.keyClick(bar.button, Qt.Key.Key_Space)
    qtbot.waitUntil(bar.button.items.isVisible)
    bar.button.items.close()
