"""Where the picks of a Points layer are in the voxels of an Image layer, and what one cuts crops from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from napari.layers import Image, Layer, Points
from numpy.typing import NDArray

from napari_cryoet._qt.check.layer_volume import are_picks, is_volume
from napari_cryoet._qt.layers.layer_spacing import length_angstrom, lengths_angstrom, steps_and_start
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.picks import Picks
from napari_cryoet.review.crops import CropReader, open_for_review

#: How wide a crop is at first, in diameters of the particle.
CROP_DIAMETERS: Final = 1.6
DEFAULT_SIDE_NM: Final = 40.0
_USUAL_ANGSTROM: Final = DEFAULT_SIDE_NM * 10 / CROP_DIAMETERS


@dataclass(frozen=True, slots=True)
class _Grid:
    """How a layer's voxels lie in the world, in ångström, or in voxels where it doesn't say how large they are."""

    step: NDArray[np.float64]
    start: NDArray[np.float64]


def reader_for(points: Points, image: Image, picks: Picks) -> CropReader:
    """Cuts crops from an image around picks, which may be counted in other voxels than the image.

    Raises
    ------
    CryoETError
        If one of the layers is rotated or sheared, has another number of axes, or is in colour.
    """
    if image.rgb:
        raise CryoETError(f"{image.name} is a picture in colour, not a volume.")
    own, theirs = _grid(points), _grid(image)
    volume = open_for_review(image.data, theirs.step)
    world = picks.points_zyx * own.step + own.start
    places = (world - theirs.start) / theirs.step
    rotations = picks.rotations_zyx
    if rotations is not None and (own.step < 0).any():
        rotations = np.sign(own.step)[:, None] * rotations  # the particles' axes are flipped with their layer
    return CropReader(volume, places, rotations, are_oriented=picks.are_oriented)


def offered(layers: Sequence[Layer]) -> tuple[list[Points], list[Image]]:
    """The layers that can be reviewed, and those that crops can be cut from, the uppermost first."""
    images: list[Image] = [layer for layer in reversed(layers) if is_volume(layer)]
    return [layer for layer in reversed(layers) if are_picks(layer)], images


def volume_for(layers: Sequence[Layer], layer: Points | None) -> Image | None:
    """The visible volume that lies nearest below a layer, or else any."""
    below = layers[: layers.index(layer)] if layer in layers else layers
    choices = [other for other in below if is_volume(other)] or [other for other in layers if is_volume(other)]
    visible = [other for other in choices if other.visible]
    found: Image | None = next(reversed(visible or choices), None)
    return found


def diameter_angstrom(layer: Points) -> float:
    """How large its points are drawn: the particle's diameter, in a layer of ours."""
    size = float(np.median(layer.size)) if len(layer.size) else 0.0
    return size * float(np.mean(np.abs(_grid(layer).step)))


def particle_angstrom(layer: Points) -> float:
    """How large its particles are taken to be: as they are drawn, or as many particles are where that says nothing."""
    try:
        return diameter_angstrom(layer) or _USUAL_ANGSTROM
    except CryoETError:
        return _USUAL_ANGSTROM  # what is wrong is said when crops are cut


def crop_side_nm(layer: Points) -> float:
    """How wide crops around its points are at first."""
    return round(particle_angstrom(layer) / 10 * CROP_DIAMETERS) or DEFAULT_SIDE_NM


def _grid(layer: Any) -> _Grid:
    placing = steps_and_start(layer)
    if placing is None:
        raise CryoETError(
            f"{layer.name} is rotated or sheared in the viewer, so crops can't be cut along its axes.",
            hint="Reset its transform, or choose another layer.",
        )
    units = [length_angstrom(unit) or 1.0 for unit in layer.units]
    step, start = placing
    return _Grid(step * units, start * units)


def lacks_unit(layer: Layer | None) -> bool:
    """Whether a layer's scale is in pixels, so that nobody knows how wide its voxels are."""
    return layer is not None and lengths_angstrom(layer.units) is None
