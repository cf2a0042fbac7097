"""What all formats of picks share: what a reader is told beside the file, and what is refused of any of them."""

from __future__ import annotations

import codecs
import math
import re
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.column_types import shortened
from napari_cryoet.picks import Picks, are_rotations

#: Far above any file of picks that is known.
MAX_FILE_BYTES: Final = 512 * 2**20
MAX_PICKS: Final = 3_000_000
#: Beyond that, there would be none for picks that are added.
_LARGEST_ID: Final = 2**62
#: How far a matrix may be from a rotation before an export says that angles hold the nearest one.
_ROUNDED: Final = 1e-6

_SHOWN_END: Final = 60
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,308}")
_LARGEST_EXACT: Final = 2**53
_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zX": "xz", b"PK\x03\x04": "zip"}


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the volume that a file's picks belong to, whatever the file says.

    Attributes
    ----------
    spacing_angstrom, shape_zyx
        Of the grid in which positions shall be counted; the shape is in its voxels.
    tomogram
        Which one, of a file with several.
    """

    spacing_angstrom: float | None = None
    shape_zyx: tuple[int, int, int] | None = None
    tomogram: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Orientations:
    """What a format of angles can say of rotations.

    Attributes
    ----------
    matrices_xyz
        (n, 3, 3), the identity for picks without an orientation.
    are_known
        (n,), for which picks there is one.
    """

    matrices_xyz: NDArray[np.float64]
    are_known: NDArray[np.bool_]


def orientations_of(picks: Picks) -> Orientations | None:
    """The picks' proper rotations; None where no pick has one."""
    matrices, are_known = picks.rotations_xyz, picks.are_oriented
    if matrices is None or not are_known.any():
        return None
    return Orientations(np.where(are_known[:, None, None], matrices, np.eye(3)), are_known)


def rotation_losses(picks: Picks) -> list[str]:
    """What becomes of matrices that angles can't hold, in words."""
    if picks.rotations_zyx is None:
        return []
    losses = []
    are_oriented = picks.are_oriented
    is_improper = ~np.isnan(picks.rotations_zyx).all(axis=(1, 2)) & ~are_oriented
    if is_improper.any():
        which = numbered("pick", picks.ids[is_improper].tolist())
        losses.append(
            f"{is_improper.sum():,} of the matrices are no rotations ({which}); these picks are written without "
            "orientation."
        )
    matrices = picks.rotations_zyx[are_oriented]
    if len(matrices) and np.abs(np.swapaxes(matrices, 1, 2) @ matrices - np.eye(3)).max() > _ROUNDED:
        losses.append("Rotations are rounded in the source; angles hold the nearest exact rotation.")
    return losses


def choose_tomogram(names: Sequence[str], wanted: str | None, file_name: str) -> str | None:
    """Which of the tomograms of a file is meant; None where it names none.

    Parameters
    ----------
    wanted
        Its name, or as much of the end of a path as tells it from others.

    Raises
    ------
    MissingContextError
        If there are several and none was chosen; it has their names.
    FormatError
        If the chosen one isn't there.
    """
    found = tuple(dict.fromkeys(names))
    told = listed([_end_of(name) for name in found])
    if wanted is not None and wanted not in found:
        ending_so = [name for name in found if name.endswith(f"/{wanted}")]
        if len(ending_so) == 1:
            return ending_so[0]
        raise FormatError(
            f"{file_name} has no picks of a tomogram {wanted!r}.",
            hint=f"It has those of {told}." if found else "It names no tomogram.",
        )
    if wanted is None and len(found) > 1:
        raise MissingContextError(
            f"{file_name} holds the picks of {len(found)} tomograms: {told}.",
            hint="Say which one.",
            missing=("tomogram",),
            choices=found,
        )
    return wanted if wanted is not None else (found[0] if found else None)


def _end_of(path: str) -> str:
    """As much of the end of a path as a message shows: paths of one folder start alike."""
    return path if len(path) <= _SHOWN_END else f"…{path[-_SHOWN_END + 1 :]}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names in a sentence, not more than fit into one."""
    return ", ".join(map(_told, names[:most])) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _told(name: str) -> str:
    """As much of a name as a sentence shows; one that couldn't be seen in it, in quotes."""
    text = shortened(name)
    return text if text and text == text.strip() and text.isprintable() else repr(text)


def refuse_unreadable(path: Path, *, is_text: bool = True) -> None:
    """Refuse what no reader gets anything of: what is no file, is compressed, or is beyond `MAX_FILE_BYTES`.

    Parameters
    ----------
    is_text
        Whether the format is one of texts in UTF-8; then one in UTF-16 is refused too.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise FormatError(f"{str(path)!r} is no file.")
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise FormatError(f"{path.name!r} can't be read: {error.strerror or error}.") from error
    if status.st_size > MAX_FILE_BYTES:
        raise FormatError(f"{path.name} is too large for a file of picks ({status.st_size:,} bytes).")
    packed = next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)
    if packed is not None:
        raise FormatError(f"{path.name} is compressed with {packed}.", hint="Unpack it first.")
    if is_text and start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise FormatError(f"{path.name} is text in UTF-16.", hint="Save the file anew, with the encoding UTF-8.")


def not_utf8(path: Path) -> FormatError:
    """An error that names the first line of a file that isn't text in UTF-8."""
    content, line = path.read_bytes(), 1
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
    return FormatError(
        f"{path.name}, line {line}: this isn't UTF-8 text.", hint="Save the file anew, with the encoding UTF-8."
    )


class TwiceError(ValueError):
    """An object of JSON has several values of one name."""


def object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON by its names and values, of which Python's reader keeps the last of one name without a word.

    Raises
    ------
    TwiceError
        If it has a name twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        names = Counter(name for name, _value in pairs)
        raise TwiceError(f"it has {shortened(names.most_common(1)[0][0])!r} twice")
    return found


def checked_picks(
    path: Path, *, called: str = "row", rows: Sequence[int] | NDArray[np.int64] | None = None, **columns: Any
) -> Picks:
    """Picks, or words about the file for what makes none.

    Parameters
    ----------
    called, rows
        What the file's picks are called and counted as in messages; by default from 1.
    """
    _refuse_unplaceable(path, called, rows, np.asarray(columns["points_zyx"], dtype=np.float64))
    ids = columns.get("ids")
    if ids is not None:
        refuse_unusable_ids(path, ids)
    try:
        picks = Picks(**columns)
    except ValueError as error:
        raise FormatError(f"{path.name} can't be used: {error}.") from error
    numbers = np.arange(1, len(picks) + 1) if rows is None else np.asarray(rows)
    said = rotation_warnings(picks.rotations_zyx, numbers, called)
    return with_warnings(picks, *said) if said else picks


def with_warnings(picks: Picks, *said: str) -> Picks:
    """The same picks, with something more that whoever uses them should be told."""
    return replace(picks, about=dict(picks.about) | {"warnings": [*picks.about.get("warnings", ()), *said]})


def rounded_scores(scores: NDArray[Any] | Sequence[Any] | None) -> list[str]:
    """What to tell of a column of scores in which are whole numbers with more digits than scores are kept with."""
    if scores is None or (isinstance(scores, np.ndarray) and scores.dtype.kind == "f"):
        return []
    if isinstance(scores, np.ndarray) and scores.dtype.kind in "iu":
        scores = scores[np.abs(scores.astype(np.float64)) >= _LARGEST_EXACT]
    whole = [_whole_or_none(score) for score in (scores.tolist() if isinstance(scores, np.ndarray) else scores)]
    lost = [number for number in whole if number is not None and float(number) != number]
    if not lost:
        return []
    such_as = shortened(str(lost[0]))
    return [f"Scores are kept with 53 bits: {len(lost):,} of them have more and were rounded, such as {such_as}."]


def _whole_or_none(score: Any) -> int | None:
    """A whole number that reals go up to; what is beyond is refused elsewhere, or a text."""
    text = str(score).strip() if isinstance(score, str | int) else ""
    return int(text) if _WHOLE.fullmatch(text) else None


def refuse_unusable_ids(path: Path, ids: Any) -> None:
    """Refuse a file whose picks can't be told apart by their ids, or have such that none is left for further picks."""
    if len(np.unique(ids)) < len(ids):
        twice = next(number for number, count in Counter(ids.tolist()).items() if count > 1)
        raise FormatError(f"{path.name} can't be used: it has several picks with the id {twice}.")
    if are_endless(ids):
        far = max(ids, key=lambda number: abs(int(number)))
        raise FormatError(f"{path.name} can't be used: it has a pick with the id {far}, beyond 2^62.")


def are_endless(ids: Any) -> bool:
    """Whether ids are so far from 0 that no file of picks is read with them."""
    return len(ids) > 0 and not -_LARGEST_ID <= np.min(ids) <= np.max(ids) <= _LARGEST_ID


def _refuse_unplaceable(
    path: Path, called: str, rows: Sequence[int] | NDArray[np.int64] | None, points_zyx: NDArray[np.float64]
) -> None:
    are_odd = ~np.isfinite(points_zyx).all(axis=1)
    if not are_odd.any():
        return
    first = int(np.flatnonzero(are_odd)[0])
    axes = [axis for axis, value in zip("zyx", points_zyx[first].tolist(), strict=True) if not math.isfinite(value)]
    which = first + 1 if rows is None else rows[first]
    raise FormatError(f"{path.name} can't be used: {called} {which} has no finite position along {' and '.join(axes)}.")


def rotation_warnings(rotations: NDArray[np.float64] | None, numbers: NDArray[np.int64], called: str) -> list[str]:
    """Which of a file's matrices, given by their numbers in it, are no rotations, in words; none where all are."""
    if rotations is None:
        return []
    is_given = ~np.isnan(rotations).all(axis=(1, 2))
    is_bad = is_given & ~are_rotations(rotations)
    if not is_bad.any():
        return []
    which = numbered(called, numbers[is_bad].tolist())
    return [f"{is_bad.sum():,} of {is_given.sum():,} orientations aren't rotations, so not drawn ({which})."]


def angle_warnings(angles: NDArray[np.float64], numbers: NDArray[np.int64]) -> list[str]:
    """Which rows' orientations, as `rotation_warnings`, lack only some of their angles; none where all are whole.

    Parameters
    ----------
    angles
        (n, 3); picks without an orientation lack all three.
    """
    is_known = np.isfinite(angles)
    is_part = is_known.any(axis=1) & ~is_known.all(axis=1)
    if not is_part.any():
        return []
    which = numbered("row", numbers[is_part].tolist())
    return [f"Only some of three angles are given for {is_part.sum():,} of the picks, so no orientation ({which})."]


def numbered(called: str, numbers: Sequence[int]) -> str:
    """The first of some numbers: ``lines 3, 7``."""
    shown = ", ".join(f"{number}" for number in numbers[:5])
    return f"{called}{'s' if len(numbers) > 1 else ''} {shown}{', …' if len(numbers) > 5 else ''}"
