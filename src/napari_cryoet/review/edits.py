"""Hand edits of picks, kept beside the reviews: one step a line, undone one by one.

A step holds the picks that it changed, before and after, so that it can be undone and done again.
A line ``{"undone": key}`` takes a step back.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import NO_INSTANCE, Picks
from napari_cryoet.picks.picks import same_values, what_changed
from napari_cryoet.provenance import plain_data
from napari_cryoet.review.session import TOLERANCE_VOXELS, Journal

_IDS: Final = "ids"
#: The value of a pick without one, in the arrays that picks may lack; in features it is None.
_BLANKS: Final = {"rotations_zyx": np.nan, "scores": np.nan, "instance_ids": NO_INSTANCE}
_ARRAYS: Final = ("points_zyx", *_BLANKS, _IDS)
#: Precedes the names of features, which may equal those of arrays.
_FEATURE: Final = "feature:"
_NO_PICKS: Final = Picks(np.empty((0, 3)))


@dataclass(frozen=True, kw_only=True)
class EditStep:
    """One edit of picks: those that it changed or deleted, and what they became or those it added.

    Attributes
    ----------
    text
        What was done, such as ``moved 1 pick``.
    count, next_id
        The number of picks after the step, and an id above all ids so far.
    key, made_at
        The step's name in its file, and its date and time in UTC.
    """

    before: Picks
    after: Picks
    text: str
    count: int
    next_id: int
    key: str = field(default_factory=lambda: secrets.token_hex(4))
    made_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def between(cls, before: Picks, after: Picks) -> EditStep | None:
        """The step from one version of picks to the next; None if only their order differs."""
        same = _unchanged_ids(before, after)
        old = before.take(~np.isin(before.ids, same))
        new = after.take(~np.isin(after.ids, same))
        if not len(old) and not len(new):
            return None
        text = what_changed(old, new)
        return cls(before=old, after=new, text=text, count=len(after), next_id=after.next_id)

    def done(self, picks: Picks) -> tuple[Picks, int]:
        """The picks with this edit, and how many of the edited picks aren't where they were.

        Those aren't within half a voxel, and keep their values.
        """
        changed, n_lost = _replaced(picks, self.before, self.after)
        return changed.changed(self.text, next_id=max(self.next_id, changed.next_id)), n_lost

    def undone(self, picks: Picks) -> Picks:
        """The picks without this edit, which was their last one."""
        changed, _ = _replaced(picks, self.after, self.before)
        return replace(changed, edits=picks.edits[:-1])

    def to_json(self) -> dict[str, Any]:
        """Encode as a line of the file."""
        parts = {"before": _to_json(self.before), "after": _to_json(self.after)}
        return {**vars(self), **parts}

    @classmethod
    def of_json(cls, line: Mapping[str, Any]) -> EditStep:
        """Decode a line of the file; ValueError, TypeError or KeyError for others."""
        parts = {name: _of_json(line[name]) for name in ("before", "after")}
        return cls(**{**line, **parts})


def kept_steps(journal: Journal) -> list[EditStep]:
    """The steps that weren't undone, oldest first; FormatError if the file can't be read."""
    steps: dict[str, EditStep] = {}
    for line in journal.values():
        with suppress(ValueError, TypeError, KeyError):  # the header
            if "undone" in line:
                steps.pop(line["undone"], None)
            else:
                steps[line["key"]] = EditStep.of_json(line)
    return list(steps.values())


def restored(picks: Picks, steps: Iterable[EditStep]) -> tuple[Picks, int]:
    """Apply kept steps, and count the edited picks that aren't where they were."""
    n_lost = 0
    for step in steps:
        picks, n_lost_here = step.done(picks)
        n_lost += n_lost_here
    return picks, n_lost


def _unchanged_ids(before: Picks, after: Picks) -> NDArray[np.int64]:
    """The ids of the picks that have the same values in both versions."""
    shared, rows_before, rows_after = np.intersect1d(
        before.ids, after.ids, assume_unique=True, return_indices=True
    )
    one, other = _columns(before), _columns(after)
    are_same = np.full(len(shared), one.keys() == other.keys())
    for name in one.keys() & other.keys():
        cells = same_values(one[name][rows_before], other[name][rows_after])
        are_same &= cells.all(axis=tuple(range(1, cells.ndim)))
    return np.asarray(shared[are_same])


def _replaced(picks: Picks, old: Picks, new: Picks) -> tuple[Picks, int]:
    """Picks with ``new`` in the place of ``old``, and how many of the old ones aren't there."""
    ids, rows, rows_of_old = np.intersect1d(
        picks.ids, old.ids, assume_unique=True, return_indices=True
    )
    distances = np.linalg.norm(picks.points_zyx[rows] - old.points_zyx[rows_of_old], axis=1)
    known = ids[distances <= TOLERANCE_VOXELS]
    is_free = ~np.isin(new.ids, np.concatenate([old.ids, picks.ids]))
    columns = [
        _columns(picks.take(~np.isin(picks.ids, known))),
        _columns(new.take(np.isin(new.ids, known) | is_free)),
    ]
    joined = {
        name: np.concatenate([part.get(name, _blank(name, part)) for part in columns])
        for name in columns[0] | columns[1]
    }
    order = np.argsort(joined[_IDS])
    changed = _with_columns(picks, {name: column[order] for name, column in joined.items()})
    return changed, len(old) - len(known)


def _columns(picks: Picks) -> dict[str, NDArray[Any]]:
    """All columns of picks by name."""
    arrays = {name: getattr(picks, name) for name in _ARRAYS}
    columns = {name: column for name, column in arrays.items() if column is not None}
    return columns | {f"{_FEATURE}{name}": column for name, column in picks.features.items()}


def _with_columns(picks: Picks, columns: Mapping[str, NDArray[Any]]) -> Picks:
    arrays: dict[str, Any] = {name: columns[name] for name in _ARRAYS if name in columns}
    features = {
        name.removeprefix(_FEATURE): column
        for name, column in columns.items()
        if name not in arrays
    }
    return picks.changed(**arrays, features=features)


def _blank(name: str, part: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """A column without values for the picks of a part."""
    shape = (len(part[_IDS]), 3, 3) if name == "rotations_zyx" else (len(part[_IDS]),)
    return np.full(shape, _BLANKS.get(name))


def _to_json(picks: Picks) -> dict[str, Any]:
    """The type and the values of each column."""
    columns = _columns(picks)
    return {name: [column.dtype.str, plain_data(column)] for name, column in columns.items()}


def _of_json(data: Mapping[str, Any]) -> Picks:
    columns = {name: np.array(values, dtype) for name, (dtype, values) in data.items()}
    return _with_columns(_NO_PICKS, columns)
