"""The basket's ticks in all lists: which records a row stands for, and what a click changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any, NamedTuple

from napari_cryoet.basket.basket import KINDS, Basket, RecordKind
from napari_cryoet.discovery.matches import ListedRun
from napari_cryoet.pages.basket import BasketDetails, Entry
from napari_cryoet.pages.rows import Tick, TickState
from napari_cryoet.portal.pages import CatalogueRow, RunRow
from napari_cryoet.records import Run, TiltSeries, Tomogram
from napari_cryoet.runs.outline import AnnotationRow
from napari_cryoet.wording import ID_PREFIXES


class BasketPart(NamedTuple):
    """A record that can be ticked, and the ids of its parents, which are 0 if unknown."""

    kind: RecordKind
    id: int
    run_id: int = 0
    dataset_id: int = 0
    annotation_id: int = 0  # of a shape
    modified: str = ""
    is_ground_truth: bool = False

    @property
    def key(self) -> int:
        """The annotation of a shape, since one of its shapes stands for all."""
        return self.annotation_id or self.id

    @property
    def name(self) -> str:
        """The id of a dataset or a run: ``DS-10000`` or ``RN-506``."""
        return f"{ID_PREFIXES[self.kind.removesuffix('s')]}-{self.id}"


class BasketTicks:
    """The ticks of one basket; ``details`` are None or of an older basket until they are looked up."""

    def __init__(self, basket: Basket, details: BasketDetails | None = None) -> None:
        self.basket = basket
        self.details = details
        self._ids = {kind: frozenset(basket.ids(kind)) for kind in KINDS}

    @property
    def is_settled(self) -> bool:
        """Whether ``details`` describe this basket."""
        return self.details is not None and self.details.chosen.basket is self.basket

    @property
    def text(self) -> str:
        """``3 runs · 12 files · 412 MB``, or ``5 ticked`` until that is known.

        Empty for an empty basket.
        """
        if self.details is not None and self.details.chosen.contents.total.n_files:
            return self.details.chosen.contents.summary + ("" if self.is_settled else " …")
        return "" if self.basket.is_empty else f"{sum(map(len, self._ids.values())):,} ticked"

    def tick_of(self, record: Any) -> Tick | None:
        """The tick of a record: hollow if a parent is ticked, partial if only some of it is ticked.

        None if there is nothing to download.
        """
        parts = parts_of(record)
        if not parts:
            return None
        ticked = {part.key for part in parts if self._is_ticked(part)}
        if ticked == {part.key for part in parts}:
            return Tick(TickState.ON, is_hollow=self.parent_of(record) is not None)
        is_partial = ticked or any(map(self._is_touched, parts))
        return Tick(TickState.PARTIAL if is_partial else TickState.OFF)

    def parent_of(self, record: Any) -> BasketPart | None:
        """The ticked run or dataset that contains a record or one of its parts."""
        parents = map(self._ticked_parent, parts_of(record))
        return next((parent for parent in parents if parent is not None), None)

    def unticked(self, basket: Basket, record: Any) -> Basket:
        """A basket without a record; other shapes of a ticked annotation stay."""
        parts = parts_of(record)
        other_shapes = self._other_shapes(parts)
        removed: dict[RecordKind, set[int]] = defaultdict(set)
        for part in parts:
            removed[part.kind].add(part.id)
            removed["annotations"].add(part.annotation_id)
        for kind, ids in removed.items():
            basket = basket.without_ids(kind, ids)
        return basket.with_ids("annotation_shapes", other_shapes) if other_shapes else basket

    def _is_ticked(self, part: BasketPart) -> bool:
        if part.id in self._ids[part.kind] or self._ticked_parent(part):
            return True
        if part.annotation_id not in self._ids["annotations"]:
            return False
        return not self.is_settled or self._is_touched(part)  # else another shape is downloaded

    def _is_touched(self, part: BasketPart) -> bool:
        return self.details is not None and part.id in self.details.touched.get(part.kind, ())

    def _ticked_parent(self, part: BasketPart) -> BasketPart | None:
        dataset_id = part.dataset_id
        if not dataset_id and self.details is not None:
            records = self.details.chosen.known.records.get(part.run_id)
            dataset_id = 0 if records is None else records.run.dataset_id
        if part.run_id in self._ids["runs"]:
            return BasketPart("runs", part.run_id)
        return BasketPart("datasets", dataset_id) if dataset_id in self._ids["datasets"] else None

    def _other_shapes(self, parts: Collection[BasketPart]) -> set[int]:
        """The remaining shapes to download of ticked annotations, when only some are unticked."""
        annotation_ids = {part.annotation_id for part in parts} & self._ids["annotations"]
        if not annotation_ids or self.details is None:
            return set()
        shapes = set()
        for run in self.details.chosen.runs:
            for file in run.annotation_files:
                if file.annotation is not None and file.annotation.id in annotation_ids:
                    shapes.add(file.annotation_shape_id or 0)
        return shapes - {part.id for part in parts}


def ticked(basket: Basket, record: Any) -> Basket:
    """A basket with a record; of the annotations of an object, the basket chooses the shapes."""
    dates: dict[RecordKind, dict[int, str]] = defaultdict(dict)
    parts = parts_of(record)
    truth = {part.annotation_id for part in parts if part.is_ground_truth}
    for part in parts:
        if isinstance(record, tuple):
            dates["annotations"][part.annotation_id] = part.modified
        else:
            dates[part.kind][part.id] = part.modified
    for kind, of_ids in dates.items():
        known = {record_id: date for record_id, date in of_ids.items() if date}
        basket = basket.with_ids(kind, of_ids, modified=known, ground_truth=truth)
    return basket


def parts_of(record: Any) -> tuple[BasketPart, ...]:
    """The parts that a record's tick stands for; empty if there is nothing to download."""
    match record:
        case CatalogueRow():
            return (BasketPart("datasets", record.id),)
        case RunRow() | Run():
            return (BasketPart("runs", record.id, dataset_id=record.dataset_id),)
        case ListedRun():
            return (BasketPart("runs", record.run_id, dataset_id=record.dataset_id),)
        case Tomogram(last_modified_date=date):
            modified = date.isoformat() if date else ""
            return (BasketPart("tomograms", record.id, record.run_id or 0, modified=modified),)
        case TiltSeries():
            return (BasketPart("tilt_series", record.id, record.run_id),)
        case AnnotationRow(annotation=annotation, shape=shape) if (
            record.files and shape is not None
        ):
            part = BasketPart(
                "annotation_shapes",
                shape.id,
                annotation.run_id or 0,
                annotation_id=annotation.id,
                modified=annotation.last_modified_date.isoformat(),
                is_ground_truth=bool(annotation.ground_truth_status),
            )
            return (part,)
        case Entry():
            return tuple(BasketPart(kind, record_id) for kind, record_id in record.parts)
        case tuple():
            return tuple(part for row in record for part in parts_of(row))
    return ()
