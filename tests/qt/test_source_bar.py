"""The choice of a source."""

from __future__ import annotations

import pytest
from qtpy.QtGui import QIcon

from napari_cryoet._qt.source_bar import SourceBar


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


def test_a_long_name_is_shortened_but_read_whole(bar):
    name = "A pack with a name that is far too long for the room that there is"
    bar.set_source(name, "/somewhere", is_local=True)
    assert "…" in bar.button.text()
    assert name in bar.button.accessibleName()


def test_nothing_can_be_refreshed_before_a_source_was_chosen(bar):
    assert not bar.refresh.isEnabled()
    bar.set_source("Demo", "demo", is_local=True)
    assert bar.refresh.isEnabled()


def test_a_button_that_cannot_be_pressed_has_a_faint_icon(bar):
    def strongest_of(button):
        picture = button.icon().pixmap(16, QIcon.Mode.Normal if button.isEnabled() else QIcon.Mode.Disabled).toImage()
        return max(picture.pixelColor(x, y).alpha() for x in range(picture.width()) for y in range(picture.height()))

    assert strongest_of(bar.refresh) < 0.7 * strongest_of(bar.options)
    bar.set_source("Demo", "demo")
    assert strongest_of(bar.refresh) > 0.8 * strongest_of(bar.options)


def test_the_menu_drops_on_a_key(qtbot, bar):
    from qtpy.QtCore import Qt

    bar.button.setFocus()
    qtbot.keyClick(bar.button, Qt.Key.Key_Space)
    qtbot.waitUntil(bar.button.items.isVisible)
    bar.button.items.close()


def test_the_name_makes_room_for_the_state(qtbot, bar):
    bar.set_source("A pack with a name that is far too long for the room that there is", "/somewhere", is_local=True)
    bar.set_state("on this computer")
    bar.resize(348, bar.height())
    qtbot.waitUntil(lambda: bar.width() == 348)

    assert bar.state.fontMetrics().horizontalAdvance(bar.state.text()) <= bar.state.width()
