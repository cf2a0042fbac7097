"""Where layers' voxels and points are drawn: voxel spacing, steps and positions in the world."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer
from numpy.typing import ArrayLike, NDArray

from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet.exceptions import CryoETError

ANGSTROM_PER_NM: Final = 10.0
#: The attributes of a layer that place its data in the world.
PLACING: Final = ("scale", "translate", "rotate", "shear", "affine", "units")


class PlacementError(CryoETError):
    """A layer isn't drawn along the axes of the viewer, or not as an operation needs it."""

    def __init__(self, layer: Layer, how: str = "rotated or sheared") -> None:
        super().__init__(
            f"The layer “{layer.name}” is {how} in the viewer.",
            hint="Reset its transform, or choose another layer.",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The grid of a layer's data as it is drawn, in the order of the layer's axes.

    Attributes
    ----------
    steps
        The distance between neighbouring voxels; negative along flipped axes.
    start
        The position of the first voxel.
    own_steps
        The steps by the layer's scale alone, before it was dragged.
    is_in_angstrom
        Whether these are in ångström; otherwise they are in the layer's own units.
    """

    steps: NDArray[np.float64]
    start: NDArray[np.float64]
    own_steps: NDArray[np.float64]
    is_in_angstrom: bool

    @property
    def is_flipped(self) -> bool:
        return bool((self.steps < 0).any())

    @property
    def is_own_grid(self) -> bool:
        """Whether the layer is drawn by its scale alone, from the origin."""
        return bool(np.allclose(self.steps, np.abs(self.own_steps)) and np.allclose(self.start, 0))

    @property
    def spacing_angstrom(self) -> float | None:
        """The voxel spacing as drawn, positive even if flipped; None if unknown or anisotropic."""
        return _isotropic(self.steps) if self.is_in_angstrom else None

    def to_world(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """The positions of voxel coordinates (n, n axes)."""
        return points * self.steps + self.start

    def to_grid(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """The voxel coordinates of positions (n, n axes)."""
        return (positions - self.start) / self.steps


def placement_of(layer: Layer, *, may_flip: bool = False) -> Placement:
    """Where a layer's data are drawn.

    Raises
    ------
    PlacementError
        If the layer is rotated or sheared; also if it is flipped, unless ``may_flip``.
    """
    affine = np.asarray(layer.affine.affine_matrix, dtype=np.float64)  # dragging changes it
    stretch = np.diag(affine)[:-1]
    is_along_axes = (
        np.allclose(affine[:-1, :-1], np.diag(stretch))
        and (stretch != 0).all()
        and np.allclose(layer.rotate, np.eye(layer.ndim))
        and np.allclose(layer.shear, 0)
    )
    if not is_along_axes:
        raise PlacementError(layer)
    lengths = lengths_angstrom(layer.units)
    units = np.ones(layer.ndim) if lengths is None else lengths
    own_steps = np.asarray(layer.scale * units, dtype=np.float64)
    start = (stretch * layer.translate + affine[:-1, -1]) * units
    placement = Placement(stretch * own_steps, start, own_steps, lengths is not None)
    if placement.is_flipped and not may_flip:
        raise PlacementError(layer, "flipped")
    return placement


def placing_of(layer: Layer) -> dict[str, Any]:
    """The options that place a new layer like this one."""
    placing = {name: getattr(layer, name) for name in (*PLACING, "axis_labels")}
    return placing | {"affine": np.array(layer.affine.affine_matrix)}


def world_position(viewer: ViewerModel, layer: Layer, point: ArrayLike) -> NDArray[np.float64]:
    """A point of a layer in the viewer's world, whose units may differ from the layer's."""
    position = np.asarray(layer.data_to_world(point), dtype=np.float64)
    units = viewer.layers.units or layer.units  # None if the layers' units are incompatible
    own_lengths = lengths_angstrom(layer.units)
    lengths = lengths_angstrom(units[-len(position) :])
    if own_lengths is None or lengths is None:
        return position
    return position * own_lengths / lengths


# voxel spacing


def spacing_angstrom_of(layer: Layer) -> float | None:
    """A layer's voxel spacing by its scale, positive even if flipped.

    None if its units aren't lengths or it is anisotropic.
    """
    widths = widths_angstrom(layer)
    return None if widths is None else _isotropic(widths)


def widths_angstrom(layer: Layer) -> NDArray[np.float64] | None:
    """A layer's scale along each axis in ångström; None if a unit isn't a length."""
    lengths = lengths_angstrom(layer.units)
    return None if lengths is None else np.multiply(layer.scale, lengths, dtype=np.float64)


def lengths_angstrom(units: Iterable[Any]) -> NDArray[np.float64] | None:
    """The length of each unit in ångström; None if one isn't a length."""
    if not all(unit.is_compatible_with("angstrom") for unit in units):
        return None
    return np.array([(1 * unit).to("angstrom").magnitude for unit in units], dtype=np.float64)


def _isotropic(widths: NDArray[np.float64]) -> float | None:
    """The width of voxels if it is the same along all axes."""
    rounded = {round(abs(float(width)), 9) for width in widths}
    return rounded.pop() if len(rounded) == 1 else None


class ShownVolume(NamedTuple):
    """A volume layer's name, voxel spacing and size, and its file and run, if it has them."""

    name: str
    spacing_angstrom: float
    shape_zyx: tuple[int, int, int]
    path: str = ""
    run_name: str = ""


def shown_volumes(layers: Iterable[Layer]) -> list[ShownVolume]:
    """The three-dimensional images and masks with a known, isotropic voxel spacing."""
    volumes = []
    for layer in layers:
        is_volume = isinstance(layer, Image | Labels) and layer.ndim == 3
        spacing = spacing_angstrom_of(layer) if is_volume else None
        if spacing is not None and not getattr(layer, "rgb", False):
            z, y, x = (int(size) for size in layer.level_shapes[0])
            path = layer.source.path or ""
            run_name = about_of(layer).run_name
            volumes.append(ShownVolume(layer.name, spacing, (z, y, x), path, run_name))
    return volumes
