"""The page of a basket: its contents as a tree of datasets, runs and parts, with sizes and remarks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from napari_cryoet.basket.basket import KINDS, Basket, RecordKind
from napari_cryoet.basket.contents import Chosen, ChosenRun, Contents, choose, contents_of
from napari_cryoet.pages.remarks import Remark, remarks_on
from napari_cryoet.pages.rows import RecordRow
from napari_cryoet.records import AnnotationFile, Record
from napari_cryoet.runs.runs import Runs
from napari_cryoet.wording import count_text, joined, plain, size_text, spacing_text

_MOST_RUNS: Final = 500  # listed by name; the others are only counted


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
    contents: Contents
    remarks: tuple[Remark, ...]
    entries: tuple[Entry, ...]
    #: Shapes to download, and runs and datasets with anything to download.
    touched: dict[RecordKind, frozenset[int]]

    @classmethod
    def of(cls, basket: Basket, runs: Runs, *, free_bytes: int | None = None) -> BasketDetails:
        """Find what a basket chooses from its runs; ``free_bytes`` is the free disk space."""
        chosen = choose(basket, runs)
        contents = contents_of(chosen)
        files = [file for run in chosen.runs for file in run.annotation_files]
        chosen_runs = (chosen.known.records[run_id].run for run_id in contents.run_ids)
        return cls(
            chosen,
            contents,
            remarks_on(chosen, contents, free_bytes=free_bytes),
            outline_basket(chosen),
            {
                "annotation_shapes": frozenset(file.annotation_shape_id or 0 for file in files),
                "runs": frozenset(contents.run_ids),
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
