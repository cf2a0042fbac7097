"""The layers of a viewer as what `napari_cryoet.check_picks` takes: picks, and the volume that they lie in."""

from __future__ import annotations

import numpy as np
from napari.layers import Image, Layer, Points
from numpy.typing import NDArray

from napari_cryoet._qt.layers.alignment import lengths_angstrom, steps_and_start
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet.exceptions import FormatError
from napari_cryoet.picks import Picks
from napari_cryoet.volumes import Volume, checked_spacing


def are_picks(layer: Layer) -> bool:
    """Whether a layer's points can be taken for picks."""
    return isinstance(layer, Points) and layer.ndim == 3


def is_volume(layer: Layer) -> bool:
    """Whether picks can lie in what a layer shows."""
    return isinstance(layer, Image) and layer.ndim == 3 and not layer.rgb


def volume_of(layer: Image) -> Volume:
    """The volume that an Image layer shows; reads nothing.

    Raises
    ------
    FormatError
        If it is rotated or sheared, so that its voxels don't lie along the axes.
    """
    steps, _ = _placing(layer)
    levels = list(layer.data) if layer.multiscale else [layer.data]
    lengths = lengths_angstrom(layer.units)
    return Volume(
        levels=levels,
        spacing_angstrom=None if lengths is None else checked_spacing(np.abs(steps * lengths)),
    )


def picks_in(layer: Points, image: Image, spacing_angstrom: float | None = None) -> Picks:
    """The picks of a Points layer, counted from the first voxel of an image.

    Where the layer's unit is a length they are where the viewer draws them, along the image's axes also where these are
    flipped. Where it is pixels, its numbers are what they are: the viewer may draw them elsewhere, but knows no better.

    Parameters
    ----------
    spacing_angstrom
        How wide the image's voxels are, where its unit is pixels and somebody said it.

    Raises
    ------
    FormatError
        If it is rotated or sheared, or its points can't be picks, such as positions that aren't numbers.
    """
    _placing(layer)
    try:
        return _picks_in(layer, image, spacing_angstrom)
    except ValueError as error:
        raise FormatError(f"“{layer.name}” can't be taken for picks: {error}.") from error


def _picks_in(layer: Points, image: Image, spacing_angstrom: float | None) -> Picks:
    picks = picks_of(layer)
    own, theirs = lengths_angstrom(layer.units), lengths_angstrom(image.units)
    if theirs is None and spacing_angstrom is not None:
        theirs = spacing_angstrom / np.abs(_placing(image)[0])
    if own is None or theirs is None:
        return picks
    (steps, start), (image_steps, image_start) = _placing(layer), _placing(image)
    is_in_its_grid = not np.any(start) and not np.any(image_start) and (image_steps > 0).all()
    if is_in_its_grid and picks.spacing_angstrom is not None and (steps * own == picks.spacing_angstrom).all():
        return picks  # to the last digit, as a script has them
    from_start = picks.points_zyx * (steps * own) + start * own - image_start * theirs
    spacing = picks.spacing_angstrom or float(np.mean(np.abs(steps * own)))
    return picks.changed(
        points_zyx=from_start * np.sign(image_steps) / spacing,
        spacing_angstrom=spacing,
        rotations_zyx=_flipped(picks.rotations_zyx, np.sign(steps * image_steps)),
    )


def _flipped(rotations_zyx: NDArray[np.float64] | None, signs: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Rotations where axes are flipped; none where that mirrors them, since a mirrored rotation is none."""
    if rotations_zyx is None or (signs > 0).all():
        return rotations_zyx
    return signs[:, None] * rotations_zyx if signs.prod() > 0 else None


def _placing(layer: Layer) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far its voxels are apart, and where the first lies; see `steps_and_start`."""
    placing = steps_and_start(layer)
    if placing is None:
        raise FormatError(
            f"“{layer.name}” is rotated or sheared in the viewer, so its axes aren't those of a volume.",
            hint="Reset its transform, or choose another layer.",
        )
    return placing
