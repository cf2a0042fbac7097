"""A dataset's or deposition's page: its head says what it is, who made it and where it leads; a list is below."""

from __future__ import annotations

from functools import partial
from typing import Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPlainTextEdit,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_cryoet._qt.widgets.dialogs import add_item, open_in_browser
from napari_cryoet._qt.widgets.icons import icon
from napari_cryoet._qt.widgets.labels import ElidedLabel, plain_label, plain_tooltip
from napari_cryoet._qt.widgets.messages import Loadable
from napari_cryoet._qt.widgets.record_model import RecordModel
from napari_cryoet._qt.widgets.record_view import RecordView
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.portal.about import About
from napari_cryoet.portal.links import database_links, is_web_address, publication_links
from napari_cryoet.wording import names_text, plain

PHOTO_PX: Final = 64
FEW_LINES, MOST_FOLDED, MANY_LINES = 2, 5, 14  # of a description: while it is folded, and open


class RecordHeader(QWidget):
    """Shows an `About`: at first what the list knew, then all of it; ``noun`` is what the record is."""

    deposition_requested = Signal(int)  # its id

    def __init__(self, theme: Theme, thumbnails: Thumbnails, noun: str) -> None:
        super().__init__()
        self._theme = theme
        self._thumbnails = thumbnails
        self._noun = noun
        self._about = About("")
        self._page_height = 0
        self.title = plain_label(name="pageTitle")
        self.photo = QLabel()
        self.photo.setAccessibleName("Key photo")
        self.photo.setFixedSize(PHOTO_PX, PHOTO_PX)
        self.authors, self.facts, self.counts = (ElidedLabel(name="dimText") for _ in range(3))
        self.links = _tool_button(
            "Links", f"Links of this {noun}: deposition, papers, databases, its page on the portal"
        )
        self.links.setMenu(QMenu(self.links))
        self.links.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.details = _tool_button("Details", f"All that this {noun} says about itself")
        self.details.setCheckable(True)
        self.description = QPlainTextEdit()
        self.description.setReadOnly(True)
        self.description.setTabChangesFocus(True)
        self.description.setFrameShape(QFrame.Shape.NoFrame)
        self.description.setAccessibleName(f"Description of the {noun}")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self._lay_out()
        self.details.toggled.connect(self._on_details)
        thumbnails.arrived.connect(self._on_picture)
        theme.changed.connect(self._draw_icons)
        self._draw_icons()
        self.show_about(About("…"))

    def show_about(self, about: About) -> None:
        """Show a record; details that are open stay so if it is the same."""
        if about == self._about:
            return
        self._about = about
        self.title.setText(plain(about.title))
        self.authors.setText(names_text([plain(name) for name in about.authors]))
        self.authors.setToolTip(plain_tooltip(", ".join(about.authors)))
        self.facts.setText(about.facts)
        self.counts.setText(about.counts)
        self.counts.setVisible(bool(about.counts))
        self.details.setChecked(False)
        self.details.setVisible(bool(about.details))
        self._show_description()
        self.photo.setVisible(bool(about.picture_url))
        self._show_picture()
        self._fill_menu()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._fit_description()

    def fit_into(self, page_height: int) -> None:
        self._page_height = page_height
        self._fit_description()

    def _fit_description(self) -> None:
        """A third of the page for an open description; while it is folded, what a high page has to spare."""
        is_open, spacing = self.details.isChecked(), self.description.fontMetrics().lineSpacing()
        document = self.description.document()
        n_lines = max(1, document.lineCount() if document is not None else 1)
        spare = min(MOST_FOLDED, (self._page_height - 420) // (3 * spacing))
        shown = max(FEW_LINES, min(MANY_LINES, self._page_height // (3 * spacing))) if is_open else spare
        self.description.setVisible(is_open or (bool(self._about.description) and shown >= FEW_LINES))
        policy = Qt.ScrollBarPolicy
        self.description.setVerticalScrollBarPolicy(policy.ScrollBarAsNeeded if is_open else policy.ScrollBarAlwaysOff)
        margin = document.documentMargin() if document is not None else 0
        margins = (2 if n_lines <= shown else 1.5) * margin  # below, the next line would be seen in part
        self.description.setFixedHeight(max(1, min(n_lines, shown)) * spacing + round(margins))
        if (bar := self.description.verticalScrollBar()) is not None:
            bar.setValue(0)

    def _show_description(self) -> None:
        about, is_open = self._about, self.details.isChecked()
        self.description.setPlainText(f"{about.description}\n\n{about.details}" if is_open else about.description)
        self._fit_description()

    def _on_details(self, _is_open: bool) -> None:
        self._draw_icons()
        self._show_description()

    def _on_picture(self, url: str) -> None:
        if url == self._about.picture_url:
            self._show_picture()

    def _show_picture(self) -> None:
        picture = self._thumbnails.picture(self._about.picture_url)
        if picture is not None:
            picture = QPixmap(picture)
            picture.setDevicePixelRatio(picture.width() / PHOTO_PX)
        self.photo.setPixmap(picture if picture is not None else QPixmap())

    def _fill_menu(self) -> None:
        """List only what leads somewhere; without anything there is no button."""
        menu, about, deposition = self.links.menu(), self._about, self._about.deposition
        if menu is None:
            return
        menu.clear()
        if deposition is not None:
            text = f"Deposition CZCDP-{deposition.id} · {deposition.title}"
            add_item(menu, text, partial(self.deposition_requested.emit, deposition.id))
        if is_web_address(about.portal_page):
            add_item(menu, f"This {self._noun} on the portal", partial(open_in_browser, about.portal_page))
        sections = (
            ("Publications", publication_links(about.publications)),
            ("Databases", database_links(about.entries)),
        )
        for section, links in sections:
            if links:
                menu.addSection(section)
            for link in links:
                add_item(menu, link.text, partial(open_in_browser, link.url))
        self.links.setVisible(not menu.isEmpty())

    def _draw_icons(self) -> None:
        color = self._theme.colors.text
        self.details.setIcon(icon("down" if self.details.isChecked() else "right", color))
        self.links.setIcon(icon("link", color))

    def _lay_out(self) -> None:
        people = QHBoxLayout()
        people.setSpacing(4)
        people.addWidget(self.authors, 1)
        people.addWidget(self.links)
        people.addWidget(self.details)
        beside = QVBoxLayout()
        beside.setSpacing(3)
        beside.addWidget(self.title)
        beside.addLayout(people)
        top = QHBoxLayout()
        top.setSpacing(8)
        top.addWidget(self.photo, alignment=Qt.AlignmentFlag.AlignTop)
        top.addLayout(beside, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(top)
        for part in (self.facts, self.counts, self.description):
            column.addWidget(part)


class RecordPage(QWidget):
    """A head, and below it a list or the message in its place."""

    def __init__(self, theme: Theme, thumbnails: Thumbnails, noun: str, list_name: str, *, uniform: bool) -> None:
        super().__init__()
        self.header = RecordHeader(theme, thumbnails, noun)
        self.model = RecordModel(thumbnails, parent=self)
        self.view = RecordView(theme, self.model, list_name, uniform=uniform)
        self.place = Loadable(self.view)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(6)
        self.column.addWidget(self.header)
        self.column.addWidget(self.place, 1)

    def focus_list(self) -> None:
        self.view.stand_somewhere()
        self.place.take_focus()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self.header.fit_into(self.height())


def _tool_button(text: str, purpose: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setAccessibleName(purpose)
    button.setToolTip(purpose)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return button
