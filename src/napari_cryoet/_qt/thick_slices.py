"""Which planes of a pyramid's level a thick slice is made of: exactly those whose centres lie in it.

napari rounds both faces of the slice, so that with the same thickness one plane more or less is in it, and coarse
levels are cut elsewhere than fine ones.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cryoet.streaming.picture import coarse_box

if TYPE_CHECKING:
    from napari_cryoet.streaming.pyramid import Pyramid

#: A float may miss a plane's centre by so much of a plane.
_NEARLY = 1e-6


def is_thick(data_slice: Any) -> bool:
    """Whether a slice reaches beyond its plane along any axis."""
    margins = np.nan_to_num([*data_slice.margin_left, *data_slice.margin_right])
    return bool((margins > 0).any())


def planes_in(point: float, left: float, right: float, size: int) -> tuple[int, int] | None:
    """The first and last plane of ``size`` whose centres lie in a slice, at least the nearest; None beside all.

    >>> planes_in(10.0, 1.5, 1.5, 40), planes_in(0.0, 2.0, 2.0, 40), planes_in(10.2, 0.1, 0.1, 40)
    ((9, 11), (0, 2), (10, 10))
    """
    nearest = round(point)
    first = min(nearest, int(np.ceil(point - left - _NEARLY)))
    last = max(nearest, int(np.floor(point + right + _NEARLY)))
    first, last = max(first, 0), min(last, size - 1)
    return (first, last) if first <= last else None


def on_whole_planes(data_slice: Any, pyramid: Pyramid, level: int) -> Any:
    """A thick slice whose faces napari's rounding takes for the planes of a level that lie in it."""
    box, is_cut = [], []
    for point, left, right, size in zip(
        data_slice.point, data_slice.margin_left, data_slice.margin_right, pyramid.shapes[0], strict=True
    ):
        planes = (0, size - 1) if np.isnan(point) else planes_in(point, left, right, size)
        if planes is None:
            return data_slice  # beside the volume: napari shows nothing
        is_cut.append(not np.isnan(point))
        box.append((planes[0], planes[1] + 1))
    coarse = tuple(box) if level == 0 else coarse_box(pyramid, 0, tuple(box), level)
    middles, margins = list(data_slice.point), list(data_slice.margin_left)
    for axis, ((start, stop), factor) in enumerate(zip(coarse, pyramid.factors[level], strict=True)):
        if is_cut[axis]:
            middles[axis], margins[axis] = (start + stop - 1) / 2 * factor, (stop - 1 - start) / 2 * factor
    return dataclasses.replace(
        data_slice, point=tuple(middles), margin_left=tuple(margins), margin_right=tuple(margins)
    )
