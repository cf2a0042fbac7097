"""What a dataset is: title, authors, dates, links, and on demand its description."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPlainTextEdit, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_cryoet._qt.icons import icon
from napari_cryoet._qt.labels import ElidedLabel, TitleLabel, plain_tooltip
from napari_cryoet._qt.menu_button import MenuButton
from napari_cryoet._qt.theme import Theme
from napari_cryoet._qt.web import open_in_browser
from napari_cryoet.links import Link, database_links, is_web_address, publication_links
from napari_cryoet.portal.pages import CatalogueRow
from napari_cryoet.records import Dataset
from napari_cryoet.wording import date_text, joined, names_text, plain, reported, short_species, size_text

LINKS_IN_MENU = 24
LICENCE = "CC0"  # of everything on the portal


class DatasetHeader(QWidget):
    """Shows what the list knew at once, and the rest when it comes; nothing jumps meanwhile."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.title = TitleLabel()
        self.authors = ElidedLabel()
        self.authors.setObjectName("dimText")
        self.facts = ElidedLabel()
        self.facts.setObjectName("dimText")
        self.links = MenuButton(theme, "Links", "Links of this dataset: portal, papers, databases")
        self.details = _text_button("Details", "Description, sample and all authors")
        self.details.setCheckable(True)
        self.details.toggled.connect(self._on_details)
        self.description = QPlainTextEdit()
        self.description.setReadOnly(True)
        self.description.setTabChangesFocus(True)
        self.description.setAccessibleName("Description of the dataset")
        self.description.setFixedHeight(170)
        self.description.hide()
        people = QHBoxLayout()
        people.setSpacing(4)
        people.addWidget(self.authors, 1)
        people.addWidget(self.links)
        people.addWidget(self.details)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(self.title)
        column.addLayout(people)
        column.addWidget(self.facts)
        column.addWidget(self.description)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)
        theme.changed.connect(self._draw_icons)
        self._draw_icons()

    def set_preview(self, dataset_id: int, row: CatalogueRow | None) -> None:
        """Show what the list of datasets knows already."""
        self.title.setText(plain(row.title) if row is not None else f"DS-{dataset_id}")
        self._set_authors([author.name for author in row.authors] if row is not None else [])
        facts = (short_species(row.organism_name), date_text(row.release_date), LICENCE) if row is not None else ()
        self.facts.setText(joined(*facts))
        self.details.setChecked(False)
        self.details.setEnabled(False)
        self.links.setEnabled(False)

    def set_dataset(self, dataset: Dataset, portal_page: str) -> None:
        """Show a dataset; ``portal_page`` is its address on the portal, or empty where it has none."""
        self.title.setText(plain(dataset.title))
        self._set_authors([author.name for author in dataset.authors])
        organism = short_species(dataset.organism_name)
        self.facts.setText(joined(organism, date_text(dataset.release_date), LICENCE, size_text(dataset.file_size)))
        self.details.setEnabled(True)
        self.description.setPlainText(describe(dataset))
        self._set_links(dataset, portal_page)

    def _set_authors(self, names: list[str]) -> None:
        self.authors.setText(names_text([plain(name) for name in names]))
        self.authors.setToolTip(plain_tooltip(", ".join(names)))

    def _set_links(self, dataset: Dataset, portal_page: str) -> None:
        menu = self.links.items
        menu.clear()
        portal = [Link("This dataset on the portal", portal_page)] if portal_page else []
        entries = database_links(dataset.related_database_entries)
        _add_links(menu, "", portal)
        _add_links(menu, "Publications", publication_links(dataset.dataset_publications))
        _add_links(menu, "Databases", entries[:LINKS_IN_MENU])
        if len(entries) > LINKS_IN_MENU:
            rest = menu.addAction(f"… and {len(entries) - LINKS_IN_MENU} more, see Details")
            if rest is not None:
                rest.setEnabled(False)
        self.links.setEnabled(not menu.isEmpty())

    def _on_details(self, is_open: bool) -> None:
        self.description.setVisible(is_open)
        self._draw_icons()

    def _draw_icons(self) -> None:
        arrow = "down" if self.details.isChecked() else "right"
        self.details.setIcon(icon(arrow, self._theme.colors.text))


def describe(dataset: Dataset) -> str:
    """All that a dataset says about itself, as plain text."""
    facts = (
        ("Sample", str(dataset.sample_type).replace("_", " ") if dataset.sample_type else ""),
        (
            "Organism",
            joined(
                reported(dataset.organism_name), f"taxid {dataset.organism_taxid}" if dataset.organism_taxid else ""
            ),
        ),
        ("Tissue", reported(dataset.tissue_name)),
        ("Cell", joined(reported(dataset.cell_name), reported(dataset.cell_strain_name))),
        ("Cell component", reported(dataset.cell_component_name)),
        ("Sample preparation", reported(dataset.sample_preparation)),
        ("Grid preparation", reported(dataset.grid_preparation)),
        ("Other", reported(dataset.other_setup)),
        ("Authors", ", ".join(author.name for author in dataset.authors)),
        ("Funding", ", ".join(_funding(dataset))),
        ("Publications", reported(dataset.dataset_publications)),
        ("Database entries", reported(dataset.related_database_entries)),
        ("Deposition", f"{dataset.deposition.title} (CZCDP-{dataset.deposition.id})" if dataset.deposition else ""),
    )
    return "\n\n".join([dataset.description, *(f"{name}: {text}" for name, text in facts if text)])


def _funding(dataset: Dataset) -> Iterable[str]:
    for source in dataset.funding_sources:
        yield " ".join(part for part in (source.funding_agency_name, source.grant_id) if part)


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
