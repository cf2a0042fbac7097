"""Where the records come from: the choice of a source, whether it can be reached, and how the network may be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from qtpy.QtCore import QPoint, QPointF, Qt, Signal
from qtpy.QtGui import QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_cryoet._qt.browser.network_line import NetworkLine
from napari_cryoet._qt.widgets.icons import icon
from napari_cryoet._qt.widgets.labels import ElidedLabel, plain_tooltip
from napari_cryoet._qt.widgets.menu_button import MenuButton
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.exceptions import NetworkError
from napari_cryoet.portal.pages import Freshness
from napari_cryoet.wording import plain

NO_SOURCE = "Choose a source"
_GAP_PX: Final = 6
_NAME_PX: Final = (80, 180)  # how wide the name of a source is at least, and at most


class SourceBar(QWidget):
    """A menu of sources, a dot that says online or offline, and a button to ask again."""

    source_chosen = Signal(str)  # as `open_portal` takes it
    pack_requested = Signal()
    refresh_requested = Signal()
    show_together_changed = Signal(bool)
    offline_changed = Signal(bool)
    saver_requested = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._is_local = self._is_working_offline = False
        self._is_reached = True
        self._label = NO_SOURCE
        self._recent_packs: tuple[Path, ...] = ()
        self.button = MenuButton(theme, NO_SOURCE, "Where to browse")
        self.button.items.aboutToShow.connect(self._fill_menu)
        self._dot = _Dot(theme)
        self.state = ElidedLabel()
        self.state.setObjectName("sourceState")
        self.refresh = _icon_button("Ask the source again")
        self.refresh.clicked.connect(self.refresh_requested)
        self.options = _icon_button("Options")
        self.options_menu = QMenu(self.options)
        self.show_together = self.options_menu.addAction("Show runs together")
        if self.show_together is not None:
            self.show_together.setCheckable(True)
            self.show_together.toggled.connect(self.show_together_changed)
        self.options_menu.addSection("Network")
        self.work_offline = self.options_menu.addAction("Work offline")
        if self.work_offline is not None:
            self.work_offline.setCheckable(True)
            self.work_offline.triggered.connect(self.offline_changed)
        self.saver = self.options_menu.addAction("Data saver…")
        if self.saver is not None:
            self.saver.triggered.connect(lambda _checked=False: self.saver_requested.emit())
        self.options.clicked.connect(self._drop_options)
        self.network = NetworkLine()
        self.network.online_requested.connect(lambda: self.offline_changed.emit(False))
        self.network.saver_requested.connect(self.saver_requested)
        row = QHBoxLayout()
        row.setSpacing(_GAP_PX)
        row.addWidget(self.button)
        row.addWidget(self._dot)
        row.addWidget(self.state, 1)
        row.addWidget(self.refresh)
        row.addWidget(self.options)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.network)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.set_source("", "")
        theme.changed.connect(self._draw_icons)
        self._draw_icons()

    def set_source(self, label: str, location: str, *, is_local: bool = False) -> None:
        """Name the source that is browsed; an empty label: none was chosen yet."""
        self._is_local = is_local
        text = self._label = plain(label) or NO_SOURCE
        self._fit()
        self.button.setToolTip(plain_tooltip(f"{text}\n{location}".strip()))
        self.button.setAccessibleName(f"Source: {text}")
        self.refresh.setEnabled(bool(label))
        self.set_state("")

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Share the width between the source and its state."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Shorten the name of the source rather than its state: the name is known, and whole in the tooltip."""
        metrics = self.button.fontMetrics()
        arrow = self.button.sizeHint().width() - metrics.horizontalAdvance(self.button.text())
        others = sum(max(each.sizeHint().width(), each.minimumWidth()) + _GAP_PX for each in self._beside())
        state = self.state.fontMetrics().horizontalAdvance(self.state.text())
        room = self.width() - state - arrow - others - 2 * _GAP_PX
        shortest, longest = _NAME_PX
        width = max(shortest, min(longest, room))
        self.button.setText(metrics.elidedText(self._label, Qt.TextElideMode.ElideMiddle, width))

    def _beside(self) -> tuple[QWidget, ...]:
        return self._dot, self.refresh, self.options

    def set_recent_packs(self, folders: Sequence[Path]) -> None:
        """Offer these packs in the menu."""
        self._recent_packs = tuple(folders)

    def set_freshness(self, freshness: Freshness) -> None:
        """Say whether what is shown is live, or whether there is no line that could be off."""
        text = "on this computer" if self._is_local else freshness.text
        self.set_state(text, is_offline=freshness.is_offline, reason=freshness.reason)

    def set_unreachable(self, error: NetworkError) -> None:
        """Say that the server didn't answer, or refused to."""
        text = "not reached" if error.status is None else f"refused ({error.status})"
        self.set_state(text, is_offline=True, reason=str(error))

    def set_state(self, text: str, *, is_offline: bool = False, reason: str = "") -> None:
        """Say how the source is, for example ``connecting…``."""
        self._is_reached = not is_offline
        self.state.setText(text)
        self._fit()
        self.state.setAccessibleName(f"Source is {text}" if text else "")
        if reason:
            self.state.setToolTip(plain_tooltip(reason))
        self._dot.set_filled(not is_offline)
        self._show_state()

    def set_show_together(self, is_on: bool) -> None:
        """Tick the choice that several runs may be shown at once."""
        if self.show_together is not None:
            self.show_together.setChecked(is_on)

    def set_network_use(self, text: str, *, is_offline: bool) -> None:
        """Say how the network may be used; an empty text: freely."""
        self.network.set_use(text, is_offline=is_offline)
        self._is_working_offline = is_offline
        self._show_state()
        if self.work_offline is not None:
            self.work_offline.setChecked(is_offline)

    def _show_state(self) -> None:
        """Leave out that a source was reached, while nobody may ask it any more."""
        is_outdated = self._is_working_offline and self._is_reached and not self._is_local
        self.state.setVisible(not is_outdated)
        self._dot.setVisible(bool(self.state.text()) and not is_outdated)

    def _drop_options(self) -> None:
        corner = self.options.rect().bottomRight()
        self.options_menu.popup(self.options.mapToGlobal(corner - QPoint(self.options_menu.sizeHint().width(), 0)))

    def _fill_menu(self) -> None:
        color = self._theme.colors.text
        self.button.items.clear()
        self._add("Live portal", "globe", "live")
        self._add("Demo (works offline)", "volume", "demo")
        open_pack = self.button.items.addAction(icon("folder", color), "Open a pack folder…")
        if open_pack is not None:
            open_pack.triggered.connect(lambda _checked=False: self.pack_requested.emit())
        if self._recent_packs:
            self.button.items.addSection("Recent packs")
        for folder in self._recent_packs:
            self._add(f"{folder.name}  ({folder.parent})".replace("&", "&&"), "folder", str(folder))

    def _add(self, text: str, icon_name: str, source: str) -> None:
        action = self.button.items.addAction(icon(icon_name, self._theme.colors.text), text)
        if action is not None:
            action.triggered.connect(lambda _checked=False: self.source_chosen.emit(source))

    def _draw_icons(self) -> None:
        self.refresh.setIcon(icon("reload", self._theme.colors.text))
        self.options.setIcon(icon("gear", self._theme.colors.text))
        self._dot.update()


def _icon_button(purpose: str) -> QToolButton:
    button = QToolButton()
    button.setAccessibleName(purpose)
    button.setToolTip(purpose)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return button


class _Dot(QWidget):
    """Full: online. Hollow: offline. The text beside it says the same."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._is_filled = True
        self.setFixedSize(10, 10)

    def set_filled(self, is_filled: bool) -> None:
        self._is_filled = is_filled
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        colors = self._theme.colors
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(colors.accent if self._is_filled else colors.warning)
        if self._is_filled:
            painter.setBrush(colors.accent)
        painter.drawEllipse(QPointF(5, 5), 3.5, 3.5)
