"""Picks that are too close: to each other, so that two of them mark one particle, or to the edge, which cuts theirs."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import StoppedError


def duplicates(
    places_angstrom: NDArray[np.float64],
    scores: NDArray[np.float64] | None,
    nearest_angstrom: float,
    *,
    stop: threading.Event | None = None,
) -> NDArray[np.intp]:
    """Rows to leave out so that no two of the others are nearer than that; ascending.

    Picks are gone through by falling score, or as they come where they have none, and kept where none that was kept is
    too near: so of two that mark one particle, the better stays.
    """
    from scipy.spatial import KDTree

    if len(places_angstrom) < 2:
        return np.empty(0, np.intp)
    tree = KDTree(places_angstrom)
    distance, _ = tree.query(places_angstrom, k=2)
    crowded = np.flatnonzero(distance[:, 1] < nearest_angstrom)
    if scores is not None:
        crowded = crowded[np.argsort(-np.nan_to_num(scores[crowded], nan=-np.inf), kind="stable")]
    is_out = np.zeros(len(places_angstrom), dtype=bool)
    is_kept = np.zeros(len(places_angstrom), dtype=bool)
    for row in crowded:
        if stop is not None and stop.is_set():
            raise StoppedError
        if not is_out[row]:
            near = np.array(tree.query_ball_point(places_angstrom[row], np.nextafter(nearest_angstrom, 0)))
            is_out[near[~is_kept[near]]] = True
            is_out[row], is_kept[row] = False, True
    return np.flatnonzero(is_out)


def at_edge(
    points_zyx: NDArray[np.float64], shape_zyx: tuple[int, int, int], reach_zyx: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which picks are in the volume, but nearer than that to one of its faces; all in voxels."""
    from napari_cryoet.fitness.readings import are_inside

    near, far = points_zyx + 0.5, np.array(shape_zyx) - 0.5 - points_zyx
    is_near = (np.minimum(near, far) < reach_zyx).any(axis=1)
    return np.asarray(is_near & are_inside(points_zyx, shape_zyx))


def share_at_edge_by_chance(shape_zyx: tuple[int, int, int], reach_zyx: NDArray[np.float64]) -> float:
    """How much of a volume is that near to a face."""
    inner = np.clip(1 - 2 * reach_zyx / np.array(shape_zyx), 0, 1)
    return float(1 - inner.prod())
