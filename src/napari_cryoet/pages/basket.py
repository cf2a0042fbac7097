"""The page of a basket: its contents as a tree of datasets, runs and parts, with sizes, and remarks on it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from napari_cryoet.appearance.objects import object_key
from napari_cryoet.basket.basket import KINDS, Basket, RecordKind
from napari_cryoet.basket.contents import TABLES, Chosen, ChosenRun, Contents, choose
from napari_cryoet.pages.rows import RecordRow
from napari_cryoet.records import Annotation, AnnotationFile, Record, ShapeType, Tomogram
from napari_cryoet.runs.runs import Runs, best_rank
from napari_cryoet.wording import count_text, joined, names_text, plain, size_text, spacing_text

_MOST_RUNS: Final = 500  # listed by name; the others are only counted
RemarkKind = Literal["twice", "alignment", "spacing", "automated", "missing", "disk", "frames"]

_MASKS: Final = frozenset(
    {ShapeType.SEGMENTATION_MASK, ShapeType.INSTANCE_SEGMENTATION_MASK, ShapeType.MESH}
)
_CAPTIONS: Final = frozenset({ShapeType.GLOBAL_CAPTION, ShapeType.ANNOTATION_CAPTION})
_MANY_FRAMES_BYTES: Final = 50e9
_SAME_SPACING: Final = 1.01  # the portal rounds spacings: 13.48 and 13.481 are the same

_Annotated = tuple[Annotation, AnnotationFile]


class Entry(Record, frozen=True, kw_only=True, gc=False):
    """A dataset, a run, or a part of a run."""

    title: str
    detail: str = ""
    size_bytes: int = 0
    parts: tuple[
        tuple[RecordKind, int], ...
    ] = ()  # untick these to remove it; none if the basket's choices add it
    run_id: int | None = None  # of a run and its parts
    dataset_id: int | None = None
    below: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class BasketDetails:
    """The contents of a basket, looked up in its portal."""

    chosen: Chosen
    remarks: tuple[Remark, ...]
    entries: tuple[Entry, ...]
    #: Shapes to download, and runs and datasets with anything to download.
    touched: dict[RecordKind, frozenset[int]]

    @classmethod
    def of(cls, basket: Basket, runs: Runs, *, free_bytes: int | None = None) -> BasketDetails:
        """Find what a basket chooses from its runs; ``free_bytes`` is the free disk space."""
        chosen = choose(basket, runs)
        files = [file for run in chosen.runs for file in run.annotation_files]
        chosen_runs = (chosen.known.records[run_id].run for run_id in chosen.contents.run_ids)
        return cls(
            chosen,
            remarks_on(chosen, free_bytes=free_bytes),
            outline_basket(chosen),
            {
                "annotation_shapes": frozenset(file.annotation_shape_id or 0 for file in files),
                "runs": frozenset(chosen.contents.run_ids),
                "datasets": frozenset(run.dataset_id for run in chosen_runs),
            },
        )


_Ids = Mapping[RecordKind, frozenset[int]]
_Sizes = Mapping[tuple[str, int | None], int]  # by table and id


def outline_basket(chosen: Chosen) -> tuple[Entry, ...]:
    """The whole datasets of a basket, then its runs with their parts, sorted by dataset and name."""
    ids = {kind: frozenset(chosen.basket.ids(kind)) for kind in KINDS}
    sizes: Counter[tuple[str, int | None]] = Counter()
    for file in chosen.files:
        table, row, _ = file.cell
        for key in {(table, row["id"]), ("runs", file.run_id)}:
            sizes[key] += file.size_bytes
    runs_of: dict[int, list[ChosenRun]] = defaultdict(list)
    for run in chosen.runs:
        runs_of[run.records.run.dataset_id].append(run)
    entries = [
        _dataset_entry(dataset_id, runs, sizes)
        for dataset_id, runs in runs_of.items()
        if dataset_id in ids["datasets"]
    ]
    listed = [
        run
        for dataset_id, runs in sorted(runs_of.items())
        if dataset_id not in ids["datasets"]
        for run in sorted(runs, key=lambda run: (run.records.run.name, run.records.run.id))
        if run.records.run.id in ids["runs"] or run.n_records
    ]
    has_several = len({run.records.run.dataset_id for run in listed}) > 1
    split = chosen.basket.split.of_runs if chosen.basket.split is not None else {}
    for run in listed[:_MOST_RUNS]:
        dataset = f"DS-{run.records.run.dataset_id}" if has_several else ""
        entries.append(_run_entry(run, dataset, split.get(run.records.run.id, ""), ids, sizes))
    if n_more := len(listed[_MOST_RUNS:]):
        entries.append(Entry(title=f"… and {count_text(n_more, 'more run')}"))
    return tuple(entries)


def _dataset_entry(dataset_id: int, runs: Sequence[ChosenRun], sizes: _Sizes) -> Entry:
    """The entry of a whole dataset."""
    dataset = runs[0].records.run.dataset
    size_of_runs = sum(sizes["runs", run.records.run.id] for run in runs)
    return Entry(
        title=f"DS-{dataset_id} {plain(dataset.title)}" if dataset else f"DS-{dataset_id}",
        detail=f"all of {count_text(len(runs), 'run')}",
        size_bytes=sizes["datasets", dataset_id] + size_of_runs,
        parts=(("datasets", dataset_id),),
        dataset_id=dataset_id,
    )


def _run_entry(run: ChosenRun, dataset: str, split: str, ids: _Ids, sizes: _Sizes) -> Entry:
    run_id = run.records.run.id
    is_whole = run_id in ids["runs"]
    below = tuple(_parts(run, ids, sizes))
    parts = [part for each in below for part in each.parts]
    if is_whole:
        parts.insert(0, ("runs", run_id))
    return Entry(
        title=plain(run.records.run.name),
        detail=joined(dataset, "all of it" if is_whole else "", split),
        size_bytes=sizes["runs", run_id],
        parts=tuple(parts),
        run_id=run_id,
        below=() if is_whole else below,
    )


def _parts(run: ChosenRun, ids: _Ids, sizes: _Sizes) -> Iterator[Entry]:
    """The parts of a run; the files of an annotation make one entry."""
    run_id = run.records.run.id
    for tomogram in run.tomograms:
        is_ticked = tomogram.id in ids["tomograms"]
        yield Entry(
            title=joined(tomogram.processing, spacing_text(tomogram.voxel_spacing)),
            detail="" if is_ticked else "with annotations",
            size_bytes=sizes["tomograms", tomogram.id],
            parts=(("tomograms", tomogram.id),) if is_ticked else (),
            run_id=run_id,
        )
    files_of: dict[int, list[AnnotationFile]] = defaultdict(list)
    for file in run.annotation_files:
        if file.annotation is not None:
            files_of[file.annotation.id].append(file)
    for files in files_of.values():
        yield _annotation_entry(run_id, files, ids, sizes)
    for series in run.tilt_series:
        yield Entry(
            title="tilt series",
            size_bytes=sizes["tiltseries", series.id],
            parts=(("tilt_series", series.id),) if series.id in ids["tilt_series"] else (),
            run_id=run_id,
        )


def _annotation_entry(
    run_id: int, files: Sequence[AnnotationFile], ids: _Ids, sizes: _Sizes
) -> Entry:
    annotation = files[0].annotation
    assert annotation is not None  # noqa: S101 - the files are grouped by it
    count = f"{annotation.object_count:,}" if annotation.object_count else ""
    parts: list[tuple[RecordKind, int]] = []
    if annotation.id in ids["annotations"]:
        parts.append(("annotations", annotation.id))
    shape_ids = [file.annotation_shape_id or 0 for file in files]
    parts += [("annotation_shapes", each) for each in shape_ids if each in ids["annotation_shapes"]]
    return Entry(
        title=joined(plain(annotation.object_name), count),
        detail="ground truth" if annotation.ground_truth_status else annotation.method_type,
        size_bytes=sum(sizes["annotationFiles", file.id] for file in files),
        parts=tuple(parts),
        run_id=run_id,
    )


def entry_row(entry: Entry, *, is_root: bool = False, is_unfolded: bool = False) -> RecordRow:
    """An entry with its size; its parts are child rows."""
    size = size_text(entry.size_bytes)
    return RecordRow(
        record=entry,
        key=(entry.run_id, entry.dataset_id, entry.title, entry.parts[:1]),
        title=entry.title,
        is_bold=is_root,
        is_dim=not entry.parts,
        right=(joined(entry.detail, size), entry.detail or size, ""),
        is_unfolded=is_unfolded,
        children=tuple(entry_row(part) for part in entry.below),
    )


# remarks


class Remark(Record, frozen=True, kw_only=True):
    """A possible problem of a basket."""

    kind: RemarkKind
    text: str
    ids: dict[RecordKind, tuple[int, ...]] = msgspec.field(
        default_factory=dict
    )  # of the records concerned
    fix_text: str = ""  # for the button that applies the fix
    fix: Basket | None = None  # the fixed basket; None if there is no automatic fix


def remarks_on(chosen: Chosen, *, free_bytes: int | None = None) -> tuple[Remark, ...]:
    """All remarks on a basket, the most urgent first; ``free_bytes`` is the free disk space, if known.

    Most remarks skip whole runs, since their parts weren't picked one by one.
    """
    basket = chosen.basket
    files = [file for run in chosen.run_parts for file in run.annotation_files]
    parts = [(file.annotation, file) for file in files if file.annotation is not None]
    tomograms = [tomogram for run in chosen.run_parts for tomogram in run.tomograms]
    return (
        *_on_missing(basket, chosen),
        *_on_disk(chosen.contents, free_bytes),
        *_on_frames(basket, chosen.contents),
        *_on_twice(basket, parts),
        *_on_alignments(basket, parts, tomograms),
        *_on_spacings(tomograms),
        *_on_automated({annotation.id: annotation for annotation, _ in parts}),
    )


def _on_missing(basket: Basket, chosen: Chosen) -> Iterator[Remark]:
    """Ticked records that have no file, or are no longer on the portal."""
    gone: dict[RecordKind, set[int]] = {}
    for kind, table in TABLES.items():
        known = {row["id"] for row in chosen.known.rows[table]}
        gone[kind] = {*basket.ids(kind)} - known
    files = [file for run in chosen.runs for file in run.annotation_files]
    with_files = {file.annotation.id for file in files if file.annotation is not None}
    gone["annotations"] = {*basket.annotations} - with_files
    tomograms = [tomogram for run in chosen.runs for tomogram in run.tomograms]
    empty = {each.id for each in tomograms if not each.url}
    gone["tomograms"] |= empty & {*basket.tomograms}
    ids = {kind: tuple(sorted(missing)) for kind, missing in gone.items() if missing}
    fixed = basket
    for kind, missing in ids.items():
        fixed = fixed.without_ids(kind, missing)
    if ids:
        count = count_text(sum(map(len, ids.values())), "ticked record has", "ticked records have")
        yield Remark(
            kind="missing",
            text=f"{count} no file on the portal.",
            ids=ids,
            fix_text="Untick",
            fix=fixed,
        )


def _on_disk(contents: Contents, free_bytes: int | None) -> Iterator[Remark]:
    needed = contents.total.size_bytes
    if free_bytes is not None and needed > free_bytes:
        text = f"The download needs {size_text(needed)}, but the disk has {size_text(free_bytes)} free."
        yield Remark(kind="disk", text=text)


def _on_frames(basket: Basket, contents: Contents) -> Iterator[Remark]:
    frames = contents.parts.get("frames")
    if frames is not None and frames.size_bytes >= _MANY_FRAMES_BYTES:
        text = f"Raw frames are {size_text(frames.size_bytes)} of {size_text(contents.total.size_bytes)}."
        fixed = basket.with_choices(leave_out=(*basket.choices.leave_out, "frames"))
        yield Remark(kind="frames", text=text, fix_text="Leave out frames", fix=fixed)


def _on_twice(basket: Basket, parts: Iterable[_Annotated]) -> Iterator[Remark]:
    """Objects with several annotations in a run, counting points and masks separately."""
    groups: dict[tuple[int | None, str, bool], dict[int, Annotation]] = defaultdict(dict)
    for annotation, file in parts:
        shape = file.shape_type
        if shape not in _CAPTIONS:
            key = object_key(annotation.object_id, annotation.object_name)
            groups[annotation.run_id, key, shape in _MASKS][annotation.id] = annotation
    several = {
        key: sorted(group.values(), key=best_rank)
        for key, group in groups.items()
        if len(group) > 1
    }
    if several:
        best = {group[0].id for group in several.values()}
        ids = {each.id for group in several.values() for each in group}
        names = names_text(sorted({plain(group[0].object_name) for group in several.values()}))
        runs = count_text(len({run_id for run_id, _, _ in several}), "run")
        yield Remark(
            kind="twice",
            text=f"One object is annotated more than once in {runs}: {names}.",
            ids={"annotations": tuple(sorted(ids))},
            **_fix("Keep the best", basket, ids - best),
        )


def _fix(text: str, basket: Basket, annotation_ids: Collection[int]) -> dict[str, Any]:
    """The fix that unticks annotations; empty if none of them is ticked."""
    is_ticked = not {*basket.annotations}.isdisjoint(annotation_ids)
    return (
        {"fix_text": text, "fix": basket.without_ids("annotations", annotation_ids)}
        if is_ticked
        else {}
    )


def _on_alignments(
    basket: Basket, parts: Sequence[_Annotated], tomograms: Iterable[Tomogram]
) -> Iterator[Remark]:
    """Annotations on another alignment than the tomograms of their run, or than most of its annotations."""
    of_tomograms: dict[int | None, set[int | None]] = defaultdict(set)
    for tomogram in tomograms:
        of_tomograms[tomogram.run_id].add(tomogram.alignment_id)
    of_files: dict[int | None, Counter[int | None]] = defaultdict(Counter)
    for annotation, file in parts:
        of_files[annotation.run_id][file.alignment_id] += 1
    fitting = {
        run_id: of_tomograms.get(run_id) or {counts.most_common(1)[0][0]}
        for run_id, counts in of_files.items()
    }
    fits = {each.id for each, file in parts if file.alignment_id in fitting[each.run_id]}
    off = {each.id: each.run_id for each, _ in parts if each.id not in fits}
    if off:
        made = count_text(len(off), "annotation was", "annotations were")
        runs = count_text(len(set(off.values())), "run")
        yield Remark(
            kind="alignment",
            text=f"{made} made on another alignment in {runs}, and won't fit the tomogram there.",
            ids={"annotations": tuple(off)},
            **_fix("Untick", basket, off),
        )


def _on_spacings(tomograms: Collection[Tomogram]) -> Iterator[Remark]:
    groups: list[list[Tomogram]] = []
    for each in sorted(tomograms, key=lambda each: each.voxel_spacing):
        if not groups or each.voxel_spacing > _SAME_SPACING * groups[-1][-1].voxel_spacing:
            groups.append([])
        groups[-1].append(each)
    if len(groups) > 1:
        counts = ", ".join(
            f"{spacing_text(group[0].voxel_spacing)} ({len(group):,})" for group in groups
        )
        unusual = sorted(groups, key=len)[:-1]
        yield Remark(
            kind="spacing",
            text=f"The tomograms have different voxel spacings: {counts}.",
            ids={"tomograms": tuple(each.id for group in unusual for each in group)},
        )


def _on_automated(annotations: Mapping[int, Annotation]) -> Iterator[Remark]:
    by_people = [
        each.ground_truth_status or each.method_type != "automated" for each in annotations.values()
    ]
    if by_people and not any(by_people):
        are = count_text(len(annotations), "annotation is", "annotations are all")
        text = f"{are} automated, and not marked as ground truth."
        yield Remark(kind="automated", text=text, ids={"annotations": tuple(annotations)})
