"""Picks against a mask: how many lie inside, and how far each is from the surface."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.comparison.greyness import GreyTally
from napari_cryoet.comparison.mask import Mask
from napari_cryoet.comparison.matching import refuse_far
from napari_cryoet.comparison.sides import plain_side, portal_numbers, require_one_frame, spacing_of
from napari_cryoet.comparison.spread import Spread, spread_of
from napari_cryoet.picks import Picks
from napari_cryoet.stopping import raise_if_stopped

#: The columns that picks get from a mask.
MASK_LABEL = "mask_label"
SURFACE_DISTANCE = "surface_distance_angstrom"

#: The label of picks that lie outside of the volume.
NO_LABEL: Final = -1
#: How many of the nearest faces are measured; more only for points for which fewer prove nothing.
_NEAREST_LOOKED_AT: Final = (24, 300)
_FACES_AT_ONCE: Final = 2_000_000
_LOOKS_AT_ONCE: Final = 1_000_000
#: From the middle of a voxel's face to its corner.
_FACE_REACH: Final = np.sqrt(0.5)


@dataclass(frozen=True, slots=True, eq=False)
class PicksInMask:
    """Where picks lie to a mask.

    Attributes
    ----------
    labels
        int64 (n,), of the voxel that each pick lies in: 0 is background, `NO_LABEL` outside of the volume.
    surface_distances_angstrom
        (n,), from each pick to the surface of the mask: negative inside, NaN if the mask has no surface. The surface
        is made of the faces between voxels of the mask and voxels that aren't; the volume's own edge is no surface.
    surface_error_angstrom
        By how much a distance may be too large at most. 0: all were proven to be exact; never more than 0.71 voxels.
    share_inside
        Of the picks, from 0 to 1; None of no picks.
    """

    picks: Picks
    mask: Mask
    labels: NDArray[np.int64]
    surface_distances_angstrom: NDArray[np.float64]
    surface_error_angstrom: float
    share_inside: float | None
    why_undefined: dict[str, str]
    notes: tuple[str, ...] = ()
    kind: str = field(default="picks against mask", init=False)

    @property
    def is_inside(self) -> NDArray[np.bool_]:
        """For each pick, whether it lies in a voxel of the mask."""
        return self.labels > 0

    @property
    def inside(self) -> Picks:
        """The picks inside, with label and distance in their features."""
        return self._featured.take(self.is_inside, "kept those inside the mask")

    @property
    def outside(self) -> Picks:
        """The others, likewise."""
        return self._featured.take(~self.is_inside, "kept those outside of the mask")

    @property
    def distance(self) -> Spread | None:
        """How far picks are from the surface, in ångström; negative inside."""
        known = self.surface_distances_angstrom
        return spread_of(known[np.isfinite(known)], "Å")

    def plain(self) -> dict[str, Any]:
        """All numbers, and where both come from, as JSON holds it."""
        distance = self.distance
        return {
            "kind": self.kind,
            "a": plain_side(self.picks, len(self.picks)),
            "b": plain_side(self.mask),
            "inside": int(self.is_inside.sum()),
            "outside": int((self.labels == 0).sum()),
            "outside_of_volume": int((self.labels == NO_LABEL).sum()),
            "share_inside": self.share_inside,
            "surface_distance": None if distance is None else distance.plain(),
            "surface_error_angstrom": self.surface_error_angstrom,
            "why_undefined": self.why_undefined,
            "portal": {"a": portal_numbers(self.picks), "b": portal_numbers(self.mask)},
            "notes": list(self.notes),
        }

    @property
    def _featured(self) -> Picks:
        columns = {MASK_LABEL: self.labels, SURFACE_DISTANCE: self.surface_distances_angstrom}
        return self.picks.changed(features=dict(self.picks.features) | columns)


def compare_with_mask(
    picks: Picks,
    mask: Mask,
    *,
    insist: bool = False,
    progress: Callable[[float], None] = lambda _share: None,
    stop: threading.Event | None = None,
) -> PicksInMask:
    """As `napari_cryoet.compare` does with picks and a mask."""
    notes = require_one_frame(picks, mask, insist=insist)
    spacing = spacing_of(mask, "B")
    refuse_far(picks.positions_angstrom_zyx, "A")
    points = picks.positions_angstrom_zyx / spacing
    labels = np.full(len(points), NO_LABEL, dtype=np.int64)
    voxels = np.floor(points + 0.5).astype(np.int64)
    is_in_volume = ((voxels >= 0) & (voxels < mask.shape_zyx)).all(axis=1)
    nearest, grey = _NearestFace(points), GreyTally()
    last = np.zeros((0, *mask.shape_zyx[1:]), dtype=bool)
    for start, slab in mask.slabs(mask.planes_at_once(), progress=progress, stop=stop):
        grey.look(slab)
        here = np.flatnonzero(is_in_volume & (voxels[:, 0] >= start) & (voxels[:, 0] < start + len(slab)))
        at_z, at_y, at_x = voxels[here].T
        labels[here] = slab[at_z - start, at_y, at_x]
        with_last = np.concatenate([last, slab > 0])
        for centres, axis in _faces(with_last, start - len(last), has_last=len(last) > 0):
            nearest.look_at(centres, axis, stop)
        last = with_last[-1:]
    distances = nearest.distances * spacing
    why = {} if len(picks) else {"share_inside": "There are no picks."}
    if len(picks) and not np.isfinite(distances).all():
        why["surface_distance"] = "The mask has no surface: it is empty, or fills its volume."
    return PicksInMask(
        picks=picks,
        mask=mask,
        labels=labels,
        surface_distances_angstrom=np.where(
            np.isfinite(distances), np.where(labels > 0, -distances, distances), np.nan
        ),
        surface_error_angstrom=nearest.largest_error * spacing,
        share_inside=float((labels > 0).mean()) if len(picks) else None,
        why_undefined=why,
        notes=(*grey.notes("B"), *notes),
    )


def _faces(mask: NDArray[np.bool_], start: int, *, has_last: bool) -> Iterator[tuple[NDArray[np.float64], int]]:
    """The middles of the faces between mask and background, in voxels, and across which axis each lot lies.

    Faces within the last plane of the slab before were looked at with that slab.
    """
    for axis in range(3):
        part = mask[1:] if has_last and axis > 0 else mask
        first = start + (1 if has_last and axis > 0 else 0)
        lower, upper = (np.take(part, range(a, part.shape[axis] + b), axis=axis) for a, b in ((0, -1), (1, 0)))
        differs = lower != upper
        at = np.flatnonzero(differs)
        for some in np.array_split(at, len(at) // _FACES_AT_ONCE + 1):
            if len(some):
                middles = np.stack(np.unravel_index(some, differs.shape), axis=1).astype(np.float64)
                middles[:, axis] += 0.5
                middles[:, 0] += first
                yield middles, axis


class _NearestFace:
    """For each point, the distance to the nearest face that was looked at yet, in voxels.

    The face whose middle is nearest needn't be the nearest face, but no face is nearer than its middle less half a
    diagonal. So of each lot the faces with the nearest middles are measured, and the next one that wasn't bounds what
    the others can be.
    """

    def __init__(self, points: NDArray[np.float64]) -> None:
        self._points = points
        self.distances = np.full(len(points), np.inf)
        self._unseen_from = np.full(len(points), np.inf)

    @property
    def largest_error(self) -> float:
        """By how much a distance may be too large at most."""
        if not len(self._points) or not np.isfinite(self.distances).any():
            return 0.0
        return float(
            np.maximum(self.distances - self._unseen_from, 0).max(where=np.isfinite(self.distances), initial=0)
        )

    def look_at(self, middles: NDArray[np.float64], axis: int, stop: threading.Event | None) -> None:
        """Take faces across an axis into account."""
        from scipy.spatial import cKDTree

        tree = cKDTree(middles)
        low, high = middles.min(axis=0), middles.max(axis=0)
        gaps = np.maximum(np.maximum(low - self._points, self._points - high), 0)
        rows = np.flatnonzero(np.linalg.norm(gaps, axis=1) - _FACE_REACH < self.distances)
        unseen_from = np.full(len(self._points), np.inf)
        for wanted in _NEAREST_LOOKED_AT:
            count = min(wanted, len(middles))
            for some in np.array_split(rows, len(rows) * count // _LOOKS_AT_ONCE + 1):
                raise_if_stopped(stop)
                to_middles, which = tree.query(self._points[some], k=range(1, count + 1))
                to_faces = _distances_to_faces(self._points[some, None], middles[which], axis)
                self.distances[some] = np.minimum(self.distances[some], to_faces.min(axis=1, initial=np.inf))
                unseen_from[some] = to_middles[:, -1] - _FACE_REACH if count < len(middles) else np.inf
            rows = rows[unseen_from[rows] < self.distances[rows]]
        self._unseen_from = np.minimum(self._unseen_from, unseen_from)


def _distances_to_faces(points: NDArray[np.float64], middles: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """From points to squares of one voxel's width across an axis."""
    apart = np.abs(points - middles)
    for other in {0, 1, 2} - {axis}:
        apart[..., other] = np.maximum(apart[..., other] - 0.5, 0)
    distances: NDArray[np.float64] = np.linalg.norm(apart, axis=-1)
    return distances
