"""The basket of the open source, changed by the ticks of all lists and saved on every change."""

from __future__ import annotations

import shutil
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from qtpy.QtCore import QObject, Qt, Signal

from napari_cryoet._qt.tasks import Job, Tasks
from napari_cryoet._qt.widgets.record_model import Tick, TickColumn
from napari_cryoet.basket.basket import KINDS, Basket, RecordKind
from napari_cryoet.basket.contents import Chosen, Contents, KnownRuns, choose, contents_of
from napari_cryoet.basket.store import BasketStore
from napari_cryoet.discovery.listing import ListedRun
from napari_cryoet.exceptions import CryoETError, FormatError, SaveError, raise_if_stopped
from napari_cryoet.pages.basket import Entry, outline_basket
from napari_cryoet.pages.remarks import Remark, remarks_on
from napari_cryoet.portal.pages import CatalogueRow, RunRow
from napari_cryoet.portal.portal import Portal
from napari_cryoet.records import Run, TiltSeries, Tomogram
from napari_cryoet.runs.outline import AnnotationRow

Change = Callable[[Basket], Basket]

_SAVE, _LOOK_UP = "basket", "contents of the basket"
_PAUSE_S: Final = (
    0.1  # the window paints ticks first: a busy thread delays each call of a Qt model by 5 ms
)


class BasketPart(NamedTuple):
    """Something that can be ticked, and the ids of its parents, which are 0 if unknown."""

    kind: RecordKind
    id: int
    run_id: int = 0
    dataset_id: int = 0
    annotation_id: int = 0  # of a shape
    modified: str = ""

    @property
    def annotation(self) -> BasketPart:
        """The annotation of a shape.

        The basket's choices determine which of its shapes are downloaded.
        """
        return self._replace(kind="annotations", id=self.annotation_id)


@dataclass(frozen=True, slots=True)
class Details:
    """The contents of a basket, looked up in the portal's tables."""

    chosen: Chosen
    contents: Contents
    remarks: tuple[Remark, ...]
    entries: tuple[Entry, ...]
    touched: dict[
        RecordKind, frozenset[int]
    ]  # shapes to download, and runs and datasets with anything to download


class BasketState(QObject):
    """Applies changes immediately; saves them and looks up the contents in background tasks."""

    changed = Signal()  # the ticks or the contents
    failed = Signal(object)  # CryoETError: the basket can't be read or saved
    refused = Signal(str, str, object)  # why a tick can't be removed, button text, button callback

    def __init__(self, tasks: Tasks, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder = folder  #: The download folder; its disk is checked for free space.
        self.column = TickColumn(
            "Basket", "Add to the basket (D)", Qt.Key.Key_D, self.tick_of, self.toggle, self.changed
        )
        self.tasks, self._store = tasks, BasketStore()
        self._writing = threading.Lock()
        self._unsaved: deque[tuple[str, Change]] = deque()  # unsaved changes, with their sources
        self._forget()

    def _forget(self) -> None:
        self._portal: Portal | None = None
        self._known_runs: KnownRuns | None = None
        self.basket = Basket()
        self.details: Details | None = None  # None until the contents are known
        self.error: CryoETError | None = None  # why they aren't known
        self._ids: dict[RecordKind, frozenset[int]] = dict.fromkeys(KINDS, frozenset())

    # one source at a time

    def open(self, portal: Portal) -> None:
        """Read the basket of a portal."""
        self._portal = portal
        self._known_runs = KnownRuns(portal)
        self._save()

    def close(self) -> None:
        """Save unsaved changes, and forget the source."""
        self.tasks.stop(_SAVE)
        self.tasks.stop(_LOOK_UP)
        with suppress(CryoETError):  # the first failure was already shown
            self._write()
        self._forget()
        self.changed.emit()

    @property
    def portal(self) -> Portal:
        """The open portal, for work that queries it on another thread."""
        assert self._portal is not None  # noqa: S101 - nothing can be ticked before a source is open
        return self._portal

    @property
    def source(self) -> str:
        """The name of the source in basket files."""
        return self.portal.source.name

    @property
    def is_settled(self) -> bool:
        """Whether `details` describes the current basket."""
        return self.details is not None and self.details.chosen.basket is self.basket

    @property
    def text(self) -> str:
        """``3 runs · 12 files · 412 MB``, or ``5 ticked`` until that is known.

        Empty for an empty basket.
        """
        if self.details is not None and self.details.contents.total.n_files:
            return self.details.contents.summary + ("" if self.is_settled else " …")
        return "" if self.basket.is_empty else f"{sum(map(len, self._ids.values())):,} ticked"

    # ticks

    def toggle(self, record: Any) -> None:
        """Tick a record that is unticked or partly ticked; untick a ticked one."""
        parts, tick = parts_of(record), self.tick_of(record)
        if tick is None or tick.state != Qt.CheckState.Checked:
            of_object = isinstance(record, tuple)
            self.change(
                partial(_with, parts=[part.annotation for part in parts] if of_object else parts)
            )
        elif parent := next(filter(None, map(self._ticked_parent, parts)), None):
            kind, parent_id = parent
            name = f"{'DS' if kind == 'datasets' else 'RN'}-{parent_id}"
            remove = partial(self.change, lambda basket: basket.without_ids(kind, [parent_id]))
            self.refused.emit(f"All of {name} is in the basket.", "Remove it", remove)
        else:
            self.change(partial(_without, parts=parts, other_shapes=self._other_shapes(parts)))

    def tick_of(self, record: Any) -> Tick | None:
        """The tick of a record: hollow if its run or dataset is ticked, partial if only some of it is ticked."""
        parts = parts_of(record)
        if not parts:
            return None
        ticked = {part.annotation_id or part.id for part in parts if self._is_ticked(part)}
        if ticked == {part.annotation_id or part.id for part in parts}:
            return Tick(Qt.CheckState.Checked, is_hollow=any(map(self._ticked_parent, parts)))
        has_some = ticked or any(map(self._is_touched, parts))
        return Tick(Qt.CheckState.PartiallyChecked if has_some else Qt.CheckState.Unchecked)

    def _is_ticked(self, part: BasketPart) -> bool:
        if part.id in self._ids[part.kind] or self._ticked_parent(part):
            return True
        is_skipped = self.is_settled and not self._is_touched(
            part
        )  # another shape of its annotation is downloaded
        return part.annotation_id in self._ids["annotations"] and not is_skipped

    def _is_touched(self, part: BasketPart) -> bool:
        return self.details is not None and part.id in self.details.touched.get(part.kind, ())

    def _ticked_parent(self, part: BasketPart) -> tuple[RecordKind, int] | None:
        """The ticked run or dataset that contains a part."""
        dataset_id, run_id = part.dataset_id, part.run_id
        if not dataset_id and self.details is not None:
            records = self.details.chosen.known.records.get(run_id)
            dataset_id = 0 if records is None else records.run.dataset_id
        if run_id in self._ids["runs"]:
            return "runs", run_id
        return ("datasets", dataset_id) if dataset_id in self._ids["datasets"] else None

    def _other_shapes(self, parts: Collection[BasketPart]) -> set[int]:
        """The remaining shapes to download of ticked annotations when only some of their shapes are unticked."""
        annotation_ids = {part.annotation_id for part in parts} & self._ids["annotations"]
        if not annotation_ids or self.details is None:
            return set()
        shapes = {
            file.annotation_shape_id or 0
            for run in self.details.chosen.runs
            for file in run.annotation_files
            if file.annotation is not None and file.annotation.id in annotation_ids
        }
        return shapes - {part.id for part in parts}

    # changes

    def change(self, change: Change, *, is_slow: bool = False) -> None:
        """Apply a change to the basket immediately, or only in the background if ``is_slow``."""
        if self._portal is None:
            return
        self._unsaved.append((self.source, change))
        if not is_slow:
            self._set(change(self.basket))
        self._save()

    def _save(self) -> None:
        source = self.source

        def work(_job: Job) -> Basket:
            self._write()
            return self._store.current(source)

        self.tasks.run(_SAVE, work, then=self._set, failed=self.failed.emit)

    def _write(self) -> None:
        with self._writing:
            while self._unsaved:
                unsaved = self._unsaved.popleft()
                try:
                    self._store.change(*unsaved)
                except (FormatError, SaveError):
                    self._unsaved.appendleft(unsaved)  # retried with the next change
                    raise

    def _set(self, basket: Basket) -> None:
        if basket == self.basket:
            return
        self.basket = basket
        self._ids = {kind: frozenset(basket.ids(kind)) for kind in KINDS}
        self.changed.emit()
        self.ask()

    # contents

    def ask(self) -> None:
        """Look up the contents of the basket."""
        basket = self.basket
        known_runs = self._known_runs
        folder = self.folder
        if basket.is_empty or known_runs is None:
            self.tasks.stop(_LOOK_UP)
            self._on_details(None)
            return

        def work(job: Job) -> Details:
            job.stop.wait(_PAUSE_S)
            raise_if_stopped(job.stop)
            runs = known_runs.of(basket, stop=job.stop)
            existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
            chosen = choose(basket, runs)
            contents = contents_of(chosen)
            remarks = remarks_on(chosen, contents, free_bytes=shutil.disk_usage(existing).free)
            return Details(
                chosen, contents, remarks, outline_basket(chosen), _touched_by(chosen, contents)
            )

        self.tasks.run(
            _LOOK_UP, work, then=self._on_details, failed=partial(self._on_details, None)
        )

    def _on_details(self, details: Details | None, error: CryoETError | None = None) -> None:
        self.details, self.error = details, error
        self.changed.emit()


def parts_of(record: Any) -> tuple[BasketPart, ...]:
    """The parts that a record's tick stands for; empty if there is nothing to download."""
    match record:
        case CatalogueRow():
            return (BasketPart("datasets", record.id),)
        case RunRow() | Run():
            return (BasketPart("runs", record.id, dataset_id=record.dataset_id),)
        case ListedRun():
            return (BasketPart("runs", record.run_id, dataset_id=record.dataset_id),)
        case Tomogram():
            date = record.last_modified_date
            return (
                BasketPart(
                    "tomograms",
                    record.id,
                    record.run_id or 0,
                    modified=date.isoformat() if date else "",
                ),
            )
        case TiltSeries():
            return (BasketPart("tilt_series", record.id, record.run_id),)
        case AnnotationRow(annotation=annotation, shape=shape) if (
            record.files and shape is not None
        ):
            modified = annotation.last_modified_date.isoformat()
            return (
                BasketPart(
                    "annotation_shapes",
                    shape.id,
                    annotation.run_id or 0,
                    0,
                    annotation.id,
                    modified,
                ),
            )
        case Entry():
            return tuple(BasketPart(kind, record_id) for kind, record_id in record.parts)
        case tuple():
            return tuple(part for row in record for part in parts_of(row))
    return ()


def _with(basket: Basket, parts: Collection[BasketPart]) -> Basket:
    for kind in {part.kind for part in parts}:
        dates = {part.id: part.modified for part in parts if part.kind == kind}
        basket = basket.with_ids(
            kind, dates, modified={key: date for key, date in dates.items() if date}
        )
    return basket


def _without(
    basket: Basket, parts: Collection[BasketPart], other_shapes: Collection[int]
) -> Basket:
    removed: dict[RecordKind, set[int]] = defaultdict(set)
    for part in parts:
        removed[part.kind].add(part.id)
        removed["annotations"].add(part.annotation_id)
    for kind, ids in removed.items():
        basket = basket.without_ids(kind, ids)
    return basket.with_ids("annotation_shapes", other_shapes) if other_shapes else basket


def _touched_by(chosen: Chosen, contents: Contents) -> dict[RecordKind, frozenset[int]]:
    files = [file for run in chosen.runs for file in run.annotation_files]
    runs = (chosen.known.records[run_id].run for run_id in contents.run_ids)
    return {
        "annotation_shapes": frozenset(file.annotation_shape_id or 0 for file in files),
        "runs": frozenset(contents.run_ids),
        "datasets": frozenset(run.dataset_id for run in runs),
    }
