"""The same questions, answered the slow and simple way."""

from __future__ import annotations

import itertools
import math

import numpy as np


def best_matching(points_a, points_b, radius):
    """How many matches there can be, and the least total distance of so many: by trying all ways."""
    few, many = sorted([list(points_a), list(points_b)], key=len)
    best = (0, 0.0)
    for chosen in itertools.permutations([*many, *[None] * len(few)], len(few)):
        distances = [math.dist(p, q) for p, q in zip(few, chosen, strict=True) if q is not None]
        if all(distance <= radius for distance in distances):
            best = min(best, (-len(distances), sum(distances)))
    return -best[0], best[1]


def greedy_matching(points_a, points_b, radius):
    """Pairs of rows: the nearest two of all that are left, again and again."""
    left_a, left_b = set(range(len(points_a))), set(range(len(points_b)))
    matches = []
    while True:
        near = [
            (distance, a, b)
            for a in left_a
            for b in left_b
            if (distance := float(np.linalg.norm(points_a[a] - points_b[b]))) <= radius
        ]
        if not near:
            return sorted((a, b) for _, a, b in matches)
        nearest = min(near)
        matches.append(nearest)
        left_a.remove(nearest[1])
        left_b.remove(nearest[2])


def signed_distance(point, mask):
    """From a point, in voxels, to the nearest face between mask and background: negative inside, infinite without."""
    nearest = math.inf
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        for voxel in np.ndindex(*(np.array(mask.shape) - step)):
            if mask[voxel] == mask[tuple(voxel + step)]:
                continue
            apart = np.abs(np.asarray(point) - (np.array(voxel) + 0.5 * step))
            reach = np.where(step, 0.0, 0.5)
            nearest = min(nearest, float(np.linalg.norm(np.maximum(apart - reach, 0))))
    voxel = np.floor(np.asarray(point) + 0.5).astype(int)
    is_inside = (voxel >= 0).all() and (voxel < mask.shape).all() and mask[tuple(voxel)]
    return -nearest if is_inside else nearest
