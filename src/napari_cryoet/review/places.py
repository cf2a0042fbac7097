"""Where picks are, where they were when they were opened, and which places are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.picks import Picks
from napari_cryoet.review.spots import numbers_at

MOVED_VOXELS: Final = 0.5  # a pick that was moved farther is another one
SAME_VOXELS: Final = 0.005  # so far from a place something may be that is there
MOST_FORMER: Final = 12  # places that are remembered of a pick, beside the one where it is

#: Picks as they were when they were opened, and as they were in sessions before, the latest first.
Former = Picks | Sequence[Picks] | None


def states_of(opened: Former) -> tuple[Picks, ...]:
    """The picks as they were when they were opened, and as they were before."""
    return () if opened is None else (opened,) if isinstance(opened, Picks) else tuple(opened)


def positions_of(picks: Picks) -> tuple[NDArray[np.float64], str]:
    """Where picks are, and the unit of that: in voxels where nobody knows how wide these are."""
    if picks.spacing_angstrom is None:
        return picks.points_zyx, "voxel"
    return picks.positions_angstrom_zyx, "angstrom"


def same_place(picks: Picks) -> float:
    """How far from a place something may be that is there."""
    return SAME_VOXELS * (picks.spacing_angstrom or 1.0)


def width_when_opened(picks: Picks, opened: Picks) -> float:
    """Of the voxels that opened picks are counted in; that of picks now where nobody knew it then."""
    if picks.spacing_angstrom is None:
        return 1.0  # as places are kept then
    return opened.spacing_angstrom or picks.spacing_angstrom


def former_places(picks: Picks, opened: Picks) -> NDArray[np.float64] | None:
    """Where picks were when they were opened, NaN for those that weren't moved since; None where none was."""
    if opened is picks or not len(opened) or not len(picks):
        return None
    if picks.points_zyx is opened.points_zyx and picks.spacing_angstrom == opened.spacing_angstrom:
        return None  # states of the same picks share what they have in common
    at, was_there = find(opened.ids, picks.ids)
    width = picks.spacing_angstrom or 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        places = opened.points_zyx[at] * width_when_opened(picks, opened)
        beyond = np.abs(picks.points_zyx * width - places).max(axis=1)
        is_moved = was_there & (beyond > SAME_VOXELS * width)
    return np.where(is_moved[:, None], places, np.nan) if is_moved.any() else None


def different_places(columns: Sequence[NDArray[np.float64]], count: int, reach: float) -> NDArray[np.float64]:
    """Former places of some picks, each once, the latest first, and NaN behind them; a new array."""
    if not columns:
        return np.full((count, 3), np.nan)
    stacked = np.full((count, len(columns), 3), np.nan)
    for number, column in enumerate(columns):
        with np.errstate(over="ignore", invalid="ignore"):
            beyond = np.abs(stacked[:, :number] - column[:, None]).max(axis=2)
        is_known = (beyond <= reach).any(axis=1)
        stacked[~is_known, number] = column[~is_known]
    order = np.argsort(np.isnan(stacked[:, :, 0]), axis=1, kind="stable")
    ordered = np.take_along_axis(stacked, order[:, :, None], axis=1)[:, :MOST_FORMER]
    return ordered.reshape(count, 3 * ordered.shape[1])


def numbers_on(places: NDArray[np.float64], picks: Picks, opened: Picks) -> NDArray[np.intp]:
    """On how many of the picks that were opened each of some others is."""
    with np.errstate(over="ignore"):
        return numbers_at(places, opened.points_zyx * width_when_opened(picks, opened), same_place(picks))


def find(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where each wanted id stands among others, and whether it does."""
    order = np.argsort(ids)
    at = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(order) - 1)]
    return at, np.asarray(ids[at] == wanted)
