"""Format numbers, dates and names for display, the same everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: The prefixes of ids, as the portal shows them.
ID_PREFIXES: Final = {
    "deposition": "CZCDP",
    "dataset": "DS",
    "run": "RN",
    "tilt series": "TS",
    "alignment": "AL",
    "tomogram": "TM",
    "annotation": "AN",
}
_LONGEST_LINE: Final = 200
_NO_MARKUP: Final = str.maketrans("<>", "‹›")  # napari's status bar interprets names as HTML
UNREPORTED: Final = frozenset({"", "not_reported", "not reported", "unknown", "n/a", "none"})


def size_text(size_bytes: float | None) -> str:
    """A file size in decimal units, with three digits: ``1.66 GB``; empty if unknown.

    >>> size_text(1_661_000_000), size_text(26_000), size_text(812), size_text(None)
    ('1.66 GB', '26 KB', '812 B', '')
    """
    if size_bytes is None or size_bytes < 0:
        return ""
    if size_bytes < 1000:
        return f"{size_bytes:.0f} B"
    value = float(size_bytes)
    for unit in ("KB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    digits = 0 if value >= 99.5 else 1 if value >= 9.95 else 2
    number = f"{value:.{digits}f}"
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"


def count_text(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun.

    >>> count_text(1, "run"), count_text(5000, "run"), count_text(0, "tilt series", "tilt series")
    ('1 run', '5,000 runs', '0 tilt series')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def duration_text(seconds: float) -> str:
    """A duration in one or two units, rounded up.

    >>> duration_text(4.2), duration_text(100), duration_text(5000)
    ('5 s', '2 min', '1 h 24 min')
    """
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if not hours else f"{hours:,} h {rest} min" if rest else f"{hours:,} h"


def spacing_text(spacing_angstrom: float | None) -> str:
    """A voxel spacing: ``13.48 Å``; empty if unknown."""
    return "" if spacing_angstrom is None else f"{spacing_angstrom:.6g} Å"


def nm_text(angstrom: float) -> str:
    """A length in nm, with at most two decimals.

    >>> nm_text(150), nm_text(67.4), nm_text(6.58), nm_text(12345)
    ('15 nm', '6.74 nm', '0.66 nm', '1,234 nm')
    """
    length = angstrom / 10
    return f"{round(length, 2):.4g} nm" if abs(length) < 999.5 else f"{length:,.0f} nm"


def date_text(date: datetime) -> str:
    """A date: ``1 Jun 2023``."""
    return f"{date.day} {MONTHS[date.month - 1]} {date.year}"


def day_text(date: datetime, *, today: datetime | None = None) -> str:
    """A short date, with the year only if it isn't the current one.

    >>> day_text(datetime(2026, 6, 1), today=datetime(2026, 7, 1))
    '1 Jun'
    """
    is_this_year = date.year == (today or datetime.now(UTC)).year
    return f"{date.day} {MONTHS[date.month - 1]}" if is_this_year else date_text(date)


def reported(text: str | None) -> str:
    """The text, or an empty string if it is one of the portal's placeholders for missing values."""
    text = (text or "").strip()
    return "" if text.casefold() in UNREPORTED else text


def short_species(name: str | None) -> str:
    """A species name with its genus abbreviated; other names are unchanged.

    >>> short_species("Schizosaccharomyces pombe"), short_species("Human immunodeficiency virus 1")
    ('S. pombe', 'Human immunodeficiency virus 1')
    """
    name = reported(plain(name))
    words = name.split()
    is_binomial = (
        len(words) == 2 and words[0].istitle() and words[0].isalpha() and words[1].islower()
    )
    return f"{words[0][0]}. {words[1]}" if is_binomial and words[1] != "virus" else name


def plain(text: str | None) -> str:
    """Remote text on one line, without control characters."""
    return " ".join(printable(text or "", " ").split())


def joined(*parts: str) -> str:
    """Facts on one line, without empty ones: ``DS-10000 · S. pombe · 10 runs``."""
    return " · ".join(part for part in parts if part)


def layer_name(*parts: str) -> str:
    """Join parts, which may be remote text, to a name without markup.

    Give first what differs between layers: napari shortens names in the middle, our boxes at the end.
    """
    return joined(*(plain(part).translate(_NO_MARKUP) for part in parts))


def names_text(names: Sequence[str], limit: int = 3) -> str:
    """The first names and the last one: ``A, B, … Z``.

    >>> names_text(["A", "B", "C", "D", "E"]), names_text(["A", "B"])
    ('A, B, … E', 'A, B')
    """
    if len(names) <= limit:
        return ", ".join(names)
    return ", ".join(names[: limit - 1]) + f", … {names[-1]}"


def differences_text(lines: Sequence[str]) -> str:
    """How a basket's data differ from those that it was filled or locked with, a line each."""
    listed = ["The portal has changed since the basket was filled or locked:", *lines[:6]]
    n_more = len(lines[6:])
    return "\n".join([*listed, *([f"and {n_more:,} more"] if n_more else [])])


def kinds_text(kinds: Sequence[str]) -> str:
    """The kinds of data in a deposition: ``datasets, annotations``.

    >>> kinds_text(["dataset", "tomogram"])
    'datasets, tomograms'
    """
    return ", ".join(f"{plain(kind)}s" for kind in kinds)


def dimensions_text(size_x: int | None, size_y: int | None, size_z: int | None) -> str:
    """A volume's size in voxels, x × y × z; empty if unknown."""
    if size_x is None or size_y is None or size_z is None:
        return ""
    return f"{size_x}×{size_y}×{size_z}"


def lines_text(*lines: str) -> str:
    """Lines of text, without empty ones."""
    return "\n".join(line for line in lines if line)


def labelled(label: str, text: str | None) -> str:
    """``label: text``; empty if there is no text."""
    return f"{label}: {text}" if text else ""


def brief(text: object) -> str:
    """A library's text, such as an error message, as one line of limited length."""
    line = plain(str(text))
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"


def printable(text: str, replacement: str = "") -> str:
    """A text without control characters."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else replacement for character in text)
