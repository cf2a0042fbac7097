"""The Qt model of record lists and two-level trees: rows, tick boxes, and loading of more rows.

Pages build `RecordRow` objects from records and pass them to `RecordModel.set_rows` whenever
something changes. Rows with the same keys are updated in place, so selection, folding and scroll
position are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeAlias

from qtpy.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from napari_cryoet._qt.widgets.controls import plain_tooltip
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.pages.rows import RecordRow, RowKind, Tick, longest
from napari_cryoet.wording import joined

ROOT: Final = QModelIndex()
#: Qt passes either kind of index.
ModelIndex: TypeAlias = QModelIndex | QPersistentModelIndex


class Role(IntEnum):
    """Data roles of `RecordModel`."""

    ROW = Qt.ItemDataRole.UserRole + 1
    PICTURE = Qt.ItemDataRole.UserRole + 2  # QPixmap, or None until it has arrived
    TICK = Qt.ItemDataRole.UserRole + 3  # `Tick` of a tick column, or None


@dataclass(frozen=True, slots=True)
class TickColumn:
    """A column of tick boxes at the right of the rows, with its shortcut key.

    ``tick_of`` returns the tick of a record, or None for no box; ``toggle`` is called to change it.
    The signal ``changed`` reports changed ticks of unchanged records.
    """

    title: str
    tooltip: str
    key: Qt.Key
    tick_of: Callable[[Any], Tick | None]
    toggle: Callable[[Any], None]
    changed: Any = None


class RecordModel(QAbstractItemModel):
    """A Qt model of rows; the internal id is 0 for root rows and 1 + the root's row number for child rows.

    Parameters
    ----------
    thumbnails
        Provides the pictures.
    title, tick_columns
        The column headers.
    """

    more_requested = Signal()

    def __init__(
        self,
        thumbnails: Thumbnails | None = None,
        *,
        title: str = "",
        tick_columns: Sequence[TickColumn] = (),
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.title = title
        self.tick_columns: tuple[TickColumn, ...] = ()
        self._thumbnails = thumbnails
        self._rows: tuple[RecordRow, ...] = ()
        self._is_asked = False
        if thumbnails is not None:
            thumbnails.arrived.connect(self._on_picture)
        for column in tick_columns:
            self.add_tick_column(column)

    @property
    def rows(self) -> tuple[RecordRow, ...]:
        return self._rows

    def add_tick_column(self, column: TickColumn) -> None:
        self.beginResetModel()
        self.tick_columns += (column,)
        self.endResetModel()
        if column.changed is not None:
            column.changed.connect(self._on_ticks)

    def set_title(self, title: str) -> None:
        self.title = title
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, 0)

    def set_rows(self, rows: Sequence[RecordRow]) -> None:
        """Replace the rows. If the keys are unchanged, update only the rows that differ."""
        self._is_asked = False
        if _keys(rows) == _keys(self._rows):
            before, self._rows = self._rows, tuple(rows)
            self._tell_changes(before)
        else:
            self.beginResetModel()
            self._rows = tuple(rows)
            self.endResetModel()

    def append_rows(self, rows: Sequence[RecordRow], *, is_asked: bool = False) -> None:
        """Append rows, replacing a final message row.

        ``is_asked`` if the next rows were requested already.
        """
        self._is_asked = is_asked
        if self._rows and self._rows[-1].kind in (RowKind.MESSAGE, RowKind.FAILURE):
            last = len(self._rows) - 1
            self.beginRemoveRows(ROOT, last, last)
            self._rows = self._rows[:-1]
            self.endRemoveRows()
        if rows:
            self.beginInsertRows(ROOT, len(self._rows), len(self._rows) + len(rows) - 1)
            self._rows += tuple(rows)
            self.endInsertRows()

    def ask_for_more(self, *, again: bool = False) -> None:
        """Request the missing rows once; with ``again``, also after a failure."""
        last = self._rows[-1].kind if self._rows else RowKind.RECORD
        if (last is RowKind.MESSAGE and not self._is_asked) or (last is RowKind.FAILURE and again):
            self._is_asked = True
            self.more_requested.emit()

    def row_at(self, index: ModelIndex) -> RecordRow | None:
        if not index.isValid():
            return None
        internal_id = int(QModelIndex(index).internalId())
        return (
            self._rows[index.row()]
            if internal_id == 0
            else self._rows[internal_id - 1].children[index.row()]
        )

    def record_at(self, index: ModelIndex) -> Any:
        row = self.row_at(index)
        return None if row is None else row.record

    def index_of(self, key: Hashable) -> QModelIndex:
        """The index of the row with a key; invalid if it isn't listed."""
        return next(
            (index for index in self.indexes() if (row := self.row_at(index)) and row.key == key),
            ROOT,
        )

    def indexes(self) -> Iterator[QModelIndex]:
        """The indexes of all rows from top to bottom, including folded ones."""
        for number, row in enumerate(self._rows):
            root = self.index(number)
            yield root
            yield from (self.index(below, 0, root) for below in range(len(row.children)))

    def tick(self, row: RecordRow, column: int) -> Tick | None:
        """The tick of a row in a tick column, counted from 0; None if there is none."""
        return (
            self.tick_columns[column].tick_of(row.record)
            if 0 <= column < len(self.tick_columns)
            else None
        )

    def request_tick(self, index: ModelIndex, column: int) -> bool:
        """Request toggling a tick; False if there is none."""
        row = self.row_at(index)
        if row is None or self.tick(row, column) is None:
            return False
        self.tick_columns[column].toggle(row.record)
        return True

    # the Qt model

    def index(self, row: int, column: int = 0, parent: ModelIndex = ROOT) -> QModelIndex:
        if not self.hasIndex(row, column, QModelIndex(parent)):
            return QModelIndex()
        return self.createIndex(row, column, parent.row() + 1 if parent.isValid() else 0)

    def parent(self, index: QModelIndex) -> QModelIndex:  # type: ignore[override] # the other overload is QObject's
        internal_id = int(index.internalId()) if index.isValid() else 0
        return QModelIndex() if internal_id == 0 else self.createIndex(internal_id - 1, 0, 0)

    def rowCount(self, parent: ModelIndex = ROOT) -> int:
        if not parent.isValid():
            return len(self._rows)
        is_root = int(QModelIndex(parent).internalId()) == 0 and parent.column() == 0
        return len(self._rows[parent.row()].children) if is_root else 0

    def columnCount(self, _parent: ModelIndex = ROOT) -> int:
        return 1 + len(self.tick_columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section <= len(self.tick_columns):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.tick_columns[section - 1].title if section else self.title
        return (
            self.tick_columns[section - 1].tooltip
            if section and role == Qt.ItemDataRole.ToolTipRole
            else None
        )

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        row = self.row_at(index)
        if row is None:
            return Qt.ItemFlag.NoItemFlags
        if row.kind is RowKind.HEADING:
            return Qt.ItemFlag.ItemIsEnabled
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return (
            flags
            if self.tick(row, index.column() - 1) is None
            else flags | Qt.ItemFlag.ItemIsUserCheckable
        )

    def data(self, index: ModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        row = self.row_at(index)
        if row is None:
            return None
        tick = self.tick(row, index.column() - 1)
        match role:
            case Role.ROW:
                return row
            case Role.TICK:
                return tick
            case Role.PICTURE:
                return (
                    self._thumbnails.picture(row.picture_url)
                    if self._thumbnails is not None
                    else None
                )
            case Qt.ItemDataRole.CheckStateRole:
                return None if tick is None else Qt.CheckState(tick.state)
            case Qt.ItemDataRole.ToolTipRole:
                return plain_tooltip(
                    row.tooltip if tick is None else self.tick_columns[index.column() - 1].tooltip
                )
            case Qt.ItemDataRole.AccessibleTextRole if index.column():
                return joined(self.tick_columns[index.column() - 1].title, longest(row.title))
            case Qt.ItemDataRole.AccessibleTextRole:
                return row.spoken or _all_texts(row)
            case Qt.ItemDataRole.DisplayRole if index.column() == 0:
                return longest(row.title)
        return None

    def _tell_changes(self, before: Sequence[RecordRow]) -> None:
        last = self.columnCount() - 1
        for number, (old, new) in enumerate(zip(before, self._rows, strict=True)):
            if old == new:
                continue
            root, n_below = self.index(number), len(new.children)
            self.dataChanged.emit(root, self.index(number, last))
            if n_below:
                self.dataChanged.emit(self.index(0, 0, root), self.index(n_below - 1, last, root))

    def _on_ticks(self) -> None:
        last = self.columnCount() - 1
        if self._rows:  # views repaint the child rows too
            self.dataChanged.emit(self.index(0, 1), self.index(len(self._rows) - 1, last))

    def _on_picture(self, url: str) -> None:
        for number, row in enumerate(self._rows):
            if row.picture_url == url:
                self.dataChanged.emit(self.index(number), self.index(number), [Role.PICTURE])


def _keys(rows: Sequence[RecordRow]) -> list[tuple[Hashable, ...]]:
    return [(row.key, row.kind, *(below.key for below in row.children)) for row in rows]


def _all_texts(row: RecordRow) -> str:
    texts = (row.title, row.badge, row.right, *row.lines)
    return ", ".join(longest_text for text in texts if (longest_text := longest(text)))
