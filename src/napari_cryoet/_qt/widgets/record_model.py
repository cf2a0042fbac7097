"""Records in a list or a tree of two levels: what each row says, which ticks it has, and whether more rows will come.

Pages build `Row` objects from records and hand them to `RecordModel.set_rows`, again whenever something changes. Rows
that are equal to those before are left alone, so selection, folding and scrolling stay.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, Final, TypeAlias

from qtpy.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.appearance.colors import RGBA
from napari_cryoet.wording import joined

ROOT: Final = QModelIndex()
#: Where a row is; Qt passes either.
Index: TypeAlias = QModelIndex | QPersistentModelIndex
#: A text, or several from the longest to the shortest of which the first that fits is shown.
Text: TypeAlias = str | tuple[str, ...]


class Role(IntEnum):
    """Data roles of our models."""

    ROW = Qt.ItemDataRole.UserRole + 1
    PICTURE = Qt.ItemDataRole.UserRole + 2  # QPixmap, or None until it has arrived
    TICK = Qt.ItemDataRole.UserRole + 3  # of a column of ticks


class Kind(Enum):
    """What a row is."""

    RECORD = "record"
    HEADING = "heading"  # is read, not chosen
    MESSAGE = "message"  # as the last row: more rows are coming
    FAILURE = "failure"  # as the last row: they didn't come; Enter or a click asks again


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick box: on, off, or half; with the colour of the layer that it stands for."""

    state: Qt.CheckState = Qt.CheckState.Unchecked
    color: RGBA | None = None
    is_hollow: bool = False  # the layer is hidden: only the frame has its colour


@dataclass(frozen=True, slots=True)
class TickColumn:
    """A column of ticks at the right of the rows, and the key that ticks.

    The ticks are those of the rows, or what ``tick_of`` says of a record; then ``toggle`` changes it, and a signal
    tells when it is another.
    """

    title: str
    tooltip: str
    key: Qt.Key
    tick_of: Callable[[Any], Tick | None] | None = None
    toggle: Callable[[Any], None] = lambda _record: None
    changed: Any = None


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says and shows; everything but record and title is optional."""

    record: Any  # what signals hand over
    title: Text
    key: Hashable = None  # the row with the same key stays selected and unfolded when rows change
    kind: Kind = Kind.RECORD
    title_lines: int = 1  # or 2
    is_bold: bool = False
    is_dim: bool = False  # the title has the dim colour of the other lines
    lines: tuple[Text, ...] = ()
    right: Text = ""  # at the end of the title's line; of several the first that leaves title and badge their room
    badge: str = ""  # short words in a box after the title
    color: RGBA | None = None  # of a chip before the title
    icon: str = ""  # before the title; of rows below others, left of where titles begin
    is_chosen: bool | None = None  # a radio mark before the title; None draws none
    picture_url: str | None = None  # of root rows; "" keeps room for a picture that isn't there, None doesn't
    ticks: tuple[Tick | None, ...] = ()  # by column, from the first; None where there is nothing to tick
    tooltip: str = ""
    spoken: str = ""  # by a screen reader, instead of all texts
    opens: bool = True  # on Enter and a double click; otherwise these fold and unfold the row
    is_unfolded: bool = True  # when it is first listed
    children: tuple[Row, ...] = ()


class RecordModel(QAbstractItemModel):
    """Rows of records; root rows have internal id 0, those below them 1 + the number of their root.

    Parameters
    ----------
    thumbnails
        Where pictures come from.
    title, tick_columns
        What stands above the columns. Ticks are requests: they change when `set_rows` says so.
    """

    tick_requested = Signal(object, int, bool)  # record, number of the column of ticks, whether to tick
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
        self.tick_columns = tuple(tick_columns)
        self._thumbnails = thumbnails
        self._rows: tuple[Row, ...] = ()
        self._is_asked = False
        if thumbnails is not None:
            thumbnails.arrived.connect(self._on_picture)
        for column in self.tick_columns:
            if column.changed is not None:
                column.changed.connect(self._on_ticks)

    @property
    def rows(self) -> tuple[Row, ...]:
        return self._rows

    def set_title(self, title: str) -> None:
        self.title = title
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, 0)

    def set_rows(self, rows: Sequence[Row]) -> None:
        """List these rows. If their keys are those before, only what differs is changed."""
        self._is_asked = False
        if _keys(rows) == _keys(self._rows):
            before, self._rows = self._rows, tuple(rows)
            self._tell_changes(before)
        else:
            self.beginResetModel()
            self._rows = tuple(rows)
            self.endResetModel()

    def append_rows(self, rows: Sequence[Row], *, is_asked: bool = False) -> None:
        """Add rows at the end, in place of the row about missing rows; ``is_asked`` if these are asked for already."""
        self._is_asked = is_asked
        if self._rows and self._rows[-1].kind in (Kind.MESSAGE, Kind.FAILURE):
            last = len(self._rows) - 1
            self.beginRemoveRows(ROOT, last, last)
            self._rows = self._rows[:-1]
            self.endRemoveRows()
        if rows:
            self.beginInsertRows(ROOT, len(self._rows), len(self._rows) + len(rows) - 1)
            self._rows += tuple(rows)
            self.endInsertRows()

    def ask_for_more(self, *, again: bool = False) -> None:
        """Ask for the rows that are missing, once; ``again`` also where that failed."""
        last = self._rows[-1].kind if self._rows else Kind.RECORD
        if (last is Kind.MESSAGE and not self._is_asked) or (last is Kind.FAILURE and again):
            self._is_asked = True
            self.more_requested.emit()

    def row_at(self, index: Index) -> Row | None:
        if not index.isValid():
            return None
        place = int(QModelIndex(index).internalId())
        return self._rows[index.row()] if place == 0 else self._rows[place - 1].children[index.row()]

    def record_at(self, index: Index) -> Any:
        row = self.row_at(index)
        return None if row is None else row.record

    def index_of(self, key: Hashable) -> QModelIndex:
        """Where the row of a key is; invalid if it isn't listed."""
        return next((index for index in self.indexes() if (row := self.row_at(index)) and row.key == key), ROOT)

    def indexes(self) -> Iterator[QModelIndex]:
        """The index of every row, from top to bottom as if all were unfolded."""
        for number, row in enumerate(self._rows):
            root = self.index(number)
            yield root
            yield from (self.index(below, 0, root) for below in range(len(row.children)))

    def tick(self, row: Row, column: int) -> Tick | None:
        """The tick of a row in a column of ticks, which begin at 0."""
        if not 0 <= column < len(self.tick_columns):
            return None
        if (tick_of := self.tick_columns[column].tick_of) is not None:
            return tick_of(row.record)
        return row.ticks[column] if column < len(row.ticks) else None

    def request_tick(self, index: Index, column: int) -> bool:
        """Ask for the other state of a tick; False if there is none."""
        row = self.row_at(index)
        if row is None or (tick := self.tick(row, column)) is None:
            return False
        if self.tick_columns[column].tick_of is not None:
            self.tick_columns[column].toggle(row.record)
            return True
        self.tick_requested.emit(row.record, column, tick.state == Qt.CheckState.Unchecked)
        return True

    # what Qt asks

    def index(self, row: int, column: int = 0, parent: Index = ROOT) -> QModelIndex:
        if not self.hasIndex(row, column, QModelIndex(parent)):
            return QModelIndex()
        return self.createIndex(row, column, parent.row() + 1 if parent.isValid() else 0)

    def parent(self, index: QModelIndex) -> QModelIndex:  # type: ignore[override] # the other overload is QObject's
        place = int(index.internalId()) if index.isValid() else 0
        return QModelIndex() if place == 0 else self.createIndex(place - 1, 0, 0)

    def rowCount(self, parent: Index = ROOT) -> int:
        if not parent.isValid():
            return len(self._rows)
        is_root = int(QModelIndex(parent).internalId()) == 0 and parent.column() == 0
        return len(self._rows[parent.row()].children) if is_root else 0

    def columnCount(self, _parent: Index = ROOT) -> int:
        return 1 + len(self.tick_columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section <= len(self.tick_columns):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.tick_columns[section - 1].title if section else self.title
        return self.tick_columns[section - 1].tooltip if section and role == Qt.ItemDataRole.ToolTipRole else None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        row = self.row_at(index)
        if row is None:
            return Qt.ItemFlag.NoItemFlags
        if row.kind is Kind.HEADING:
            return Qt.ItemFlag.ItemIsEnabled
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags if self.tick(row, index.column() - 1) is None else flags | Qt.ItemFlag.ItemIsUserCheckable

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
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
                return self._thumbnails.picture(row.picture_url) if self._thumbnails is not None else None
            case Qt.ItemDataRole.CheckStateRole:
                return None if tick is None else tick.state
            case Qt.ItemDataRole.ToolTipRole:
                return plain_tooltip(row.tooltip if tick is None else self.tick_columns[index.column() - 1].tooltip)
            case Qt.ItemDataRole.AccessibleTextRole if index.column():
                return joined(self.tick_columns[index.column() - 1].title, longest(row.title))
            case Qt.ItemDataRole.AccessibleTextRole:
                return row.spoken or _all_texts(row)
            case Qt.ItemDataRole.DisplayRole if index.column() == 0:
                return longest(row.title)
        return None

    def _tell_changes(self, before: Sequence[Row]) -> None:
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
        if self._rows:  # views paint the rows below these as well
            self.dataChanged.emit(self.index(0, last), self.index(len(self._rows) - 1, last))

    def _on_picture(self, url: str) -> None:
        for number, row in enumerate(self._rows):
            if row.picture_url == url:
                self.dataChanged.emit(self.index(number), self.index(number), [Role.PICTURE])


def _keys(rows: Sequence[Row]) -> list[tuple[Hashable, ...]]:
    return [(row.key, row.kind, *(below.key for below in row.children)) for row in rows]


def longest(text: Text) -> str:
    """The text, or the longest of several."""
    return text if isinstance(text, str) else text[0]


def _all_texts(row: Row) -> str:
    texts = (row.title, row.badge, row.right, *row.lines)
    return ", ".join(said for text in texts if (said := longest(text)))
