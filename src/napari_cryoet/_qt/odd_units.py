"""What it means in words that napari finds "inconsistent units": somebody's layer in pixels beside ours in ångström.

napari then takes one unit for the other. It can't be helped from here without touching one or the other: lengths in
pixels say nothing of ångström, and ours would lose their true size.
"""

from __future__ import annotations

from collections.abc import Iterable

from napari.layers import Layer

from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.wording import plain


def remark_on_units(layers: Iterable[Layer]) -> str:
    """What to tell of the first layer of somebody else's whose lengths can't be compared with ours; empty if none."""
    layers = list(layers)
    ours = next((layer for layer in layers if METADATA_KEY in layer.metadata), None)
    if ours is None:
        return ""
    odd = next((layer for layer in layers if METADATA_KEY not in layer.metadata and not _fit(layer, ours)), None)
    if odd is None:
        return ""
    theirs, own = str(odd.units[-1]), str(ours.units[-1])
    return (
        f"“{plain(odd.name)}” is in {theirs}, this run in {own}: napari draws 1 {theirs} as 1 {own}, and the scale bar "
        f"without a unit. If they belong together, set the layer's scale to {ours.scale[-1]:g} and its units to "
        f"“{own}”. Home shows everything."
    )


def _fit(one: Layer, other: Layer) -> bool:
    """Whether the lengths of two layers can be compared along each axis that both have."""
    pairs = zip(reversed(one.units), reversed(other.units), strict=False)
    return all(unit.dimensionality == its.dimensionality for unit, its in pairs)
