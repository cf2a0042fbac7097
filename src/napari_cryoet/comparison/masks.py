"""Compare masks slab by slab: two masks as a whole and by object, and picks with a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.comparison.match import Pairs, match_pairs
from napari_cryoet.comparison.report import (
    Comparison,
    Region,
    Scores,
    Spread,
    picks_within,
    scores_of,
    share_text,
    spread_of,
)
from napari_cryoet.exceptions import ComparisonError
from napari_cryoet.measure.measuring import INSIDE, LABEL, NO_LABEL, SURFACE, read_surface
from napari_cryoet.picks import Picks
from napari_cryoet.records import ShapeType
from napari_cryoet.task import Task
from napari_cryoet.volumes import Mask
from napari_cryoet.volumes.volume import slabs

if TYPE_CHECKING:
    from pandas import DataFrame

#: Labels are int32, so that two fit an int64.
_LABELS: Final = 2**31
#: Headers store voxel spacings with few digits.
_RATIO_TOLERANCE: Final = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class InstanceScores:
    """Scores by object.

    Objects of A and B match if their intersection over union reaches the threshold.
    """

    threshold: float
    labels_a: NDArray[np.int64]  # (n,) of the matching objects, like the next two
    labels_b: NDArray[np.int64]
    ious: NDArray[np.float64]
    scores: Scores  # of objects
    panoptic_quality: (
        float  # sum of IoUs / (matches + half of the other objects) (Kirillov et al. 2019)
    )

    def to_dataframe(self) -> DataFrame:
        """One row for each pair of matching objects."""
        import pandas as pd

        dice = 2 * self.ious / (1 + self.ious)
        return pd.DataFrame(
            {"a": self.labels_a, "b": self.labels_b, "iou": self.ious, "dice": dice}
        )

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-compatible data."""
        return {
            "iou_threshold": self.threshold,
            **asdict(self.scores),
            "panoptic_quality": self.panoptic_quality,
            "matches": self.to_dataframe().to_dict("records"),
        }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class MaskComparison(Comparison):
    """Mask A evaluated against the reference mask B.

    Attributes
    ----------
    compared_at_angstrom
        The voxel size of the common grid.
    voxels_a, voxels_b, voxels_both
        The number of voxels of A, B and their intersection in that grid.
    dice, iou
        2 |A∩B| / (|A| + |B|) and |A∩B| / |A∪B|; None if both masks are empty.
    precision, recall
        The fraction of A that is in B, and of B that is in A.
    instances
        Scores by object, if both masks distinguish objects.
    """

    kind: ClassVar[str] = "mask against mask"
    a: Mask
    b: Mask
    compared_at_angstrom: float
    voxels_a: int
    voxels_b: int
    voxels_both: int
    dice: float | None
    iou: float | None
    precision: float | None
    recall: float | None
    instances: InstanceScores | None

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        if self.dice is None:
            return "Both masks are empty."
        overlap = f"The masks overlap by {share_text(self.dice)} (Dice)"
        if self.instances is None:
            return f"{overlap}."
        matched, missed = (
            self.instances.scores.true_positives,
            self.instances.scores.false_negatives,
        )
        return (
            f"{overlap}, and {matched:,} of {matched + missed:,} objects of B have a partner in A."
        )

    def to_dataframe(self) -> DataFrame:
        """One row for each pair of matching objects; none if the masks don't distinguish objects."""
        import pandas as pd

        return pd.DataFrame() if self.instances is None else self.instances.to_dataframe()


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class PicksInMask(Comparison):
    """Picks A relative to mask B.

    Attributes
    ----------
    labels
        int64 (n,) label of the voxel at each pick: 0 is background, `NO_LABEL` outside the volume.
    surface_distances_angstrom
        (n,) distance from each pick to the surface: negative inside, NaN if the mask has no surface. The surface
        consists of the faces between voxels of the mask and others. The edge of the volume doesn't count.
    distance
        Statistics of the distances; None if there are none.
    """

    kind: ClassVar[str] = "picks against mask"
    a: Picks
    b: Mask
    labels: NDArray[np.int64]
    surface_distances_angstrom: NDArray[np.float64]
    distance: Spread | None

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        share = self.share_inside
        return (
            "There are no picks."
            if share is None
            else f"{share_text(share)} of the picks lie inside the mask."
        )

    @property
    def share_inside(self) -> float | None:
        """The fraction of picks inside; None without picks."""
        return float(self.is_inside.mean()) if len(self.a) else None

    @property
    def figures(self) -> dict[str, Any]:
        """Settings and numbers by their names in JSON."""
        return {
            "inside": int(self.is_inside.sum()),
            "outside": int((self.labels == 0).sum()),
            "outside_of_volume": int((self.labels == NO_LABEL).sum()),
            "share_inside": self.share_inside,
            "surface_distance": self.distance,
        }

    @property
    def is_inside(self) -> NDArray[np.bool_]:
        """For each pick, whether it is in a voxel of the mask."""
        return self.labels > 0

    @property
    def inside(self) -> Picks:
        """The picks inside; their features have label and distance."""
        return self._with_columns.take(self.is_inside, "kept those inside the mask")

    @property
    def outside(self) -> Picks:
        """The picks outside; their features have label and distance."""
        return self._with_columns.take(~self.is_inside, "kept those outside the mask")

    @property
    def _with_columns(self) -> Picks:
        columns = {
            SURFACE: self.surface_distances_angstrom / 10,
            INSIDE: self.is_inside,
            LABEL: self.labels,
        }
        return self.a.changed(features=dict(self.a.features) | columns)

    def to_dataframe(self) -> DataFrame:
        """One row for each pick, with label and distance."""
        return self._with_columns.to_dataframe()


def compare_masks(
    a: Mask,
    b: Mask,
    *,
    beta: float,
    iou_threshold: float,
    region: Region,
    task: Task,
    warnings: Sequence[str],
) -> MaskComparison:
    """Implementation of `napari_cryoet.compare` for masks."""
    grid = _cropped(_common_grid(a, b), region)
    table = _overlaps(a, b, grid, task)
    in_a, in_b = table.labels_a > 0, table.labels_b > 0
    voxels_a, voxels_b, both = (
        int(table.counts[which].sum()) for which in (in_a, in_b, in_a & in_b)
    )
    scores = scores_of(both, voxels_a, voxels_b)
    return MaskComparison(
        a=a,
        b=b,
        compared_at_angstrom=grid.spacing_angstrom,
        voxels_a=voxels_a,
        voxels_b=voxels_b,
        voxels_both=both,
        dice=scores.f_beta,
        iou=both / (voxels_a + voxels_b - both) if voxels_a + voxels_b else None,
        precision=scores.precision,
        recall=scores.recall,
        instances=_by_instance(table, beta, iou_threshold)
        if _have_instances(a, b, table)
        else None,
        warnings=tuple(warnings),
    )


class _Grid(NamedTuple):
    """A grid with the finer voxel size, cropped to the intersection of both masks."""

    spacing_angstrom: float
    factor_a: int  # size of A's voxels in voxels of this grid
    factor_b: int
    shape_zyx: tuple[int, int, int]
    start_zyx: tuple[int, int, int] = (0, 0, 0)


def _common_grid(a: Mask, b: Mask) -> _Grid:
    spacing = min(_spacing(a), _spacing(b))
    factor_a, factor_b = (round(_spacing(mask) / spacing) for mask in (a, b))
    if not math.isclose(_spacing(a) / factor_a, _spacing(b) / factor_b, rel_tol=_RATIO_TOLERANCE):
        raise ComparisonError(
            f"Voxels are {_spacing(a):g} Å wide in A, {_spacing(b):g} Å in B, and neither is a multiple of the other.",
            hint="Resample one of the masks first.",
        )
    sizes = np.array([np.multiply(a.shape_zyx, factor_a), np.multiply(b.shape_zyx, factor_b)])
    if np.ptp(sizes, axis=0).max() >= max(
        factor_a, factor_b
    ):  # programs crop or pad odd sizes differently
        shapes = " and B ".join("×".join(map(str, mask.shape_zyx)) for mask in (a, b))
        raise ComparisonError(f"A has {shapes} voxels (z, y, x), so they cover different volumes.")
    size_z, size_y, size_x = sizes.min(axis=0).tolist()
    return _Grid(spacing, factor_a, factor_b, (size_z, size_y, size_x))


def _cropped(grid: _Grid, region: Region) -> _Grid:
    """The voxels of a grid whose centres are in a region."""
    starts = []
    sizes = []
    for size, (low, high) in zip(grid.shape_zyx, region, strict=True):
        ends = np.clip([low / grid.spacing_angstrom, high / grid.spacing_angstrom], 0, size)
        start, end = np.ceil(ends).astype(int).tolist()
        starts.append(start)
        sizes.append(end - start)
    return grid._replace(shape_zyx=tuple(sizes), start_zyx=tuple(starts))


def _read_on_grid(mask: Mask, factor: int, grid: _Grid, start: int, end: int) -> NDArray[Any]:
    """Read planes of a mask on the common grid.

    Each voxel is repeated ``factor`` times per axis.
    """
    first, y, x = (at + begin for at, begin in zip((start, 0, 0), grid.start_zyx, strict=True))
    last = first + end - start
    labels = mask.read(first // factor, -(-last // factor))
    for axis in range(3) if factor > 1 else ():
        labels = np.repeat(labels, factor, axis=axis)
    _, size_y, size_x = grid.shape_zyx
    return labels[first % factor :][: end - start, y : y + size_y, x : x + size_x]


def _spacing(mask: Mask) -> float:
    return mask.spacing_angstrom or 1.0  # `compare` has checked it


class _Overlaps(NamedTuple):
    """The number of voxels for each pair of labels that overlap, including background in one of the masks."""

    labels_a: NDArray[np.int64]
    labels_b: NDArray[np.int64]
    counts: NDArray[np.int64]


def _overlaps(a: Mask, b: Mask, grid: _Grid, task: Task) -> _Overlaps:
    keys, counts = np.empty(0, np.int64), np.empty(0, np.int64)  # each key combines two labels
    for start, end in slabs(grid.shape_zyx, task):
        slab_a = _read_on_grid(a, grid.factor_a, grid, start, end)
        slab_b = _read_on_grid(b, grid.factor_b, grid, start, end)
        is_any = (slab_a > 0) | (slab_b > 0)
        new_keys, new_counts = np.unique(
            slab_a[is_any].astype(np.int64) * _LABELS + slab_b[is_any], return_counts=True
        )
        keys, rows = np.unique(np.concatenate([keys, new_keys]), return_inverse=True)
        counts = np.bincount(
            rows, np.concatenate([counts, new_counts]), minlength=len(keys)
        ).astype(np.int64)
    return _Overlaps(keys // _LABELS, keys % _LABELS, counts)


def _have_instances(a: Mask, b: Mask, table: _Overlaps) -> bool:
    """Whether both masks distinguish objects.

    If the only label is 1, that depends on the portal's record.
    """
    return len(table.counts) > 0 and all(
        labels.max() != 1 or mask.about.shape_type == ShapeType.INSTANCE_SEGMENTATION_MASK
        for mask, labels in ((a, table.labels_a), (b, table.labels_b))
    )


def _by_instance(table: _Overlaps, beta: float, threshold: float) -> InstanceScores:
    names_a, sizes_a = _objects(table.labels_a, table.counts)
    names_b, sizes_b = _objects(table.labels_b, table.counts)
    is_both = (table.labels_a > 0) & (table.labels_b > 0)
    rows_a = np.searchsorted(names_a, table.labels_a[is_both])
    rows_b = np.searchsorted(names_b, table.labels_b[is_both])
    intersections = table.counts[is_both]
    ious = intersections / (sizes_a[rows_a] + sizes_b[rows_b] - intersections)
    matches = match_pairs(Pairs(rows_a, rows_b, 1 - ious).take(ious >= threshold))
    scores = scores_of(len(matches), len(names_a), len(names_b), beta)
    others = scores.false_positives + scores.false_negatives
    return InstanceScores(
        threshold=threshold,
        labels_a=names_a[matches.rows_a],
        labels_b=names_b[matches.rows_b],
        ious=1 - matches.costs,
        scores=scores,
        panoptic_quality=float((1 - matches.costs).sum() / (len(matches) + others / 2)),
    )


def _objects(
    labels: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted labels of objects, and their sizes in voxels."""
    names, rows = np.unique(labels, return_inverse=True)
    is_object = names > 0
    return names[is_object], np.bincount(rows, counts, minlength=len(names))[is_object].astype(
        np.int64
    )


def compare_with_mask(
    a: Picks, b: Mask, *, region: Region, task: Task, warnings: Sequence[str]
) -> PicksInMask:
    """Implementation of `napari_cryoet.compare` for picks and a mask."""
    a = picks_within(a, region)
    at_picks = read_surface(b, a.positions_angstrom_zyx / _spacing(b), task)
    distances = at_picks.distances * _spacing(b)
    return PicksInMask(
        a=a,
        b=b,
        labels=at_picks.labels,
        surface_distances_angstrom=distances,
        distance=spread_of(distances, "Å"),
        warnings=tuple(warnings),
    )
