"""Which layers of a viewer can be compared, and what they are for that: picks or masks."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer, Points

from napari_cryoet._qt.layers.alignment import spacing_angstrom_of, widths_angstrom
from napari_cryoet._qt.picks.layer_geometry import stretch_of
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.comparison.masks import Mask
from napari_cryoet.comparison.report import SHOWN_NAME
from napari_cryoet.exceptions import ComparisonError
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.picks import Picks

#: Of widths along several axes, which headers keep as rounded lengths of the whole volume.
_SAME_WIDTH: Final = 1e-3


def comparable_layers(viewer: ViewerModel) -> list[Layer]:
    """The layers of three-dimensional points and labels, as the list of layers has them: from the top down."""
    return [layer for layer in reversed(viewer.layers) if isinstance(layer, Points | Labels) and layer.ndim == 3]


def likely_pair(layers: list[Layer]) -> tuple[Layer, Layer]:
    """Of two or more layers, what somebody may want to judge, and by what: a ground truth, of the same object.

    Points are judged by a mask where there is nothing of one kind.
    """
    truths = [layer for layer in layers if about_of(layer).get("is_ground_truth")] or list(reversed(layers))
    pairs = [(layer, truth) for truth in truths for layer in layers if layer is not truth]
    # of equal ones the first: the topmost truth, else the lowest layer
    judged, reference = min(pairs, key=_unlikeliness)
    is_awkward = isinstance(judged, Labels) and isinstance(reference, Points)
    return (reference, judged) if is_awkward else (judged, reference)


def _unlikeliness(pair: tuple[Layer, Layer]) -> tuple[bool, bool, bool]:
    """How little two layers have in common: the run counts first, if both are of one; then the kind, and the object."""
    one, other = pair
    about, about_other = about_of(one), about_of(other)
    runs = {about.get("run_id"), about_other.get("run_id")} - {None}
    are_apart = len(runs) > 1
    return are_apart, not are_alike(one, other), about.get("object_id") != about_other.get("object_id")


def are_alike(one: Layer | None, other: Layer | None) -> bool:
    """Whether both are points, or both labels; layers that stream are of classes of their own."""
    return any(isinstance(one, kind) and isinstance(other, kind) for kind in (Points, Labels))


def side_of(layer: Layer, spacing_angstrom: float | None = None) -> Picks | Mask:
    """A layer as it is now; nothing of a mask is read.

    Parameters
    ----------
    spacing_angstrom
        The width of its voxels, where its scale has no unit of length.

    Raises
    ------
    ComparisonError
        If the layer was moved, turned or stretched, so that its positions aren't those of its grid, or can't be picks
        or a mask.
    """
    if _is_moved(layer):
        raise ComparisonError(
            f"The layer {layer.name!r} is moved or turned against its own grid.",
            hint="Reset its transform, or export its picks where they are shown and compare the file.",
        )
    try:
        return _side_of(layer, spacing_angstrom)
    except ValueError as error:  # such as positions that aren't numbers
        raise ComparisonError(f"The layer {layer.name!r} can't be compared: {error}.") from error


def _side_of(layer: Layer, spacing_angstrom: float | None) -> Picks | Mask:
    about = about_of(layer) | {SHOWN_NAME: layer.name}
    if isinstance(layer, Points):
        picks = picks_of(layer)
        if not np.allclose(stretch_of(layer, picks), 1, rtol=1e-6):
            raise ValueError("its scale isn't the voxel spacing of its picks")
        picks = _in_cubes(layer, picks)
        spacing = picks.spacing_angstrom if picks.spacing_angstrom is not None else spacing_angstrom
        return picks.changed(spacing_angstrom=spacing, about=dict(picks.about) | about)
    data = layer.data[0] if layer.multiscale else layer.data
    spacing = _spacing_of_mask(layer)
    return Mask(
        data,
        spacing if spacing is not None else spacing_angstrom,
        alignment_id=about.get("alignment_id"),
        about=about,
    )


def _in_cubes(layer: Points, picks: Picks) -> Picks:
    """Picks whose layer says how wide its voxels are, but not as wide along all axes, counted in voxels that are."""
    if picks.spacing_angstrom is not None:
        return picks
    widths = widths_angstrom(layer)
    if widths is None:
        _refuse_uneven(layer)
        return picks
    return picks.changed(points_zyx=picks.points_zyx * (widths / widths[-1]), spacing_angstrom=widths[-1])


def _spacing_of_mask(layer: Labels) -> float | None:
    _refuse_uneven(layer)
    spacing, widths = spacing_angstrom_of(layer), widths_angstrom(layer)
    return spacing if spacing is not None or widths is None else float(widths.mean())


def _refuse_uneven(layer: Layer) -> None:
    lengths = widths_angstrom(layer)
    widths = np.asarray(layer.scale) if lengths is None else lengths
    if not np.allclose(widths, widths[0], rtol=_SAME_WIDTH):
        told = ", ".join(f"{width:g}" for width in widths)
        raise ValueError(f"its voxels aren't as wide along all axes ({told} along z, y, x)")


def suggested_radius_angstrom(layer: Layer) -> float:
    """Half of the diameter of the object that a layer shows."""
    about = about_of(layer)
    return diameter_angstrom(about.get("object_id"), about.get("object_name")) / 2


def about_of(layer: Layer) -> dict[str, Any]:
    """What a layer's metadata say of where it comes from."""
    about = layer.metadata.get(METADATA_KEY)
    return dict(about) if isinstance(about, dict) else {}


def _is_moved(layer: Layer) -> bool:
    return not (
        np.allclose(layer.translate, 0)
        and np.allclose(layer.rotate, np.eye(3))
        and np.allclose(layer.shear, 0)
        and np.allclose(layer.affine.affine_matrix, np.eye(4))
        and (np.asarray(layer.scale) > 0).all()
    )


def lacks_spacing(layer: Layer | None) -> bool:
    """Whether a layer's scale doesn't say how wide a voxel is in ångström."""
    if layer is None:
        return False
    widths = widths_angstrom(layer)
    return widths is None or not np.isfinite(widths).all()
