"""Labels of a mask at picks, and exact distances of picks to the mask's surface.

The surface consists of the faces between voxels of the mask and others, half-way between voxel
centres. The edge of the volume doesn't count. The mask is read slab by slab.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import Mask

#: The label of picks outside the volume.
NO_LABEL: Final = -1
#: Distance from the centre of a voxel's face to its corner.
_FACE_REACH: Final = np.sqrt(0.5)


class AtSurface(NamedTuple):
    """Labels int64 (n,) and distances (n,) of points, as `read_surface` returns them."""

    labels: NDArray[np.int64]
    distances: NDArray[np.float64]


def read_surface(
    mask: Mask,
    points_zyx: NDArray[np.float64],
    task: Task = UNWATCHED,
) -> AtSurface:
    """The mask's labels at points (n, 3), and their distances to its surface, all in voxels.

    Labels are 0 in the background and `NO_LABEL` outside the volume. Distances are negative inside,
    and NaN if the mask has no surface.
    """
    voxels = np.floor(points_zyx + 0.5).astype(np.int64)
    is_in_volume = ((voxels >= 0) & (voxels < mask.shape_zyx)).all(axis=1)
    labels = np.full(len(points_zyx), NO_LABEL, dtype=np.int64)
    distances = np.full(len(points_zyx), np.inf)
    last_plane = np.zeros((0, *mask.shape_zyx[1:]), dtype=bool)
    for start, slab in mask.slabs(task):
        is_in_slab = (voxels[:, 0] >= start) & (voxels[:, 0] < start + len(slab))
        rows = np.flatnonzero(is_in_volume & is_in_slab)
        z, y, x = voxels[rows].T
        labels[rows] = slab[z - start, y, x]
        _update_distances(distances, points_zyx, _faces(last_plane, slab > 0, start))
        last_plane = slab[-1:] > 0
    signs = np.where(labels > 0, -1.0, 1.0)
    return AtSurface(labels, np.where(np.isfinite(distances), signs * distances, np.nan))


def _faces(
    last_plane: NDArray[np.bool_], slab: NDArray[np.bool_], start: int
) -> NDArray[np.float64]:
    """Centres of the faces between mask and background, in voxels: half-way between two voxels along one axis.

    ``last_plane`` is the plane before the slab, for faces across z.
    """
    centres = []
    for axis in range(3):
        part, first = (
            (np.concatenate([last_plane, slab]), start - len(last_plane))
            if axis == 0
            else (slab, start)
        )
        part_centres = np.argwhere(np.diff(part, axis=axis)).astype(np.float64)
        part_centres[:, axis] += 0.5
        part_centres[:, 0] += first
        centres.append(part_centres)
    return np.concatenate(centres)


def _update_distances(
    distances: NDArray[np.float64], points: NDArray[np.float64], centres: NDArray[np.float64]
) -> None:
    """Update the distance of each point to the nearest face, given more faces; all in voxels.

    The face with the nearest centre needn't be the nearest face, but the centre of that is little
    further away.
    """
    from scipy.spatial import KDTree

    if not len(centres):
        return
    tree = KDTree(centres, balanced_tree=False, compact_nodes=False)  # builds three times as fast
    to_centres, _ = tree.query(points)
    for row in np.flatnonzero(to_centres - _FACE_REACH < distances):
        near = centres[
            tree.query_ball_point(points[row], min(to_centres[row], distances[row]) + _FACE_REACH)
        ]
        half_widths = np.where(near % 1 == 0, 0.5, 0.0)  # 0 along the normal of a face
        offsets = np.maximum(np.abs(points[row] - near) - half_widths, 0)
        distances[row] = min(distances[row], np.linalg.norm(offsets, axis=1).min(initial=np.inf))
