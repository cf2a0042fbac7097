"""Where the picks of a Points layer are: in the world, and in the voxels of an Image layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from napari.layers import Image, Layer, Points
from numpy.typing import NDArray

from napari_cryoet._qt.layers.alignment import (
    dragged_by,
    length_angstrom,
    lengths_angstrom,
    steps_and_start,
    widths_angstrom,
)
from napari_cryoet._qt.layers.ownership import about_of
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.picks import Picks
from napari_cryoet.review.crops import CropReader, open_for_review

_CROP_DIAMETERS: Final = 1.6  # how wide a crop is at first
_USUAL_ANGSTROM: Final = 250.0


def placed_picks_of(layer: Points) -> Picks:
    """The picks of a layer where the viewer shows them, counted from the origin of the world.

    Voxels of other people's layers may not be cubes: then picks are counted in cubes. ValueError if the layer isn't
    three-dimensional, is rotated or sheared, or is flipped and its picks have rotations.
    """
    picks = picks_of(layer)
    dragged = dragged_by(layer)
    if dragged is None or (dragged[0] < 0).any():
        raise ValueError(f"the layer {layer.name!r} is rotated or sheared in the viewer")
    widths, offset = dragged
    sizes = widths_angstrom(layer) if picks.spacing_angstrom is None else None
    if sizes is not None and not np.allclose(sizes, sizes[0]):
        picks = picks.changed(spacing_angstrom=abs(sizes[-1]))
    own_stretch = stretch_of(layer, picks)
    stretch = widths * own_stretch
    if picks.rotations_zyx is not None and (stretch < 0).any():
        raise ValueError(f"the layer {layer.name!r} is flipped in the viewer, and its picks have rotations")
    offset_voxels = (widths * layer.translate + offset) * own_stretch / layer.scale
    done = []
    if np.allclose(stretch, 1, rtol=1e-6):
        stretch = np.ones(3)
    else:
        done.append(f"stretched with their layer by {_by(stretch)} (z, y, x)")
    if offset_voxels.any():
        done.append(f"moved with their layer by {_by(offset_voxels)} voxels (z, y, x)")
    if not done:
        return picks
    return picks.changed(", ".join(done), points_zyx=picks.points_zyx * stretch + offset_voxels)


def stretch_of(layer: Points, picks: Picks) -> NDArray[np.float64]:
    """How much wider than their voxels the viewer shows the picks of a layer, by the layer's scale."""
    units = lengths_angstrom(layer.units)
    if picks.spacing_angstrom is None or units is None:
        return np.ones(3)
    return np.asarray(np.multiply(layer.scale, units) / picks.spacing_angstrom, dtype=np.float64)


def _by(numbers: NDArray[np.float64]) -> str:
    return ", ".join(f"{each:g}" for each in numbers)


def are_picks(layer: Layer) -> bool:
    """Whether a layer's points can be taken for picks."""
    return isinstance(layer, Points) and layer.ndim == 3


def is_volume(layer: Layer) -> bool:
    """Whether picks can lie in what a layer shows."""
    return isinstance(layer, Image) and layer.ndim == 3 and not layer.rgb


def reader_for(points: Points, image: Image, picks: Picks) -> CropReader:
    """Cuts crops from an image around picks, which may be counted in other voxels than the image."""
    (own_step, own_start), (step, start) = _step_and_start(points), _step_and_start(image)
    places = (picks.points_zyx * own_step + own_start - start) / step
    rotations = picks.rotations_zyx
    if rotations is not None and (own_step < 0).any():
        rotations = np.sign(own_step)[:, None] * rotations  # the particles' axes are flipped with their layer
    return CropReader(open_for_review(image.data, step), places, rotations, are_oriented=picks.are_oriented)


def volume_for(layers: Sequence[Layer], layer: Points | None) -> Image | None:
    """The visible volume that lies nearest below a layer, or else any; of its run, if there is one."""
    run_id = None if layer is None else about_of(layer).get("run_id")
    volumes = [other for other in layers if is_volume(other)]
    volumes = [other for other in volumes if run_id is not None and about_of(other).get("run_id") == run_id] or volumes
    below = [other for other in volumes if layer in layers and layers.index(other) < layers.index(layer)]
    visible = [other for other in below or volumes if other.visible]
    found: Image | None = next(reversed(visible or below or volumes), None)
    return found


def particle_angstrom(layer: Points) -> float:
    """How large its particles are: as its points are drawn, or a usual size where that says nothing."""
    size = float(np.median(layer.size)) if len(layer.size) else 0.0
    try:
        return size * float(np.mean(np.abs(_step_and_start(layer)[0]))) or _USUAL_ANGSTROM
    except CryoETError:
        return _USUAL_ANGSTROM  # what is wrong is said when crops are cut


def crop_side_nm(layer: Points) -> float:
    """How wide crops around its points are at first."""
    return round(particle_angstrom(layer) / 10 * _CROP_DIAMETERS) or 40.0


def _step_and_start(layer: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How a layer's voxels lie in the world, in ångström, or in voxels where it doesn't say how large they are."""
    placing = steps_and_start(layer)
    if placing is None:
        raise CryoETError(
            f"{layer.name} is rotated or sheared in the viewer, so crops can't be cut along its axes.",
            hint="Reset its transform, or choose another layer.",
        )
    units = [length_angstrom(unit) or 1.0 for unit in layer.units]
    step, start = placing
    return step * units, start * units


def lacks_unit(layer: Layer | None) -> bool:
    """Whether a layer's scale is in pixels, so the width of its voxels isn't known."""
    return layer is not None and lengths_angstrom(layer.units) is None
