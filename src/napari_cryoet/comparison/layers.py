"""The outcome of a comparison as layers: what matches, and what only one of the two has.

Each is told from the others by its colour and by its symbol. The three colours are of the palette of `colors`, whose
every two are told apart by colour-blind people.
"""

from __future__ import annotations

from typing import Any, Final

from napari_cryoet.appearance.colors import PALETTE, rgba_of
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.comparison.picks_against_mask import PicksInMask
from napari_cryoet.comparison.picks_against_picks import PicksComparison
from napari_cryoet.comparison.sides import name_of_side, spacing_of
from napari_cryoet.expecting import expect
from napari_cryoet.layer_spec import METADATA_KEY, LayerSpec
from napari_cryoet.picks import Picks
from napari_cryoet.point_layers import points_spec
from napari_cryoet.wording import joined

#: By what a layer holds: its colour and its symbol.
LOOKS: Final[dict[str, tuple[str, str]]] = {
    "matched": ("mint", "disc"),
    "only A": ("orange", "square"),
    "only B": ("azure", "triangle_up"),
}
_AXES: Final = ("z", "y", "x")


def comparison_layers(comparison: PicksComparison | PicksInMask) -> tuple[LayerSpec, ...]:
    """Points layers of the picks that match, of those that only A has, and of those that only B has.

    Picks keep their ids. Matched ones have the id of the partner and its distance in their features. Of picks against
    a mask, there is one of those inside and one of those outside, with the distance from the surface.
    """
    expect(comparison, (PicksComparison, PicksInMask), "comparison", "compare() gives one of picks.")
    if isinstance(comparison, PicksInMask):
        name = name_of_side(comparison.mask)
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
    spacing = spacing_of(picks, name)
    common: dict[str, Any] = {
        "scale": (spacing,) * 3,
        "units": ("angstrom",) * 3,
        "axis_labels": _AXES,
        "metadata": {METADATA_KEY: _about(picks)},
    }
    about = picks.about
    diameter = diameter_angstrom(about.get("object_id"), about.get("object_name"))
    spec = points_spec(picks, common, name=name, color=color, diameter_angstrom=diameter, spacing_angstrom=spacing)
    looks: dict[str, Any] = {"symbol": symbol}
    if picks.is_cloud:  # else each instance has a colour of its own
        looks |= {"face_color": list(color), "border_color": list(color)}
    return LayerSpec(spec.data, spec.options | looks, spec.kind)


def _about(picks: Picks) -> dict[str, Any]:
    """Where they come from and what was done; not which layer of the dock they are, which they no longer are."""
    tags = {"layer_id", "group", "is_main_layer"}
    return {key: value for key, value in picks.about.items() if key not in tags} | {"edits": list(picks.edits)}
