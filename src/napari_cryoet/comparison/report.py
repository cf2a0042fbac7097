"""A comparison in words: the rows of a table, and a text to paste."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from napari_cryoet.comparison.masks import MaskComparison
from napari_cryoet.comparison.picks_against_mask import PicksInMask
from napari_cryoet.comparison.picks_against_picks import PicksComparison
from napari_cryoet.comparison.sides import edits_of, name_of_side, portal_numbers
from napari_cryoet.comparison.spread import Spread
from napari_cryoet.exceptions import SaveError
from napari_cryoet.expecting import expect
from napari_cryoet.files import path_to_write, written_whole
from napari_cryoet.provenance import plain_data
from napari_cryoet.wording import count_text, joined, plain

Comparison = PicksComparison | PicksInMask | MaskComparison


class Row(NamedTuple):
    """A number with its name; ``portal_a`` and ``portal_b`` are what the portal says of A and of B, or empty.

    ``why`` says why a number is undefined.
    """

    name: str
    value: str
    portal_a: str = ""
    portal_b: str = ""
    why: str = ""


def plain_report(comparison: Comparison) -> dict[str, Any]:
    """All numbers of a comparison and where both sides come from, as JSON holds it."""
    from napari_cryoet._version import __version__

    report: dict[str, Any] = plain_data(comparison.plain()) | {"software": f"napari-cryoet {__version__}"}
    return dict(json.loads(json.dumps(report, default=str)))  # what scripts know of their picks can be anything


def write_report(comparison: Comparison, path: str | Path, *, overwrite: bool = False) -> None:
    """Write what `plain_report` gives into a JSON file, whole or not at all.

    Raises
    ------
    ExistsError
        If there is a file, and ``overwrite`` isn't set.
    SaveError
        If there is no such folder, or the file can't be written.
    """
    path = path_to_write(path)
    text = json.dumps(plain_report(comparison), indent=1, ensure_ascii=False, allow_nan=False)
    if not path.parent.is_dir():
        raise SaveError(f"{path.name} could not be written: there is no folder {path.parent}.")
    with written_whole(path, overwrite=overwrite) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8", newline="\n")


def sides_of(comparison: Comparison) -> tuple[str, str]:
    """What A and B are called; "A" and "B" where nothing is known of them."""
    a, b = _sides(comparison)
    return name_of_side(a) or "A", name_of_side(b) or "B"


def headline(comparison: Comparison) -> str:
    """What was compared how, in a sentence."""
    name_a, name_b = sides_of(comparison)
    match comparison:
        case PicksComparison():
            how = f"{comparison.method} one-to-one matching within {comparison.radius_angstrom:g} Å"
            symmetry = "" if comparison.symmetry == "C1" else f", symmetry {comparison.symmetry}"
            return f"A ({name_a}) against B ({name_b}), the reference: {how}{symmetry}."
        case PicksInMask():
            return f"A ({name_a}) against the mask B ({name_b})."
    return f"A ({name_a}) against B ({name_b}), the reference, at {comparison.spacing_angstrom:g} Å."


def spread_rows_of(comparison: Comparison) -> tuple[Row, ...]:
    """How distances and angles are spread, where there may be some."""
    match comparison:
        case PicksComparison():
            return (
                _spread_row("distance", comparison.distance, "No pick matches another."),
                _spread_row("rotation error", comparison.rotation_error, comparison.why_no_angles),
                _spread_row("z-axis tilt error", comparison.tilt_error, comparison.why_no_angles),
            )
        case PicksInMask():
            why = comparison.why_undefined.get("surface_distance", "There are no picks.")
            return (_spread_row("from the surface", comparison.distance, why),)
    return ()


def rows_of(comparison: Comparison) -> tuple[Row, ...]:
    """The numbers but those of `spread_rows_of`, most important first."""
    match comparison:
        case PicksComparison():
            return tuple(_picks_rows(comparison))
        case PicksInMask():
            return tuple(_mask_rows(comparison))
    return tuple(_masks_rows(comparison))


def portal_lines(comparison: Comparison) -> tuple[str, ...]:
    """What the portal itself says of how good A and B are, and against which ground truth."""
    lines = []
    for letter, side in zip("AB", _sides(comparison), strict=True):
        numbers = portal_numbers(side)
        if numbers is None:
            continue
        precision, recall = numbers["confidence_precision_percent"], numbers["confidence_recall_percent"]
        said = [
            f"{name} {value:g} %" for name, value in (("precision", precision), ("recall", recall)) if value is not None
        ]
        used = plain(numbers["ground_truth_used"])
        against = f"against {used}" if used else "it doesn't say against which ground truth"
        whom = f"{letter}, before it was changed" if edits_of(side) else letter
        lines.append(f"The portal says of {whom}: {', '.join(said) or 'no numbers'}; {against}.")
    return tuple(lines)


def report_text(comparison: Comparison) -> str:
    """A comparison as plain text of a few lines."""
    expect(comparison, (PicksComparison, PicksInMask, MaskComparison), "comparison", "compare() gives one.")
    rows = rows_of(comparison) + spread_rows_of(comparison)
    headings = Row(
        "",
        "here",
        portal_a="portal, A" if any(row.portal_a for row in rows) else "",
        portal_b="portal, B" if any(row.portal_b for row in rows) else "",
    )
    table = [headings, *rows] if headings.portal_a or headings.portal_b else list(rows)
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    lines = [headline(comparison), ""]
    for row in table:
        cells = [
            row[0].ljust(widths[0]),
            *(row[column].rjust(widths[column]) for column in (1, 2, 3) if widths[column]),
        ]
        lines.append("  ".join(cells).rstrip() + (f"  ({row.why})" if row.why else ""))
    further = [*portal_lines(comparison), *comparison.notes]
    return "\n".join([*lines, *([""] if further else []), *further]) + "\n"


def _sides(comparison: Comparison) -> tuple[Any, Any]:
    if isinstance(comparison, PicksInMask):
        return comparison.picks, comparison.mask
    return comparison.a, comparison.b


def _picks_rows(comparison: PicksComparison) -> list[Row]:
    scores, why = comparison.scores, comparison.scores.why_undefined
    return [
        Row("picks of A", f"{len(comparison.a):,}"),
        Row("picks of B", f"{len(comparison.b):,}"),
        Row("matched (true positives)", f"{scores.true_positives:,}"),
        Row("only A (false positives)", f"{scores.false_positives:,}"),
        Row("only B (false negatives)", f"{scores.false_negatives:,}"),
        _with_portal("precision", scores.precision, comparison, why.get("precision", "")),
        _with_portal("recall", scores.recall, comparison, why.get("recall", "")),
        Row(f"F-beta, beta {scores.beta:g}", _share(scores.f_beta), why=why.get("f_beta", "")),
    ]


def _mask_rows(comparison: PicksInMask) -> list[Row]:
    numbers, why = comparison.plain(), comparison.why_undefined
    error = comparison.surface_error_angstrom
    exactly = "exact" if error == 0 else f"at most {error:.3g} Å too far"
    return [
        Row("picks of A", f"{len(comparison.picks):,}"),
        Row("inside B", f"{numbers['inside']:,}"),
        Row("outside B", f"{numbers['outside']:,}"),
        Row("outside of its volume", f"{numbers['outside_of_volume']:,}"),
        Row("share inside", _share(comparison.share_inside), why=why.get("share_inside", "")),
        Row("distances are", exactly),
    ]


def _masks_rows(comparison: MaskComparison) -> list[Row]:
    why, found = comparison.why_undefined, comparison.instances
    rows = [
        Row("voxels of A", f"{comparison.voxels_a:,}"),
        Row("voxels of B", f"{comparison.voxels_b:,}"),
        Row("voxels of both", f"{comparison.voxels_both:,}"),
        Row("Dice", _share(comparison.dice), why=why.get("dice", "")),
        Row("IoU", _share(comparison.iou), why=why.get("iou", "")),
        _with_portal("precision", comparison.precision, comparison, why.get("precision", "")),
        _with_portal("recall", comparison.recall, comparison, why.get("recall", "")),
    ]
    if found is None:
        return [*rows, Row("object by object", "–", why=why["instances"])]
    scores = found.scores
    return [
        *rows,
        Row(f"objects matched (IoU ≥ {found.threshold:g})", f"{scores.true_positives:,}"),
        Row("objects only in A", f"{scores.false_positives:,}"),
        Row("objects only in B", f"{scores.false_negatives:,}"),
        Row(f"F-beta of objects, beta {scores.beta:g}", _share(scores.f_beta)),
        Row("panoptic quality", _share(found.panoptic_quality)),
    ]


def _with_portal(name: str, value: float | None, comparison: Comparison, why: str) -> Row:
    told = []
    for side in _sides(comparison):
        numbers = None if edits_of(side) else portal_numbers(side)
        percent = (numbers or {}).get(f"confidence_{name}_percent")
        told.append("" if percent is None else f"{percent:.1f} %")
    return Row(name, _share(value), portal_a=told[0], portal_b=told[1], why=why)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _spread_row(name: str, spread: Spread | None, why: str) -> Row:
    if spread is None:
        return Row(name, "–", why=why)
    unit = spread.unit if spread.unit == "°" else f" {spread.unit}"
    numbers = {"median": spread.median, "mean": spread.mean, "largest": spread.largest}
    told = joined(*(f"{word} {_length(number)}{unit}" for word, number in numbers.items()))
    return Row(name, told if spread.count > 1 else f"{_length(spread.mean)}{unit} ({count_text(spread.count, 'pair')})")


def _length(value: float) -> str:
    """To a tenth, as far as that says anything."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
