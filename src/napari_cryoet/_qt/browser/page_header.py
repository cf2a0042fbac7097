"""The head of a record's page: title, authors, facts, links, and on demand all that the record says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPlainTextEdit, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_cryoet._qt.widgets.icons import icon
from napari_cryoet._qt.widgets.labels import ElidedLabel, TitleLabel, plain_tooltip
from napari_cryoet._qt.widgets.menu_button import MenuButton
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.web import open_in_browser
from napari_cryoet.portal.links import Link, database_links, is_web_address, publication_links
from napari_cryoet.wording import names_text, plain

LINKS_IN_MENU = 24


class PageHeader(QWidget):
    """What pages of datasets and depositions have in common; a subclass fills it and adds its own lines.

    Parameters
    ----------
    noun
        Whose page it is: "dataset".
    """

    def __init__(self, theme: Theme, noun: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._noun = noun
        self.title = TitleLabel()
        self.authors = ElidedLabel()
        self.authors.setObjectName("dimText")
        self.facts = ElidedLabel()
        self.facts.setObjectName("dimText")
        self.links = MenuButton(theme, "Links", f"Links of this {noun}: portal, papers, databases")
        self.details = _text_button("Details", f"All that this {noun} says of itself, with all authors")
        self.details.setCheckable(True)
        self.details.toggled.connect(self._on_details)
        self.description = QPlainTextEdit()
        self.description.setReadOnly(True)
        self.description.setTabChangesFocus(True)
        self.description.setAccessibleName(f"Description of the {noun}")
        self.description.setFixedHeight(170)
        self.description.hide()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        theme.changed.connect(self._draw_icons)
        self._draw_icons()

    def people_row(self) -> QHBoxLayout:
        """Authors, and the buttons beside them."""
        people = QHBoxLayout()
        people.setSpacing(4)
        people.addWidget(self.authors, 1)
        people.addWidget(self.links)
        people.addWidget(self.details)
        return people

    def column(self) -> QVBoxLayout:
        """The widget's own layout, empty."""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        return column

    def close_details(self) -> None:
        """Offer neither details nor links, as before they came."""
        self.details.setChecked(False)
        self.details.setEnabled(False)
        self.links.setEnabled(False)

    def set_authors(self, names: Sequence[str]) -> None:
        """Show the first authors and the last, and all on hovering."""
        self.authors.setText(names_text([plain(name) for name in names]))
        self.authors.setToolTip(plain_tooltip(", ".join(names)))

    def set_details(self, text: str) -> None:
        """Offer a text, shown as it is."""
        self.details.setEnabled(True)
        self.description.setPlainText(text)

    def set_links(self, portal_page: str, publications: str | None, entries: str | None) -> None:
        """Offer links; ``portal_page`` is the record's address on the portal, or empty where it has none."""
        menu = self.links.items
        menu.clear()
        portal = [Link(f"This {self._noun} on the portal", portal_page)] if portal_page else []
        databases = database_links(entries)
        _add_links(menu, "", portal)
        _add_links(menu, "Publications", publication_links(publications))
        _add_links(menu, "Databases", databases[:LINKS_IN_MENU])
        if len(databases) > LINKS_IN_MENU:
            rest = menu.addAction(f"… and {len(databases) - LINKS_IN_MENU} more, see Details")
            if rest is not None:
                rest.setEnabled(False)
        self.links.setEnabled(not menu.isEmpty())

    def _on_details(self, is_open: bool) -> None:
        self.description.setVisible(is_open)
        self._draw_icons()

    def _draw_icons(self) -> None:
        arrow = "down" if self.details.isChecked() else "right"
        self.details.setIcon(icon(arrow, self._theme.colors.text))


def _add_links(menu: QMenu, section: str, links: Iterable[Link]) -> None:
    links = [link for link in links if is_web_address(link.url)]
    if links and section:
        menu.addSection(section)
    for link in links:
        action = menu.addAction(plain(link.text).replace("&", "&&"))
        if action is not None:
            action.setToolTip(plain_tooltip(link.url))
            action.triggered.connect(lambda _checked=False, url=link.url: open_in_browser(url))


def _text_button(text: str, name: str) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setAccessibleName(name)
    button.setToolTip(name)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return button
