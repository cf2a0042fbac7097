"""How thick a slab the 2D view shows: of picks, and independently of density.

Density is averaged over the slab by napari's own slice thickness, which belongs to the viewer: whatever image in it has
a projection mode shows its mean over the slab, whoever added it. Picks have a slab of their own, in the layers that
show picks of ours; see `discs`.
"""

from __future__ import annotations

import weakref
from typing import Any, Final

from napari.components import ViewerModel
from napari.layers import Image, Layer, Points, Vectors
from qtpy.QtCore import QObject, Signal

from napari_cryoet._qt.layers.layer_spacing import ANGSTROM_PER_NM, widths_shown_angstrom
from napari_cryoet._qt.layers.ownership import real
from napari_cryoet._qt.picks.discs import show_slab
from napari_cryoet.layers.specs import METADATA_KEY, PICKS_KEY
from napari_cryoet.wording import names_text, plain

#: A mean over more planes than this takes longer at each step of a slider than one can step through it smoothly.
MOST_PLANES: Final = 32
MOST_PICKS_NM: Final = 1000.0

_slabs: weakref.WeakKeyDictionary[ViewerModel, Slabs] = weakref.WeakKeyDictionary()


def slabs_of(viewer: ViewerModel) -> Slabs:
    """The slabs of a viewer; 0 nm thick, which is one plane, until somebody says otherwise."""
    viewer = real(viewer)
    slabs = _slabs.get(viewer)
    if slabs is None:
        slabs = _slabs[viewer] = Slabs(viewer)
    return slabs


class Slabs(QObject):
    """The thickness of both slabs of a viewer; made by `slabs_of`. Layers that come later show them too."""

    changed = Signal()  # one is another now, or what is possible: ask `picks_nm`, `density_nm`, `most_density_nm`

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = weakref.ref(viewer)
        self._picks_nm = 0.0
        self._followed: weakref.WeakSet[Layer] = weakref.WeakSet()
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.dims.events.margin_left.connect(self._on_margins)

    @property
    def picks_nm(self) -> float:
        """How thick the slab of picks is; at 0 those show that the plane cuts."""
        return self._picks_nm

    @property
    def density_nm(self) -> float:
        """How thick the slab of density is, whoever set it; at 0 it is one plane."""
        viewer = self._viewer()
        if viewer is None or not viewer.dims.thickness:
            return 0.0
        return round(float(max(viewer.dims.thickness[-3:])) * (_nm_per_unit(viewer) or 1.0), 6)

    @property
    def most_density_nm(self) -> float:
        """How thick the slab of density can be: `MOST_PLANES` of the finest tomogram; 0 without one."""
        found = (widths_shown_angstrom(layer) for layer in self._tomograms())
        finest = min((float(widths[-3:].min()) for widths in found if widths is not None), default=0.0)
        return round(MOST_PLANES * finest / ANGSTROM_PER_NM, 9)

    @property
    def remark(self) -> str:
        """Why the slab of density has a limit, or can't be set; empty where there is nothing to say."""
        if not self._tomograms():
            return "Open a tomogram to average it over a slab."
        if not self.most_density_nm:
            return "The tomogram's voxel size isn't known, so a slab can't be counted in nm."
        return (
            f"At most {self.most_density_nm:.3g} nm ({MOST_PLANES} planes): "
            "the mean over more would hold up each step through the volume."
        )

    @property
    def remark_on_picks(self) -> str:
        """In which layers the slab of picks doesn't show, and why; empty where it shows in all, or is one plane."""
        layers = [layer for layer in self._layers() if isinstance(layer, Points) and PICKS_KEY in layer.metadata]
        names = [f"“{plain(layer.name)}”" for layer in layers if widths_shown_angstrom(layer) is None]
        if not names or not self._picks_nm:
            return ""
        where = names_text(names)
        return (
            f"No slab of picks shows in {where}: it isn't known how wide voxels are. Set the layer's scale and units."
        )

    def show_picks(self, thickness_nm: float) -> None:
        """Let the 2D view show the picks of a slab around the plane, as if they lay in it.

        Raises
        ------
        ValueError
            If it is negative or thicker than 1000 nm.
        """
        if not 0 <= thickness_nm <= MOST_PICKS_NM:
            raise ValueError(f"a slab of picks can be 0 to {MOST_PICKS_NM:g} nm thick, not {thickness_nm}")
        self._picks_nm = float(thickness_nm)
        for layer in self._layers():
            self._show_picks_in(layer)
        self.changed.emit()

    def show_density(self, thickness_nm: float) -> None:
        """Let the 2D view show the mean of a slab around the plane.

        Raises
        ------
        ValueError
            If it is negative, or thicker than `most_density_nm`, with the reason.
        """
        if thickness_nm and not 0 <= thickness_nm <= self.most_density_nm * (1 + 1e-9):
            raise ValueError(f"a slab of density can't be {thickness_nm:g} nm thick. {self.remark}")
        viewer = self._viewer()
        if viewer is None:
            return
        for layer in self._tomograms() if thickness_nm else ():
            layer.projection_mode = "mean"
        world = thickness_nm / (_nm_per_unit(viewer) or 1.0)
        others = viewer.dims.thickness[:-3]
        viewer.dims.thickness = (*others, *([world] * (viewer.dims.ndim - len(others))))

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        self._show_picks_in(layer)
        if layer in self._tomograms() and self.density_nm > self.most_density_nm > 0:
            self.show_density(self.most_density_nm)
        self.changed.emit()

    def _on_removed(self, _event: Any = None) -> None:
        self.changed.emit()

    def _on_margins(self, _event: Any = None) -> None:
        self.changed.emit()

    def _on_scaled(self, event: Any) -> None:
        """A slab is kept in a layer's own units, which are others now."""
        self._show_picks_in(event.source)
        self.changed.emit()

    def _show_picks_in(self, layer: Layer) -> None:
        if not isinstance(layer, Points | Vectors) or PICKS_KEY not in layer.metadata:
            return
        if layer not in self._followed:
            self._followed.add(layer)
            events = layer.events
            for event in (events.scale, events.units, events.affine, events.rotate, events.shear):
                event.connect(self._on_scaled)
        widths = widths_shown_angstrom(layer)
        if widths is None or not self._picks_nm:
            show_slab(layer, ())
        else:
            show_slab(layer, (self._picks_nm * ANGSTROM_PER_NM / widths).tolist())

    def _layers(self) -> list[Layer]:
        viewer = self._viewer()
        return [] if viewer is None else list(viewer.layers)

    def _tomograms(self) -> list[Layer]:
        return [layer for layer in self._layers() if isinstance(layer, Image) and METADATA_KEY in layer.metadata]


def _nm_per_unit(viewer: ViewerModel) -> float | None:
    """How many nanometres one unit of the viewer's world is; None where it isn't a length."""
    units = viewer.layers.units
    if not units or not units[-1].is_compatible_with("nanometer"):
        return None
    return float((1 * units[-1]).to("nanometer").magnitude)
