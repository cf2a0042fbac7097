"""Where what napari asks of a streamed layer lies, and what it draws of it: exactly, at every level.

napari would place coarse levels by up to three finest voxels elsewhere. Here factors are the true ones instead of
ratios of rounded shapes, the plane of a coarse level is the one that the finest plane was averaged into, levels made by
taking every n-th voxel are not shifted, and what is only padding is not drawn.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_cryoet._qt.thick_slices import is_thick, on_whole_planes

if TYPE_CHECKING:
    from napari_cryoet.streaming.display import Display


def streamed_request(request: Any, display: Display) -> Any:
    """A slice request whose arrays are a display's, and whose geometry is exact."""
    pyramid = display.pyramid
    level = request.data_level
    shapes = np.array(pyramid.shapes)
    return dataclasses.replace(
        request,
        data_at_data_level=display.levels[level],
        data_at_thumbnail_level=display.overviews[request.thumbnail_level],
        level_shapes=shapes,
        downsample_factors=np.array(pyramid.factors),
        corner_pixels=_corners(request, shapes[level]),
        data_slice=_on_planes(request.data_slice, display, level, is_projected=str(request.projection_mode) != "none"),
    )


def _corners(request: Any, shape: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first and the last voxel that a request is for, along each axis.

    Of an axis that wasn't displayed until now napari knows nothing before the next drawing: it would show one line of
    the new plane first, and all of it has to be asked for.
    """
    corners: NDArray[np.intp] = np.minimum(request.corner_pixels, shape - 1)
    if request.slice_input.ndisplay == 2:
        unknown = [axis for axis in request.slice_input.displayed if not corners[:, axis].any()]
        corners[1, unknown] = shape[unknown] - 1
    return corners


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


def _on_planes(data_slice: Any, display: Display, level: int, *, is_projected: bool) -> Any:
    """The slice with its point moved so that napari's rounding finds the plane of a level that covers it.

    napari divides the point by the factor and rounds: right for levels made by taking every n-th plane, half a coarse
    plane too early for those made by averaging.
    """
    if is_projected and is_thick(data_slice):
        return on_whole_planes(data_slice, display.pyramid, level)
    if display.pyramid.coarse_offset == "strided" or level == 0:
        return data_slice
    pyramid = display.pyramid
    along = zip(data_slice.point, pyramid.factors[level], pyramid.shapes[0], pyramid.shapes[level], strict=True)
    point = [
        factor * min(np.floor((np.clip(np.round(at), 0, size - 1) + 0.5) / factor), count - 1)  # else it may be beside
        if -0.5 <= at <= size - 0.5
        else at
        for at, factor, size, count in along
    ]
    return dataclasses.replace(data_slice, point=tuple(point))


def _as_few_voxels(response: Any) -> Any:
    """A volume in which nothing is known yet, drawn as a few large voxels.

    A graphics card needn't walk through it then, and where there is none that takes half a second, for which the window
    would stand still while the first values come.
    """
    raw = response.image.raw
    few = [_few_like(size) for size in raw.shape]
    voxels = raw[tuple(slice(count) for count in few)].copy()
    displayed = list(response.slice_input.displayed)
    tile_to_data = copy.deepcopy(response.tile_to_data)
    scale, translate = np.array(tile_to_data.scale), np.array(tile_to_data.translate)
    larger = np.divide(raw.shape, few)
    translate[displayed] += scale[displayed] * (larger - 1) / 2
    scale[displayed] *= larger
    tile_to_data.scale, tile_to_data.translate = scale, translate
    return dataclasses.replace(response, image=type(response.image).from_view(voxels), tile_to_data=tile_to_data)


def _few_like(size: int) -> int:
    """One, two or three: a power of two where the size is one.

    OpenGL in software compiles a shader anew for textures of the other kind: 0.1 s of the window's time, which are over
    before the first values come if these voxels are of the volume's kind.
    """
    return min(size, 2 if size.bit_count() == 1 else 3)
