"""Class packs: what a class needs of a portal, small enough to hand out.

Coarse levels are whole. Finer ones have only the blocks around what views and lessons show; the
pack says so, and coarser levels show the rest.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from napari_cryoet.basket.basket import Basket
from napari_cryoet.basket.contents import (
    Chosen,
    ask_basket_runs,
    choose,
    part_of,
    rows_without_files,
)
from napari_cryoet.demo.write import ensure_demo_pack
from napari_cryoet.download.folder import MANIFEST_NAME
from napari_cryoet.download.lists import FOLDER as SCRIPTS_FOLDER
from napari_cryoet.download.plan import Plan, PlannedItem, dated_row, plan_cells
from napari_cryoet.download.region import blocks_in, download_blocks
from napari_cryoet.download.run import download_files
from napari_cryoet.exceptions import NotFoundError, require_known
from napari_cryoet.files import UNFINISHED, clean_name, size_on_disk, written_whole
from napari_cryoet.lessons.folder import LESSONS, LessonFolder, lessons_of, open_lesson
from napari_cryoet.lessons.lesson import ChooseTask, PickTask, SortTask
from napari_cryoet.lessons.markdown import parse_action
from napari_cryoet.locations import PathOrUrl, path_to_write
from napari_cryoet.packs.pack import open_pack, write_pack
from napari_cryoet.packs.zipped import SUFFIX as ZIP
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.portal.portal import Portal
from napari_cryoet.records import AnnotationFile, TiltSeries, Tomogram
from napari_cryoet.runs.runs import LEVELS, Cell, Runs, every_cell, file_cells
from napari_cryoet.streaming.grid import Box
from napari_cryoet.tables.database import by_id
from napari_cryoet.task import UNWATCHED, Task, shows_progress
from napari_cryoet.views.finding import file_of, find_layers, find_run, is_portal
from napari_cryoet.views.links import read_shared_view
from napari_cryoet.views.store import VIEWS, KeptView
from napari_cryoet.views.view import SUFFIX, View, ViewedRun, Zyx, write_view
from napari_cryoet.wording import names_text, size_text

#: The finest whole level, and how far around a place all levels are, unless you choose others.
DEFAULT_LEVEL: Final = 1
DEFAULT_AROUND_NM: Final = 20.0

_LINK: Final = re.compile(r"\]\((![^)\s]+)\)")
_FINE: Final = "full resolution around places"
#: The tables of volumes, and how much smaller each level is than the one before.
_SHRINKS: Final[Mapping[str, int]] = {"tomograms": 8, "tiltseries": 4}
_FINEST_SHARE: Final = 7 / 8  # of the bytes of a tomogram are of its finest level
_OF_ANNOTATIONS: Final = frozenset({"annotations", "annotationFiles"})
_DOWNLOADED: Final = 0.7  # of the progress
_ADDED: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPackPlan:
    """What a class pack will have.

    Attributes
    ----------
    boxes
        Where tomograms are at full resolution, in voxels, by their ids.
    sizes
        The estimated bytes of each part, by its name.
    remarks
        What of the views wasn't found, and annotations that may show an answer.
    """

    plan: Plan
    boxes: Mapping[int, Sequence[Box]]
    views: Sequence[tuple[View, Path | None]]
    lessons: Sequence[LessonFolder]
    title: str
    pack_id: str
    sizes: Mapping[str, int]
    remarks: Sequence[str]

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
    lessons: Iterable[Path | str] = (),
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
        Folders of lessons, which are packed with all their files; or lessons of the portal's pack by their keys.
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
    FormatError
        If a view or a lesson isn't one.
    DownloadError
        If there is nothing to pack.
    """
    shown = _Shown(portal, basket or Basket(source=portal.source.name), around_nm * 10, task)
    opened = [_opened(view) for view in views]
    for view, _ in opened:
        shown.add(view)
    folders = [_lesson(portal, lesson, task) for lesson in lessons]
    for folder in folders:
        shown.add_lesson(folder)
    choices = shown.basket.choices
    basket = shown.basket.with_choices(
        volume_format="zarr", level=0, leave_out=(*choices.leave_out, "frames")
    )
    runs = ask_basket_runs(portal, basket, task=task)
    if missing := {*hide} - {row["id"] for row in runs.rows["annotations"]}:
        raise NotFoundError(f"There is no annotation AN-{min(missing)} to hide in these runs.")
    chosen = choose(basket, runs)
    plan = plan_cells(runs.rows, portal.source, _cells(chosen, hide))
    items = tuple(_coarse(item, level, shown.whole) for item in plan.items)
    hidden = {("annotations", annotation_id) for annotation_id in hide}
    plan = replace(
        plan,
        items=items,
        origin=plan.origin if is_portal(plan.origin) else "",  # not a path of this computer
        rows_without_files=frozenset(rows_without_files(chosen)) - hidden,
    )
    titles = [folder.lesson.title for folder in folders] or [run.run.name for run in runs]
    sizes = _sizes(items, runs, shown.boxes)
    sizes["lessons"] = sum(size_on_disk(folder.folder) for folder in folders)
    return ClassPackPlan(
        plan=plan,
        boxes=shown.boxes,
        views=opened,
        lessons=folders,
        title=title or names_text(titles),
        pack_id=open_pack(portal.source.location).id if portal.source.kind == "pack" else "",
        sizes={name: n_bytes for name, n_bytes in sizes.items() if n_bytes},
        remarks=[*shown.remarks, *_answers_shown(folders, runs, items)],
    )


# what to pack


class _Shown:
    """A basket with the records that views show, and the places that they show."""

    def __init__(self, portal: Portal, basket: Basket, around_angstrom: float, task: Task) -> None:
        self._portal = portal
        self._around_angstrom = around_angstrom
        self._task = task
        self._pages: dict[str, RunPage] = {}
        self.basket = basket
        self.remarks: list[str] = []
        self.boxes: dict[int, list[Box]] = defaultdict(list)  # by the id of a tomogram
        self.whole: set[int] = set()  # ids of tomograms

    def add(self, view: View) -> list[Tomogram]:
        """Add the records of a view and its position; returns its tomograms."""
        pages = {
            number: self._page(run)
            for number, run in enumerate(view.runs)
            if run.source  # others are folders of files
        }
        found, remarks = find_layers(view, pages)
        self.remarks += remarks
        records = [layer.record for layer in found]
        tomograms = [each for each in records if isinstance(each, Tomogram)]
        tilt_series = [each for each in records if isinstance(each, TiltSeries)]
        files = [each for each in records if isinstance(each, AnnotationFile)]
        self.basket = (
            self.basket.with_ids("tomograms", [each.id for each in tomograms])
            .with_ids("tilt_series", [each.id for each in tilt_series])
            .with_ids("annotation_shapes", [each.annotation_shape_id or 0 for each in files])
        )
        camera = view.camera
        self._add_places(tomograms, [camera.point_zyx_angstrom, camera.center_zyx_angstrom])
        return tomograms

    def add_lesson(self, lesson: LessonFolder) -> None:
        """Add what the views of a lesson show, and the places of its tasks and links."""
        tomograms: list[Tomogram] = []
        for step in lesson.lesson.steps:
            if step.view is not None:
                tomograms = self.add(step.view)
            self._add_places(tomograms, _linked_places(step.text, *step.hints))
            match step.task:
                case PickTask(region_zyx_angstrom=None):
                    self.whole |= {tomogram.id for tomogram in tomograms}
                case PickTask(region_zyx_angstrom=region) if region is not None:
                    self._add_region(tomograms, region)
                case SortTask(picks=name):
                    self._add_places(tomograms, lesson.read_picks(name).positions_angstrom_zyx)
                case ChooseTask(choices=choices):
                    places = [choice.position_zyx_angstrom for choice in choices]
                    self._add_places(tomograms, filter(None, places))

    def _add_places(
        self, tomograms: Iterable[Tomogram], places_zyx: Iterable[Iterable[float]]
    ) -> None:
        """Add the surroundings of positions."""
        around = self._around_angstrom
        for place in places_zyx:
            self._add_region(tomograms, [(at - around, at + around) for at in place])

    def _add_region(
        self, tomograms: Iterable[Tomogram], region_zyx: Iterable[tuple[float, float]]
    ) -> None:
        """Add the voxels of a region, start and end along z, y and x in ångström."""
        for tomogram in tomograms:
            spacing = tomogram.voxel_spacing
            offsets = tomogram.offset_z, tomogram.offset_y, tomogram.offset_x
            box = tuple(
                (int(start / spacing) - offset, int(end / spacing) - offset + 1)
                for (start, end), offset in zip(region_zyx, offsets, strict=True)
            )
            self.boxes[tomogram.id].append(box)

    def _page(self, run: ViewedRun) -> RunPage:
        key = f"{run.dataset_id}/{run.run_name}/{run.run_id}"
        if key not in self._pages:
            self._pages[key] = find_run(self._portal, run, self._task)
        return self._pages[key]


def _linked_places(*markdown: str) -> Iterator[Zyx]:
    """The positions that the links of a lesson's text and hints lead to."""
    for href in _LINK.findall("\n".join(markdown)):
        action = parse_action(href)
        if action is not None and action.position_zyx_angstrom is not None:
            yield action.position_zyx_angstrom


def _lesson(portal: Portal, name: Path | str, task: Task) -> LessonFolder:
    """A lesson from its folder, or of the portal's pack by its key."""
    source = portal.source
    is_key = Path(name).name == str(name) and not Path(name).exists()
    if is_key and source.kind in {"demo", "pack"}:
        pack = ensure_demo_pack(task) if source.kind == "demo" else Path(source.location)
        packed = {lesson.lesson.key: lesson for lesson in lessons_of(pack)}
        if packed:
            require_known(str(name), packed, f"lesson of {source.label}")
            return packed[str(name)]
    return open_lesson(name)


def _opened(view: View | Path | str) -> tuple[View, Path | None]:
    """A view, and its file if it is from one; FormatError if it is neither file nor link of one."""
    if isinstance(view, View):
        return view, None
    text = str(view)
    shared, folder = read_shared_view(text)
    return shared, Path(text) if folder is not None else None


def _cells(chosen: Chosen, hide: Collection[int]) -> Iterator[Cell]:
    """The files to pack: each volume and mask in one format, and the pictures of all records."""
    runs = chosen.known
    rows = by_id(runs.rows)
    masks = {row["id"] for _, row, _ in file_cells(runs.rows["annotationFiles"], "zarr")}
    tomograms = {}
    for file in chosen.files:
        table, row, column = file.cell
        is_copy = column == "httpsMrcFile" and bool(row["httpsOmezarrDir"])
        if table == "annotationFiles":
            is_copy = row["id"] not in masks
        is_hidden = table in _OF_ANNOTATIONS and dated_row(table, row, rows)["id"] in hide
        if is_copy or is_hidden:
            continue
        if table == "tomograms":
            tomograms[row["id"]] = row
        yield file.cell
    for table, row, column in every_cell({**runs.above, "tomograms": [*tomograms.values()]}):
        if column.startswith("keyPhoto"):
            yield table, row, column


def _coarse(item: PlannedItem, level: int, whole: Collection[int]) -> PlannedItem:
    """The item without the levels before ``level`` if it is a volume, unless all of it is wanted."""
    is_whole = item.table == "tomograms" and item.row_id in whole
    if item.table not in _SHRINKS or not item.is_zarr or is_whole or not level:
        return item
    share = _SHRINKS[item.table] ** -min(level, LEVELS - 1)
    size_bytes = None if item.size_bytes is None else round(item.size_bytes * share)
    return replace(item, first_level=level, keeps_grid=True, size_bytes=size_bytes)


def _sizes(
    items: Iterable[PlannedItem], runs: Runs, boxes: Mapping[int, Collection[Box]]
) -> dict[str, int]:
    """The estimated bytes by part."""
    sizes = dict.fromkeys(["tomograms", _FINE, "annotations", "tilt series", "metadata"], 0)
    for item in items:
        sizes[part_of(item.table, item.column)] += item.size_bytes or 0
        if item.keeps_grid and item.table == "tomograms":
            tomogram = runs.tomograms[item.row_id]
            shape = tomogram.shape_zyx
            blocks = blocks_in(boxes.get(item.row_id, ()), shape)
            all_blocks = blocks_in([tuple((0, size) for size in shape)], shape)
            finest_bytes = _FINEST_SHARE * (tomogram.file_size_omezarr or 0)
            sizes[_FINE] += round(len(blocks) / len(all_blocks) * finest_bytes)
    return sizes


def _answers_shown(
    lessons: Iterable[LessonFolder], runs: Runs, items: Iterable[PlannedItem]
) -> Iterator[str]:
    """A remark if packed annotations are of an object that a task asks to pick."""
    tasks = [step.task for lesson in lessons for step in lesson.lesson.steps]
    names = {task.object_name.casefold() for task in tasks if isinstance(task, PickTask)}
    ids = set()
    for item in items:
        if item.table == "annotationFiles":
            annotation = runs.annotation_files[item.row_id].annotation
            if annotation is not None and annotation.object_name.casefold() in names:
                ids.add(annotation.id)
    if ids:
        shown = names_text([f"AN-{annotation_id}" for annotation_id in sorted(ids)])
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
    SaveError
        If the pack can't be written.
    StoppedError
        If ``task`` is stopped.
    """
    path = path_to_write(to)
    with written_whole(path, flush=False) as unfinished:
        if path.suffix.lower() == ZIP:
            with TemporaryDirectory(prefix=UNFINISHED, dir=path.parent) as folder:
                _write_folder(plan, Path(folder), task)
                zip_folder(Path(folder), unfinished, task=task.part(_ADDED, 1.0))
        else:
            _write_folder(plan, unfinished, task)
    return path


def copy_pack(folder: Path, to: PathOrUrl, *, task: Task = UNWATCHED) -> Path:
    """Copy a pack to a new folder, or to a new ``.zip`` file; ExistsError if there is one already."""
    path = path_to_write(to)
    with written_whole(path, flush=False) as unfinished:
        if path.suffix.lower() == ZIP:
            zip_folder(folder, unfinished, task=task)
        else:
            copy_files(folder, unfinished)
    return path


def zip_folder(folder: Path, target: Path, *, task: Task = UNWATCHED) -> None:
    """Write all files of a folder into a new zip file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, path in enumerate(files):
            task.step(number / len(files), "packing")
            archive.write(path, path.relative_to(folder).as_posix())


def _write_folder(plan: ClassPackPlan, folder: Path, task: Task) -> None:
    download_files(plan.plan, folder, task=task.part(0.0, _DOWNLOADED, "coarse levels"))
    task.check()
    # they are about whole files, of which this folder has only parts
    shutil.rmtree(folder / SCRIPTS_FOLDER, ignore_errors=True)
    (folder / MANIFEST_NAME).unlink()
    pack = open_pack(folder)
    rows = by_id(pack.tables)
    partial = [item for item in plan.plan.items if item.keeps_grid]
    adding = task.part(_DOWNLOADED, _ADDED, "full resolution")
    for number, item in enumerate(partial):
        target = folder / item.path
        if item.table == "tomograms" and item.row_id in plan.boxes:
            part = adding.part(number / len(partial), (number + 1) / len(partial))
            boxes = plan.boxes[item.row_id]
            download_blocks(item.url, target, boxes, item.first_level, task=part)
        rows[item.table][item.row_id]["fileSizeOmezarr"] = float(size_on_disk(target))
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
