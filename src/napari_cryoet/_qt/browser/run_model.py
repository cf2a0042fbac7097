"""A dataset's runs as a Qt model that fills page by page, and says so while it isn't complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QObject, Qt, Signal

from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet._qt.widgets.roles import Index, Role
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet.exceptions import CryoETError, PortalError
from napari_cryoet.portal.pages import DatasetPage, RunRow, objects_text
from napari_cryoet.wording import (
    count_text,
    dimensions_text,
    joined,
    size_text,
    spacing_text,
)


@dataclass(frozen=True, slots=True)
class Remainder:
    """The last row of a list that isn't complete: what is missing, and whether it is coming."""

    loaded: int
    total: int | None  # None: nothing has come yet
    error: CryoETError | None = None

    @property
    def text(self) -> str:
        """What the row says."""
        if self.error is not None:
            return f"{self.error.message} Press Enter to try again."
        if self.total is None:
            return "Loading runs…"
        return f"Loading more… {self.loaded:,} of {self.total:,}"


class RunModel(QAbstractListModel):
    """Rows of runs, then one `Remainder` row as long as runs are missing.

    Nothing is asked for before `restart`; a view that reaches the end asks for more by itself.
    """

    more_requested = Signal(int)  # offset of the first missing run

    def __init__(self, thumbnails: Thumbnails, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thumbnails = thumbnails
        self._runs: list[RunRow] = []
        self._remainder: Remainder | None = None
        self._is_asked = False
        thumbnails.arrived.connect(self._on_picture)

    @property
    def loaded(self) -> int:
        """How many runs are here."""
        return len(self._runs)

    @property
    def is_complete(self) -> bool:
        """Whether no run is missing."""
        return self._remainder is None

    def restart(self) -> None:
        """Empty the list and ask for its first page."""
        self.beginResetModel()
        self._runs = []
        self._remainder = Remainder(0, None)
        self._is_asked = False
        self.endResetModel()
        self._ask()

    def add_page(self, page: DatasetPage) -> None:
        """Append a page that came; one that doesn't continue the list is refused by starting over."""
        if page.offset != len(self._runs):
            self.restart()
            return
        self._is_asked = False
        self._set_remainder(None)
        if page.runs:
            self.beginInsertRows(QModelIndex(), len(self._runs), len(self._runs) + len(page.runs) - 1)
            self._runs.extend(page.runs)
            self.endInsertRows()
        if page.is_last:
            return
        if page.runs:
            self._set_remainder(Remainder(len(self._runs), page.run_total))
        else:
            self.set_failed(PortalError("The portal answered with fewer runs than it counted."))

    def set_failed(self, error: CryoETError) -> None:
        """Say in the last row that the rest didn't come."""
        self._is_asked = False
        self._set_remainder(Remainder(len(self._runs), None, error))

    def retry(self) -> None:
        """Ask again for what failed."""
        if self._remainder is not None and self._remainder.error is not None:
            self._set_remainder(Remainder(len(self._runs), None))
            self._ask()

    def run_at(self, index: Index) -> RunRow | None:
        """The run of a row; None for the row that stands for missing ones."""
        return self._runs[index.row()] if 0 <= index.row() < len(self._runs) else None

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """How many rows there are, the remainder included."""
        return 0 if parent.isValid() else len(self._runs) + (self._remainder is not None)

    def canFetchMore(self, parent: Index) -> bool:
        """Whether the view may ask for more now."""
        waits_for_view = self._remainder is not None and self._remainder.error is None
        return waits_for_view and not self._is_asked and not parent.isValid()

    def fetchMore(self, parent: Index) -> None:
        """Ask for the next page."""
        if self.canFetchMore(parent):
            self._ask()

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """A row's text, record or picture."""
        run = self.run_at(index)
        if run is None:
            return self._remainder_data(role) if index.isValid() else None
        if role == Role.PICTURE:
            return self._thumbnails.picture(run.key_photo_thumbnail_url)
        return run if role == Role.RECORD else _text_of(run, role)

    def _remainder_data(self, role: int) -> Any:
        if self._remainder is None:
            return None
        if role == Role.RECORD:
            return self._remainder
        is_text = role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole)
        return self._remainder.text if is_text else None

    def _ask(self) -> None:
        self._is_asked = True
        self.more_requested.emit(len(self._runs))

    def _set_remainder(self, remainder: Remainder | None) -> None:
        row = len(self._runs)
        if remainder is None and self._remainder is not None:
            self.beginRemoveRows(QModelIndex(), row, row)
            self._remainder = None
            self.endRemoveRows()
        elif remainder is not None and self._remainder is None:
            self.beginInsertRows(QModelIndex(), row, row)
            self._remainder = remainder
            self.endInsertRows()
        elif remainder is not None:
            self._remainder = remainder
            self.dataChanged.emit(self.index(row), self.index(row))

    def _on_picture(self, url: str) -> None:
        for number, run in enumerate(self._runs):
            if run.key_photo_thumbnail_url == url:
                self.dataChanged.emit(self.index(number), self.index(number), [Role.PICTURE])


def facts_of(run: RunRow) -> str:
    """The second line of a run: its default tomogram in short."""
    if not run.tomogram_count:
        return "no tomogram"
    return joined(
        count_text(run.tomogram_count, "tomogram"), spacing_text(run.voxel_spacing), size_text(run.file_size_omezarr)
    )


def annotations_of(run: RunRow, limit: int = 3) -> str:
    """The third line of a run: what is annotated, of which so many objects are named."""
    if not run.annotation_count:
        return "no annotations"
    return objects_text(run.objects, limit, with_counts=True) or count_text(run.annotation_count, "annotation")


def _text_of(run: RunRow, role: int) -> str | None:
    match role:
        case Qt.ItemDataRole.DisplayRole:
            return run.title
        case Qt.ItemDataRole.ToolTipRole:
            size = dimensions_text(run.size_x, run.size_y, run.size_z)
            voxels = f"{size} voxels" if size else ""
            objects = "\n".join(
                f"{found.object_name}: {count_text(found.count, 'annotation')}" for found in run.objects[:20]
            )
            return plain_tooltip(f"{run.name} (RN-{run.id})\n{joined(facts_of(run), voxels)}\n{objects}".strip())
        case Qt.ItemDataRole.AccessibleTextRole:
            return f"{run.title}, {facts_of(run)}, {annotations_of(run)}"
    return None
