"""The datasets that are listed, as a Qt model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from napari_cryoet._qt.labels import plain_tooltip
from napari_cryoet._qt.roles import Role
from napari_cryoet._qt.thumbnails import Thumbnails
from napari_cryoet.portal.pages import CatalogueRow
from napari_cryoet.wording import count_text, joined, objects_text, plain, reported, short_species

Index = QModelIndex | QPersistentModelIndex

SORTS: dict[str, Callable[[CatalogueRow], Any]] = {
    "newest": lambda row: (-row.release_date.timestamp(), row.id),
    "title": lambda row: (row.title.casefold(), row.id),
    "most runs": lambda row: (-row.run_count, row.id),
    "most annotations": lambda row: (-row.annotation_count, row.id),
}


class DatasetModel(QAbstractListModel):
    """One row a dataset; pictures come when somebody looks."""

    def __init__(self, thumbnails: Thumbnails, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thumbnails = thumbnails
        self._rows: list[CatalogueRow] = []
        self._sort = "newest"
        self._rows_by_url: dict[str, list[int]] = {}
        thumbnails.arrived.connect(self._on_picture)

    def set_rows(self, rows: Sequence[CatalogueRow]) -> None:
        """List these datasets, in the order that is set."""
        self.beginResetModel()
        self._rows = sorted(rows, key=SORTS[self._sort])
        self._rows_by_url = {}
        for number, row in enumerate(self._rows):
            if row.key_photo_thumbnail_url:
                self._rows_by_url.setdefault(row.key_photo_thumbnail_url, []).append(number)
        self.endResetModel()

    def sort_by(self, name: str) -> None:
        """Change the order; one of `SORTS`."""
        self._sort = name
        self.set_rows(self._rows)

    def dataset_at(self, index: Index) -> CatalogueRow | None:
        """The dataset of a row."""
        return self._rows[index.row()] if index.isValid() else None

    def index_of(self, dataset_id: int) -> QModelIndex:
        """Where a dataset is; invalid if it isn't listed."""
        for number, row in enumerate(self._rows):
            if row.id == dataset_id:
                return self.index(number)
        return QModelIndex()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """How many datasets are listed."""
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A row's text, record or picture."""
        row = self.dataset_at(index)
        if row is None:
            return None
        if role == Role.PICTURE:
            return self._thumbnails.picture(row.key_photo_thumbnail_url)
        return row if role == Role.RECORD else text_of(row, role)

    def _on_picture(self, url: str) -> None:
        for number in self._rows_by_url.get(url, ()):
            index = self.index(number)
            self.dataChanged.emit(index, index, [Role.PICTURE])


def text_of(row: CatalogueRow, role: int) -> str | None:
    """What a dataset's row says: its title, all of it on hovering, and as read aloud."""
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
