"""Remarks on a basket before download or training, each with its ids and often with a fix."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from napari_cryoet.appearance.objects import object_key
from napari_cryoet.basket.basket import Basket, RecordKind
from napari_cryoet.basket.contents import TABLES, Chosen, Contents
from napari_cryoet.records import Record, ShapeType
from napari_cryoet.tables.database import Row
from napari_cryoet.wording import count_text, names_text, plain, size_text, spacing_text

RemarkKind = Literal["twice", "alignment", "spacing", "automated", "missing", "disk", "frames"]

_MASKS: Final = frozenset(
    {ShapeType.SEGMENTATION_MASK, ShapeType.INSTANCE_SEGMENTATION_MASK, ShapeType.MESH}
)
_CAPTIONS: Final = frozenset({ShapeType.GLOBAL_CAPTION, ShapeType.ANNOTATION_CAPTION})
_MANY_FRAMES_BYTES: Final = 50e9
_SAME_SPACING: Final = 1.01  # the portal rounds spacings: 13.48 and 13.481 are the same

_Annotated = tuple[Row, Row, Row]  # annotation, shape, file


class Remark(Record, frozen=True, kw_only=True):
    """A possible problem of a basket."""

    kind: RemarkKind
    text: str
    ids: dict[RecordKind, tuple[int, ...]] = msgspec.field(
        default_factory=dict
    )  # of the records concerned
    fix_text: str = ""  # for the button that applies the fix
    fix: Basket | None = None  # the fixed basket; None if there is no automatic fix


def remarks_on(
    chosen: Chosen, contents: Contents, *, free_bytes: int | None = None
) -> tuple[Remark, ...]:
    """All remarks on a basket, the most urgent first; ``free_bytes`` is the free disk space, if known.

    Most remarks skip whole runs, since their parts weren't picked one by one.
    """
    basket, owners, parts = chosen.basket, chosen.owners, list[_Annotated]()
    for file in chosen.annotation_files:
        shape, annotation = (
            owners.row("annotationShapes", file["annotationShapeId"]),
            owners.annotation(file),
        )
        if shape and annotation and annotation["runId"] not in chosen.whole_runs:
            parts.append((annotation, shape, file))
    tomograms = [row for row in chosen.tomograms if row["runId"] not in chosen.whole_runs]
    return (
        *_on_missing(basket, chosen),
        *_on_disk(contents, free_bytes),
        *_on_frames(basket, contents),
        *_on_twice(basket, parts),
        *_on_alignments(basket, parts, tomograms),
        *_on_spacings(tomograms),
        *_on_automated({annotation["id"]: annotation for annotation, _, _ in parts}),
    )


def _on_missing(basket: Basket, chosen: Chosen) -> Iterator[Remark]:
    """Ticked records that have no file, or are no longer on the portal."""
    annotations = map(chosen.owners.annotation, chosen.annotation_files)
    with_files = {annotation["id"] for annotation in annotations if annotation}
    empty = {
        row["id"]
        for row in chosen.tomograms
        if not row["httpsOmezarrDir"] and not row["httpsMrcFile"]
    }
    gone = {
        kind: {each for each in basket.ids(kind) if chosen.owners.row(table, each) is None}
        for kind, table in TABLES.items()
    }
    gone["annotations"] = {*basket.annotations} - with_files
    gone["tomograms"] |= empty & {*basket.tomograms}
    fixed, ids = basket, {kind: tuple(sorted(missing)) for kind, missing in gone.items() if missing}
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
    groups: dict[tuple[int, str, bool], dict[int, Row]] = defaultdict(dict)
    for annotation, shape, _ in parts:
        if shape["shapeType"] not in _CAPTIONS:
            key = object_key(annotation["objectId"], annotation["objectName"])
            groups[annotation["runId"], key, shape["shapeType"] in _MASKS][annotation["id"]] = (
                annotation
            )
    several = {
        key: sorted(rows.values(), key=_rank) for key, rows in groups.items() if len(rows) > 1
    }
    if several:
        best = {rows[0]["id"] for rows in several.values()}
        ids = {row["id"] for rows in several.values() for row in rows}
        names = names_text(sorted({plain(rows[0]["objectName"]) for rows in several.values()}))
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


def _rank(annotation: Row) -> tuple[bool, bool, int, int]:
    """A sort key, best annotation first: ground truth, recommended, with most objects."""
    return (
        not annotation["groundTruthStatus"],
        not annotation.get("isCuratorRecommended"),
        -(annotation.get("objectCount") or 0),
        annotation["id"],
    )


def _on_alignments(
    basket: Basket, parts: Sequence[_Annotated], tomograms: Iterable[Row]
) -> Iterator[Remark]:
    """Annotations on another alignment than the tomograms of their run, or than most of its annotations."""
    of_tomograms: dict[int, set[int | None]] = defaultdict(set)
    for row in tomograms:
        of_tomograms[row["runId"]].add(row["alignmentId"])
    of_files: dict[int, Counter[int | None]] = defaultdict(Counter)
    for annotation, _, file in parts:
        of_files[annotation["runId"]][file["alignmentId"]] += 1
    fitting = {
        run_id: of_tomograms.get(run_id) or {counts.most_common(1)[0][0]}
        for run_id, counts in of_files.items()
    }
    fits = {row["id"] for row, _, file in parts if file["alignmentId"] in fitting[row["runId"]]}
    off = {row["id"]: row["runId"] for row, _, _ in parts if row["id"] not in fits}
    if off:
        made = count_text(len(off), "annotation was", "annotations were")
        runs = count_text(len(set(off.values())), "run")
        yield Remark(
            kind="alignment",
            text=f"{made} made on another alignment in {runs}, and won't fit the tomogram there.",
            ids={"annotations": tuple(off)},
            **_fix("Untick", basket, off),
        )


def _on_spacings(tomograms: Collection[Row]) -> Iterator[Remark]:
    groups: list[list[Row]] = []
    for row in sorted(tomograms, key=lambda row: row["voxelSpacing"]):
        if not groups or row["voxelSpacing"] > _SAME_SPACING * groups[-1][-1]["voxelSpacing"]:
            groups.append([])
        groups[-1].append(row)
    if len(groups) > 1:
        counts = ", ".join(
            f"{spacing_text(rows[0]['voxelSpacing'])} ({len(rows):,})" for rows in groups
        )
        unusual = sorted(groups, key=len)[:-1]
        yield Remark(
            kind="spacing",
            text=f"The tomograms have different voxel spacings: {counts}.",
            ids={"tomograms": tuple(row["id"] for rows in unusual for row in rows)},
        )


def _on_automated(annotations: Mapping[int, Row]) -> Iterator[Remark]:
    if annotations and not any(map(_is_by_people, annotations.values())):
        are = count_text(len(annotations), "annotation is", "annotations are all")
        text = f"{are} automated, and not marked as ground truth."
        yield Remark(kind="automated", text=text, ids={"annotations": tuple(annotations)})


def _is_by_people(annotation: Row) -> bool:
    return bool(annotation["groundTruthStatus"]) or annotation["methodType"] != "automated"
