"""Rows of the catalogue as a Qt model: sorted, with pictures that come when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from qtpy.QtCore import QAbstractListModel, QModelIndex, QObject, Qt

from napari_cryoet._qt.widgets.roles import Index, Role
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.portal.pages import CatalogueRow, DepositionRow

R = TypeVar("R", CatalogueRow, DepositionRow)


class RowModel(QAbstractListModel, Generic[R]):
    """One row a record; a subclass says how its records are sorted and what they say."""

    sorts: ClassVar[Mapping[str, Callable[[Any], Any]]]  # the first is how rows are sorted at the beginning

    def __init__(self, thumbnails: Thumbnails, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thumbnails = thumbnails
        self._rows: list[R] = []
        self._sort = next(iter(self.sorts))
        self._rows_by_url: dict[str, list[int]] = {}
        thumbnails.arrived.connect(self._on_picture)

    def text_of(self, row: R, role: int) -> str | None:
        """What a row says, on hovering and read aloud too."""
        raise NotImplementedError

    def set_rows(self, rows: Sequence[R]) -> None:
        """List these records, in the order that is set."""
        self.beginResetModel()
        self._rows = sorted(rows, key=self.sorts[self._sort])
        self._rows_by_url = {}
        for number, row in enumerate(self._rows):
            if row.key_photo_thumbnail_url:
                self._rows_by_url.setdefault(row.key_photo_thumbnail_url, []).append(number)
        self.endResetModel()

    def sort_by(self, name: str) -> None:
        """Change the order; one of ``sorts``."""
        self._sort = name
        self.set_rows(self._rows)

    def record_at(self, index: Index) -> R | None:
        """The record of a row."""
        return self._rows[index.row()] if index.isValid() else None

    def index_of(self, record_id: int) -> QModelIndex:
        """Where a record is; invalid if it isn't listed."""
        for number, row in enumerate(self._rows):
            if row.id == record_id:
                return self.index(number)
        return QModelIndex()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """How many records are listed."""
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A row's text, record or picture."""
        row = self.record_at(index)
        if row is None:
            return None
        if role == Role.PICTURE:
            return self._thumbnails.picture(row.key_photo_thumbnail_url)
        return row if role == Role.RECORD else self.text_of(row, role)

    def _on_picture(self, url: str) -> None:
        for number in self._rows_by_url.get(url, ()):
            index = self.index(number)
            self.dataChanged.emit(index, index, [Role.PICTURE])
