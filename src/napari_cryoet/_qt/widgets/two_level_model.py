"""Qt's side of a tree of two levels: root rows have internal id 0, those below 1 + the number of their root row."""

from __future__ import annotations

from qtpy.QtCore import QAbstractItemModel, QModelIndex

NO_PARENT = QModelIndex()


class TwoLevelModel(QAbstractItemModel):
    """Finds its way between the levels; what the rows are, a subclass says."""

    def index(self, row: int, column: int, parent: QModelIndex = NO_PARENT) -> QModelIndex:
        """An index of a row."""
        if not self.hasIndex(row, column, parent):
            return QModelIndex()
        return self.createIndex(row, column, parent.row() + 1 if parent.isValid() else 0)

    def parent(self, index: QModelIndex) -> QModelIndex:  # type: ignore[override] # the other overload is QObject's
        """The root row that a row is below."""
        place = int(index.internalId()) if index.isValid() else 0
        return QModelIndex() if place == 0 else self.createIndex(place - 1, 0, 0)
