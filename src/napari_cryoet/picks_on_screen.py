"""How picks are drawn in a viewer, and what is done to them there: the public names for scripts and other plugins.

>>> from napari_cryoet.picks_on_screen import diameter_angstrom, link_of, show_orientations, show_slabs

They do what the dock *Picks on screen* does. `link_of` gives the picks of a Points layer, the way to change them, and
undo. Qt and napari are imported only for what needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_cryoet.appearance.diameters import (
    diameter_angstrom,
    forget_diameter,
    known_diameter,
    set_diameter,
)
from napari_cryoet.picks.orientations import Orientation

if TYPE_CHECKING:
    from napari_cryoet._qt.layer_picks import picks_of
    from napari_cryoet._qt.on_screen import show_diameter, show_orientations, show_slabs
    from napari_cryoet._qt.picks_link import PicksLink, link_of

__all__ = [
    "Orientation",
    "PicksLink",
    "diameter_angstrom",
    "forget_diameter",
    "known_diameter",
    "link_of",
    "picks_of",
    "set_diameter",
    "show_diameter",
    "show_orientations",
    "show_slabs",
]

_HOMES = {
    "PicksLink": "picks_link",
    "link_of": "picks_link",
    "picks_of": "layer_picks",
    "show_diameter": "on_screen",
    "show_orientations": "on_screen",
    "show_slabs": "on_screen",
}


def __getattr__(name: str) -> Any:
    """Import Qt and napari only for what needs them."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"napari_cryoet._qt.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
