"""Layers for the result of a comparison: matches, and picks that only one side has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from napari_cryoet.appearance.colors import PALETTE, rgba_of
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.layers.specs import LayerSpec, points_spec, world
from napari_cryoet.picks import Picks
from napari_cryoet.wording import joined

if TYPE_CHECKING:
    from napari_cryoet.comparison.masks import PicksInMask
    from napari_cryoet.comparison.picks import PicksComparison

#: Colour and symbol of layers. The colours are suitable for colour-blind people.
LOOKS: Final = {
    "matched": ("mint", "disc"),
    "only A": ("orange", "square"),
    "only B": ("azure", "triangle_up"),
}


def comparison_layers(comparison: PicksComparison | PicksInMask) -> tuple[LayerSpec, ...]:
    """Create Points layers of matching picks, of those only in A, and of those only in B.

    Picks keep their ids. The features of matching picks have the partner's id and distance. A
    comparison with a mask gives two layers, inside and outside, with distances from the surface.
    """
    from napari_cryoet.comparison.masks import PicksInMask
    from napari_cryoet.comparison.report import name_of_side

    if isinstance(comparison, PicksInMask):
        name = name_of_side(comparison.b)
        return (
            _spec(comparison.inside, "matched", joined("inside", name)),
            _spec(comparison.outside, "only A", joined("outside", name)),
        )
    name_a, name_b = name_of_side(comparison.a), name_of_side(comparison.b)
    return (
        _spec(comparison.matched, "matched", joined("matched", name_a)),
        _spec(comparison.only_a, "only A", joined("only A", name_a)),
        _spec(comparison.only_b, "only B", joined("only B", name_b)),
    )


def _spec(picks: Picks, look: str, name: str) -> LayerSpec:
    color_name, symbol = LOOKS[look]
    color = rgba_of(PALETTE[color_name])
    about = replace(picks.about, edits=picks.edits)
    spacing = picks.spacing_angstrom or 1.0  # known, since comparing requires it
    spec = points_spec(
        picks,
        world(about, spacing),
        name=name,
        color=color,
        diameter_angstrom=diameter_angstrom(about.object_id, about.object_name),
        spacing_angstrom=spacing,
    )
    looks: dict[str, Any] = {"symbol": symbol}
    if picks.is_cloud:  # by default, each instance has its own colour
        looks |= {"face_color": list(color), "border_color": list(color)}
    return LayerSpec(spec.data, spec.options | looks, spec.kind)
