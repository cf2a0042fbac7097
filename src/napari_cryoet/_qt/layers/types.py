"""Our layer types: volumes with exact downsampling factors, and layers that step by the tomogram's planes.

napari computes downsampling factors as ratios of shapes, so coarse levels of odd sizes would be off
by up to three finest voxels. Its sliders step by the smallest voxel of all layers: with picks at
4.99 Å over a tomogram at 13.48 Å, every plane would appear two or three times. The classes keep
napari's names, which napari uses to find icons and writers.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

import numpy as np
from napari.components.layerlist import LayerList
from napari.layers import Image as NapariImage
from napari.layers import Labels as NapariLabels
from napari.layers import Layer
from napari.layers import Points as NapariPoints
from napari.layers import Surface as NapariSurface
from napari.layers import Vectors as NapariVectors
from napari.layers.base.base import Extent
from numpy.typing import NDArray

from napari_cryoet._qt.seam import LateThumbnail, OwnCorners, SparseThumbnail, shown_values
from napari_cryoet.exceptions import SaveError
from napari_cryoet.layers.specs import METADATA_KEY, OPENING_CONTRAST, robust_limits
from napari_cryoet.streaming import pyramid_of


class StepsWithTomograms:
    """A mixin for a layer that steps by the planes of a tomogram in the same viewer."""

    _beside: weakref.ReferenceType[LayerList] | None = None

    def lie_beside(self, layers: LayerList) -> None:
        """Set the layer list that contains the layer."""
        self._beside = weakref.ref(layers)

    @property
    def extent(self) -> Extent:
        """The layer's extent in data and world coordinates, and its step."""
        own: Extent = super().extent  # type: ignore[misc] # napari keeps it until the layer changes
        layers = self._beside() if self._beside is not None else None
        step = None if layers is None else step_of_tomograms(layers, own)
        return own if step is None else own._replace(step=step)

    @extent.deleter
    def extent(self) -> None:
        self.__dict__.pop("extent", None)  # napari's cached value


def step_of_tomograms(layers: Iterable[Layer], like: Extent) -> NDArray[np.float64] | None:
    """The smallest voxel of our visible tomograms in the given units, or of hidden ones.

    None without tomograms.
    """
    units = [str(unit) for unit in like.units]
    tomograms = [
        layer
        for layer in layers
        if isinstance(layer, NapariImage) and METADATA_KEY in layer.metadata
    ]
    extents = [
        layer.extent for layer in [layer for layer in tomograms if layer.visible] or tomograms
    ]
    steps = [extent.step for extent in extents if [str(unit) for unit in extent.units] == units]
    return np.min(steps, axis=0) if steps else None


class _OfPyramid(LateThumbnail):
    """A mixin for a layer whose data may be the levels of a pyramid."""

    data: Any

    @property
    def downsample_factors(self) -> NDArray[Any]:
        pyramid = pyramid_of(self.data)
        ratios: NDArray[Any] = super().downsample_factors  # type: ignore[misc]
        return ratios if pyramid is None else np.array(pyramid.factors)

    @cached_property
    def extent(self) -> Extent:
        """The layer's extent, rounded up: napari truncates the number of steps and may lose the last plane."""
        whole: Extent = super().extent  # type: ignore[misc]
        return whole._replace(world=_at_whole_steps(whole.world, whole.step))

    def as_layer_data_tuple(self) -> tuple[Any, Any, str]:
        data, state, kind = super().as_layer_data_tuple()  # type: ignore[misc]
        if state.get("multiscale") and not isinstance(data, _NotOneArray):
            data = type("Levels", (_NotOneArray, type(data)), {})(list(data))
        return data, state, kind


class _NotOneArray:
    """A mixin for a layer's levels that refuses conversion to one array, which would be the coarsest level."""

    @property
    def nbytes(self) -> int:
        """Raises, because TIFF writers read it first and would truncate an existing file before they read values."""
        raise _not_one_array()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise _not_one_array()


def _not_one_array() -> SaveError:
    return SaveError(
        "This layer has several resolutions, and this kind of file holds one.",
        hint="Save masks as the type “CryoET Explorer Masks”, with a name that ends in .zarr or .mrc. Of images, "
        "choose one as “resolution” in napari's layer controls, then “New layer from selected multiscale level” in the "
        "menu that a right click on the layer opens; that layer can be saved.",
    )


def _at_whole_steps(world: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """A range whose end is increased by the least possible float where it falls just short of whole steps."""
    start, stop = world[0], world[1].copy()
    whole = np.round((stop - start) / step)
    is_near = np.isclose((stop - start) / step, whole, rtol=1e-9, atol=0)
    while (is_short := is_near & ((stop - start) / step < whole)).any():
        stop[is_short] = np.nextafter(stop[is_short], np.inf)
    return np.stack([start, stop])


class Image(_OfPyramid, NapariImage):  # type: ignore[misc] # napari is not typed
    """napari's Image layer with exact downsampling factors and contrast without outliers."""

    def reset_contrast_limits(self, mode: str | None = None) -> None:  # noqa: ARG002 - napari's
        """Set the contrast from the shown plane, as when the layer was opened.

        napari's auto-contrast buttons call this.
        """
        limits = robust_limits(shown_values(self))
        if limits is not None:
            self.contrast_limits = limits

    def restore_contrast(self) -> None:
        """Set the contrast that the layer was opened with."""
        self.contrast_limits = self.metadata.get(OPENING_CONTRAST, self.contrast_limits)
        self.gamma = 1.0


class Labels(StepsWithTomograms, _OfPyramid, NapariLabels):  # type: ignore[misc]
    """napari's Labels layer with exact downsampling factors and the tomogram's steps.

    Read-only if it streams.
    """

    @property
    def editable(self) -> bool:
        return bool(NapariLabels.editable.fget(self)) and pyramid_of(self.data) is None

    @editable.setter
    def editable(self, editable: bool) -> None:
        NapariLabels.editable.fset(self, editable and pyramid_of(self.data) is None)


class Surface(StepsWithTomograms, NapariSurface):  # type: ignore[misc]
    """napari's Surface layer with the tomogram's steps."""


class Points(StepsWithTomograms, OwnCorners, NapariPoints):  # type: ignore[misc]
    """napari's Points layer with the tomogram's steps; faster to step through with many points."""

    def corners(self) -> NDArray[np.float64]:
        return corners_of(np.asarray(self.data))

    def as_layer_data_tuple(self) -> tuple[Any, Any, str]:
        """Like napari's, with feature defaults as a dict: in a table, napari rejects missing integers."""
        data, state, kind = super().as_layer_data_tuple()
        defaults = state["feature_defaults"].to_dict("records")
        state["feature_defaults"] = defaults[0] if defaults else {}
        return data, state, kind


class Vectors(StepsWithTomograms, SparseThumbnail, OwnCorners, NapariVectors):  # type: ignore[misc]
    """napari's Vectors layer with the tomogram's steps, and the extent of the arrows' starts without their tips."""

    def corners(self) -> NDArray[np.float64]:
        return corners_of(np.asarray(self.data)[:, 0])


#: Our type for each of napari's; see `become`.
OWN_TYPES: Final[dict[type[Layer], type[Layer]]] = {
    NapariImage: Image,
    NapariLabels: Labels,
    NapariPoints: Points,
    NapariSurface: Surface,
    NapariVectors: Vectors,
}


def become(layer: Layer, own_type: type[Layer]) -> None:
    """Change the type of a layer that napari created to ours, which adds no state."""
    layer.__class__ = own_type
    vars(layer).pop("extent", None)


def corners_of(points: NDArray[Any]) -> NDArray[np.float64]:
    """The smallest and largest coordinates (2, n axes) of points (n, n axes); NaN without points.

    They are computed by column, which is twenty times faster than along rows of three numbers.
    """
    if not len(points):
        return np.full((2, points.shape[1]), np.nan)
    return np.array(
        [[column.min() for column in points.T], [column.max() for column in points.T]],
        dtype=np.float64,
    )
