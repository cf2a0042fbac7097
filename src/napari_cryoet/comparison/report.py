"""A comparison as text and as a JSON file."""

from __future__ import annotations

import json
from pathlib import Path

from napari_cryoet.comparison.sides import Comparison, Figure, edits_of, name_of_side, portal_numbers
from napari_cryoet.files import written_whole
from napari_cryoet.wording import plain


def report_text(comparison: Comparison) -> str:
    """A comparison as plain text: the outcome in a sentence, what was compared, and the numbers."""
    figures = [figure for figure in comparison.figures() if figure.name]
    whys = ["", *(figure.why_undefined if figure.value is None else "" for figure in figures)]
    table = [("", "here", "portal, A", "portal, B")]
    table += [(figure.name, figure.text, *portal_texts(comparison, figure)) for figure in figures]
    columns = [column for column in range(4) if any(row[column] for row in table[1:])]
    if columns == [0, 1]:
        del table[0], whys[0]
    lines = [comparison.headline, subject(comparison), ""]
    widths = [max(len(row[column]) for row in table) for column in columns]
    for row, why in zip(table, whys, strict=True):
        cells = [row[column].rjust(width) for column, width in zip(columns[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells, f"({why})" if why else ""]).rstrip())
    further = [*portal_lines(comparison), *comparison.notes]
    return "\n".join([*lines, *([""] if further else []), *further]) + "\n"


def subject(comparison: Comparison) -> str:
    """What was compared, and how."""
    a, b = (f" ({name})" if (name := name_of_side(side)) else "" for side in comparison.sides)
    return f"A{a} against B{b}, {comparison.setting}."


def portal_texts(comparison: Comparison, figure: Figure) -> tuple[str, str]:
    """The portal's own number for A and for B; empty where it has none, and for a side that was changed since."""
    told = []
    for side in comparison.sides:
        percent = (portal_numbers(side) or {}).get(f"confidence_{figure.key}_percent")
        told.append("" if percent is None or edits_of(side) else f"{percent:.1f} %")
    return told[0], told[1]


def portal_lines(comparison: Comparison) -> tuple[str, ...]:
    """What the portal itself says about A and B, and against which ground truth."""
    lines = []
    for letter, side in zip("AB", comparison.sides, strict=True):
        numbers = portal_numbers(side)
        if numbers is not None:
            found = {name: numbers[f"confidence_{name}_percent"] for name in ("precision", "recall")}
            said = ", ".join(f"{name} {value:g} %" for name, value in found.items() if value is not None)
            used = numbers["ground_truth_used"]
            against = f"against {plain(used)}" if used else "no ground truth named"
            before = " before it was changed" if edits_of(side) else ""
            lines.append(f"The portal says about {letter}{before}: {said or 'no numbers'} ({against}).")
    return tuple(lines)


def write_report(comparison: Comparison, path: str | Path, *, overwrite: bool = False) -> None:
    """Write all numbers of a comparison into a JSON file, whole or not at all.

    Raises
    ------
    ExistsError
        If there is a file, unless you ``overwrite``.
    SaveError
        If the file can't be written.
    """
    text = json.dumps(comparison.plain(), indent=1, ensure_ascii=False, allow_nan=False)
    with written_whole(Path(path), overwrite=overwrite) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8", newline="\n")
