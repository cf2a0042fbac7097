"""The datasets that are listed, as a Qt model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from qtpy.QtCore import Qt

from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet._qt.widgets.row_model import RowModel
from napari_cryoet.portal.pages import CatalogueRow, objects_text
from napari_cryoet.wording import count_text, joined, plain, reported, short_species


class DatasetModel(RowModel[CatalogueRow]):
    """One row a dataset."""

    sorts: ClassVar[Mapping[str, Callable[[CatalogueRow], Any]]] = {
        "newest": lambda row: (-row.release_date.timestamp(), row.id),
        "title": lambda row: (row.title.casefold(), row.id),
        "most runs": lambda row: (-row.run_count, row.id),
        "most annotations": lambda row: (-row.annotation_count, row.id),
    }

    def text_of(self, row: CatalogueRow, role: int) -> str | None:
        """Its title, all of it on hovering, and as read aloud."""
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return plain(row.title)
            case Qt.ItemDataRole.ToolTipRole:
                lines = (row.title, reported(row.organism_name), facts_of(row), objects_text(row.objects, limit=20))
                return plain_tooltip("\n".join(line for line in lines if line))
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{plain(row.title)}, {facts_of(row)}, {objects_text(row.objects)}"
        return None


def facts_of(row: CatalogueRow) -> str:
    """The second line of a dataset: id, organism, counts."""
    annotations = count_text(row.annotation_count, "annotation") if row.annotation_count else ""
    return joined(f"DS-{row.id}", short_species(row.organism_name), count_text(row.run_count, "run"), annotations)
