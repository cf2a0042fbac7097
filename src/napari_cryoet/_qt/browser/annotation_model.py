"""A run's annotations as a Qt tree: objects, and below each its annotations with a tick to show and one to download."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from qtpy.QtCore import QModelIndex, QObject, Qt, Signal

from napari_cryoet._qt.browser.deposition_menu import deposition_text
from napari_cryoet._qt.layers.appearance import Appearance
from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet._qt.widgets.roles import Role
from napari_cryoet._qt.widgets.two_level_model import NO_PARENT, TwoLevelModel
from napari_cryoet.appearance.colors import RGBA
from napari_cryoet.run.outline import AnnotationRow, ObjectGroup, RunOutline
from napari_cryoet.wording import count_text, joined, names_text, plain, size_text


class Column(IntEnum):
    """What stands side by side in a row."""

    TEXT = 0
    SHOW = 1
    DOWNLOAD = 2


@dataclass(frozen=True, slots=True)
class Apart:
    """The group of annotations that don't fit the chosen tomogram."""

    rows: tuple[AnnotationRow, ...]

    @property
    def text(self) -> str:
        """The group's title."""
        return f"On another alignment ({len(self.rows)})"


class AnnotationModel(TwoLevelModel):
    """Ticks are requests: *show* changes when the layer is there, not when it is asked for."""

    show_requested = Signal(object)  # AnnotationRow
    hide_requested = Signal(object)  # AnnotationRow
    downloads_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._groups: tuple[ObjectGroup | Apart, ...] = ()
        self._shown: dict[int, Appearance | None] = {}
        self._coming: frozenset[int] = frozenset()
        self._read_id: int | None = None
        self._read_coming_id: int | None = None
        self._colors: dict[int, RGBA] = {}
        self._to_download: set[tuple[int, ...]] = set()

    def set_outline(self, outline: RunOutline | None) -> None:
        """List a run's annotations; download ticks stay on rows that are still there."""
        self.beginResetModel()
        groups: list[ObjectGroup | Apart] = list(outline.groups) if outline is not None else []
        if outline is not None and outline.other_alignment:
            groups.append(Apart(outline.other_alignment))
        self._groups = tuple(groups)
        self._to_download &= {row.key for row in self.rows()}
        self.endResetModel()
        self.downloads_changed.emit()

    def set_shown(self, looks: Mapping[int, Appearance | None], coming: Iterable[int] = ()) -> None:
        """Say which annotation files are layers now, by their ids, how these look, and which are on their way."""
        shown, coming = dict(looks), frozenset(coming)
        if (shown, coming) == (self._shown, self._coming):
            return
        self._shown, self._coming = shown, coming
        self._refresh(Column.SHOW)

    def set_read(self, shown_id: int | None, coming_id: int | None) -> None:
        """Say which caption's text is shown now, by its file's id, and which is on its way."""
        self._read_id, self._read_coming_id = shown_id, coming_id
        self._refresh(Column.SHOW)

    def set_colors(self, colors: Mapping[int, RGBA]) -> None:
        """Say in which colour each object of the run is drawn, by `object_key`."""
        self._colors = dict(colors)
        self._refresh(Column.TEXT)

    def rows(self) -> Iterator[AnnotationRow]:
        """Every annotation of the tree."""
        for group in self._groups:
            yield from group.rows

    def rows_to_download(self) -> tuple[AnnotationRow, ...]:
        """What is ticked to download, in the order of the tree."""
        return tuple(row for row in self.rows() if row.key in self._to_download)

    def record_at(self, index: QModelIndex) -> ObjectGroup | Apart | AnnotationRow | None:
        """What a row of the tree stands for."""
        if not index.isValid():
            return None
        place = int(index.internalId())
        return self._groups[index.row()] if place == 0 else self._groups[place - 1].rows[index.row()]

    def toggle(self, index: QModelIndex, column: Column) -> None:
        """Ask for the other state of a tick."""
        tick = self.index(index.row(), column, index.parent())
        is_on = self.data(tick, Qt.ItemDataRole.CheckStateRole) != Qt.CheckState.Unchecked
        self.setData(tick, Qt.CheckState.Unchecked if is_on else Qt.CheckState.Checked, Qt.ItemDataRole.CheckStateRole)

    # Qt's side; root rows have internal id 0

    def rowCount(self, parent: QModelIndex = NO_PARENT) -> int:
        """Groups below the root, rows below a group."""
        if not parent.isValid():
            return len(self._groups)
        is_group = int(parent.internalId()) == 0 and parent.column() == 0
        return len(self._groups[parent.row()].rows) if is_group else 0

    def columnCount(self, _parent: QModelIndex = NO_PARENT) -> int:
        """Text and two ticks."""
        return len(Column)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Names of the columns."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return ("Annotations", "Show", "Save")[section]
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return ("", "Show as a layer (Space)", "Take along when downloading (D)")[section]
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Rows and groups can be selected; ticks can be ticked where there is something to tick."""
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if self.data(index, Qt.ItemDataRole.CheckStateRole) is not None:
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        return flags

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Texts, records and ticks."""
        record = self.record_at(index)
        if record is None:
            return None
        match role:
            case Role.RECORD:
                return record
            case Role.LOOK | Role.COLOR:
                return self._look(record) if role == Role.LOOK else self._color(record)
            case Qt.ItemDataRole.CheckStateRole:
                return self._tick(record, index.column())
            case _ if index.column() == Column.TEXT:
                return _text_of(record, role)
        return _tick_name(record, index.column()) if role == Qt.ItemDataRole.AccessibleTextRole else None

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Ask to show or hide, or tick for download."""
        record = self.record_at(index)
        if record is None or role != Qt.ItemDataRole.CheckStateRole or self._tick(record, index.column()) is None:
            return False
        is_on = Qt.CheckState(value) == Qt.CheckState.Checked
        if index.column() == Column.SHOW:
            (self.show_requested if is_on else self.hide_requested).emit(record)
        else:
            self._tick_downloads(record.rows if not isinstance(record, AnnotationRow) else (record,), is_on)
        return True

    def _color(self, record: ObjectGroup | Apart | AnnotationRow) -> RGBA | None:
        """The colour of an object in this run."""
        if not isinstance(record, ObjectGroup):
            return None
        return self._colors.get(min(row.annotation.id for row in record.rows))

    def _look(self, record: ObjectGroup | Apart | AnnotationRow) -> Appearance | None:
        """How the layer of an annotation looks, if it has one."""
        if not isinstance(record, AnnotationRow) or record.shown_file is None:
            return None
        return self._shown.get(record.shown_file.id)

    def _tick(self, record: ObjectGroup | Apart | AnnotationRow, column: int) -> Qt.CheckState | None:
        if column == Column.SHOW and isinstance(record, AnnotationRow):
            return self._show_tick(record)
        if column == Column.DOWNLOAD:
            rows = (record,) if isinstance(record, AnnotationRow) else record.rows
            ticks = {row.key in self._to_download for row in rows if row.files}
            if len(ticks) == 2:
                return Qt.CheckState.PartiallyChecked
            return None if not ticks else Qt.CheckState.Checked if True in ticks else Qt.CheckState.Unchecked
        return None

    def _show_tick(self, row: AnnotationRow) -> Qt.CheckState | None:
        file = row.shown_file or row.caption_file
        if file is None:
            return None
        look = self._shown.get(file.id)
        is_shown = file.id in self._shown and (look is None or look.is_visible)
        if is_shown or file.id == self._read_id:
            return Qt.CheckState.Checked
        is_coming = file.id in self._coming or file.id == self._read_coming_id
        return Qt.CheckState.PartiallyChecked if is_coming else Qt.CheckState.Unchecked

    def _tick_downloads(self, rows: Iterable[AnnotationRow], is_on: bool) -> None:
        keys = {row.key for row in rows if row.files}
        self._to_download = self._to_download | keys if is_on else self._to_download - keys
        self._refresh(Column.DOWNLOAD)
        self.downloads_changed.emit()

    def _refresh(self, column: Column) -> None:
        for number, group in enumerate(self._groups):
            parent = self.index(number, 0)
            self.dataChanged.emit(self.index(number, column), self.index(number, column))
            if group.rows:
                first, last = self.index(0, column, parent), self.index(len(group.rows) - 1, column, parent)
                self.dataChanged.emit(first, last)


def title_of(group: ObjectGroup | Apart) -> str:
    """A group's name."""
    return plain(group.object_name) if isinstance(group, ObjectGroup) else group.text


def badges_of(row: AnnotationRow) -> str:
    """A row's first line: what, on which other alignment, by which kind of method."""
    return joined(row.summary, _alignment_of(row), plain(str(row.annotation.method_type)))


def details_of(row: AnnotationRow) -> str:
    """A row's second line: method, authors, size."""
    annotation = row.annotation
    authors = names_text([plain(author.name) for author in annotation.authors], limit=2)
    size = size_text(row.files[0].file_size) if row.files else ""
    return joined(size, plain(annotation.annotation_method), authors)


def _alignment_of(row: AnnotationRow) -> str:
    """The alignment of what doesn't lie on the tomogram's; empty for what does."""
    if row.fit is None or not row.fit.is_unaligned or not row.files:
        return ""
    alignment_id = row.files[0].alignment_id
    return "alignment unknown" if alignment_id is None else f"AL-{alignment_id}"


def _tick_name(record: ObjectGroup | Apart | AnnotationRow, column: int) -> str:
    what = badges_of(record) if isinstance(record, AnnotationRow) else title_of(record)
    return f"{'show' if column == Column.SHOW else 'download'} {what}"


def _text_of(record: ObjectGroup | Apart | AnnotationRow, role: int) -> str | None:
    texts: dict[int, Callable[[], str]]
    if isinstance(record, AnnotationRow):
        texts = {
            Qt.ItemDataRole.DisplayRole: lambda: badges_of(record),
            Qt.ItemDataRole.ToolTipRole: lambda: plain_tooltip(_all_about(record)),
            Qt.ItemDataRole.AccessibleTextRole: lambda: joined(_marks_of(record), badges_of(record), record.reason),
        }
    else:
        count = count_text(len(record.rows), "annotation")
        about = record.object_id if isinstance(record, ObjectGroup) else "Their positions don't fit this tomogram."
        texts = {
            Qt.ItemDataRole.DisplayRole: lambda: title_of(record),
            Qt.ItemDataRole.ToolTipRole: lambda: plain_tooltip(f"{title_of(record)}\n{joined(about, count)}"),
            Qt.ItemDataRole.AccessibleTextRole: lambda: f"{title_of(record)}, {count}",
        }
    return texts[role]() if role in texts else None


def _marks_of(row: AnnotationRow) -> str:
    recommended = "recommended by the curators" if row.annotation.is_curator_recommended else ""
    return joined(recommended, "ground truth" if row.annotation.ground_truth_status else "")


def _all_about(row: AnnotationRow) -> str:
    annotation = row.annotation
    precision, recall = annotation.confidence_precision, annotation.confidence_recall
    lines = (
        joined(annotation.object_name, annotation.object_state or "", annotation.object_id, f"AN-{annotation.id}"),
        joined(badges_of(row), _marks_of(row)),
        annotation.object_description or "",
        f"Method: {annotation.annotation_method}",
        f"Software: {annotation.annotation_software}" if annotation.annotation_software else "",
        f"Authors: {', '.join(author.name for author in annotation.authors)}" if annotation.authors else "",
        f"Publication: {annotation.annotation_publication}" if annotation.annotation_publication else "",
        deposition_text(annotation.deposition_id, annotation.deposition),
        f"Precision {precision:g} %" if precision is not None else "",
        f"Recall {recall:g} %" if recall is not None else "",
        f"Files: {', '.join(joined(file.format, size_text(file.file_size)) for file in row.files)}"
        if row.files
        else "",
        row.reason,
    )
    return "\n".join(line for line in lines if line)
