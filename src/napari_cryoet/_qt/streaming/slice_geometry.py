"""Where what napari asks of a streamed layer lies, and where it draws what comes of it: exactly, at every level.

Planes of a coarse level are those that the finest plane was averaged into, and levels made by taking every n-th voxel
are not shifted. Thick slices are made of the planes whose centres lie in them, where napari rounds both faces.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cryoet.streaming import Display

#: A float may miss a plane's centre by so much of a plane.
_NEARLY = 1e-6


def streamed_request(request: Any, display: Display) -> Any:
    """A slice request whose arrays are a display's, and whose planes are exact."""
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
    """The first and the last voxel that a request is for, along each axis.

    Of an axis that wasn't displayed until now napari knows nothing before the next drawing: it would show one line of
    the new plane first.
    """
    corners: NDArray[np.intp] = np.minimum(request.corner_pixels, shape - 1)
    if request.slice_input.ndisplay == 2:
        unknown = [axis for axis in request.slice_input.displayed if not corners[:, axis].any()]
        corners[1, unknown] = shape[unknown] - 1
    return corners


def _data_slice(request: Any, display: Display, level: int) -> Any:
    """The slice with its point moved so that napari's rounding finds the planes of a level that cover it."""
    data_slice, pyramid = request.data_slice, display.pyramid
    margins = np.nan_to_num([*data_slice.margin_left, *data_slice.margin_right])
    if str(request.projection_mode) != "none" and (margins > 0).any():
        return _on_whole_planes(data_slice, display, level)
    if pyramid.coarse_offset == "strided" or level == 0:
        return data_slice
    along = zip(data_slice.point, pyramid.factors[level], pyramid.shapes[0], pyramid.shapes[level], strict=True)
    point = [
        factor * min(np.floor((np.clip(np.round(at), 0, size - 1) + 0.5) / factor), count - 1)
        if -0.5 <= at <= size - 0.5
        else at  # beside the volume, or along an axis that is displayed
        for at, factor, size, count in along
    ]
    return dataclasses.replace(data_slice, point=tuple(point))


def _on_whole_planes(data_slice: Any, display: Display, level: int) -> Any:
    """A thick slice whose faces napari's rounding takes for the planes of a level that lie in it."""
    pyramid, box = display.pyramid, []
    for point, left, right, size in zip(
        data_slice.point, data_slice.margin_left, data_slice.margin_right, pyramid.shapes[0], strict=True
    ):
        planes = (0, size - 1) if np.isnan(point) else planes_in(point, left, right, size)
        if planes is None:
            return data_slice  # beside the volume: napari shows nothing
        box.append((planes[0], planes[1] + 1))
    coarse = pyramid.box_at(0, tuple(box), level)
    middles, margins = list(data_slice.point), list(data_slice.margin_left)
    for axis, ((start, stop), factor) in enumerate(zip(coarse, pyramid.factors[level], strict=True)):
        if not np.isnan(data_slice.point[axis]):
            middles[axis], margins[axis] = (start + stop - 1) / 2 * factor, (stop - 1 - start) / 2 * factor
    return dataclasses.replace(
        data_slice, point=tuple(middles), margin_left=tuple(margins), margin_right=tuple(margins)
    )


def planes_in(point: float, left: float, right: float, size: int) -> tuple[int, int] | None:
    """The first and last plane of ``size`` whose centres lie in a slice, at least the nearest; None beside all.

    >>> planes_in(10.0, 1.5, 1.5, 40), planes_in(0.0, 2.0, 2.0, 40), planes_in(10.2, 0.1, 0.1, 40)
    ((9, 11), (0, 2), (10, 10))
    """
    nearest = round(point)
    first = max(min(nearest, int(np.ceil(point - left - _NEARLY))), 0)
    last = min(max(nearest, int(np.floor(point + right + _NEARLY))), size - 1)
    return (first, last) if first <= last else None


def placed_response(response: Any, display: Display) -> Any:
    """A slice response whose picture lies where the level's voxels are.

    napari draws the voxels of a coarse level over the finest voxels that they span. Those of a level made by taking
    every n-th voxel belong around the first of them.
    """
    if display.pyramid.coarse_offset == "strided":
        tile_to_data = copy.deepcopy(response.tile_to_data)
        tile_to_data.translate = tile_to_data.translate - (np.asarray(tile_to_data.scale) - 1) / 2
        response = dataclasses.replace(response, tile_to_data=tile_to_data)
    is_blank_volume = display.is_blank and response.slice_input.ndisplay == 3
    return _as_few_voxels(response) if is_blank_volume else response


def _as_few_voxels(response: Any) -> Any:
    """A volume in which nothing is known yet as a few large voxels: without a graphics card all of it is slow."""
    raw = response.image.raw
    # OpenGL in software compiles a shader anew for textures whose sizes are powers of two, or aren't: keep the kind
    few = [min(size, 2 if size.bit_count() == 1 else 3) for size in raw.shape]
    voxels = raw[tuple(slice(count) for count in few)].copy()
    displayed = list(response.slice_input.displayed)
    tile_to_data = copy.deepcopy(response.tile_to_data)
    scale, translate = np.array(tile_to_data.scale), np.array(tile_to_data.translate)
    larger = np.divide(raw.shape, few)
    translate[displayed] += scale[displayed] * (larger - 1) / 2
    scale[displayed] *= larger
    tile_to_data.scale, tile_to_data.translate = scale, translate
    return dataclasses.replace(response, image=type(response.image).from_view(voxels), tile_to_data=tile_to_data)
