"""The depositions that are listed, as a Qt model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from qtpy.QtCore import Qt

from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet._qt.widgets.row_model import RowModel
from napari_cryoet.portal.pages import DepositionRow, objects_text
from napari_cryoet.wording import count_text, date_text, joined, kinds_text, names_text, plain


class DepositionModel(RowModel[DepositionRow]):
    """One row a deposition."""

    sorts: ClassVar[Mapping[str, Callable[[DepositionRow], Any]]] = {
        "newest": lambda row: (-row.release_date.timestamp(), row.id),
        "title": lambda row: (row.title.casefold(), row.id),
        "most datasets": lambda row: (-len(row.dataset_ids), -len(row.enriched_dataset_ids), row.id),
        "most annotations": lambda row: (-row.annotation_count, row.id),
    }

    def text_of(self, row: DepositionRow, role: int) -> str | None:
        """Its title, all of it on hovering, and as read aloud."""
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return plain(row.title)
            case Qt.ItemDataRole.ToolTipRole:
                authors = names_text([author.name for author in row.authors], limit=8)
                facts = joined(facts_of(row), date_text(row.release_date))
                lines = (row.title, authors, facts, kinds_text(row.kinds), objects_text(row.objects, limit=20))
                return plain_tooltip("\n".join(line for line in lines if line))
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{plain(row.title)}, {facts_of(row)}, {contents_of(row)}"
        return None


def facts_of(row: DepositionRow) -> str:
    """The second line of a deposition: id, the datasets that it brought, and how many of others it added to."""
    brought, enriched = len(row.dataset_ids), len(row.enriched_dataset_ids)
    of_others = count_text(enriched, "other dataset" if brought else "dataset")
    return joined(
        f"CZCDP-{row.id}",
        count_text(brought, "dataset") if brought else "",
        f"adds to {of_others}" if enriched else "",
    )


def contents_of(row: DepositionRow, limit: int = 3) -> str:
    """The third line of a deposition: how much it holds, and of what, of which so many objects are named."""
    return joined(
        count_text(row.annotation_count, "annotation") if row.annotation_count else "no annotations",
        objects_text(row.objects, limit),
    )
