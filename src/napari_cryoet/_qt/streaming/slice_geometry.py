"""Exact positions of streamed slices at every level: corrects napari's slice requests and responses.

A finest plane maps to the coarse plane that it was averaged into. Levels made by taking every n-th
voxel aren't shifted. A thick slice consists of the planes whose centres it contains, while napari
rounds both faces.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cryoet.streaming import Display

#: Tolerance for rounding errors, in planes.
_NEARLY = 1e-6


def streamed_request(request: Any, display: Display) -> Any:
    """The request with the display's arrays and exact planes."""
    level = request.data_level
    return dataclasses.replace(
        request,
        data_at_data_level=display.levels[level],
        data_at_thumbnail_level=display.overviews[request.thumbnail_level],
        downsample_factors=np.array(display.pyramid.factors),
        corner_pixels=_corners(request, np.array(display.pyramid.shapes[level])),
        data_slice=_data_slice(request, display, level),
    )


def _corners(request: Any, shape: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first and last voxel of a request along each axis.

    napari doesn't know the visible range of a newly displayed axis until it draws, and would
    request a single line. Request the whole axis instead.
    """
    corners: NDArray[np.intp] = np.minimum(request.corner_pixels, shape - 1)
    if request.slice_input.ndisplay == 2:
        unknown = [axis for axis in request.slice_input.displayed if not corners[:, axis].any()]
        corners[1, unknown] = shape[unknown] - 1
    return corners


def _data_slice(request: Any, display: Display, level: int) -> Any:
    """The data slice, moved so that napari's rounding selects the level's planes that cover it."""
    data_slice, pyramid = request.data_slice, display.pyramid
    margins = np.nan_to_num([*data_slice.margin_left, *data_slice.margin_right])
    if str(request.projection_mode) != "none" and (margins > 0).any():
        return _on_whole_planes(data_slice, display, level)
    if pyramid.coarse_offset == "strided" or level == 0:
        return data_slice
    along = zip(
        data_slice.point,
        pyramid.factors[level],
        pyramid.shapes[0],
        pyramid.shapes[level],
        strict=True,
    )
    point = [
        factor * min(np.floor((np.clip(np.round(at), 0, size - 1) + 0.5) / factor), count - 1)
        if -0.5 <= at <= size - 0.5
        else at  # outside the volume, or along a displayed axis
        for at, factor, size, count in along
    ]
    return dataclasses.replace(data_slice, point=tuple(point))


def _on_whole_planes(data_slice: Any, display: Display, level: int) -> Any:
    """A thick slice, adjusted so that napari's rounding selects the level's planes inside it."""
    pyramid, box = display.pyramid, []
    for point, left, right, size in zip(
        data_slice.point,
        data_slice.margin_left,
        data_slice.margin_right,
        pyramid.shapes[0],
        strict=True,
    ):
        planes = (0, size - 1) if np.isnan(point) else planes_in(point, left, right, size)
        if planes is None:
            return data_slice  # outside the volume: napari shows nothing
        box.append((planes[0], planes[1] + 1))
    coarse = pyramid.box_at(0, tuple(box), level)
    middles, margins = list(data_slice.point), list(data_slice.margin_left)
    for axis, ((start, stop), factor) in enumerate(
        zip(coarse, pyramid.factors[level], strict=True)
    ):
        if not np.isnan(data_slice.point[axis]):
            middles[axis], margins[axis] = (
                (start + stop - 1) / 2 * factor,
                (stop - 1 - start) / 2 * factor,
            )
    return dataclasses.replace(
        data_slice, point=tuple(middles), margin_left=tuple(margins), margin_right=tuple(margins)
    )


def planes_in(point: float, left: float, right: float, size: int) -> tuple[int, int] | None:
    """The first and last of ``size`` planes with centres in a slice, at least the nearest; None outside the volume.

    >>> planes_in(10.0, 1.5, 1.5, 40), planes_in(0.0, 2.0, 2.0, 40), planes_in(10.2, 0.1, 0.1, 40)
    ((9, 11), (0, 2), (10, 10))
    """
    nearest = round(point)
    first = max(min(nearest, int(np.ceil(point - left - _NEARLY))), 0)
    last = min(max(nearest, int(np.floor(point + right + _NEARLY))), size - 1)
    return (first, last) if first <= last else None


def positioned_response(response: Any, display: Display) -> Any:
    """The response with its picture at the exact position of the level's voxels.

    napari draws a coarse voxel over the finest voxels that it spans. If the level was made by
    taking every n-th voxel, the coarse voxel is centred on the first of them instead.
    """
    if display.pyramid.coarse_offset == "strided":
        tile_to_data = copy.deepcopy(response.tile_to_data)
        tile_to_data.translate = tile_to_data.translate - (np.asarray(tile_to_data.scale) - 1) / 2
        response = dataclasses.replace(response, tile_to_data=tile_to_data)
    return response
