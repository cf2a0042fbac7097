"""The basket of the open source: ticks in all lists change it, and it is on disk at once."""

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
from napari_cryoet.basket.basket import KINDS, Basket, Kind, source_text
from napari_cryoet.basket.contents import Chosen, Contents, RowsOfRuns, choose, contents_of
from napari_cryoet.basket.outline import Entry, outline_basket
from napari_cryoet.basket.remarks import Remark, remarks_on
from napari_cryoet.basket.store import BasketStore
from napari_cryoet.discovery.listing import ListedRun
from napari_cryoet.exceptions import CryoETError, FormatError, SaveError, raise_if_stopped
from napari_cryoet.portal.pages import CatalogueRow, RunRow
from napari_cryoet.portal.portal import Portal
from napari_cryoet.records import Run, TiltSeries, Tomogram
from napari_cryoet.run.outline import AnnotationRow

Change = Callable[[Basket], Basket]

_KEEP, _ASK = "basket", "contents of the basket"
_PAUSE_S: Final = 0.1  # the window paints ticks first: a thread that computes delays each call of a model by 5 ms


class Part(NamedTuple):
    """Something that can be ticked, and the ids of what it belongs to, 0 where that isn't known."""

    kind: Kind
    id: int
    run_id: int = 0
    dataset_id: int = 0
    annotation_id: int = 0  # of a shape
    modified: str = ""

    @property
    def annotation(self) -> Part:
        """The annotation of a shape; the choices of the basket say which of its shapes are fetched."""
        return self._replace(kind="annotations", id=self.annotation_id)


@dataclass(frozen=True, slots=True)
class Found:
    """What a basket amounts to by the portal's tables."""

    chosen: Chosen
    contents: Contents
    remarks: tuple[Remark, ...]
    entries: tuple[Entry, ...]
    touched: dict[Kind, frozenset[int]]  # the shapes that are fetched, and the runs and datasets of which anything is


class BasketState(QObject):
    """Changes show at once; they are written, and what they amount to is asked for, in tasks."""

    changed = Signal()  # what is ticked, or what that amounts to
    failed = Signal(object)  # CryoETError: it can't be read or written
    refused = Signal(str, str, object)  # why a tick can't be taken away, a button's text, and what it does

    def __init__(self, tasks: Tasks, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder = folder  #: Where downloads go; its disk has to have the room.
        self.column = TickColumn(
            "Basket", "Put into the basket (D)", Qt.Key.Key_D, self.tick_of, self.toggle, self.changed
        )
        self.tasks, self._store = tasks, BasketStore()
        self._writing = threading.Lock()
        self._waiting: deque[tuple[str, Change]] = deque()  # changes that aren't on disk yet, with their sources
        self._forget()

    def _forget(self) -> None:
        self._portal: Portal | None = None
        self._known: RowsOfRuns | None = None
        self.basket = Basket()
        self.found: Found | None = None  # None while nothing is known
        self.error: CryoETError | None = None  # why it isn't
        self._ids: dict[Kind, frozenset[int]] = dict.fromkeys(KINDS, frozenset())

    # one source at a time

    def open(self, portal: Portal) -> None:
        """Read the basket of a portal."""
        self._portal, self._known = portal, RowsOfRuns(portal)
        self._keep()

    def close(self) -> None:
        """Forget the source, with all on disk."""
        self.tasks.stop(_KEEP)
        self.tasks.stop(_ASK)
        with suppress(CryoETError):  # the failure was shown when it was first tried
            self._write()
        self._forget()
        self.changed.emit()

    @property
    def portal(self) -> Portal:
        """The open portal, for work that queries it on another thread."""
        assert self._portal is not None  # noqa: S101 - nothing can be ticked or opened before
        return self._portal

    @property
    def source(self) -> str:
        """The source as baskets name it."""
        return source_text(self.portal.source)

    @property
    def is_settled(self) -> bool:
        """Whether `found` is about the basket as it is now."""
        return self.found is not None and self.found.chosen.basket is self.basket

    @property
    def text(self) -> str:
        """``3 runs · 12 files · 412 MB``, or ``5 ticked`` while that isn't known; empty for an empty basket."""
        if self.found is not None and self.found.contents.total.n_files:
            return self.found.contents.summary + ("" if self.is_settled else " …")
        return "" if self.basket.is_empty else f"{sum(map(len, self._ids.values())):,} ticked"

    # ticks

    def toggle(self, record: Any) -> None:
        """Tick a record that isn't ticked, or only in part; untick one that is."""
        parts, tick = parts_of(record), self.tick_of(record)
        if tick is None or tick.state != Qt.CheckState.Checked:
            of_object = isinstance(record, tuple)
            self.change(partial(_with, parts=[part.annotation for part in parts] if of_object else parts))
        elif whole := next(filter(None, map(self._whole_of, parts)), None):
            kind, whole_id = whole
            name = f"{'DS' if kind == 'datasets' else 'RN'}-{whole_id}"
            take_out = partial(self.change, lambda basket: basket.without_ids(kind, [whole_id]))
            self.refused.emit(f"All of {name} is in the basket.", "Take it out", take_out)
        else:
            self.change(partial(_without, parts=parts))

    def tick_of(self, record: Any) -> Tick | None:
        """The tick of a record; faint where a whole run or dataset has it, half where only some of it is ticked."""
        parts = parts_of(record)
        if not parts:
            return None
        held = {part.annotation_id or part.id for part in parts if self._holds(part)}
        if held == {part.annotation_id or part.id for part in parts}:
            return Tick(Qt.CheckState.Checked, is_hollow=any(map(self._whole_of, parts)))
        has_some = held or any(map(self._touches, parts))
        return Tick(Qt.CheckState.PartiallyChecked if has_some else Qt.CheckState.Unchecked)

    def _holds(self, part: Part) -> bool:
        if part.id in self._ids[part.kind] or self._whole_of(part):
            return True
        is_plainer = self.is_settled and not self._touches(part)
        return part.annotation_id in self._ids["annotations"] and not is_plainer

    def _touches(self, part: Part) -> bool:
        return self.found is not None and part.id in self.found.touched.get(part.kind, ())

    def _whole_of(self, part: Part) -> tuple[Kind, int] | None:
        """The ticked run or dataset that a part is in."""
        dataset_id, run_id = part.dataset_id, part.run_id
        if not dataset_id and self.found is not None:
            dataset_id = (self.found.chosen.owners.row("runs", run_id) or {}).get("datasetId", 0)
        if run_id in self._ids["runs"]:
            return "runs", run_id
        return ("datasets", dataset_id) if dataset_id in self._ids["datasets"] else None

    # changing and keeping it

    def change(self, change: Change, *, is_slow: bool = False) -> None:
        """Change the basket; what takes time is done in the task alone."""
        if self._portal is None:
            return
        self._waiting.append((self.source, change))
        if not is_slow:
            self._set(change(self.basket))
        self._keep()

    def _keep(self) -> None:
        source = self.source

        def work(_job: Job) -> Basket:
            self._write()
            return self._store.current(source)

        self.tasks.run(_KEEP, work, then=self._set, failed=self.failed.emit)

    def _write(self) -> None:
        with self._writing:
            while self._waiting:
                waiting = self._waiting.popleft()
                try:
                    self._store.change(*waiting)
                except (FormatError, SaveError):
                    self._waiting.appendleft(waiting)  # to be tried again with the next change
                    raise

    def _set(self, basket: Basket) -> None:
        if basket == self.basket:  # it is asked for already
            return
        self.basket = basket
        self._ids = {kind: frozenset(basket.ids(kind)) for kind in KINDS}
        self.changed.emit()
        self.ask()

    # what it amounts to

    def ask(self) -> None:
        """Find out what the basket amounts to."""
        basket, known, folder = self.basket, self._known, self.folder
        if basket.is_empty or known is None:
            self.tasks.stop(_ASK)
            self._on_found(None)
            return

        def work(job: Job) -> Found:
            job.stop.wait(_PAUSE_S)
            raise_if_stopped(job.stop)
            rows = known.of(basket, stop=job.stop)
            place = next(each for each in (folder, *folder.parents) if each.exists())
            chosen = choose(basket, rows)
            contents = contents_of(chosen)
            remarks = remarks_on(chosen, contents, free_bytes=shutil.disk_usage(place).free)
            return Found(chosen, contents, remarks, outline_basket(chosen), _touched_by(chosen, contents))

        self.tasks.run(_ASK, work, then=self._on_found, failed=partial(self._on_found, None))

    def _on_found(self, found: Found | None, error: CryoETError | None = None) -> None:
        self.found, self.error = found, error
        self.changed.emit()


def parts_of(record: Any) -> tuple[Part, ...]:
    """What a tick beside a record stands for; nothing where there is nothing to fetch."""
    match record:
        case CatalogueRow():
            return (Part("datasets", record.id),)
        case RunRow() | Run():
            return (Part("runs", record.id, dataset_id=record.dataset_id),)
        case ListedRun():
            return (Part("runs", record.run_id, dataset_id=record.dataset_id),)
        case Tomogram():
            date = record.last_modified_date
            return (Part("tomograms", record.id, record.run_id or 0, modified=date.isoformat() if date else ""),)
        case TiltSeries():
            return (Part("tilt_series", record.id, record.run_id),)
        case AnnotationRow(annotation=annotation, shape=shape) if record.files and shape is not None:
            modified = annotation.last_modified_date.isoformat()
            return (Part("annotation_shapes", shape.id, annotation.run_id or 0, 0, annotation.id, modified),)
        case Entry():
            return tuple(Part(kind, record_id) for kind, record_id in record.parts)
        case tuple():
            return tuple(part for row in record for part in parts_of(row))
    return ()


def _with(basket: Basket, parts: Collection[Part]) -> Basket:
    for kind in {part.kind for part in parts}:
        dates = {part.id: part.modified for part in parts if part.kind == kind}
        basket = basket.with_ids(kind, dates, modified={key: date for key, date in dates.items() if date})
    return basket


def _without(basket: Basket, parts: Collection[Part]) -> Basket:
    gone: dict[Kind, set[int]] = defaultdict(set)
    for part in parts:
        gone[part.kind].add(part.id)
        gone["annotations"].add(part.annotation_id)
    for kind, ids in gone.items():
        basket = basket.without_ids(kind, ids)
    return basket


def _touched_by(chosen: Chosen, contents: Contents) -> dict[Kind, frozenset[int]]:
    run_ids = {*contents.run_ids}
    return {
        "annotation_shapes": frozenset(file["annotationShapeId"] for file in chosen.annotation_files),
        "runs": frozenset(run_ids),
        "datasets": frozenset(row["datasetId"] for row in chosen.rows["runs"] if row["id"] in run_ids),
    }
