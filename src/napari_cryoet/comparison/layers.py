"""The outcome of a comparison as layers: what matches, and what only one of the two has."""

from __future__ import annotations

from typing import Any, Final

from napari_cryoet.appearance.colors import PALETTE, rgba_of
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.comparison.masks import PicksInMask
from napari_cryoet.comparison.picks import PicksComparison
from napari_cryoet.comparison.report import name_of_side
from napari_cryoet.layer_spec import METADATA_KEY, LayerSpec
from napari_cryoet.picks import Picks
from napari_cryoet.point_layers import points_spec
from napari_cryoet.wording import joined

#: Colour and symbol by what a layer holds. Colour-blind people can tell these colours apart.
LOOKS: Final = {
    "matched": ("mint", "disc"),
    "only A": ("orange", "square"),
    "only B": ("azure", "triangle_up"),
}
#: Which row of the dock a layer is, which its parts aren't.
_TAGS: Final = ("layer_id", "group", "is_main_layer")


def comparison_layers(comparison: PicksComparison | PicksInMask) -> tuple[LayerSpec, ...]:
    """Points layers of the picks that match, of those only in A, and of those only in B.

    Picks keep their ids. Matched ones have the partner's id and distance in their features. Picks against a mask make
    two layers, inside and outside, with the distance from the surface.
    """
    if isinstance(comparison, PicksInMask):
        name = name_of_side(comparison.b)
        return (
            _spec(comparison.inside, "matched", joined("inside", name)),
            _spec(comparison.outside, "only A", joined("outside", name)),
        )
    parts = {"matched": comparison.matched, "only A": comparison.only_a, "only B": comparison.only_b}
    name_a, name_b = name_of_side(comparison.a), name_of_side(comparison.b)
    return tuple(
        _spec(part, look, joined(look, name_b if look == "only B" else name_a)) for look, part in parts.items()
    )


def _spec(picks: Picks, look: str, name: str) -> LayerSpec:
    color_name, symbol = LOOKS[look]
    color, about = rgba_of(PALETTE[color_name]), picks.about
    spacing = picks.spacing_angstrom or 1.0  # it is known, since they were compared
    common: dict[str, Any] = {
        "scale": (spacing,) * 3,
        "units": ("angstrom",) * 3,
        "axis_labels": ("z", "y", "x"),
        "metadata": {
            METADATA_KEY: {key: value for key, value in about.items() if key not in _TAGS}
            | {"edits": list(picks.edits)}
        },
    }
    diameter = diameter_angstrom(about.get("object_id"), about.get("object_name"))
    spec = points_spec(picks, common, name=name, color=color, diameter_angstrom=diameter, spacing_angstrom=spacing)
    looks: dict[str, Any] = {"symbol": symbol}
    if picks.is_cloud:  # else each instance has its own colour
        looks |= {"face_color": list(color), "border_color": list(color)}
    return LayerSpec(spec.data, spec.options | looks, spec.kind)
