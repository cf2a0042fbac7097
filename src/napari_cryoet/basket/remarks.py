"""What to know of a basket before it is downloaded or trained with: remarks, each with its ids and often with a fix."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any, Final, Literal

import msgspec

from napari_cryoet.appearance.colors import object_key
from napari_cryoet.basket.basket import Basket, Kind
from napari_cryoet.basket.contents import Chosen, Contents
from napari_cryoet.records import Record, ShapeType
from napari_cryoet.wording import count_text, names_text, plain, size_text, spacing_text

RemarkKind = Literal["twice", "alignment", "spacing", "automated", "missing", "disk", "frames", "split"]

_MASKS: Final = frozenset({ShapeType.SEGMENTATION_MASK, ShapeType.INSTANCE_SEGMENTATION_MASK, ShapeType.MESH})
_CAPTIONS: Final = frozenset({ShapeType.GLOBAL_CAPTION, ShapeType.ANNOTATION_CAPTION})
_MANY_FRAMES_BYTES: Final = 50e9
_SAME_SPACING: Final = 1.01  # the portal rounds spacings, so that 13.48 and 13.481 are one

Row = Mapping[str, Any]


class Remark(Record, frozen=True, kw_only=True):
    """Something to know of a basket.

    Attributes
    ----------
    ids
        What it is about, by kind.
    fix_text, fix
        What a button that mends it says, and the basket after that; empty and None where only a person can.
    """

    kind: RemarkKind
    text: str
    ids: dict[Kind, tuple[int, ...]] = msgspec.field(default_factory=dict)
    fix_text: str = ""
    fix: Basket | None = None


def remarks_on(chosen: Chosen, contents: Contents, *, free_bytes: int | None = None) -> tuple[Remark, ...]:
    """All remarks on a basket, the most pressing first.

    Parameters
    ----------
    free_bytes
        How much the disk has free that it is to be downloaded to, where that is known.
    """
    basket, parts = chosen.basket, _Parts(chosen)
    found = (
        _on_missing(basket, chosen, contents),
        _on_disk(contents, free_bytes),
        _on_frames(basket, contents),
        _on_twice(basket, parts),
        _on_alignments(basket, parts),
        _on_spacings(parts),
        _on_automated(parts),
        _on_split(basket, contents),
    )
    return tuple(remark for remark in found if remark is not None)


class _Parts:
    """The chosen rows of runs of which only parts are wanted: what comes with a whole run was no choice."""

    def __init__(self, chosen: Chosen) -> None:
        self.owners = chosen.owners
        self.tomograms = [row for row in chosen.tomograms if row["runId"] not in chosen.whole_runs]
        self.files: list[tuple[Row, Row, Row]] = []  # annotation, shape, file
        for file in chosen.annotation_files:
            shape = self.owners.row("annotationShapes", file["annotationShapeId"])
            annotation = self.owners.annotation("annotationFiles", file)
            if shape and annotation and annotation["runId"] not in chosen.whole_runs:
                self.files.append((annotation, shape, file))

    @property
    def annotations(self) -> dict[int, Row]:
        """The annotations by id."""
        return {annotation["id"]: annotation for annotation, _, _ in self.files}


def _on_missing(basket: Basket, chosen: Chosen, contents: Contents) -> Remark | None:
    """What is ticked and has no file, or isn't on the portal any more."""
    annotations = (chosen.owners.annotation("annotationFiles", file) for file in chosen.annotation_files)
    listed = {annotation["id"] for annotation in annotations if annotation}
    gone = {kind: set(ids) for kind, ids in contents.missing.items()}
    gone["annotations"] = gone.get("annotations", set()) | (set(basket.annotations) - listed)
    volumes = ("httpsOmezarrDir", "httpsMrcFile", "fileSizeOmezarr", "fileSizeMrc")
    empty = {row["id"] for row in chosen.tomograms if not any(row.get(column) for column in volumes)}
    gone["tomograms"] = gone.get("tomograms", set()) | (empty & set(basket.tomograms))
    ids = {kind: tuple(sorted(found)) for kind, found in gone.items() if found}
    if not ids:
        return None
    fixed = basket
    for kind, found in ids.items():
        fixed = fixed.without_ids(kind, found)
    count = sum(map(len, ids.values()))
    text = f"{count_text(count, 'ticked record')} {'has' if count == 1 else 'have'} no file on the portal."
    return Remark(kind="missing", text=text, ids=ids, fix_text="Untick", fix=fixed)


def _on_disk(contents: Contents, free_bytes: int | None) -> Remark | None:
    needed = contents.total.size_bytes
    if free_bytes is None or needed <= free_bytes:
        return None
    return Remark(kind="disk", text=f"{size_text(needed)} are needed, but the disk has {size_text(free_bytes)} free.")


def _on_frames(basket: Basket, contents: Contents) -> Remark | None:
    frames = contents.parts.get("frames")
    if frames is None or frames.size_bytes < _MANY_FRAMES_BYTES:
        return None
    text = f"Raw frames are {size_text(frames.size_bytes)} of {size_text(contents.total.size_bytes)}."
    fixed = basket.with_choices(leave_out=(*basket.choices.leave_out, "frames"))
    return Remark(kind="frames", text=text, fix_text="Leave out frames", fix=fixed)


def _on_twice(basket: Basket, parts: _Parts) -> Remark | None:
    """One object with several annotations of one sort in a run; points and a mask aren't the same sort."""
    found: dict[tuple[int, str, bool], dict[int, Row]] = defaultdict(dict)
    for annotation, shape, _ in parts.files:
        if shape["shapeType"] not in _CAPTIONS:
            key = object_key(annotation["objectId"], annotation["objectName"])
            found[annotation["runId"], key, shape["shapeType"] in _MASKS][annotation["id"]] = annotation
    several = {key: list(rows.values()) for key, rows in found.items() if len(rows) > 1}
    if not several:
        return None
    surplus = {row["id"] for rows in several.values() for row in sorted(rows, key=_worth)[1:]}
    surplus -= {min(rows, key=_worth)["id"] for rows in several.values()}  # a mask and points of one annotation
    names = names_text(sorted({plain(row["objectName"]) for rows in several.values() for row in rows}))
    runs = count_text(len({run_id for run_id, _, _ in several}), "run")
    return Remark(
        kind="twice",
        text=f"One object is annotated more than once in {runs}: {names}.",
        ids={"annotations": tuple(sorted({row["id"] for rows in several.values() for row in rows}))},
        **_fix("Keep the best", basket, surplus),
    )


def _fix(text: str, basket: Basket, annotation_ids: Collection[int]) -> dict[str, Any]:
    """The fix that unticks annotations; none where no such annotation is ticked by itself."""
    is_ticked = not {*basket.annotations}.isdisjoint(annotation_ids)
    return {"fix_text": text, "fix": basket.without_ids("annotations", annotation_ids)} if is_ticked else {}


def _worth(annotation: Row) -> tuple[bool, bool, int, int]:
    """Sorts the annotation first that is worth most: ground truth, recommended, with most objects."""
    return (
        not annotation["groundTruthStatus"],
        not annotation.get("isCuratorRecommended"),
        -(annotation.get("objectCount") or 0),
        annotation["id"],
    )


def _on_alignments(basket: Basket, parts: _Parts) -> Remark | None:
    """Annotations that were made on another alignment than their run's tomogram, or than most others of it."""
    of_tomograms: dict[int, set[int | None]] = defaultdict(set)
    for row in parts.tomograms:
        of_tomograms[row["runId"]].add(row["alignmentId"])
    of_files: dict[int, Counter[int | None]] = defaultdict(Counter)
    for annotation, _, file in parts.files:
        of_files[annotation["runId"]][file["alignmentId"]] += 1
    fitting = {run_id: of_tomograms.get(run_id) or {counts.most_common(1)[0][0]} for run_id, counts in of_files.items()}
    has_fit = {row["id"] for row, _, file in parts.files if file["alignmentId"] in fitting[row["runId"]]}
    off = {key: row["runId"] for key, row in parts.annotations.items() if key not in has_fit}
    if not off:
        return None
    are = "annotation was" if len(off) == 1 else "annotations were"
    runs = count_text(len(set(off.values())), "run")
    return Remark(
        kind="alignment",
        text=f"{len(off):,} {are} made on another alignment in {runs}, and won't fit the tomogram there.",
        ids={"annotations": tuple(off)},
        **_fix("Untick", basket, off),
    )


def _on_spacings(parts: _Parts) -> Remark | None:
    spacings = Counter(row["voxelSpacing"] for row in parts.tomograms)
    groups: list[list[float]] = []
    for before, spacing in pairwise([0.0, *sorted(spacings)]):
        if not before or spacing / before > _SAME_SPACING:
            groups.append([])
        groups[-1].append(spacing)
    if len(groups) < 2:
        return None
    counts = (f"{spacing_text(group[0])} ({sum(spacings[each] for each in group):,})" for group in groups)
    usual = max(groups, key=lambda group: sum(spacings[each] for each in group))
    return Remark(
        kind="spacing",
        text=f"The tomograms have different voxel spacings: {', '.join(counts)}.",
        ids={"tomograms": tuple(row["id"] for row in parts.tomograms if row["voxelSpacing"] not in usual)},
    )


def _on_automated(parts: _Parts) -> Remark | None:
    annotations = parts.annotations
    if not annotations or any(_is_by_people(row) for row in annotations.values()):
        return None
    number = "The annotation is" if len(annotations) == 1 else f"All {len(annotations):,} annotations are"
    text = f"{number} automated, and not marked as ground truth."
    return Remark(kind="automated", text=text, ids={"annotations": tuple(annotations)})


def _is_by_people(annotation: Row) -> bool:
    return bool(annotation["groundTruthStatus"]) or annotation["methodType"] != "automated"


def _on_split(basket: Basket, contents: Contents) -> Remark | None:
    if basket.split is None:
        return None
    known = basket.split.of_runs
    if not (outside := tuple(each for each in contents.run_ids if each not in known)):
        return None
    are = "is" if len(outside) == 1 else "are"
    text = f"{count_text(len(outside), 'run')} {are} in no part of the split."
    return Remark(kind="split", text=text, ids={"runs": outside})
