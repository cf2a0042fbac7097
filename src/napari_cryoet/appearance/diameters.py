"""Diameters of particles, so that picks are drawn at their true size.

The user's own diameters are stored in ``diameters.json`` in the configuration folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from napari_cryoet.appearance.objects import known_object, known_objects, object_key
from napari_cryoet.exceptions import FormatError
from napari_cryoet.files import config_path, replace_file

DEFAULT_DIAMETER_ANGSTROM: Final = 100.0
SMALLEST_ANGSTROM, LARGEST_ANGSTROM = 5.0, 100_000.0  # from a small molecule to a cell

_FIELD: Final = "diameters_angstrom"
_MAX_FILE_BYTES: Final = 256 * 2**10


def diameter_angstrom(object_id: str | None, object_name: str | None = None) -> float:
    """The diameter at which to draw an object, by its id or else its name: the user's own, else the known one.

    >>> diameter_angstrom("GO:0022626"), diameter_angstrom(None, "Ribosome"), diameter_angstrom(None, "Snoopy")
    (300.0, 300.0, 100.0)
    """
    return known_diameter(object_id, object_name) or DEFAULT_DIAMETER_ANGSTROM


def known_diameter(object_id: str | None, object_name: str | None = None) -> float | None:
    """Like `diameter_angstrom`, but None if neither the user nor the table has one."""
    sized = (each for each in known_objects() if each.diameter_angstrom)
    sizes = {_key(each.name): each.diameter_angstrom for each in sized} | _read_own()
    keys = (_key(word) for word in (object_id, object_name) if word)
    return next((sizes[key] for key in keys if key in sizes), None)


def set_diameter(object_id_or_name: str, angstrom: float) -> None:
    """Save the diameter at which to draw an object, also in later sessions.

    FormatError if that fails.
    """
    key = _key(object_id_or_name)
    if not key:
        raise ValueError("an object needs a name or an id")
    if not SMALLEST_ANGSTROM <= angstrom <= LARGEST_ANGSTROM:
        raise ValueError(
            f"the diameter of a particle must be between 0.5 nm and 10 µm, not {angstrom / 10:g} nm"
        )
    _write_own(_read_own() | {key: float(angstrom)})


def _key(word: str) -> str:
    """The same key for all ids and names of an object, and for the kinds of it that are as large."""
    known = known_object(word)
    if known is None:
        return object_key(None, word)
    sized = (each for each in known.lineage() if each.diameter_angstrom)
    return object_key(None, next(sized, known).name)


def _path() -> Path:
    return config_path() / "diameters.json"


def _read_own() -> dict[str, float]:
    """The user's diameters by key; invalid rows are skipped."""
    try:
        with _path().open("rb") as file:
            rows = json.loads(file.read(_MAX_FILE_BYTES))[_FIELD].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    sizes = [(word, size) for word, size in rows if isinstance(size, int | float)]
    return {
        _key(word): float(size)
        for word, size in sizes
        if SMALLEST_ANGSTROM <= size <= LARGEST_ANGSTROM
    }


def _write_own(own: dict[str, float]) -> None:
    try:
        replace_file(_path(), json.dumps({_FIELD: own}, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise FormatError(f"{_path()} can't be written: {error.strerror}.") from error
