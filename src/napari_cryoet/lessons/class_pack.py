"""Class packs: what a class needs of a portal, small enough to hand out.

Coarse levels are whole. Finer ones have only the blocks around what views and lessons show; the
pack says so, and coarser levels show the rest.
"""

from __future__ import annotations

import math
import re
import shutil
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

import msgspec

from napari_cryoet.basket.basket import Basket
from napari_cryoet.basket.contents import Chosen, ask_basket_runs, choose, rows_without_files
from napari_cryoet.download.blocks import blocks_in, download_blocks
from napari_cryoet.download.folder import MANIFEST_NAME
from napari_cryoet.download.lists import FOLDER as SCRIPTS_FOLDER
from napari_cryoet.download.plan import Plan, PlannedItem, clean_name, plan_cells
from napari_cryoet.download.run import download_files
from napari_cryoet.exceptions import FormatError, NotFoundError
from napari_cryoet.files import UNFINISHED, refuse_existing, written_whole
from napari_cryoet.formats.ome_zarr import BLOCK, folder_bytes
from napari_cryoet.lessons.folder import LESSONS, LessonFolder, open_lesson
from napari_cryoet.lessons.lesson import ChooseTask, PickTask, SortTask
from napari_cryoet.lessons.markdown import parse_action
from napari_cryoet.locations import Location, PathOrUrl, path_to_write
from napari_cryoet.packs.pack import open_pack, write_pack
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.portal.portal import Portal
from napari_cryoet.records import AnnotationFile, TiltSeries, Tomogram
from napari_cryoet.runs.runs import Cell, Runs, depth, every_cell, file_cells
from napari_cryoet.streaming.grid import Box
from napari_cryoet.tables.database import Row, Rows, by_id, tables
from napari_cryoet.task import UNWATCHED, Task, shows_progress
from napari_cryoet.views.finding import OWN_SOURCES, FoundLayer, file_of, find_layers, find_run
from napari_cryoet.views.links import read_shared
from napari_cryoet.views.store import VIEWS, KeptView
from napari_cryoet.views.view import SUFFIX, View, ViewedRun, Zyx, write_view
from napari_cryoet.wording import names_text, plain, size_text

#: Start and end along z, y, x in ångström.
Place: TypeAlias = tuple[tuple[float, float], ...]
EVERYWHERE: Final[Place] = ((0.0, float("inf")),) * 3

#: The finest whole level, and how far around a place all levels are, unless you choose others.
DEFAULT_LEVEL: Final = 1
DEFAULT_AROUND_NM: Final = 20.0

_ZIP: Final = ".zip"
_LINK: Final = re.compile(r"\]\((![^)\s]+)\)")
#: The parts of a pack, as shown.
_PARTS: Final = {
    "tomograms": "tomograms",
    "annotationFiles": "annotations",
    "tiltseries": "tilt series",
}
_FINE: Final = "full resolution around places"
_OTHER: Final = "pictures and metadata"
_SHRINKS: Final[Mapping[str, int]] = {"tomograms": 8, "tiltseries": 4}  # from level to level
_DOWNLOADED: Final = 0.7  # of the progress
_ADDED: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPackPlan:
    """What a class pack will have.

    Attributes
    ----------
    places
        Where tomograms are at full resolution, by their ids.
    sizes
        The estimated bytes of each part, by its name.
    remarks
        What of the views wasn't found, and annotations that may show an answer.
    """

    plan: Plan
    places: Mapping[int, tuple[Place, ...]]
    views: tuple[tuple[View, Path | None], ...]
    lessons: tuple[LessonFolder, ...]
    title: str
    pack_id: str
    sizes: Mapping[str, int]
    remarks: tuple[str, ...]

    @property
    def text(self) -> str:
        """``3.1 MB: tomograms 2.4 MB, annotations 0.7 MB``."""
        parts = [f"{name} {size_text(n_bytes)}" for name, n_bytes in self.sizes.items()]
        return f"{size_text(sum(self.sizes.values()))}: {', '.join(parts)}"


@shows_progress
def make_class_pack(
    portal: Portal,
    to: PathOrUrl,
    basket: Basket | None = None,
    *,
    task: Task = UNWATCHED,
    **options: Any,
) -> Path:
    """Write a class pack and return its path; parameters and errors are those of `plan_class_pack`.

    ``to`` is a new folder, or a new file that ends in ``.zip``.
    """
    plan = plan_class_pack(portal, basket, task=task, **options)
    return write_class_pack(plan, to, task=task)


def plan_class_pack(
    portal: Portal,
    basket: Basket | None = None,
    *,
    lessons: Iterable[LessonFolder | Path | str] = (),
    views: Iterable[View | Path | str] = (),
    level: int = DEFAULT_LEVEL,
    around_nm: float = DEFAULT_AROUND_NM,
    hide: Collection[int] = (),
    title: str = "",
    task: Task = UNWATCHED,
) -> ClassPackPlan:
    """Plan a class pack: the runs of a basket, and what views show of the portal.

    Parameters
    ----------
    basket
        Whole runs or parts of them; frames are left out.
    lessons
        Lessons or their folders, which are packed with all their files.
    views
        Views, their files or links. Of a run that isn't in the basket, only what views and lessons show is packed.
    level
        The finest level of tomograms and tilt series that is packed whole; 0 is full resolution.
    around_nm
        How far around the positions of views and lessons all levels are packed. The region of a task is packed
        whole, so that its answer doesn't show.
    hide
        Ids of annotations to leave out, such as the reference of a task.
    title
        What the pack is called.

    Raises
    ------
    NotFoundError
        If the portal lacks a run or an annotation to hide.
    DownloadError
        If there is nothing to pack.
    """
    basket = basket or Basket(source=portal.source.name)
    opened = tuple(_opened(view) for view in views)
    shown = _Shown(portal, around_nm * 10, task)
    for view, _ in opened:
        shown.add(view)
    folders = tuple(
        each if isinstance(each, LessonFolder) else open_lesson(each) for each in lessons
    )
    for lesson in folders:
        shown.add_lesson(lesson)
    basket = shown.added_to(basket)
    leave_out = tuple(dict.fromkeys([*basket.choices.leave_out, "frames"]))
    basket = basket.with_choices(volume_format="zarr", level=0, leave_out=leave_out)
    runs = ask_basket_runs(portal, basket, task=task)
    if hide:
        rows = _without_annotations(runs.rows, hide)
        runs = Runs.of_rows(rows, portal.source.terms, portal.source.name)
    chosen = choose(basket, runs)
    plan = plan_cells(runs.rows, portal.source, _cells(chosen))
    places = {key: tuple(places) for key, places in shown.places.items()}
    items = tuple(_coarse(item, level, places) for item in plan.items)
    titles = [lesson.lesson.title for lesson in folders]
    origin = plan.origin
    is_portal = origin in OWN_SOURCES or Location.of(origin).is_remote
    plan = replace(
        plan,
        items=items,
        origin=origin if is_portal else "",  # not a path of this computer
        rows_without_files=frozenset(rows_without_files(chosen)),
    )
    return ClassPackPlan(
        plan=plan,
        places=places,
        views=opened,
        lessons=folders,
        title=title or names_text(titles or [run.run.name for run in runs]),
        pack_id=open_pack(portal.source.location).id if portal.source.kind == "pack" else "",
        sizes=_sizes(items, runs, places, folders),
        remarks=(*shown.remarks, *_answers_shown(folders, runs, items)),
    )


# what to pack


class _Shown:
    """The records that views show, and the places that they show."""

    def __init__(self, portal: Portal, around_angstrom: float, task: Task) -> None:
        self._portal = portal
        self._around_angstrom = around_angstrom
        self._task = task
        self._pages: dict[str, RunPage] = {}
        self._records: dict[str, list[int]] = {}
        self.remarks: list[str] = []
        self.places: dict[int, list[Place]] = {}

    def add(self, view: View) -> tuple[int, ...]:
        """Add the records of a view and its position; returns the ids of its tomograms."""
        pages = {
            number: self._page(run)
            for number, run in enumerate(view.runs)
            if run.source  # others are folders of files
        }
        found, remarks = find_layers(view, pages)
        self.remarks += remarks
        for kind, record_id in map(_kind_and_id, found):
            self._records.setdefault(kind, []).append(record_id)
        tomograms = tuple(layer.record.id for layer in found if isinstance(layer.record, Tomogram))
        self.add_places(
            tomograms, [view.camera.point_zyx_angstrom, view.camera.center_zyx_angstrom]
        )
        return tomograms

    def add_lesson(self, lesson: LessonFolder) -> None:
        """Add what the views of a lesson show, and the places of its tasks and links."""
        tomograms: tuple[int, ...] = ()
        for step in lesson.lesson.steps:
            if step.view is not None:
                tomograms = self.add(step.view)
            self.add_places(tomograms, _linked_places(step.text))
            match step.task:
                case PickTask() as task:
                    self.add_boxes(tomograms, [task.region_zyx_angstrom or EVERYWHERE])
                case SortTask() as task:
                    picks = lesson.read_picks(task.picks)
                    self.add_places(tomograms, picks.positions_angstrom_zyx.tolist())
                case ChooseTask() as task:
                    places = [choice.position_zyx_angstrom for choice in task.choices]
                    self.add_places(tomograms, filter(None, places))

    def add_places(self, tomogram_ids: Iterable[int], points_zyx: Iterable[Zyx]) -> None:
        """Add the surroundings of positions in some tomograms."""
        around = self._around_angstrom
        boxes = [tuple((at - around, at + around) for at in point) for point in points_zyx]
        self.add_boxes(tomogram_ids, boxes)

    def add_boxes(self, tomogram_ids: Iterable[int], boxes: Sequence[Place]) -> None:
        """Add boxes in some tomograms."""
        for tomogram_id in tomogram_ids:
            self.places.setdefault(tomogram_id, []).extend(boxes)

    def added_to(self, basket: Basket) -> Basket:
        """The basket with the records."""
        for kind, ids in self._records.items():
            basket = basket.with_ids(kind, ids)  # type: ignore[arg-type]
        return basket

    def _page(self, run: ViewedRun) -> RunPage:
        key = f"{run.dataset_id}/{run.run_name}/{run.run_id}"
        if key not in self._pages:
            self._pages[key] = find_run(self._portal, run, self._task)
        return self._pages[key]


def _linked_places(markdown: str) -> Iterator[Zyx]:
    """The positions that the links of a lesson's text lead to."""
    for href in _LINK.findall(markdown):
        action = parse_action(href)
        if action is not None and action.position_zyx_angstrom is not None:
            yield action.position_zyx_angstrom


def _kind_and_id(layer: FoundLayer) -> tuple[str, int]:
    """The kind and id by which a basket has the record of a layer."""
    match layer.record:
        case AnnotationFile() as file:
            return "annotation_shapes", file.annotation_shape_id or 0
        case TiltSeries() as series:
            return "tilt_series", series.id
    return "tomograms", layer.record.id


def _opened(view: View | Path | str) -> tuple[View, Path | None]:
    """A view, and its file if it is from one; FormatError if it is neither file nor link of one."""
    if isinstance(view, View):
        return view, None
    text = str(view)
    shared, folder = read_shared(text)
    if not isinstance(shared, View):
        raise FormatError(f"{plain(text)[:80]!r} is no view.")
    return shared, Path(text) if folder is not None else None


def _without_annotations(rows: Rows, ids: Collection[int]) -> Rows:
    """The rows without some annotations and all that is theirs; NotFoundError if one isn't there."""
    gone = {("annotations", each) for each in ids}
    if missing := {*ids} - {row["id"] for row in rows["annotations"]}:
        raise NotFoundError(f"There is no annotation AN-{min(missing)} to hide in these runs.")
    kept: dict[str, list[Row]] = {}
    for name in sorted(rows, key=depth):
        owner = tables()[name].owning
        kept[name] = []
        for row in rows[name]:
            key = (name, row["id"])
            if owner is not None and (owner.table, row.get(owner.key)) in gone:
                gone.add(key)
            if key not in gone:
                kept[name].append(row)
    return kept


def _cells(chosen: Chosen) -> Iterator[Cell]:
    """The files to pack: each volume and mask in one format, and the pictures of all records."""
    runs = chosen.known
    masks = {row["id"] for _, row, _ in file_cells(runs.rows["annotationFiles"], "zarr")}
    tomogram_ids: set[int] = set()
    for file in chosen.files:
        table, row, column = file.cell
        is_copy = column == "httpsMrcFile" and bool(row["httpsOmezarrDir"])
        if is_copy or (table == "annotationFiles" and row["id"] not in masks):
            continue
        if table == "tomograms":
            tomogram_ids.add(row["id"])
        yield table, row, column
    shown = [row for row in runs.rows["tomograms"] if row["id"] in tomogram_ids]
    for cell in every_cell({**runs.above, "tomograms": shown}):
        if cell[2].startswith("keyPhoto"):
            yield cell


def _coarse(item: PlannedItem, level: int, places: Mapping[int, Collection[Place]]) -> PlannedItem:
    """The item without the levels before ``level`` if it is a volume, unless all of it is wanted."""
    is_whole = item.table == "tomograms" and EVERYWHERE in places.get(item.row_id, ())
    if item.table not in _SHRINKS or not item.is_zarr or is_whole or not level:
        return item
    factor = _SHRINKS[item.table]
    shares = [factor**-each for each in range(3)]
    share = sum(shares[min(level, 2) :]) / sum(shares)
    size_bytes = None if item.size_bytes is None else round(item.size_bytes * share)
    return replace(item, first_level=level, keeps_grid=True, size_bytes=size_bytes)


def _boxes(places: Iterable[Place], row: Row) -> list[Box]:
    """Places in voxels of a tomogram's finest level."""
    spacing = row["voxelSpacing"]
    offsets = [row[f"offset{axis}"] or 0 for axis in "ZYX"]
    sizes = [row[f"size{axis}"] for axis in "ZYX"]
    boxes = []
    for place in places:
        spans = zip(place, offsets, sizes, strict=True)
        boxes.append(
            tuple(
                (
                    int(max(0.0, start / spacing - offset)),
                    int(min(size, max(0.0, end / spacing - offset + 1))),
                )
                for (start, end), offset, size in spans
            )
        )
    return boxes


def _sizes(
    items: Iterable[PlannedItem],
    runs: Runs,
    places: Mapping[int, Collection[Place]],
    lessons: Iterable[LessonFolder],
) -> dict[str, int]:
    """The estimated bytes by part."""
    sizes = dict.fromkeys(["tomograms", _FINE, "annotations", "tilt series", _OTHER], 0)
    rows = {row["id"]: row for row in runs.rows["tomograms"]}
    for item in items:
        name = _OTHER if item.column.startswith("keyPhoto") else _PARTS.get(item.table, _OTHER)
        sizes[name] += item.size_bytes or 0
        if item.keeps_grid and item.table == "tomograms" and item.row_id in places:
            sizes[_FINE] += _bytes_of_blocks(rows[item.row_id], places[item.row_id])
    sizes["lessons"] = sum(folder_bytes(lesson.folder) for lesson in lessons)
    return {name: n_bytes for name, n_bytes in sizes.items() if n_bytes}


def _bytes_of_blocks(row: Row, places: Iterable[Place]) -> int:
    """The estimated bytes of the finest level's blocks, and an eighth more for the next level's."""
    shape = [row[f"size{axis}"] for axis in "ZYX"]
    n_voxels = len(blocks_in(_boxes(places, row), shape)) * BLOCK**3
    size_bytes: float = row["fileSizeOmezarr"] or 0
    whole: int = math.prod(shape)
    return round(min(1.0, n_voxels / whole) * size_bytes)


def _answers_shown(
    lessons: Iterable[LessonFolder], runs: Runs, items: Collection[PlannedItem]
) -> Iterator[str]:
    """A remark if packed annotations are of an object that a task asks to pick."""
    tasks = [step.task for lesson in lessons for step in lesson.lesson.steps]
    names = {task.object_name.casefold() for task in tasks if isinstance(task, PickTask)}
    packed = {item.row_id for item in items if item.table == "annotationFiles"}
    ids = {
        file.shape.annotation_id
        for run in runs
        for file in run.annotation_files
        if file.id in packed
        and file.shape is not None
        and file.shape.annotation is not None
        and file.shape.annotation.object_name.casefold() in names
    }
    if ids:
        shown = names_text([f"AN-{each}" for each in sorted(filter(None, ids))])
        yield f"{shown} may show the answer to a task; hide them if so."


# writing


def write_class_pack(plan: ClassPackPlan, to: PathOrUrl, *, task: Task = UNWATCHED) -> Path:
    """Write a planned pack to a new folder, or as a ``.zip`` file; nothing is left after a stop.

    Raises
    ------
    ExistsError
        If there is one already.
    DownloadError
        If a file can't be downloaded or written.
    StoppedError
        If ``task`` is stopped.
    """
    path = path_to_write(to)
    if path.suffix.lower() != _ZIP:
        with written_whole(path, flush=False) as unfinished:
            _write_folder(plan, unfinished, task)
        return path
    refuse_existing(path, overwrite=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=UNFINISHED, dir=path.parent) as folder:
        _write_folder(plan, Path(folder), task)
        with written_whole(path) as unfinished:
            zip_folder(Path(folder), unfinished, task=task.part(_ADDED, 1.0))
    return path


def zip_folder(folder: Path, target: Path, *, task: Task = UNWATCHED) -> None:
    """Write all files of a folder into a new zip file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, path in enumerate(files):
            task.step(number / len(files), "packing")
            archive.write(path, path.relative_to(folder).as_posix())


def _write_folder(plan: ClassPackPlan, folder: Path, task: Task) -> None:
    download_files(plan.plan, folder, task=task.part(0.0, _DOWNLOADED))
    task.check()
    # they are about whole files, of which this folder has only parts
    shutil.rmtree(folder / SCRIPTS_FOLDER, ignore_errors=True)
    (folder / MANIFEST_NAME).unlink()
    pack = open_pack(folder)
    rows = by_id(pack.tables)
    partial = [item for item in plan.plan.items if item.keeps_grid]
    share = (_ADDED - _DOWNLOADED) / max(1, len(partial))
    for number, item in enumerate(partial):
        row = rows[item.table][item.row_id]
        target = folder / item.path
        part = task.part(_DOWNLOADED + number * share, _DOWNLOADED + (number + 1) * share)
        if item.table == "tomograms" and item.row_id in plan.places:
            boxes = _boxes(plan.places[item.row_id], row)
            download_blocks(item.url, target, boxes, item.first_level, task=part)
        row["fileSizeOmezarr"] = float(folder_bytes(target))
    _add_views(plan, folder)
    for lesson in plan.lessons:
        copy_files(lesson.folder, folder / LESSONS / lesson.folder.name)
    manifest = msgspec.structs.replace(
        pack.manifest, title=plan.title, id=plan.pack_id or pack.manifest.id
    )
    write_pack(folder, manifest, {name: list(of_table.values()) for name, of_table in rows.items()})


def _add_views(plan: ClassPackPlan, folder: Path) -> None:
    """Copy views, with the files beside them that they show."""
    for number, (view, path) in enumerate(plan.views, start=1):
        name = path.name if path is not None else clean_name(view.words.title or "view") + SUFFIX
        if (folder / VIEWS / name).exists():
            name = f"{number}-{name}"
        written = write_view(view, folder / VIEWS / name)
        if path is not None and KeptView(path).picture.is_file():
            copy_files(KeptView(path).picture, KeptView(written).picture)
        for layer in view.layers:
            if layer.kind == "file" and path is not None:
                source = file_of(layer, path.parent)
                copy_files(source, folder / VIEWS / layer.file)


def copy_files(source: Path, target: Path) -> None:
    """Copy a file, or the files of a folder without links."""
    paths = [source] if source.is_file() else sorted(source.rglob("*"))
    for path in paths:
        if path.is_file() and not path.is_symlink():
            to = target if path == source else target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
