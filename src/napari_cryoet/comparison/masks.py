"""Masks, read slab by slab: how much two overlap, as a whole and by object, and where picks lie relative to one."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.comparison.match import (
    Matches,
    Scores,
    Settings,
    Spread,
    match_pairs,
    scores_of,
    share_text,
    spread_of,
    stoppable,
)
from napari_cryoet.comparison.sides import Comparison, Figure, figures_of_scores, plain_figures
from napari_cryoet.exceptions import ComparisonError, FormatError, raise_if_stopped
from napari_cryoet.picks import Picks
from napari_cryoet.records import ShapeType

SLAB_VOXELS: Final = 2**23
#: The portal stores masks in blocks of two planes.
_PLANES_A_BLOCK: Final = 2
#: Labels of A and of B that meet, and in how many voxels.
Overlaps = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
#: Labels are int32, so that two of them make one int64.
_LABELS: Final = 2**31
#: Headers keep few digits of voxel spacings.
_RATIO_TOLERANCE: Final = 1e-3
_LARGEST_FACTOR: Final = 64
#: The label of picks outside of the volume.
NO_LABEL: Final = -1
#: How many of the nearest faces are measured; the second number only where the first proves nothing.
NEAREST: Final = (24, 300)
FACES_AT_ONCE: Final = 2_000_000
QUERIES_AT_ONCE: Final = 250_000
#: From the middle of a voxel's face to its corner.
_FACE_REACH: Final = np.sqrt(0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A segmentation: 0 is background, any other whole number an object. Nothing is read until it is needed.

    ``data`` is an array in z, y, x that gives its planes by ``data[start:stop]``: numpy, dask or zarr.
    """

    data: Any
    spacing_angstrom: float | None = None  # the width of a voxel
    shape_zyx: tuple[int, int, int] = (0, 0, 0)  # by default that of the data
    alignment_id: int | None = None  # of the portal
    about: Mapping[str, Any] = field(default_factory=dict)  # where it comes from: plain data

    def __post_init__(self) -> None:
        if len(self.data.shape) != 3:
            raise ValueError(f"a mask has three dimensions, not {len(self.data.shape)}")
        if self.spacing_angstrom is not None and not 0 < self.spacing_angstrom < np.inf:
            raise ValueError(f"a voxel can't be {self.spacing_angstrom} Å wide")
        shape = self.shape_zyx if any(self.shape_zyx) else tuple(map(int, self.data.shape))
        object.__setattr__(self, "shape_zyx", shape)
        object.__setattr__(self, "about", MappingProxyType(dict(self.about)))

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Planes from ``start`` to before ``stop``, as whole numbers.

        Raises
        ------
        FormatError
            If they hold anything but whole numbers from 0 to 2³¹ - 1.
        """
        _, size_y, size_x = self.shape_zyx
        values = np.asarray(self.data[start:stop])[:, :size_y, :size_x]
        if values.dtype in (np.uint8, np.uint16):
            return values
        if values.dtype.kind not in "biuf":
            raise FormatError(f"This is no mask: it holds {values.dtype} values.")
        with np.errstate(invalid="ignore"):
            labels = values.astype(np.int32)
        if (labels != values).any() or labels.min(initial=0) < 0:
            raise FormatError(
                "This is no mask: it holds other values than whole numbers from 0 to 2,147,483,647.",
                hint="Number its objects 1, 2, 3, …",
            )
        return labels


def planes_of_slab(shape_zyx: tuple[int, ...], multiple: int = 1) -> int:
    """How many planes to read at a time: a multiple of a number and of the two planes of a block."""
    step = _PLANES_A_BLOCK * multiple
    return max(1, SLAB_VOXELS // max(1, shape_zyx[1] * shape_zyx[2] * step)) * step


@dataclass(frozen=True, slots=True, eq=False)
class InstanceScores:
    """Object by object: objects of A and B match if their intersection over union is at least a threshold.

    Attributes
    ----------
    labels_a, labels_b, ious
        (n,) matched objects and their intersection over union.
    scores
        Counts of objects, their precision, recall and F-beta.
    panoptic_quality
        The sum of the IoUs over the number of matches and half of the other objects (Kirillov et al. 2019).
    """

    threshold: float
    labels_a: NDArray[np.int64]
    labels_b: NDArray[np.int64]
    ious: NDArray[np.float64]
    scores: Scores
    panoptic_quality: float

    @property
    def dices(self) -> NDArray[np.float64]:
        """2 |A∩B| / (|A| + |B|) of each match."""
        return np.asarray(2 * self.ious / (1 + self.ious))

    def figures(self) -> list[Figure]:
        """All numbers, most important first."""
        return [
            Figure("iou_threshold", "", self.threshold),
            *figures_of_scores(self.scores, "objects", f"IoU ≥ {self.threshold:g}"),
            Figure("panoptic_quality", "panoptic quality", self.panoptic_quality),
        ]

    def plain(self) -> dict[str, Any]:
        """All numbers, and the matched objects, for JSON."""
        columns = {"a": self.labels_a, "b": self.labels_b, "iou": self.ious, "dice": self.dices}
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return plain_figures(self.figures()) | {"matches": [dict(zip(columns, row, strict=True)) for row in rows]}


@dataclass(frozen=True, slots=True, eq=False)
class MaskComparison(Comparison):
    """A, which is judged, against B, the reference.

    Attributes
    ----------
    spacing_angstrom
        The width of a voxel of the grid on which they were compared.
    dice, iou
        2 |A∩B| / (|A| + |B|) and |A∩B| / |A∪B|; None if both masks are empty.
    precision, recall
        The share of A that is in B, and of B that is in A.
    instances
        Object by object, if both masks tell objects apart; else ``why_no_instances`` says why not.
    """

    kind: ClassVar[str] = "mask against mask"
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
    why_no_instances: str = ""
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The outcome in one plain sentence."""
        if self.dice is None:
            return "Both masks are empty."
        overlap = f"The masks overlap by {share_text(self.dice)} (Dice)"
        if self.instances is None:
            return f"{overlap}."
        objects = self.instances.scores
        total = objects.true_positives + objects.false_negatives
        return f"{overlap}, and {objects.true_positives:,} of {total:,} objects of B have a partner in A."

    @property
    def setting(self) -> str:
        """How they were compared, in words."""
        return f"the reference, in voxels of {self.spacing_angstrom:g} Å"

    def figures(self) -> list[Figure]:
        """All numbers, most important first."""
        figures = [
            Figure("compared_at_angstrom", "", self.spacing_angstrom),
            Figure("voxels_a", "voxels of A", self.voxels_a),
            Figure("voxels_b", "voxels of B", self.voxels_b),
            Figure("voxels_both", "voxels of both", self.voxels_both),
            Figure("dice", "Dice", self.dice, "Both masks are empty."),
            Figure("iou", "IoU", self.iou, "Both masks are empty."),
            Figure("precision", "precision", self.precision, "A is empty."),
            Figure("recall", "recall", self.recall, "B is empty."),
        ]
        if self.instances is None:
            return [*figures, Figure("instances", "object by object", None, self.why_no_instances)]
        return [*figures, *(figure._replace(key="") for figure in self.instances.figures() if figure.name)]

    def plain(self) -> dict[str, Any]:
        """All numbers and the provenance of both masks, as JSON holds them."""
        return Comparison.plain(self) | {"instances": None if self.instances is None else self.instances.plain()}


def compare_masks(a: Mask, b: Mask, settings: Settings, notes: tuple[str, ...]) -> MaskComparison:
    """As `napari_cryoet.compare` with masks."""
    grid = _common_grid(a, b)
    labels_a, labels_b, counts = table = _overlaps(a, b, grid, settings)
    in_a, in_b = labels_a > 0, labels_b > 0
    voxels_a, voxels_b, both = (int(counts[which].sum()) for which in (in_a, in_b, in_a & in_b))
    scores = scores_of(both, voxels_a, voxels_b)
    why_no_instances = _why_no_instances(a, b, table)
    return MaskComparison(
        a=a,
        b=b,
        spacing_angstrom=grid.spacing_angstrom,
        voxels_a=voxels_a,
        voxels_b=voxels_b,
        voxels_both=both,
        dice=scores.f_beta,
        iou=both / (voxels_a + voxels_b - both) if voxels_a + voxels_b else None,
        precision=scores.precision,
        recall=scores.recall,
        instances=None if why_no_instances else _by_instance(table, settings),
        why_no_instances=why_no_instances,
        notes=(*notes, *grid.notes),
    )


class _Grid(NamedTuple):
    """The finer of two grids, cut to what both cover. A voxel of a mask stands for ``factor``³ of it."""

    factor_a: int
    factor_b: int
    shape_zyx: tuple[int, ...]
    spacing_angstrom: float
    notes: tuple[str, ...]


def _common_grid(a: Mask, b: Mask) -> _Grid:
    spacing_a, spacing_b = a.spacing_angstrom or 1.0, b.spacing_angstrom or 1.0  # they are known by now
    spacing = min(spacing_a, spacing_b)
    ratio = max(spacing_a, spacing_b) / spacing
    factor = 2 ** round(math.log2(ratio))
    if not math.isclose(ratio, factor, rel_tol=_RATIO_TOLERANCE) or factor > _LARGEST_FACTOR:
        raise ComparisonError(
            f"Voxels are {spacing_a:g} Å wide in A and {spacing_b:g} Å in B. Neither is 2, 4, 8, … times the other, "
            "so one mask would have to be interpolated.",
            hint="Resample one of the masks first.",
        )
    fine, coarse, name = (a, b, "B") if spacing_a < spacing_b else (b, a, "A")
    sizes = list(zip(fine.shape_zyx, coarse.shape_zyx, strict=True))
    if any(size not in (fine_size // factor, -(-fine_size // factor)) for fine_size, size in sizes):  # cut or padded
        raise ComparisonError(
            f"A has {_by(a.shape_zyx)} voxels (z, y, x) and B {_by(b.shape_zyx)}, so they don't cover the same volume."
        )
    shape = tuple(min(fine_size, factor * size) for fine_size, size in sizes)
    notes = []
    if factor > 1:
        notes.append(
            f"Compared on the finer grid ({spacing:g} Å): each voxel of {name} stands for {factor}×{factor}×{factor}."
        )
    if shape != fine.shape_zyx:
        notes.append(f"Only the {_by(shape)} voxels that {name} covers were compared.")
    return _Grid(factor if name == "A" else 1, factor if name == "B" else 1, shape, spacing, tuple(notes))


def _overlaps(a: Mask, b: Mask, grid: _Grid, settings: Settings) -> Overlaps:
    """For each two labels that meet, the number of voxels; also with background, but not of background alone."""
    size_z = grid.shape_zyx[0]
    planes = planes_of_slab(grid.shape_zyx, max(grid.factor_a, grid.factor_b))
    keys, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    for start in range(0, size_z, planes):
        settings.progress(start / size_z)
        some, how_often = stoppable(partial(_met, a, b, grid, start, min(start + planes, size_z)), settings.stop)
        keys, rows = np.unique(np.concatenate([keys, some]), return_inverse=True)
        counts = np.bincount(rows, np.concatenate([counts, how_often]), minlength=len(keys)).astype(np.int64)
    return keys // _LABELS, keys % _LABELS, counts


def _met(a: Mask, b: Mask, grid: _Grid, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The labels that meet in some planes, two in one number, and how often."""
    of_a, of_b = _on_grid(a, grid.factor_a, grid, start, end), _on_grid(b, grid.factor_b, grid, start, end)
    is_any = (of_a > 0) | (of_b > 0)
    keys, counts = np.unique(of_a[is_any].astype(np.int64) * _LABELS + of_b[is_any], return_counts=True)
    return keys, counts


def _on_grid(mask: Mask, factor: int, grid: _Grid, start: int, end: int) -> NDArray[Any]:
    """Planes of a mask whose voxels stand for ``factor``³ of the common grid."""
    labels = mask.read(start // factor, -(-end // factor))
    for axis in range(3) if factor > 1 else ():
        labels = np.repeat(labels, factor, axis=axis)
    return labels[: end - start, : grid.shape_zyx[1], : grid.shape_zyx[2]]


def _why_no_instances(a: Mask, b: Mask, table: Overlaps) -> str:
    """Why masks can't be compared object by object; empty if they can.

    A mask whose only label is 1 may be a whole class, or one object: only the portal's record says which.
    """
    labels_a, labels_b, _ = table
    if len(labels_a) == 0:
        return "Both masks are empty."
    for letter, mask, labels in (("A", a, labels_a), ("B", b, labels_b)):
        if labels.max() == 1 and mask.about.get("shape_type") != ShapeType.INSTANCE_SEGMENTATION_MASK:
            return f"{letter} has no other label than 1, so it may not tell objects apart."
    return ""


def _by_instance(table: Overlaps, settings: Settings) -> InstanceScores:
    labels_a, labels_b, counts = table
    (names_a, sizes_a), (names_b, sizes_b) = _objects(labels_a, counts), _objects(labels_b, counts)
    meets = (labels_a > 0) & (labels_b > 0)
    rows_a, rows_b = np.searchsorted(names_a, labels_a[meets]), np.searchsorted(names_b, labels_b[meets])
    common = counts[meets]
    ious = common / (sizes_a[rows_a] + sizes_b[rows_b] - common)
    matches = match_pairs(Matches(rows_a, rows_b, 1 - ious).take(ious >= settings.iou_threshold))
    scores = scores_of(len(matches), len(names_a), len(names_b), settings.beta)
    matched_ious = 1 - matches.costs
    others = scores.false_positives + scores.false_negatives
    return InstanceScores(
        threshold=settings.iou_threshold,
        labels_a=names_a[matches.rows_a],
        labels_b=names_b[matches.rows_b],
        ious=matched_ious,
        scores=scores,
        panoptic_quality=float(matched_ious.sum() / (len(matches) + others / 2)),
    )


def _objects(labels: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The labels of objects, rising, and how many voxels each has."""
    names, rows = np.unique(labels, return_inverse=True)
    is_object = names > 0
    return names[is_object], np.bincount(rows, counts, minlength=len(names))[is_object].astype(np.int64)


def _by(shape_zyx: tuple[int, ...]) -> str:
    return "×".join(map(str, shape_zyx))


@dataclass(frozen=True, slots=True, eq=False)
class PicksInMask(Comparison):
    """Where picks lie relative to a mask.

    Attributes
    ----------
    labels
        int64 (n,) of the voxel that each pick lies in: 0 is background, `NO_LABEL` outside of the volume.
    surface_distances_angstrom
        (n,) from each pick to the surface: negative inside, NaN if the mask has no surface. The surface is made of the
        faces between voxels of the mask and others. The edge of the volume is no surface.
    surface_error_angstrom
        By how much a distance may be too large at most. 0: all are proven to be exact. Never more than 0.71 voxels.
    share_inside
        From 0 to 1; None without picks.
    """

    kind: ClassVar[str] = "picks against mask"
    picks: Picks
    mask: Mask
    labels: NDArray[np.int64]
    surface_distances_angstrom: NDArray[np.float64]
    surface_error_angstrom: float
    share_inside: float | None
    notes: tuple[str, ...] = ()

    @property
    def sides(self) -> tuple[Picks, Mask]:
        """A and B."""
        return self.picks, self.mask

    @property
    def headline(self) -> str:
        """The outcome in one plain sentence."""
        if self.share_inside is None:
            return "There are no picks."
        return f"{share_text(self.share_inside)} of the picks lie inside the mask."

    @property
    def setting(self) -> str:
        """How they were compared, in words."""
        return "a mask"

    def figures(self) -> list[Figure]:
        """All numbers, most important first."""
        return [
            Figure("", "picks of A", len(self.labels)),
            Figure("inside", "inside B", int(self.is_inside.sum())),
            Figure("outside", "outside B", int((self.labels == 0).sum())),
            Figure("outside_of_volume", "outside of its volume", int((self.labels == NO_LABEL).sum())),
            Figure("share_inside", "share inside", self.share_inside, "There are no picks."),
            Figure(
                "surface_distance", "from the surface", self.distance, "The mask has no surface, or there are no picks."
            ),
            Figure("surface_error_angstrom", "", self.surface_error_angstrom),
        ]

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
    def distance(self) -> Spread | None:
        """Distances from the surface in ångström, negative inside."""
        return spread_of(self.surface_distances_angstrom, "Å")

    @property
    def _with_columns(self) -> Picks:
        columns = {"mask_label": self.labels, "surface_distance_angstrom": self.surface_distances_angstrom}
        return self.picks.changed(features=dict(self.picks.features) | columns)


def compare_with_mask(picks: Picks, mask: Mask, settings: Settings, notes: tuple[str, ...]) -> PicksInMask:
    """As `napari_cryoet.compare` with picks and a mask."""
    spacing = mask.spacing_angstrom or 1.0  # it is known by now
    points = picks.positions_angstrom_zyx / spacing
    voxels = np.floor(points + 0.5).astype(np.int64)
    is_in_volume = ((voxels >= 0) & (voxels < mask.shape_zyx)).all(axis=1)
    labels = np.full(len(points), NO_LABEL, dtype=np.int64)
    nearest = _NearestFaces(points)
    last_plane = np.zeros((0, *mask.shape_zyx[1:]), dtype=bool)
    size_z, planes = mask.shape_zyx[0], planes_of_slab(mask.shape_zyx)
    for start in range(0, size_z, planes):
        settings.progress(start / size_z)
        slab = stoppable(partial(mask.read, start, min(start + planes, size_z)), settings.stop)
        here = np.flatnonzero(is_in_volume & (voxels[:, 0] >= start) & (voxels[:, 0] < start + len(slab)))
        at_z, at_y, at_x = voxels[here].T
        labels[here] = slab[at_z - start, at_y, at_x]
        for middles, axis in _faces(last_plane, slab > 0, start):
            nearest.look_at(middles, axis, settings.stop)
        last_plane = slab[-1:] > 0
    has_surface = bool(np.isfinite(nearest.distances).all())
    distances = np.where(labels > 0, -1, 1) * nearest.distances * spacing
    return PicksInMask(
        picks=picks,
        mask=mask,
        labels=labels,
        surface_distances_angstrom=distances if has_surface else np.full(len(picks), np.nan),
        surface_error_angstrom=nearest.largest_error * spacing if has_surface else 0.0,
        share_inside=float((labels > 0).mean()) if len(picks) else None,
        notes=notes,
    )


def _faces(
    last_plane: NDArray[np.bool_], slab: NDArray[np.bool_], start: int
) -> Iterator[tuple[NDArray[np.float64], int]]:
    """The middles of the faces between mask and background in voxels, and the axis that they lie across.

    Across z, the plane before the slab counts as well.
    """
    for axis in range(3):
        part, first = (np.concatenate([last_plane, slab]), start - len(last_plane)) if axis == 0 else (slab, start)
        differs = np.diff(part, axis=axis)
        at = np.flatnonzero(differs)
        for some in np.array_split(at, len(at) // FACES_AT_ONCE + 1):
            if len(some):
                middles = np.stack(np.unravel_index(some, differs.shape), axis=1).astype(np.float64)
                middles[:, axis] += 0.5
                middles[:, 0] += first
                yield middles, axis


class _NearestFaces:
    """For each point, the distance in voxels to the nearest face that was looked at so far.

    The face with the nearest middle needn't be the nearest face, but no face is nearer than its middle less half a
    diagonal. So the faces with the nearest middles are measured, and the next middle bounds how near others can be.
    """

    def __init__(self, points: NDArray[np.float64]) -> None:
        self._points = points
        self.distances = np.full(len(points), np.inf)
        self._unseen_from = np.full(len(points), np.inf)

    @property
    def largest_error(self) -> float:
        """By how much a distance may be too large at most."""
        return float(np.maximum(self.distances - self._unseen_from, 0).max(initial=0))

    def look_at(self, middles: NDArray[np.float64], axis: int, stop: threading.Event | None) -> None:
        """Take faces across an axis into account."""
        from scipy.spatial import KDTree

        tree = KDTree(middles)
        gaps = np.maximum(np.maximum(middles.min(axis=0) - self._points, self._points - middles.max(axis=0)), 0)
        rows = np.flatnonzero(np.linalg.norm(gaps, axis=1) - _FACE_REACH < self.distances)
        unseen_from = np.full(len(self._points), np.inf)
        for wanted in NEAREST:
            count = min(wanted, len(middles))
            for some in np.array_split(rows, len(rows) * count // QUERIES_AT_ONCE + 1):
                raise_if_stopped(stop)
                to_middles, which = tree.query(self._points[some], k=range(1, count + 1))
                to_faces = _to_faces(self._points[some, None], middles[which], axis)
                self.distances[some] = np.minimum(self.distances[some], to_faces.min(axis=1, initial=np.inf))
                unseen_from[some] = to_middles[:, -1] - _FACE_REACH if count < len(middles) else np.inf
            rows = rows[unseen_from[rows] < self.distances[rows]]
        self._unseen_from = np.minimum(self._unseen_from, unseen_from)


def _to_faces(points: NDArray[np.float64], middles: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Distances from points to squares of one voxel's width across an axis."""
    apart = np.abs(points - middles)
    for other in {0, 1, 2} - {axis}:
        apart[..., other] = np.maximum(apart[..., other] - 0.5, 0)
    return np.asarray(np.linalg.norm(apart, axis=-1))
