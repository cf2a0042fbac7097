"""Volumes whose padding doesn't lengthen the sliders: one steps through what was stored, and sees no empty plane.

The levels of a pyramid are padded so that each is exactly half of the one before. And napari cuts off what it divides
to count a slider's steps, which loses the last plane where a float falls short: 6 * 13.48 / 13.48 = 5.999999999999999.
The classes have napari's own names since napari finds icons and writers by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Image as NapariImage
from napari.layers import Labels as NapariLabels
from napari.layers import Layer
from napari.layers.base.base import Extent

from napari_cryoet._qt import napari_internals
from napari_cryoet._qt.drawing import DrawsOnWhatIsHere
from napari_cryoet._qt.steps import StepsWithTomograms
from napari_cryoet.streaming.exact_array import ExactArray
from napari_cryoet.streaming.own_levels import pyramid_below

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Unpadded(napari_internals.TrueRays, napari_internals.OwnCorners, napari_internals.PatientThumbnail):
    """Over a layer of levels: as large as the volume without its padding, and it may rest while it is scrubbed."""

    data: Any

    def __init__(self, data: Any, **options: Any) -> None:
        super().__init__(data, **options)  # type: ignore[call-arg]
        pyramid = pyramid_below(data)
        if pyramid is not None:
            napari_internals.say_shape(self, pyramid.shapes[0])

    def corners(self) -> NDArray[Any]:
        """The first and the last voxel that was stored."""
        corners, pyramid = super().corners(), pyramid_below(self.data)
        if pyramid is not None:
            corners[1] = np.minimum(corners[1], np.array(pyramid.shapes[0]) - 1)
        return corners

    @property
    def downsample_factors(self) -> NDArray[Any]:
        """How many finest voxels a voxel of each level spans; napari takes ratios of shapes, which may be rounded."""
        pyramid = pyramid_below(self.data)
        napari_ratios: NDArray[Any] = super().downsample_factors  # type: ignore[misc]
        return napari_ratios if pyramid is None else np.array(pyramid.factors)

    @cached_property
    def extent(self) -> Extent:
        """Where the layer is, in data and world coordinates; whole planes apart by napari's count too."""
        whole: Extent = super().extent  # type: ignore[misc]
        return whole._replace(world=_at_whole_steps(whole.world, whole.step))


def _at_whole_steps(world: NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """A range whose end is moved by as little as a float can be, where it is short of a whole number of steps."""
    start, stop = world[0], world[1].copy()
    whole = np.round((stop - start) / step)
    is_near = np.isclose((stop - start) / step, whole, rtol=1e-9, atol=0)
    while (is_short := is_near & ((stop - start) / step < whole)).any():
        stop[is_short] = np.nextafter(stop[is_short], np.inf)
    return np.stack([start, stop])


class Image(_Unpadded, NapariImage):  # type: ignore[misc] # napari is not typed
    """napari's Image layer, as large as what was stored."""


class Labels(StepsWithTomograms, DrawsOnWhatIsHere, _Unpadded, NapariLabels):  # type: ignore[misc]
    """napari's Labels layer, as large as what was stored, stepping with the tomogram that it lies on."""

    is_painting = False
    _draft: ExactArray | None = None

    @property
    def data(self) -> Any:
        """The labels, while something is painted without their padding: else it and what is filled would go there.

        While something is undone, a draft of them.
        """
        whole = NapariLabels.data.fget(self)
        if self._draft is not None:
            return self._draft
        return whole.without_padding() if self.is_painting and isinstance(whole, ExactArray) else whole

    @data.setter
    def data(self, data: Any) -> None:
        NapariLabels.data.fset(self, data)

    def paint(self, *args: Any, **options: Any) -> None:
        """Paint a dab; see napari's."""
        with self._painting():
            super().paint(*args, **options)

    def paint_polygon(self, *args: Any, **options: Any) -> None:
        """Paint a polygon; see napari's."""
        with self._painting():
            super().paint_polygon(*args, **options)

    def fill(self, *args: Any, **options: Any) -> None:
        """Fill from a voxel on; see napari's."""
        with self._painting():
            super().fill(*args, **options)

    def undo(self) -> None:
        """Undo the last step; see napari's."""
        self._replay(super().undo)

    def redo(self) -> None:
        """Do again what was undone last; see napari's."""
        self._replay(super().redo)

    def _replay(self, replay: Callable[[], None]) -> None:
        """Undo a stroke, or do it again, as one change of what streams: napari reads and writes it dab by dab."""
        whole = NapariLabels.data.fget(self)
        if not isinstance(whole, ExactArray):
            replay()
            return
        before = whole.name
        try:
            with napari_internals.refresh_blocked(self), whole.draft() as self._draft:
                replay()
        finally:
            self._draft = None
        if whole.name != before:
            self.refresh()

    @contextmanager
    def _painting(self) -> Iterator[None]:
        self.is_painting = True
        try:
            yield
        finally:
            self.is_painting = False


#: What napari's own layers of volumes become; see `become`.
OWN_TYPES: Final[dict[type[Layer], type[Layer]]] = {NapariImage: Image, NapariLabels: Labels}


def become(layer: Layer, own_type: type[Layer]) -> None:
    """Let a layer that napari made be of a type of ours, which holds nothing more, and be as large as what was stored.

    Whoever knows already how large it was is to be told.
    """
    layer.__class__ = own_type
    vars(layer).pop("extent", None)  # of before, with the padding
    pyramid = pyramid_below(layer.data) if isinstance(layer, _Unpadded) else None
    if pyramid is not None:
        napari_internals.say_shape(layer, pyramid.shapes[0])
