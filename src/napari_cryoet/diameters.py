"""How large a particle is, so that a pick is drawn as a disc of its true size.

What is known of well-studied objects can be changed and added to; that is kept in a small file of the user's.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from napari_cryoet.colors import object_key
from napari_cryoet.exceptions import FormatError
from napari_cryoet.user_folders import config_path
from napari_cryoet.whole_files import replace_file

#: For objects that aren't in the table.
DEFAULT_DIAMETER_ANGSTROM: Final = 100.0
#: From a small molecule to a cell.
SMALLEST_ANGSTROM, LARGEST_ANGSTROM = 5.0, 100_000.0

_MAX_FILE_BYTES: Final = 256 * 2**10
_MAX_OBJECTS: Final = 2_000
_MAX_TEXT: Final = 200
_FIELD: Final = "diameters_angstrom"
#: https://www.uniprot.org/help/accession_numbers
_ACCESSION: Final = re.compile(
    r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}", flags=re.IGNORECASE
)

# Diameter of the sphere that holds most of the particle. Those of the CZII challenge (2024) are twice the radii that
# its organisers gave; the others are rounded from the structures in the PDB and EMDB.
_DIAMETERS_ANGSTROM: Final = (
    (300.0, "GO:0022626", "GO:0005840", "cytosolic ribosome", "ribosome", "80s ribosome"),
    (300.0, "membrane bound ribosome", "membrane-bound ribosome"),
    (250.0, "70s ribosome", "GO:0005761", "mitochondrial ribosome"),
    (260.0, "GO:0005835", "fatty acid synthase complex", "fatty acid synthase", "fas"),
    (150.0, "GO:0000502", "proteasome complex", "proteasome"),
    (120.0, "GO:0070288", "ferritin complex", "ferritin", "apo-ferritin", "apoferritin"),
    (130.0, "UniProtKB:P10537", "beta-amylase"),
    (180.0, "UniProtKB:P00722", "beta-galactosidase"),
    (260.0, "UniProtKB:P01267", "thyroglobulin"),
    (270.0, "GO:0170047", "virus-like capsid", "virus-like particle"),
    (150.0, "chaperonin groel", "groel"),
    (160.0, "GO:0005832", "chaperonin-containing t-complex", "tric"),
    (110.0, "GO:0000786", "nucleosome"),
    (120.0, "GO:0048492", "rubisco complex", "rubisco"),
    (1200.0, "GO:0005643", "nuclear pore", "nuclear pore complex"),
    (450.0, "bacterial-type flagellum motor"),
    (250.0, "GO:0005874", "microtubule"),
    (80.0, "GO:0005884", "actin filament", "actin"),
)

_ROW_OF: Final = {object_key(None, word): words for _, *words in _DIAMETERS_ANGSTROM for word in words}
_BUILT_IN: Final = {object_key(None, words[0]): diameter for diameter, *words in _DIAMETERS_ANGSTROM}


@dataclass(frozen=True, slots=True)
class KnownDiameter:
    """One object of the table.

    Attributes
    ----------
    words
        Ids and names that all mean it, the one that stands for it first.
    diameter_angstrom
        What its picks are drawn with.
    built_in_angstrom
        What that is before somebody changes it; None for an object that somebody added.
    """

    words: tuple[str, ...]
    diameter_angstrom: float
    built_in_angstrom: float | None

    @property
    def is_changed(self) -> bool:
        """Whether somebody added it or gave it another diameter."""
        return self.diameter_angstrom != self.built_in_angstrom


def diameter_angstrom(object_id: str | None, object_name: str | None = None) -> float:
    """The diameter to draw an object with, by its id or else its name: the user's own, or else the built-in one.

    >>> diameter_angstrom("GO:0022626"), diameter_angstrom(None, "Ribosome"), diameter_angstrom(None, "Snoopy")
    (300.0, 300.0, 100.0)
    """
    known = known_angstrom(object_id, object_name)
    return DEFAULT_DIAMETER_ANGSTROM if known is None else known


def known_angstrom(object_id: str | None, object_name: str | None = None) -> float | None:
    """As `diameter_angstrom`; None for objects that aren't in the table."""
    own, _ = _read_own()
    for word in (object_key(object_id), object_key(None, object_name)):
        key = _row_key(word)
        if word and key in own:
            return own[key][1]
        if word and key in _BUILT_IN:
            return _BUILT_IN[key]
    return None


def known_diameters() -> tuple[KnownDiameter, ...]:
    """The table: what somebody added, by name, and below it what is built in."""
    own, _ = _read_own()
    built_in = [
        KnownDiameter(tuple(words), own.get(key, ("", diameter))[1], diameter)
        for diameter, *words in _DIAMETERS_ANGSTROM
        for key in [object_key(None, words[0])]
    ]
    added = [KnownDiameter((word,), diameter, None) for key, (word, diameter) in own.items() if key not in _BUILT_IN]
    return (*sorted(added, key=lambda known: known.words[0].casefold()), *built_in)


def set_diameter(word: str, angstrom: float) -> None:
    """Remember the diameter of an object, from now on and in later sessions.

    Parameters
    ----------
    word
        Its id (``GO:0022626``, ``UniProtKB:P01267``) or name; all that mean the same object get it.
    angstrom
        From 5 Å to 10 µm.

    Raises
    ------
    ValueError
        If there is no such diameter, or the word is empty or very long.
    FormatError
        If it can't be written.
    """
    tidy = _full_id(" ".join(word.split()))
    if not tidy or len(tidy) > _MAX_TEXT:
        raise ValueError("an object needs a name or an id, of at most 200 characters")
    if not SMALLEST_ANGSTROM <= angstrom <= LARGEST_ANGSTROM:
        raise ValueError(
            f"a particle can't be {angstrom / 10:g} nm wide: {SMALLEST_ANGSTROM / 10:g} nm to 10 µm can be"
        )
    own, _ = _read_own()
    key = _row_key(object_key(None, tidy))
    own.pop(key, None)
    if _BUILT_IN.get(key) != angstrom:
        own[key] = (_ROW_OF.get(key, [tidy])[0], float(angstrom))
    if len(own) > _MAX_OBJECTS:
        raise ValueError(f"there can't be more than {_MAX_OBJECTS:,} objects in the table")
    _write_own(own)


def known_diameter(word: str) -> KnownDiameter | None:
    """The table's row of an object, by any id or name of it; None where it has none."""
    key = _row_key(object_key(None, word))
    return next((known for known in known_diameters() if _row_key(object_key(None, known.words[0])) == key), None)


def forget_diameter(word: str) -> None:
    """Forget what somebody said of an object: it has its built-in diameter again, or the default one."""
    own, _ = _read_own()
    if own.pop(_row_key(object_key(None, word)), None) is not None:
        _write_own(own)


def reset_diameters() -> None:
    """Forget all that anybody added to the table or changed in it."""
    _path().unlink(missing_ok=True)


def changed_objects(before: tuple[KnownDiameter, ...], after: tuple[KnownDiameter, ...]) -> frozenset[str]:
    """The keys, as `object_key` makes them, of all objects that two states of the table give different diameters."""
    one, other = ({known.words: known.diameter_angstrom for known in table} for table in (before, after))
    words = {words for words in {*one, *other} if one.get(words) != other.get(words)}
    return frozenset(object_key(None, word) for each in words for word in each)


def diameters_problem() -> str:
    """What is wrong with the user's file, in words; empty where it is right, or there is none."""
    return _read_own()[1]


def _row_key(key: str) -> str:
    """The key of the object that a word means."""
    key = object_key(None, _full_id(key))
    return object_key(None, _ROW_OF[key][0]) if key in _ROW_OF else key


def _full_id(word: str) -> str:
    """An accession of UniProt as the portal has it, ``UniProtKB:P10537``; any other word as it is."""
    accession = re.sub(r"^uniprot(kb)?:", "", word, flags=re.IGNORECASE)
    return f"UniProtKB:{accession.upper()}" if _ACCESSION.fullmatch(accession) else word


def _path() -> Path:
    return config_path() / "diameters.json"


def _read_own() -> tuple[dict[str, tuple[str, float]], str]:
    """The user's words and diameters by key, and what is wrong with their file; what is right in it counts."""
    path = _path()
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"{path} can't be read ({error.strerror}), so sizes are the built-in ones."
    try:
        rows = json.loads(content)[_FIELD] if len(content) <= _MAX_FILE_BYTES else None
    except (ValueError, KeyError, TypeError, RecursionError):
        rows = None
    if not isinstance(rows, dict):
        return {}, f"{path} isn't a table of diameters, so sizes are the built-in ones."
    own = {
        _row_key(object_key(None, word)): (_full_id(word), float(value))
        for word, value in rows.items()
        if _is_row(word, value)
    }
    bad = sum(not _is_row(word, value) for word, value in rows.items())
    own = dict(list(own.items())[:_MAX_OBJECTS])
    return own, f"{bad} of {len(rows)} diameters in {path} can't be used." if bad else ""


def _is_row(word: str, value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return 0 < len(word) <= _MAX_TEXT and is_number and SMALLEST_ANGSTROM <= value <= LARGEST_ANGSTROM


def _write_own(own: dict[str, tuple[str, float]]) -> None:
    path = _path()
    text = json.dumps({_FIELD: dict(own.values())}, indent=1, ensure_ascii=False)
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise FormatError(f"{path} can't be written: {error.strerror}.", hint="Sizes stay as they were.") from error
