"""What a deposition is: key photo, title, authors, dates, links, description, and how much it holds."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_cryoet._qt.browser.key_photo import KeyPhoto
from napari_cryoet._qt.browser.page_header import PageHeader
from napari_cryoet._qt.widgets.labels import ElidedLabel, TwoLineLabel
from napari_cryoet._qt.widgets.theme import Theme
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.portal.pages import DepositionPage, DepositionRow, ObjectCount
from napari_cryoet.records import Deposition
from napari_cryoet.wording import count_text, date_text, joined, kinds_text, plain, reported


class DepositionHeader(PageHeader):
    """Shows what the list knew at once, and the rest when it comes."""

    def __init__(self, theme: Theme, thumbnails: Thumbnails, parent: QWidget | None = None) -> None:
        super().__init__(theme, "deposition", parent)
        self.photo = KeyPhoto(theme, thumbnails)
        self.summary = TwoLineLabel("dimText")
        self.counts = ElidedLabel()
        self.counts.setObjectName("dimText")
        beside = QVBoxLayout()
        beside.setSpacing(3)
        beside.addWidget(self.title)
        beside.addLayout(self.people_row())
        top = QHBoxLayout()
        top.setSpacing(8)
        top.addWidget(self.photo, alignment=Qt.AlignmentFlag.AlignTop)
        top.addLayout(beside, 1)
        column = self.column()
        column.addLayout(top)
        column.addWidget(self.facts)
        column.addWidget(self.counts)
        column.addWidget(self.summary)
        column.addWidget(self.description)
        self.details.toggled.connect(lambda is_open: self.summary.setVisible(not is_open))

    def set_preview(self, deposition_id: int, row: DepositionRow | None) -> None:
        """Show what the list of depositions knows already."""
        self.title.setText(plain(row.title) if row is not None else f"CZCDP-{deposition_id}")
        self.set_authors([author.name for author in row.authors] if row is not None else [])
        facts = (date_text(row.release_date), kinds_text(row.kinds)) if row is not None else ()
        self.facts.setText(joined(f"CZCDP-{deposition_id}", *facts))
        self.counts.setText("")
        self.summary.setText("")
        self.photo.set_address(row.key_photo_thumbnail_url if row is not None else None)
        self.close_details()

    def set_page(self, page: DepositionPage, portal_page: str) -> None:
        """Show a deposition; ``portal_page`` is its address on the portal, or empty where it has none."""
        deposition = page.deposition
        self.title.setText(plain(deposition.title))
        self.set_authors([author.name for author in deposition.authors])
        kinds, released = kinds_text(deposition.kinds), date_text(deposition.release_date)
        licence = plain(deposition.terms.licence) if deposition.terms is not None else ""
        self.facts.setText(joined(f"CZCDP-{deposition.id}", released, licence, kinds))
        self.counts.setText(counts_text(page))
        self.summary.setText(plain(deposition.description))
        self.photo.set_address(deposition.key_photo_thumbnail_url or deposition.key_photo_url)
        self.set_details(describe(page))
        self.set_links(portal_page, deposition.deposition_publications, deposition.related_database_entries)


def counts_text(page: DepositionPage) -> str:
    """How much a deposition holds, in one line."""
    brought = sum(dataset.is_own for dataset in page.datasets)
    enriched = len(page.datasets) - brought
    counts = ((page.tomogram_count, "tomogram"), (page.annotation_count, "annotation"))
    return joined(
        count_text(brought, "dataset") if brought else "",
        f"adds to {count_text(enriched, 'other dataset' if brought else 'dataset')}" if enriched else "",
        *(count_text(count, noun) for count, noun in counts if count),
    )


def describe(page: DepositionPage) -> str:
    """All that a deposition says about itself, as plain text."""
    deposition = page.deposition
    facts = (
        ("Holds", kinds_text(deposition.kinds)),
        ("Tag", reported(deposition.tag)),
        ("Authors", ", ".join(author.name for author in deposition.authors)),
        ("Dates", _dates(deposition)),
        ("Publications", reported(deposition.deposition_publications)),
        ("Database entries", reported(deposition.related_database_entries)),
        ("Annotated objects", ", ".join(f"{each.object_name} {each.count:,}" for each in page.objects)),
        ("Methods", ", ".join(_methods(each for dataset in page.datasets for each in dataset.objects))),
    )
    return "\n\n".join([deposition.description, *(f"{name}: {text}" for name, text in facts if text)])


def _dates(deposition: Deposition) -> str:
    deposited, released = date_text(deposition.deposition_date), date_text(deposition.release_date)
    return f"deposited {deposited}, released {released}, last modified {date_text(deposition.last_modified_date)}"


def _methods(contributions: Iterable[ObjectCount]) -> list[str]:
    """How many annotations each kind of method made, most first."""
    counts: dict[str, int] = {}
    for each in contributions:
        counts[str(each.method_type)] = counts.get(str(each.method_type), 0) + each.count
    return [f"{method} {count:,}" for method, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
