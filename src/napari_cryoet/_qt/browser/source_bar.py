"""The top of the dock: the source bar, the start page, the dialog for a portal's URL, and the search box."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from textwrap import fill
from typing import Final, Literal, TypeAlias

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction, QKeyEvent
from qtpy.QtWidgets import (
    QCommandLinkButton,
    QHBoxLayout,
    QInputDialog,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from napari_cryoet._qt.rooms import OPTIONS, START, Entry
from napari_cryoet._qt.tasks import Tasks, single_shot
from napari_cryoet._qt.widgets.controls import (
    ElidedLabel,
    add_item,
    add_title,
    column_in,
    drop_menu,
    explain,
    not_none,
    plain_label,
    plain_tooltip,
    push_button,
    set_look,
    tool_button,
)
from napari_cryoet._qt.widgets.theme import Theme, icon
from napari_cryoet.exceptions import CryoETError, NetworkError
from napari_cryoet.portal.pages import Freshness
from napari_cryoet.portal.portal import find_portal
from napari_cryoet.settings import Recent
from napari_cryoet.wording import plain

_NO_SOURCE: Final = "Choose a source"
_MAX_NAME_PX: Final = 150
_SETTLE_MS: Final = 200
_MAX_LINK: Final = 100_000  # characters, of a link that holds a view
_MAX_RECENT: Final = 5  # on the start page


Choice: TypeAlias = Literal["demo", "live", "address", "pack"]
#: Text, explanation and icon of each choice of the start page and the source menu.
CHOICES: Final[dict[Choice | Entry, tuple[str, str, str]]] = {
    "demo": ("Explore the demo", "Simulated tomograms, no network needed", "volume"),
    **{entry: (entry.text, entry.purpose, entry.icon) for entry in START},
    "live": ("Browse the live portal", "cryoetdataportal.czscience.com", "globe"),
    "address": ("Open an address…", "A class server or a mirror", "link"),
    "pack": ("Open a pack…", "A part of the portal, in a folder or a zip", "folder"),
}


class StartPage(QWidget):
    """The first screen, where you choose a source.

    Before that, nothing is sent over the network.
    """

    chosen = Signal(object)  # Choice, Recent or Entry

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        title = plain_label("CryoET Explorer", name="messageTitle")
        column = column_in(self, title, margins=(6, 18, 6, 6), spacing=4)
        for choice, (text, explanation, icon_name) in CHOICES.items():
            button = QCommandLinkButton(text, explanation)
            button.setObjectName("startChoice")
            button.setAutoDefault(True)  # Enter presses it
            button.clicked.connect(lambda _checked=False, choice=choice: self.chosen.emit(choice))
            column.addWidget(button)
            theme.set_icon(button, icon_name, "accent")
        self._heading = plain_label("Recent", name="heading")
        column.addSpacing(8)
        column.addWidget(self._heading)
        self._recent: list[Recent] = []
        self._recent_buttons = [self._recent_button(number) for number in range(_MAX_RECENT)]
        for recent_button in self._recent_buttons:
            column.addWidget(recent_button)
        column.addStretch(1)
        self.set_recent(())

    def take_focus(self) -> None:
        not_none(self.findChild(QCommandLinkButton)).setFocus(Qt.FocusReason.OtherFocusReason)

    def set_recent(self, recent: Sequence[Recent]) -> None:
        self._recent = list(recent[:_MAX_RECENT])
        self._heading.setVisible(bool(self._recent))
        for number, button in enumerate(self._recent_buttons):
            button.setVisible(number < len(self._recent))
            if number < len(self._recent):
                button.setText(plain(self._recent[number].label).replace("&", "&&"))
                button.setToolTip(plain_tooltip(self._recent[number].source))

    def _recent_button(self, number: int) -> QPushButton:
        button = push_button("", lambda: self.chosen.emit(self._recent[number]))
        button.setObjectName("recordLink")
        button.setAutoDefault(True)
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        return button


class SourceBar(QWidget):
    """The source with its state, the options menu, and the network limits if there are any."""

    chosen = Signal(object)  # Choice, Recent or Entry

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._is_local = False
        self._recent: Sequence[Recent] = ()
        self.button = tool_button("", "")
        self.sources = QMenu(self.button)
        self.sources.aboutToShow.connect(self._fill_sources)
        self.button.clicked.connect(lambda: drop_menu(self.sources, self.button))
        self.state = ElidedLabel(name="sourceState")
        self.options = tool_button("", "Options")
        theme.set_icon(self.options, "gear")
        self.options_menu = QMenu(self.options)
        self.refresh = self._add_option("Refresh")
        self.show_together = self._add_option("Show runs together", checkable=True)
        self.options_menu.addSeparator()
        for entry in OPTIONS:
            self._add_option(entry.text).triggered.connect(partial(self._choose, entry))
        self.options_menu.addSeparator()
        self.work_offline = self._add_option("Work offline", checkable=True)
        self.saver = self._add_option("Data saver…")
        self.held_data = self._add_option("Data on this computer…")
        self.options.clicked.connect(lambda: drop_menu(self.options_menu, self.options))
        self.network = ElidedLabel(name="networkUse")
        self.switch = push_button("", self._on_switch)
        row = QHBoxLayout()
        for part in (self.button, self.state, self.options):
            row.addWidget(part, 1 if part is self.state else 0)
        below = QHBoxLayout()
        below.addWidget(self.network, 1)
        below.addWidget(self.switch)
        column_in(self, row, below, margins=(0, 0, 0, 0), spacing=4)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.set_source("", "")
        self.set_network_use("", is_offline=False)

    def set_source(self, label: str, location: str, *, is_local: bool = False) -> None:
        """Show the name of the source; an empty label means that none is chosen."""
        self._is_local = is_local
        text = plain(label) or _NO_SOURCE
        shown = self.button.fontMetrics().elidedText(
            text, Qt.TextElideMode.ElideMiddle, _MAX_NAME_PX
        )
        self.button.setText(f"{shown} ▾".replace("&", "&&"))
        self.button.setToolTip(plain_tooltip(f"{text}\n{location}".strip()))
        self.button.setAccessibleName(f"Source: {text}")
        self.refresh.setEnabled(bool(label))
        self.set_state("")

    def set_recent(self, recent: Sequence[Recent]) -> None:
        self._recent = recent

    def set_freshness(self, freshness: Freshness) -> None:
        """Show whether the page is live or cached; local sources are always live."""
        text = "on this computer" if self._is_local else freshness.text
        self.set_state(text, is_offline=freshness.is_cached, reason=freshness.reason)

    def set_unreachable(self, error: NetworkError) -> None:
        text = "unreachable" if error.status is None else f"refused ({error.status})"
        self.set_state(text, is_offline=True, reason=str(error))

    def set_state(self, text: str, *, is_offline: bool = False, reason: str = "") -> None:
        """Show the state of the source, for example ``connecting…``."""
        self.state.setText(text)
        self.state.setToolTip(plain_tooltip(reason or text))
        set_look(self.state, "hasProblem", is_offline)
        self._show_state()

    def set_network_use(self, text: str, *, is_offline: bool) -> None:
        """Show the network limits; an empty text means none."""
        self.network.setText(text)
        self.switch.setText("Go online" if is_offline else "Change…")
        explain(
            self.switch,
            "Turn offline mode off" if is_offline else "Change the limits of the data saver",
        )
        for part in (self.network, self.switch):
            part.setVisible(bool(text))
        self.work_offline.setChecked(is_offline)
        self._show_state()

    def _show_state(self) -> None:
        """Hide an outdated ``online`` in offline mode."""
        is_current = self._is_local or not self.work_offline.isChecked()
        self.state.setVisible(is_current or bool(self.state.property("hasProblem")))

    def _choose(self, entry: Entry, _checked: bool = False) -> None:
        self.chosen.emit(entry)

    def _on_switch(self) -> None:
        (self.work_offline if self.work_offline.isChecked() else self.saver).trigger()

    def _add_option(self, text: str, *, checkable: bool = False) -> QAction:
        action = QAction(text, self.options_menu)
        action.setCheckable(checkable)
        self.options_menu.addAction(action)
        return action

    def _fill_sources(self) -> None:
        self.sources.clear()
        for choice, (text, _, icon_name) in CHOICES.items():
            action = add_item(self.sources, text, partial(self.chosen.emit, choice))
            action.setIcon(icon(icon_name, self._theme.colors.text))
        if self._recent:
            add_title(self.sources, "Recent")
        for recent in self._recent:
            add_item(self.sources, recent.label, partial(self.chosen.emit, recent))


class AddressDialog(QInputDialog):
    """Asks for a portal's URL, and stays open until a portal answers there."""

    found = Signal(str)  # URL of the GraphQL endpoint

    def __init__(self, tasks: Tasks, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Open an address")
        self.setOkButtonText("Open")
        self.setLabelText(
            "A class server, a mirror, or any server with the portal's\nAPI, for example http://192.168.1.7:8000"
        )

    def accept(self) -> None:
        address = self.textValue()
        self.setLabelText("Looking for a portal…")
        self._tasks.run(
            "address",
            lambda job: find_portal(address, task=job),
            then=self._on_found,
            failed=self._on_failed,
        )

    def done(self, result: int) -> None:
        self._tasks.stop("address")
        super().done(result)

    def _on_found(self, url: str) -> None:
        super().accept()
        self.found.emit(url)

    def _on_failed(self, error: CryoETError) -> None:
        self.setLabelText(fill(str(error), 60))


class SearchBox(QLineEdit):
    """A search field that emits its text after a pause in typing.

    ``name`` is for screen readers.
    """

    settled = Signal(str)  # the text, after a pause or Enter
    entered = Signal(str)  # the text, on Enter
    left_downwards = Signal()  # moves the keyboard focus to the list below

    def __init__(
        self, theme: Theme, placeholder: str, name: str, *, pause_ms: int = _SETTLE_MS
    ) -> None:
        super().__init__()
        self._settled_text = ""
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(name)
        self.setMaxLength(_MAX_LINK)
        glass = QAction(self)
        self.addAction(glass, QLineEdit.ActionPosition.LeadingPosition)
        theme.set_icon(glass, "search", "dim")
        self._pause = single_shot(self, pause_ms, self._settle)
        # with the first letter: Qt looks for its icon in all icon themes
        self.textChanged.connect(lambda text: self.setClearButtonEnabled(bool(text)))
        self.textChanged.connect(lambda _text: self._pause.start())
        self.returnPressed.connect(self._on_return)

    def set_quietly(self, text: str) -> None:
        self.setText(text)  # clears the undo history
        self._pause.stop()
        self._settled_text = text.strip()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
            self._settle()
        elif event is not None and event.key() == Qt.Key.Key_Down:
            self.left_downwards.emit()
        else:
            super().keyPressEvent(event)

    def _on_return(self) -> None:
        self._settle()
        self.entered.emit(self.text().strip())

    def _settle(self) -> None:
        self._pause.stop()
        text = self.text().strip()
        if text != self._settled_text:
            self._settled_text = text
            self.settled.emit(text)
