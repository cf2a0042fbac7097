"""Diameters of particles, so that picks are drawn at their true size: the user's own, or known ones."""

from __future__ import annotations

from typing import Final

from napari_cryoet.appearance.objects import known_object, known_objects, object_key
from napari_cryoet.settings import Settings

DEFAULT_DIAMETER_ANGSTROM: Final = 100.0
SMALLEST_ANGSTROM, LARGEST_ANGSTROM = 5.0, 100_000.0  # from a small molecule to a cell


def diameter_angstrom(object_id: str | None, object_name: str | None = None) -> float:
    """The diameter at which to draw an object, by its id or else its name: the user's own, else the known one.

    >>> diameter_angstrom("GO:0022626"), diameter_angstrom(None, "Ribosome"), diameter_angstrom(None, "Snoopy")
    (300.0, 300.0, 100.0)
    """
    return known_diameter(object_id, object_name) or DEFAULT_DIAMETER_ANGSTROM


def known_diameter(object_id: str | None, object_name: str | None = None) -> float | None:
    """Like `diameter_angstrom`, but None if neither the user nor the table has one."""
    sized = (each for each in known_objects() if each.diameter_angstrom)
    sizes = {_key(each.name): each.diameter_angstrom for each in sized} | _own()
    keys = (_key(word) for word in (object_id, object_name) if word)
    return next((sizes[key] for key in keys if key in sizes), None)


def set_diameter(object_id_or_name: str, angstrom: float) -> None:
    """Save the diameter at which to draw an object, also in later sessions.

    SaveError if that fails.
    """
    key = _key(object_id_or_name)
    if not key:
        raise ValueError("an object needs a name or an id")
    if not SMALLEST_ANGSTROM <= angstrom <= LARGEST_ANGSTROM:
        raise ValueError(
            f"the diameter of a particle must be between 0.5 nm and 10 µm, not {angstrom / 10:g} nm"
        )
    Settings().save("diameters_angstrom", _own() | {key: float(angstrom)})


def _key(word: str) -> str:
    """The same key for all ids and names of an object, and for the kinds of it that are as large."""
    known = known_object(word)
    if known is None:
        return object_key(None, word)
    sized = (each for each in known.lineage() if each.diameter_angstrom)
    return object_key(None, next(sized, known).name)


def _own() -> dict[str, float]:
    """The user's diameters by key; invalid ones are skipped."""
    own = {}
    for word, size in Settings().diameters_angstrom.items():
        if isinstance(size, int | float) and SMALLEST_ANGSTROM <= size <= LARGEST_ANGSTROM:
            own[_key(word)] = float(size)
    return own
