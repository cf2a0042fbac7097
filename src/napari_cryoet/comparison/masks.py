"""Mask against mask: how much they overlap, in all and object by object, streamed slab by slab."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.comparison.greyness import GreyTally
from napari_cryoet.comparison.mask import Mask
from napari_cryoet.comparison.matching import Matches, match_pairs
from napari_cryoet.comparison.scores import Scores, require_beta, scores_of
from napari_cryoet.comparison.sides import plain_side, portal_numbers, require_one_frame, spacing_of
from napari_cryoet.exceptions import ComparisonError
from napari_cryoet.expecting import expect_number
from napari_cryoet.records import ShapeType

#: Two labels that meet and are below are counted as one number, the first times this and the second.
_LABELS: Final = 2**31
#: Of voxel spacings that are meant to be multiples of each other; headers keep few digits.
_RATIO_TOLERANCE: Final = 1e-3
_LARGEST_FACTOR: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class InstanceScores:
    """Object by object: those of A and of B that overlap by at least a threshold are matched.

    Attributes
    ----------
    threshold
        Of intersection over union, from 0 to 1.
    labels_a, labels_b, ious, dices
        (n,) matched objects, their intersection over union, and their Dice coefficient.
    scores
        Counts of objects, their precision, recall and F-beta.
    panoptic_quality
        The sum of these over the number of matches and half of the objects left over (Kirillov et al. 2019).
    """

    threshold: float
    labels_a: NDArray[np.int64]
    labels_b: NDArray[np.int64]
    ious: NDArray[np.float64]
    scores: Scores
    panoptic_quality: float

    @property
    def dices(self) -> NDArray[np.float64]:
        """2 |A∩B| / (|A| + |B|) of each two matched objects."""
        return np.asarray(2 * self.ious / (1 + self.ious))


@dataclass(frozen=True, slots=True, eq=False)
class MaskComparison:
    """A, which is judged, against B, which is the reference.

    Attributes
    ----------
    voxels_a, voxels_b, voxels_both
        Of the grid on which they were compared.
    spacing_angstrom
        The width of such a voxel.
    dice, iou
        2 |A∩B| / (|A| + |B|) and |A∩B| / |A∪B|; None if both masks are empty.
    precision, recall
        The share of A's voxels that are in B, and of B's that are in A.
    instances
        Object by object, where both masks tell objects apart.
    """

    a: Mask
    b: Mask
    spacing_angstrom: float
    voxels_a: int
    voxels_b: int
    voxels_both: int
    dice: float | None
    iou: float | None
    precision: float | None
    recall: float | None
    instances: InstanceScores | None
    why_undefined: dict[str, str]
    notes: tuple[str, ...] = ()
    kind: str = field(default="mask against mask", init=False)

    def plain(self) -> dict[str, Any]:
        """All numbers, and where both masks come from, as JSON holds it."""
        return {
            "kind": self.kind,
            "reference": "b",
            "a": plain_side(self.a),
            "b": plain_side(self.b),
            "compared_at_angstrom": self.spacing_angstrom,
            "voxels_a": self.voxels_a,
            "voxels_b": self.voxels_b,
            "voxels_both": self.voxels_both,
            "dice": self.dice,
            "iou": self.iou,
            "precision": self.precision,
            "recall": self.recall,
            "instances": None if self.instances is None else _plain_instances(self.instances),
            "why_undefined": self.why_undefined,
            "portal": {"a": portal_numbers(self.a), "b": portal_numbers(self.b)},
            "notes": list(self.notes),
        }


def compare_masks(
    a: Mask,
    b: Mask,
    *,
    beta: float = 1.0,
    iou_threshold: float = 0.5,
    insist: bool = False,
    progress: Callable[[float], None] = lambda _share: None,
    stop: threading.Event | None = None,
) -> MaskComparison:
    """As `napari_cryoet.compare` does with masks."""
    expect_number(iou_threshold, "iou_threshold")
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"an intersection over union lies between 0 and 1, not at {iou_threshold}")
    require_beta(beta)
    notes = require_one_frame(a, b, insist=insist)
    grid = _common_grid(a, b)
    greys = GreyTally(), GreyTally()
    table = _overlaps(grid, greys, progress, stop, a_is_fine=grid.fine is a)
    in_a, in_b = table.labels_a > 0, table.labels_b > 0
    voxels_a, voxels_b = int(table.counts[in_a].sum()), int(table.counts[in_b].sum())
    both = int(table.counts[in_a & in_b].sum())
    scores = scores_of(both, voxels_a, voxels_b, noun="voxels")
    why = {name: reason for name, reason in scores.why_undefined.items() if name != "f_beta"}
    if not voxels_a and not voxels_b:
        why |= dict.fromkeys(("dice", "iou"), "Both masks are empty.")
    why_no_instances = _why_no_instances(a, b, table)
    if why_no_instances:
        why["instances"] = why_no_instances
    return MaskComparison(
        a=a,
        b=b,
        spacing_angstrom=grid.spacing_angstrom,
        voxels_a=voxels_a,
        voxels_b=voxels_b,
        voxels_both=both,
        dice=scores_of(both, voxels_a, voxels_b).f_beta,
        iou=both / (voxels_a + voxels_b - both) if voxels_a or voxels_b else None,
        precision=scores.precision,
        recall=scores.recall,
        instances=None if why_no_instances else _by_instance(table, beta, iou_threshold),
        why_undefined=why,
        notes=(*greys[0].notes("A"), *greys[1].notes("B"), *notes, *grid.notes),
    )


@dataclass(frozen=True, slots=True)
class _CommonGrid:
    """The finer of two grids, cut to what both cover; each voxel of the coarse mask stands for ``factor``³ of it."""

    fine: Mask
    coarse: Mask
    factor: int
    shape_zyx: tuple[int, int, int]
    spacing_angstrom: float
    notes: tuple[str, ...] = ()


def _common_grid(a: Mask, b: Mask) -> _CommonGrid:
    spacing_a, spacing_b = spacing_of(a, "A"), spacing_of(b, "B")
    ratio = spacing_b / spacing_a
    factor = 2 ** abs(round(math.log2(ratio)))
    is_power = math.isclose(max(ratio, 1 / ratio), factor, rel_tol=_RATIO_TOLERANCE)
    if not is_power or factor > _LARGEST_FACTOR:
        raise ComparisonError(
            f"Voxels of A are {spacing_a:g} Å wide and those of B {spacing_b:g} Å: "
            "neither is 2, 4, 8, … times the other, so one would have to be interpolated.",
            hint="Resample one of the masks first.",
        )
    letter, coarse, fine, spacing = ("B", b, a, spacing_a) if ratio > 1 else ("A", a, b, spacing_b)
    covered = tuple(min(size, factor * other) for size, other in zip(fine.shape_zyx, coarse.shape_zyx, strict=True))
    fits = all(
        other in (size // factor, -(-size // factor))  # an odd size is cut or padded, as programs like it
        for size, other in zip(fine.shape_zyx, coarse.shape_zyx, strict=True)
    )
    if not fits:
        raise ComparisonError(
            f"A has {_by(a.shape_zyx)} voxels (z, y, x) and B {_by(b.shape_zyx)}, so they don't cover the same volume."
        )
    notes = []
    if factor > 1:
        notes.append(
            f"{letter} was compared on the finer grid ({spacing:g} Å): each of its voxels stands for "
            f"{factor}×{factor}×{factor} of them."
        )
    if covered != fine.shape_zyx:
        notes.append(f"Only the {_by(covered)} voxels that {letter} covers were compared.")
    size_z, size_y, size_x = covered
    return _CommonGrid(fine, coarse, factor, (size_z, size_y, size_x), spacing, tuple(notes))


@dataclass(frozen=True, slots=True, eq=False)
class _Overlaps:
    """For each two labels that meet, also with background but not of background alone, in how many voxels they do."""

    labels_a: NDArray[np.int64]
    labels_b: NDArray[np.int64]
    counts: NDArray[np.int64]

    def and_also(self, other: _Overlaps) -> _Overlaps:
        """Those of both, sorted by the labels of A and then of B."""
        labels_a = np.concatenate([self.labels_a, other.labels_a])
        labels_b = np.concatenate([self.labels_b, other.labels_b])
        order = np.lexsort((labels_b, labels_a))
        labels_a, labels_b = labels_a[order], labels_b[order]
        is_first = np.append(True, (np.diff(labels_a) != 0) | (np.diff(labels_b) != 0))
        counts = np.add.reduceat(np.concatenate([self.counts, other.counts])[order], np.flatnonzero(is_first))
        return _Overlaps(labels_a[is_first], labels_b[is_first], counts)


def _overlaps(
    grid: _CommonGrid,
    greys: tuple[GreyTally, GreyTally],
    progress: Callable[[float], None],
    stop: threading.Event | None,
    *,
    a_is_fine: bool,
) -> _Overlaps:
    fine, coarse, factor = grid.fine, grid.coarse, grid.factor
    size_z, size_y, size_x = grid.shape_zyx
    found = _Overlaps(*(np.empty(0, np.int64) for _ in range(3)))
    for start, slab in fine.slabs(fine.planes_at_once(factor), progress=progress, stop=stop):
        planes = min(len(slab), size_z - start)
        if planes <= 0:
            break
        cut = slab[:planes, :size_y, :size_x]
        greys[0 if a_is_fine else 1].look(cut)
        blocks = coarse.read(start // factor, -(-(start + planes) // factor))
        greys[1 if a_is_fine else 0].look(blocks)
        other = _repeated(blocks, factor)[:planes, :size_y, :size_x]
        of_a, of_b = (cut, other) if a_is_fine else (other, cut)
        is_any = (of_a > 0) | (of_b > 0)
        if is_any.any():
            found = found.and_also(_met(of_a[is_any].astype(np.int64), of_b[is_any].astype(np.int64)))
    return found


def _met(of_a: NDArray[np.int64], of_b: NDArray[np.int64]) -> _Overlaps:
    """Which labels of A and of B some voxels have, of which there is at least one."""
    if max(of_a.max(), of_b.max()) < _LABELS:
        keys, counts = np.unique(of_a * _LABELS + of_b, return_counts=True)
        return _Overlaps(keys // _LABELS, keys % _LABELS, counts)
    names_a, rows_a = np.unique(of_a, return_inverse=True)  # as hashes that name objects
    names_b, rows_b = np.unique(of_b, return_inverse=True)
    keys, counts = np.unique(rows_a * len(names_b) + rows_b, return_counts=True)
    return _Overlaps(names_a[keys // len(names_b)], names_b[keys % len(names_b)], counts)


def _repeated(labels: NDArray[Any], factor: int) -> NDArray[Any]:
    for axis in range(3) if factor > 1 else ():
        labels = np.repeat(labels, factor, axis=axis)
    return labels


def _why_no_instances(a: Mask, b: Mask, table: _Overlaps) -> str:
    """Why masks can't be compared object by object; empty where they can.

    A mask whose only label is 1 may be all of something, or the one object that was found: the portal's record says.
    """
    if len(table.counts) == 0:
        return "Both masks are empty."
    for letter, mask, labels in (("A", a, table.labels_a), ("B", b, table.labels_b)):
        may_be_one = labels.max(initial=0) == 1 and mask.about.get("shape_type") != ShapeType.INSTANCE_SEGMENTATION_MASK
        if may_be_one:
            return f"{letter} holds no other label than 1, so it may not tell objects apart."
    return ""


def _by_instance(table: _Overlaps, beta: float, threshold: float) -> InstanceScores:
    names_a, names_b = np.unique(table.labels_a), np.unique(table.labels_b)
    names_a, names_b = names_a[names_a > 0], names_b[names_b > 0]
    meets = (table.labels_a > 0) & (table.labels_b > 0)
    rows_a, rows_b = np.searchsorted(names_a, table.labels_a[meets]), np.searchsorted(names_b, table.labels_b[meets])
    common = table.counts[meets]
    sizes_a = _sizes(names_a, table.labels_a, table.counts)
    sizes_b = _sizes(names_b, table.labels_b, table.counts)
    ious = common / (sizes_a[rows_a] + sizes_b[rows_b] - common)
    is_enough = ious >= threshold
    pairs = Matches(rows_a[is_enough], rows_b[is_enough], 1 - ious[is_enough])
    matches = match_pairs(pairs, len(names_a), len(names_b), "optimal")
    scores = scores_of(len(matches), len(names_a), len(names_b), beta, noun="objects")
    unmatched = scores.false_positives + scores.false_negatives
    iou_of = dict(zip(zip(rows_a.tolist(), rows_b.tolist(), strict=True), ious.tolist(), strict=True))
    matched = zip(matches.rows_a.tolist(), matches.rows_b.tolist(), strict=True)
    matched_ious = np.array([iou_of[pair] for pair in matched], dtype=np.float64)
    return InstanceScores(
        threshold=threshold,
        labels_a=names_a[matches.rows_a],
        labels_b=names_b[matches.rows_b],
        ious=matched_ious,
        scores=scores,
        panoptic_quality=float(matched_ious.sum() / (len(matches) + unmatched / 2)),
    )


def _sizes(names: NDArray[np.int64], labels: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    is_one = labels > 0
    rows = np.searchsorted(names, labels[is_one])
    return np.bincount(rows, counts[is_one], minlength=len(names)).astype(np.int64)


def _plain_instances(found: InstanceScores) -> dict[str, Any]:
    return {
        "iou_threshold": found.threshold,
        **found.scores.plain(),
        "panoptic_quality": found.panoptic_quality,
        "matches": [
            {"a": int(label_a), "b": int(label_b), "iou": float(iou), "dice": float(dice)}
            for label_a, label_b, iou, dice in zip(found.labels_a, found.labels_b, found.ious, found.dices, strict=True)
        ],
    }


def _by(shape_zyx: tuple[int, ...]) -> str:
    return "×".join(map(str, shape_zyx))
