"""Adds layers of our data to a viewer, and sets up those that napari adds.

napari creates layers itself when it opens a file or duplicates a layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import Any, Final

import numpy as np
from napari.components import Dims, ViewerModel
from napari.layers import Image, Labels, Layer, Points, Vectors

from napari_cryoet._qt.layers.ownership import about_of, add_layer, key_of, real
from napari_cryoet._qt.layers.types import OWN_TYPES, StepsWithTomograms, become
from napari_cryoet._qt.seam import count_in_nanometers, delete_in_own_canvas
from napari_cryoet._qt.streaming.progressive import attach, make_layer
from napari_cryoet._qt.tasks import warm_up_layers
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY, LayerKind, LayerSpec
from napari_cryoet.locations import Location
from napari_cryoet.streaming import pyramid_of
from napari_cryoet.volumes import AXES, TIFF_SUFFIXES, open_volume

_PICKS: Final[tuple[LayerKind, ...]] = ("points", "vectors")
#: What layers of picks need besides; volumes don't.
_FOR_PICKS: Final = ("pandas", "napari_cryoet._qt.picks.edits")


def warm_up_for(kinds: Iterable[LayerKind]) -> None:
    """Import what layers of these kinds need; call it off the GUI thread, which would stall."""
    warm_up_layers()
    if not set(kinds).isdisjoint(_PICKS):
        for name in _FOR_PICKS:
            import_module(name)


def add_layers(viewer: ViewerModel, specs: Iterable[LayerSpec]) -> list[Layer]:
    """Add loaded data to a viewer; volumes stream, and picks show as discs in every plane that cuts their particle.

    Parameters
    ----------
    viewer
        A `napari.Viewer`.
    specs
        From `load_tomogram` and `load_annotation`. Images are added below masks, and masks below arrows and points.

    Returns
    -------
    list of napari.layers.Layer
        One for each spec, ordered as in the viewer from bottom to top.
    """
    if not isinstance(viewer, ViewerModel):
        raise TypeError(f"viewer must be a napari viewer, not {type(viewer).__name__}.")
    specs = list(specs)
    for spec in specs:
        if not isinstance(spec, LayerSpec):
            raise TypeError(
                f"specs must be of load_tomogram, load_annotation and the like, not {type(spec).__name__}."
            )
    adopt_layers_of(viewer)
    if not viewer.layers:
        viewer.canvas.overlays.scale_bar.visible = True
    added = [make_layer(spec, viewer=viewer)[0] for spec in specs]
    for layer in added:
        add_layer(viewer, layer)
    return sorted(added, key=viewer.layers.index)


# layers that napari creates


class _NotYet(int):
    """Equals False, but differs from a user's False, which keeps a layer hidden."""


NOT_YET: Final = _NotYet(0)


def adopt_layers_of(viewer: ViewerModel) -> None:
    """Set up every layer with our data that is inserted into a viewer; repeated calls have no effect.

    It works without a dock, for opened files and duplicated layers.
    """
    viewer = real(viewer)
    inserted = viewer.layers.events.inserted
    if not any(
        isinstance(slot, partial) and slot.func is _on_inserted for slot in inserted.callbacks
    ):
        inserted.connect(partial(_on_inserted, viewer))
        # TIFFs that were dropped before our first file can still move: nothing was drawn over them
        if all(layer.source.path for layer in viewer.layers):
            for layer in viewer.layers:
                _place_tiff(viewer, layer)
        count_in_nanometers(viewer)
        delete_in_own_canvas(viewer)


def _on_inserted(viewer: ViewerModel, event: Any) -> None:
    layer, layers = event.value, event.source
    if METADATA_KEY not in layer.metadata:
        _place_tiff(viewer, layer)
        if isinstance(layer, Points):
            from napari_cryoet._qt.picks.edits import make_new_picks

            make_new_picks(layer, layers)
    if METADATA_KEY not in layer.metadata:
        return
    before = layer.extent
    own_type = OWN_TYPES.get(type(layer))
    pyramid = pyramid_of(layer.data) if isinstance(layer, Image | Labels) else None
    if own_type is not None:
        become(layer, own_type)  # changes of the extent are announced below
    if isinstance(layer, StepsWithTomograms):
        layer.lie_beside(layers)
    if pyramid is not None:
        attach(layer, pyramid, viewer=viewer)
    if isinstance(layer, Points | Vectors):
        _set_up_picks(viewer, layer)
    if not np.array_equal(before.world, layer.extent.world) or not np.array_equal(
        before.step, layer.extent.step
    ):
        with plane_kept(viewer.dims):
            layer.translate = layer.translate  # makes napari update the extent
        if len(layers) == 1:
            _start_in_the_middle(viewer)
    if layer.visible is NOT_YET:
        layer.visible = True


def _set_up_picks(viewer: ViewerModel, layer: Points | Vectors) -> None:
    from napari_cryoet._qt.picks.edits import NEW_PICKS, keep_edits
    from napari_cryoet._qt.picks.orientations import adopt_arrows
    from napari_cryoet._qt.picks.slabs import show_as_discs

    show_as_discs(layer)
    if PICKS_KEY not in layer.metadata:
        return
    adopt_arrows(layer, viewer)
    if isinstance(layer, Points):
        is_opened = layer.source.path is not None and layer.source.parent is None
        is_new = about_of(layer).kind == NEW_PICKS
        if is_opened or is_new or key_of(layer) is not None:  # not copies and results of it
            keep_edits(layer)


def _place_tiff(viewer: ViewerModel, layer: Layer) -> None:
    """Give an image that napari just opened the voxel spacing that its TIFF file states."""
    source = layer.source
    is_new = source.path is not None and source.parent is None and np.allclose(layer.scale, 1)
    if not is_new or Location.of(source.path).suffix not in TIFF_SUFFIXES:
        return
    with suppress(CryoETError):  # it isn't a volume
        volume = open_volume(source.path)
        if volume.spacing_angstrom is not None and volume.shape_zyx == layer.data.shape:
            with plane_kept(viewer.dims):
                layer.scale = volume.spacing_angstrom
                layer.units = ("angstrom",) * len(AXES)
            if len(viewer.layers) == 1:
                _start_in_the_middle(viewer)


@contextmanager
def plane_kept(dims: Dims) -> Iterator[None]:
    """Stay at the plane while the steps change: with fewer steps, napari's sliders jump to the end."""
    point = dims.point
    yield
    axes = zip(point, dims.range, strict=True)
    dims.current_step = tuple(round((at - axis.start) / axis.step) for at, axis in axes)


def _start_in_the_middle(viewer: ViewerModel) -> None:
    """Reset the view and the sliders, as napari does for a viewer's first layer."""
    viewer.reset_view()
    for axis, steps in enumerate(viewer.dims.nsteps):
        viewer.dims.set_current_step(axis, (steps - 1) // 2)
