"""What a dataset is: title, authors, dates, links, its deposition, and on demand its description."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtWidgets import QWidget

from napari_cryoet._qt.browser.page_header import PageHeader
from napari_cryoet._qt.widgets.record_link import DepositionLink
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet.portal.pages import CatalogueRow
from napari_cryoet.records import Dataset
from napari_cryoet.wording import date_text, joined, plain, reported, short_species, size_text


class DatasetHeader(PageHeader):
    """Shows what the list knew at once, and the rest when it comes; nothing jumps meanwhile."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "dataset", parent)
        self.deposition = DepositionLink()
        column = self.column()
        column.addWidget(self.title)
        column.addLayout(self.people_row())
        column.addWidget(self.facts)
        column.addWidget(self.deposition)
        column.addWidget(self.description)

    def set_preview(self, dataset_id: int, row: CatalogueRow | None, deposition_title: str = "") -> None:
        """Show what the list of datasets knows already."""
        self.title.setText(plain(row.title) if row is not None else f"DS-{dataset_id}")
        self.set_authors([author.name for author in row.authors] if row is not None else [])
        facts = (short_species(row.organism_name), date_text(row.release_date)) if row is not None else ()
        self.facts.setText(joined(*facts))
        self.deposition.set_deposition(row.deposition_id if row is not None else None, deposition_title)
        self.close_details()

    def set_dataset(self, dataset: Dataset, portal_page: str) -> None:
        """Show a dataset; ``portal_page`` is its address on the portal, or empty where it has none."""
        self.title.setText(plain(dataset.title))
        self.set_authors([author.name for author in dataset.authors])
        organism = short_species(dataset.organism_name)
        licence = plain(dataset.terms.licence) if dataset.terms is not None else ""
        self.facts.setText(joined(organism, date_text(dataset.release_date), licence, size_text(dataset.file_size)))
        self.deposition.set_deposition(dataset.deposition_id, dataset.deposition.title if dataset.deposition else "")
        self.set_details(describe(dataset))
        self.set_links(portal_page, dataset.dataset_publications, dataset.related_database_entries)


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
