"""Masks, read slab by slab: how much two overlap, as a whole and by object, and where picks lie relative to one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.comparison.match import Matches, Step, match_pairs
from napari_cryoet.comparison.report import Comparison, Scores, Spread, scores_of, share_text, spread_of
from napari_cryoet.exceptions import ComparisonError, FormatError
from napari_cryoet.picks import Picks
from napari_cryoet.records import ShapeType

SLAB_VOXELS: Final = 2**23
#: Labels are int32, so that two of them make one int64.
_LABELS: Final = 2**31
#: Headers keep few digits of voxel spacings.
_RATIO_TOLERANCE: Final = 1e-3
#: The label of picks outside of the volume.
NO_LABEL: Final = -1
#: From the middle of a voxel's face to its corner.
_FACE_REACH: Final = np.sqrt(0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A segmentation: 0 is background, any other whole number an object. Nothing is read until it is needed.

    Attributes
    ----------
    data
        An array in z, y, x that gives its planes by ``data[start:stop]``: numpy, dask or zarr.
    spacing_angstrom
        The width of a voxel; None if unknown.
    alignment_id
        The portal's alignment that it belongs to, if known.
    about
        Where it comes from: plain data, as `provenance` makes it.
    """

    data: Any
    spacing_angstrom: float | None = None
    alignment_id: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.data.shape) != 3:
            raise ValueError(f"a mask has three dimensions, not {len(self.data.shape)}")
        if self.spacing_angstrom is not None and not 0 < self.spacing_angstrom < np.inf:
            raise ValueError(f"a voxel can't be {self.spacing_angstrom} Å wide")

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """In voxels."""
        size_z, size_y, size_x = map(int, self.data.shape)
        return size_z, size_y, size_x

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Planes from ``start`` to before ``stop``, as whole numbers from 0 to 2³¹ - 1."""
        values = np.asarray(self.data[start:stop])
        if values.dtype in (np.uint8, np.uint16):
            return values
        with np.errstate(invalid="ignore"):
            labels = values.astype(np.int32) if values.dtype.kind in "biuf" else None
        if labels is None or (labels != values).any() or labels.min(initial=0) < 0:
            raise FormatError(
                "This is no mask: it holds other values than whole numbers from 0 to 2,147,483,647.",
                hint="Number its objects 1, 2, 3, …",
            )
        return labels


@dataclass(frozen=True, slots=True, eq=False)
class InstanceScores:
    """Object by object: objects of A and B match if their intersection over union is at least a threshold."""

    threshold: float
    labels_a: NDArray[np.int64]  # (n,) of the objects that match, as are the next two
    labels_b: NDArray[np.int64]
    ious: NDArray[np.float64]
    scores: Scores  # counts objects
    panoptic_quality: float  # sum of IoUs over matches and half of the other objects (Kirillov et al. 2019)

    def plain(self) -> dict[str, Any]:
        """The numbers for JSON."""
        columns = {"a": self.labels_a, "b": self.labels_b, "iou": self.ious, "dice": 2 * self.ious / (1 + self.ious)}
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return {
            "iou_threshold": self.threshold,
            **asdict(self.scores),
            "panoptic_quality": self.panoptic_quality,
            "matches": [dict(zip(columns, row, strict=True)) for row in rows],
        }


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MaskComparison(Comparison):
    """Mask A, which is judged, against mask B, the reference.

    Attributes
    ----------
    compared_at_angstrom
        The width of a voxel of the grid on which they were compared.
    voxels_a, voxels_b, voxels_both
        How many voxels of that grid they hold.
    dice, iou
        2 |A∩B| / (|A| + |B|) and |A∩B| / |A∪B|; None if both masks are empty.
    precision, recall
        The share of A that is in B, and of B that is in A.
    instances
        Object by object, if both masks tell objects apart.
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
        """The outcome in one plain sentence."""
        if self.dice is None:
            return "Both masks are empty."
        overlap = f"The masks overlap by {share_text(self.dice)} (Dice)"
        if self.instances is None:
            return f"{overlap}."
        matched, missed = self.instances.scores.true_positives, self.instances.scores.false_negatives
        return f"{overlap}, and {matched:,} of {matched + missed:,} objects of B have a partner in A."


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PicksInMask(Comparison):
    """Where picks A lie relative to mask B.

    Attributes
    ----------
    labels
        int64 (n,) of the voxel that each pick lies in: 0 is background, `NO_LABEL` outside of the volume.
    surface_distances_angstrom
        (n,) from each pick to the surface: negative inside, NaN if the mask has no surface. The surface is made of the
        faces between voxels of the mask and others. The edge of the volume is no surface.
    distance
        How the distances are spread; None without any.
    """

    kind: ClassVar[str] = "picks against mask"
    a: Picks
    b: Mask
    labels: NDArray[np.int64]
    surface_distances_angstrom: NDArray[np.float64]
    distance: Spread | None

    @property
    def headline(self) -> str:
        """The outcome in one plain sentence."""
        share = self.share_inside
        return "There are no picks." if share is None else f"{share_text(share)} of the picks lie inside the mask."

    @property
    def share_inside(self) -> float | None:
        """From 0 to 1; None without picks."""
        return float(self.is_inside.mean()) if len(self.a) else None

    @property
    def figures(self) -> dict[str, Any]:
        """Settings and numbers by their names in JSON; fractions are shares."""
        return {
            "inside": int(self.is_inside.sum()),
            "outside": int((self.labels == 0).sum()),
            "outside_of_volume": int((self.labels == NO_LABEL).sum()),
            "share_inside": self.share_inside,
            "surface_distance": self.distance,
        }

    @property
    def is_inside(self) -> NDArray[np.bool_]:
        """For each pick, whether it lies in a voxel of the mask."""
        return self.labels > 0

    @property
    def inside(self) -> Picks:
        """The picks inside, with label and distance in their features."""
        return self._with_columns.take(self.is_inside, "kept those inside the mask")

    @property
    def outside(self) -> Picks:
        """The others, likewise."""
        return self._with_columns.take(~self.is_inside, "kept those outside of the mask")

    @property
    def _with_columns(self) -> Picks:
        columns = {"mask_label": self.labels, "surface_distance_angstrom": self.surface_distances_angstrom}
        return self.a.changed(features=dict(self.a.features) | columns)


def compare_masks(
    a: Mask, b: Mask, *, beta: float, iou_threshold: float, step: Step, notes: Sequence[str]
) -> MaskComparison:
    """As `napari_cryoet.compare` with masks."""
    grid = _common_grid(a, b)
    table = _overlaps(a, b, grid, step)
    in_a, in_b = table.labels_a > 0, table.labels_b > 0
    voxels_a, voxels_b, both = (int(table.counts[which].sum()) for which in (in_a, in_b, in_a & in_b))
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
        instances=_by_instance(table, beta, iou_threshold) if _tell_objects_apart(a, b, table) else None,
        notes=tuple(notes),
    )


class _Grid(NamedTuple):
    """A grid of the finer voxels, cut to what both masks cover; the factors say how many a voxel of each mask spans."""

    spacing_angstrom: float
    factor_a: int
    factor_b: int
    shape_zyx: tuple[int, int, int]


def _common_grid(a: Mask, b: Mask) -> _Grid:
    spacing = min(_spacing(a), _spacing(b))
    factor_a, factor_b = (round(_spacing(mask) / spacing) for mask in (a, b))
    if not math.isclose(_spacing(a) / factor_a, _spacing(b) / factor_b, rel_tol=_RATIO_TOLERANCE):
        raise ComparisonError(
            f"Voxels are {_spacing(a):g} Å wide in A, {_spacing(b):g} Å in B, and neither is a multiple of the other.",
            hint="Resample one of the masks first.",
        )
    sizes = np.array([np.multiply(a.shape_zyx, factor_a), np.multiply(b.shape_zyx, factor_b)])
    if np.ptp(sizes, axis=0).max() >= max(factor_a, factor_b):  # writers cut or pad odd sizes
        shapes = " and B ".join("×".join(map(str, mask.shape_zyx)) for mask in (a, b))
        raise ComparisonError(f"A has {shapes} voxels (z, y, x), so they don't cover the same volume.")
    size_z, size_y, size_x = sizes.min(axis=0).tolist()
    return _Grid(spacing, factor_a, factor_b, (size_z, size_y, size_x))


def _read_finely(mask: Mask, factor: int, grid: _Grid, start: int, end: int) -> NDArray[Any]:
    """Planes of the common grid; each voxel of the mask counts ``factor``³ times."""
    labels = mask.read(start // factor, -(-end // factor))
    for axis in range(3) if factor > 1 else ():
        labels = np.repeat(labels, factor, axis=axis)
    return labels[start % factor :][: end - start, : grid.shape_zyx[1], : grid.shape_zyx[2]]


def _spacing(mask: Mask) -> float:
    return mask.spacing_angstrom or 1.0  # it is known by now


class _Overlaps(NamedTuple):
    """For each two labels that meet, the number of voxels; also with background, but not of background alone."""

    labels_a: NDArray[np.int64]
    labels_b: NDArray[np.int64]
    counts: NDArray[np.int64]


def _overlaps(a: Mask, b: Mask, grid: _Grid, step: Step) -> _Overlaps:
    keys, counts = np.empty(0, np.int64), np.empty(0, np.int64)  # two labels in one number
    for start, end in _slabs(grid.shape_zyx, step):
        of_a, of_b = _read_finely(a, grid.factor_a, grid, start, end), _read_finely(b, grid.factor_b, grid, start, end)
        is_any = (of_a > 0) | (of_b > 0)
        met, how_often = np.unique(of_a[is_any].astype(np.int64) * _LABELS + of_b[is_any], return_counts=True)
        keys, rows = np.unique(np.concatenate([keys, met]), return_inverse=True)
        counts = np.bincount(rows, np.concatenate([counts, how_often]), minlength=len(keys)).astype(np.int64)
    return _Overlaps(keys // _LABELS, keys % _LABELS, counts)


def _slabs(shape_zyx: tuple[int, int, int], step: Step) -> Iterator[tuple[int, int]]:
    """Where to read planes from and to."""
    size_z, size_y, size_x = shape_zyx
    planes = max(1, SLAB_VOXELS // max(1, size_y * size_x))
    for start in range(0, size_z, planes):
        step(start / size_z)
        yield start, min(start + planes, size_z)


def _tell_objects_apart(a: Mask, b: Mask, table: _Overlaps) -> bool:
    """Whether both masks do. One whose only label is 1 may be a whole class: only the portal's record says which."""
    return len(table.counts) > 0 and all(
        labels.max() != 1 or mask.about.get("shape_type") == ShapeType.INSTANCE_SEGMENTATION_MASK
        for mask, labels in ((a, table.labels_a), (b, table.labels_b))
    )


def _by_instance(table: _Overlaps, beta: float, threshold: float) -> InstanceScores:
    names_a, sizes_a = _objects(table.labels_a, table.counts)
    names_b, sizes_b = _objects(table.labels_b, table.counts)
    meets = (table.labels_a > 0) & (table.labels_b > 0)
    rows_a, rows_b = np.searchsorted(names_a, table.labels_a[meets]), np.searchsorted(names_b, table.labels_b[meets])
    common = table.counts[meets]
    ious = common / (sizes_a[rows_a] + sizes_b[rows_b] - common)
    matches = match_pairs(Matches(rows_a, rows_b, 1 - ious).take(ious >= threshold))
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


def _objects(labels: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The labels of objects, rising, and how many voxels each has."""
    names, rows = np.unique(labels, return_inverse=True)
    is_object = names > 0
    return names[is_object], np.bincount(rows, counts, minlength=len(names))[is_object].astype(np.int64)


def compare_with_mask(a: Picks, b: Mask, *, step: Step, notes: Sequence[str]) -> PicksInMask:
    """As `napari_cryoet.compare` with picks and a mask."""
    spacing = _spacing(b)
    points = a.positions_angstrom_zyx / spacing
    voxels = np.floor(points + 0.5).astype(np.int64)
    is_in_volume = ((voxels >= 0) & (voxels < b.shape_zyx)).all(axis=1)
    labels = np.full(len(points), NO_LABEL, dtype=np.int64)
    distances = np.full(len(points), np.inf)
    last_plane = np.zeros((0, *b.shape_zyx[1:]), dtype=bool)
    for start, end in _slabs(b.shape_zyx, step):
        slab = b.read(start, end)
        here = np.flatnonzero(is_in_volume & (voxels[:, 0] >= start) & (voxels[:, 0] < end))
        at_z, at_y, at_x = voxels[here].T
        labels[here] = slab[at_z - start, at_y, at_x]
        _shorten(distances, points, _faces(last_plane, slab > 0, start))
        last_plane = slab[-1:] > 0
    distances = np.where(np.isfinite(distances), np.where(labels > 0, -spacing, spacing) * distances, np.nan)
    return PicksInMask(
        a=a,
        b=b,
        labels=labels,
        surface_distances_angstrom=distances,
        distance=spread_of(distances, "Å"),
        notes=tuple(notes),
    )


def _faces(last_plane: NDArray[np.bool_], slab: NDArray[np.bool_], start: int) -> NDArray[np.float64]:
    """The middles of the faces between mask and background, in voxels: half-way between two along one axis.

    Across z, the plane before the slab counts as well.
    """
    found = []
    for axis in range(3):
        part, first = (np.concatenate([last_plane, slab]), start - len(last_plane)) if axis == 0 else (slab, start)
        middles = np.argwhere(np.diff(part, axis=axis)).astype(np.float64)
        middles[:, axis] += 0.5
        middles[:, 0] += first
        found.append(middles)
    return np.concatenate(found)


def _shorten(distances: NDArray[np.float64], points: NDArray[np.float64], middles: NDArray[np.float64]) -> None:
    """Take further faces into account in the distance of each point to the nearest one, all in voxels.

    The face with the nearest middle needn't be the nearest face, but the middle of that is little further away.
    """
    from scipy.spatial import KDTree

    if not len(middles):
        return
    tree = KDTree(middles, balanced_tree=False, compact_nodes=False)  # built in a third of the time
    to_middles, _ = tree.query(points)
    for row in np.flatnonzero(to_middles - _FACE_REACH < distances):
        near = middles[tree.query_ball_point(points[row], min(to_middles[row], distances[row]) + _FACE_REACH)]
        half_widths = np.where(near % 1 == 0, 0.5, 0.0)  # none along the axis across which a face lies
        apart = np.maximum(np.abs(points[row] - near) - half_widths, 0)
        distances[row] = min(distances[row], np.linalg.norm(apart, axis=1).min(initial=np.inf))
