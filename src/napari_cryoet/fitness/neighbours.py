"""Picks that are too close: to each other, so that two of them mark one particle, or to the edge, which cuts theirs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.fitness.readings import are_inside
from napari_cryoet.stopping import raise_if_stopped

if TYPE_CHECKING:
    from scipy.spatial import KDTree

_PLACES_AT_ONCE: Final = 2**15


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

    rows = _first_of_each_place(places_angstrom, scores)
    is_out = np.ones(len(places_angstrom), dtype=bool)
    is_out[rows] = False
    places = places_angstrom[rows]
    if len(places) < 2:
        return np.flatnonzero(is_out)
    tree = KDTree(places)
    is_kept = np.zeros(len(places), dtype=bool)
    goes = np.zeros(len(places), dtype=bool)
    for place in _crowded(tree, places, nearest_angstrom, stop):
        raise_if_stopped(stop)
        if not goes[place]:
            near = np.array(tree.query_ball_point(places[place], np.nextafter(nearest_angstrom, 0)))
            goes[near[~is_kept[near]]] = True
            goes[place], is_kept[place] = False, True
    is_out[rows[goes]] = True
    return np.flatnonzero(is_out)


def _first_of_each_place(places_angstrom: NDArray[np.float64], scores: NDArray[np.float64] | None) -> NDArray[np.intp]:
    """Rows by falling score, of those at the very same place only the first: a tree can't tell these apart quickly."""
    order = np.arange(len(places_angstrom))
    if scores is not None:
        order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    places = places_angstrom[order]
    by_place = np.lexsort(places.T)  # stable, so that those at one place stay in order
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (places[by_place[1:]] != places[by_place[:-1]]).any(axis=1)
    return np.asarray(order[np.sort(by_place[is_first])])


def _crowded(
    tree: KDTree, places_angstrom: NDArray[np.float64], nearest_angstrom: float, stop: threading.Event | None
) -> NDArray[np.intp]:
    """Which places have another one nearer than that."""
    found = []
    for start in range(0, len(places_angstrom), _PLACES_AT_ONCE):
        raise_if_stopped(stop)
        some = places_angstrom[start : start + _PLACES_AT_ONCE]
        distance, _ = tree.query(some, k=2, distance_upper_bound=nearest_angstrom)
        found.append(start + np.flatnonzero(distance[:, 1] < nearest_angstrom))
    return np.concatenate(found)


def at_edge(
    points_zyx: NDArray[np.float64], shape_zyx: tuple[int, int, int], reach_zyx: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which picks are in the volume, but nearer than that to one of its faces; all in voxels."""
    near, far = points_zyx + 0.5, np.array(shape_zyx) - 0.5 - points_zyx
    is_near = (np.minimum(near, far) < reach_zyx).any(axis=1)
    return np.asarray(is_near & are_inside(points_zyx, shape_zyx))


def share_at_edge_by_chance(shape_zyx: tuple[int, int, int], reach_zyx: NDArray[np.float64]) -> float:
    """How much of a volume is that near to a face."""
    inner = np.clip(1 - 2 * reach_zyx / np.array(shape_zyx), 0, 1)
    return float(1 - inner.prod())
