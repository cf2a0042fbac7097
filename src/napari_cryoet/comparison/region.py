"""The part of a tomogram that is compared: a slab or a box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final

import numpy as np

from napari_cryoet.picks import Picks
from napari_cryoet.wording import joined, nm_text

#: Start and end in ångström; None for everything.
Span = tuple[float, float] | None
#: Start and end along z, y, x in ångström; the end is excluded.
Region = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

_EVERYTHING: Final = (-math.inf, math.inf)


def region_of(spans: Sequence[Span]) -> Region:
    """A region of up to three spans along z, y, x; missing ones are unlimited.

    ValueError if one is empty.
    """
    z, y, x = (span or _EVERYTHING for _, span in zip_longest("zyx", spans))
    for start, end in (z, y, x):
        if not start < end:
            raise ValueError(f"a region must end after its start, not {start:g} to {end:g}")
    return z, y, x


def region_text(region: Region) -> str:
    """The limited axes of a region: ``z 20 nm to 80 nm``."""
    limited = zip("zyx", region, strict=True)
    spans = (
        f"{axis} {nm_text(start)} to {nm_text(end)}"
        for axis, (start, end) in limited
        if (start, end) != _EVERYTHING
    )
    return joined(*spans)


def picks_within(picks: Picks, region: Region) -> Picks:
    """The picks in a region."""
    starts, ends = np.array(region).T
    positions = picks.positions_angstrom_zyx
    is_inside = ((positions >= starts) & (positions < ends)).all(axis=1)
    if is_inside.all():
        return picks
    return picks.take(is_inside, f"kept those within {region_text(region)}")
