"""The line for news and warnings."""

from __future__ import annotations

import pytest

from napari_cryoet._qt.widgets.notice_bar import NoticeBar
from napari_cryoet._qt.widgets.theme import style_sheet


@pytest.fixture
def bar(qtbot, theme):
    bar = NoticeBar(theme)
    bar.setStyleSheet(style_sheet(theme.colors).replace("#PortalBrowser ", ""))
    qtbot.addWidget(bar)
    bar.resize(300, 60)
    return bar


def border_of(bar):
    return bar.grab().toImage().pixelColor(bar.width() // 2, 0).name()


def test_only_what_one_should_mind_looks_like_a_warning(bar, theme):
    colors = theme.colors
    bar.show_news("Took over 3 decisions.")
    assert border_of(bar) == colors.border.name()

    bar.show_notice("The server sent half of a block.")
    assert border_of(bar) == colors.warning.name()
