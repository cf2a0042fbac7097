"""What a deposition holds, as a Qt tree: its datasets, those of others that it added to, and their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from qtpy.QtCore import QModelIndex, QObject, Qt

from napari_cryoet._qt.widgets.labels import plain_tooltip
from napari_cryoet._qt.widgets.roles import Role
from napari_cryoet._qt.widgets.thumbnails import Thumbnails
from napari_cryoet._qt.widgets.two_level_model import NO_PARENT, TwoLevelModel
from napari_cryoet.portal.pages import DatasetCount, DepositionPage, ObjectCount, RunRow
from napari_cryoet.wording import count_text, joined, plain, short_species

IN_TOOLTIP = 20
OBJECTS_LISTED = 12


@dataclass(frozen=True, slots=True)
class Section:
    """The heading of some datasets."""

    text: str


@dataclass(frozen=True, slots=True)
class MoreRuns:
    """Stands for the runs that a page doesn't list."""

    count: int
    dataset_id: int

    @property
    def text(self) -> str:
        """What the row says."""
        return f"… and {count_text(self.count, 'more run')} of this dataset"


@dataclass(frozen=True, slots=True)
class ObjectHolding:
    """The annotations of one object in a dataset, by kind of method, most first."""

    object_name: str
    contributions: tuple[ObjectCount, ...]

    @property
    def count(self) -> int:
        """How many these are."""
        return sum(each.count for each in self.contributions)

    @property
    def text(self) -> str:
        """How many by which kind of method: ``12 automated · 1 manual``."""
        return joined(*(f"{each.count:,} {plain(str(each.method_type))}" for each in self.contributions))


@dataclass(frozen=True, slots=True)
class MoreObjects:
    """Stands for the objects that aren't listed."""

    count: int
    dataset_id: int

    @property
    def text(self) -> str:
        """What the row says."""
        return f"… and {count_text(self.count, 'more object')}"


Below: TypeAlias = ObjectHolding | MoreObjects | RunRow | MoreRuns
Holding: TypeAlias = Section | DatasetCount | Below


class HoldingsModel(TwoLevelModel):
    """Sections and datasets; below a dataset its annotations by object and method, and the runs if it is another's."""

    def __init__(self, thumbnails: Thumbnails, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thumbnails = thumbnails
        self._roots: list[Section | DatasetCount] = []
        self._below: list[tuple[Below, ...]] = []
        thumbnails.arrived.connect(self._on_picture)

    def set_page(self, page: DepositionPage | None) -> None:
        """List what a deposition holds; nothing before its page has come."""
        self.beginResetModel()
        datasets = page.datasets if page is not None else ()
        own = [dataset for dataset in datasets if dataset.is_own]
        others = [dataset for dataset in datasets if not dataset.is_own]
        self._roots = [*_section("Its datasets", own), *_section("Added to datasets of others", others)]
        self._below = [_below(page, root) for root in self._roots] if page is not None else []
        self.endResetModel()

    def record_at(self, index: QModelIndex) -> Holding | None:
        """What a row stands for."""
        if not index.isValid():
            return None
        place = int(index.internalId())
        return self._roots[index.row()] if place == 0 else self._below[place - 1][index.row()]

    def first_dataset(self) -> QModelIndex:
        """The first row that can be opened."""
        rows = (row for row, root in enumerate(self._roots) if isinstance(root, DatasetCount))
        first = next(rows, None)
        return QModelIndex() if first is None else self.index(first, 0)

    # Qt's side; root rows have internal id 0

    def rowCount(self, parent: QModelIndex = NO_PARENT) -> int:
        """Sections and datasets at the root, the rest below a dataset."""
        if not parent.isValid():
            return len(self._roots)
        return len(self._below[parent.row()]) if int(parent.internalId()) == 0 else 0

    def columnCount(self, _parent: QModelIndex = NO_PARENT) -> int:
        """One."""
        return 1

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Headings are read, not chosen."""
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        if isinstance(self.record_at(index), Section):
            return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemNeverHasChildren
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Texts, records and pictures."""
        record = self.record_at(index)
        if record is None:
            return None
        if role == Role.RECORD:
            return record
        if role == Role.PICTURE:
            url = record.key_photo_thumbnail_url if isinstance(record, DatasetCount) else None
            return self._thumbnails.picture(url)
        return _text_of(record, role)

    def _on_picture(self, url: str) -> None:
        for row, root in enumerate(self._roots):
            if isinstance(root, DatasetCount) and root.key_photo_thumbnail_url == url:
                self.dataChanged.emit(self.index(row, 0), self.index(row, 0), [Role.PICTURE])


def facts_of(dataset: DatasetCount) -> str:
    """The second line of a dataset: id, organism, and its runs, or those of it that were added to."""
    runs = count_text(dataset.run_count, "run")
    return joined(
        f"DS-{dataset.dataset_id}", short_species(dataset.organism_name), runs if dataset.is_own else f"in {runs}"
    )


def counts_of(holding: DatasetCount | RunRow) -> str:
    """How many tomograms and annotations of the deposition a dataset or run holds."""
    counts = ((holding.tomogram_count, "tomogram"), (holding.annotation_count, "annotation"))
    return joined(*(count_text(count, noun) for count, noun in counts if count))


def objects_in(holding: DatasetCount | RunRow) -> list[ObjectHolding]:
    """What a dataset or run holds of the deposition by object, most annotated first."""
    found: dict[str, list[ObjectCount]] = {}
    for each in holding.objects:
        found.setdefault(each.object_name, []).append(each)
    objects = (ObjectHolding(name, tuple(contributions)) for name, contributions in found.items())
    return sorted(objects, key=lambda each: -each.count)


def _section(name: str, datasets: Sequence[DatasetCount]) -> list[Section | DatasetCount]:
    return [Section(f"{name} ({len(datasets):,})"), *datasets] if datasets else []


def _below(page: DepositionPage, root: Section | DatasetCount) -> tuple[Below, ...]:
    """What a dataset unfolds to: annotations by object and method, then the runs if it is another's."""
    if isinstance(root, Section):
        return ()
    objects = objects_in(root)
    rows: list[Below] = list(objects[:OBJECTS_LISTED])
    if len(objects) > OBJECTS_LISTED:
        rows.append(MoreObjects(len(objects) - OBJECTS_LISTED, root.dataset_id))
    if not root.is_own:
        runs = page.runs_of(root.dataset_id)
        rows += runs
        if root.run_count > len(runs):
            rows.append(MoreRuns(root.run_count - len(runs), root.dataset_id))
    return tuple(rows)


def _text_of(record: Holding, role: int) -> str | None:
    is_text = role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole)
    if isinstance(record, Section | MoreRuns | MoreObjects):
        return record.text if is_text else None
    if isinstance(record, ObjectHolding):
        return _object_text(record, role)
    facts = facts_of(record) if isinstance(record, DatasetCount) else f"RN-{record.id}"
    match role:
        case Qt.ItemDataRole.DisplayRole:
            return plain(record.title)
        case Qt.ItemDataRole.ToolTipRole:
            return plain_tooltip("\n".join([record.title, facts, counts_of(record), *_objects_told(record)]))
        case Qt.ItemDataRole.AccessibleTextRole:
            return f"{plain(record.title)}, {facts}, {counts_of(record)}"
    return None


def _object_text(holding: ObjectHolding, role: int) -> str | None:
    match role:
        case Qt.ItemDataRole.DisplayRole:
            return plain(holding.object_name)
        case Qt.ItemDataRole.ToolTipRole:
            return plain_tooltip(f"{holding.object_name}\n{holding.text}")
        case Qt.ItemDataRole.AccessibleTextRole:
            return f"{plain(holding.object_name)}, {holding.text}"
    return None


def _objects_told(holding: DatasetCount | RunRow) -> list[str]:
    objects = objects_in(holding)
    lines = [f"{each.object_name}: {each.text}" for each in objects[:IN_TOOLTIP]]
    rest = len(objects) - IN_TOOLTIP
    return [*lines, f"and {count_text(rest, 'more object')}"] if rest > 0 else lines
