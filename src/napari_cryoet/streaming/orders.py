"""From what is looked at to what is sent for: the runs that bring what is lacking, nearest to the middle first."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cryoet.streaming.block_keys import block_of
from napari_cryoet.streaming.geometry import Box, intersect
from napari_cryoet.streaming.plan import plan
from napari_cryoet.streaming.thin import thin_runs
from napari_cryoet.streaming.wishes import Priority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cryoet.streaming.failures import Failures
    from napari_cryoet.streaming.line import Line
    from napari_cryoet.streaming.pace import Pace
    from napari_cryoet.streaming.plan import Motion, View, Want
    from napari_cryoet.streaming.stock import Stock
    from napari_cryoet.streaming.wishes import Run

_LARGEST_BACKGROUND_BYTES = 96 * 2**20
_REQUEST_BYTES = 2**20  # decoded; larger requests would keep the line from what is looked at next


@dataclass(frozen=True, slots=True)
class Orders:
    """What is sent for, given what is in memory, what failed lately, and how somebody moves."""

    stock: Stock
    failures: Failures
    pace: Pace

    def runs(
        self, view: View, target: int, motion: Motion | None, *, line: Line, thin: View | None
    ) -> Iterator[tuple[Priority, Run]]:
        """The runs for what is worth fetching of a view; see `plan`.

        Parameters
        ----------
        view, target, motion
            What is looked at, the level that is fetched for it, and how it moves.
        line
            What they come over.
        thin
            Of which only what it cuts out of blocks is brought. Then nothing beside it is: whole blocks would drive it
            out, where memory doesn't hold its own.
        """
        pyramid, memory = self.stock.pyramid, self.stock.memory
        wants = plan(
            pyramid,
            view,
            target,
            motion,
            needs_coarse=not self.stock.has_coarser(view),
            largest_background_bytes=min(_LARGEST_BACKGROUND_BYTES, memory.limit_bytes // 4),
            is_late=self.pace.is_late,
            is_far=self.pace.is_far,
            bytes_per_s=line.bytes_per_s,
            request_bytes=line.request_bytes(),
        )
        for want in wants:
            if want.is_table:
                tables = pyramid.tables(want.level, want.box)
                yield from ((want.priority, run) for run in tables if run.keys[0] not in memory)
                continue
            is_beside = thin is not None and want.level == thin.level and want.priority > Priority.VIEW
            cut = _cut(want, thin)
            if cut is not None or not is_beside:
                yield from ((want.priority, run) for run in self._runs_for(want.level, want.box, cut))

    def _runs_for(self, level: int, box: Box, cut: Box | None) -> list[Run]:
        """The runs that bring what a box lacks, nearest to its middle first, or what a plane cuts out of that."""
        pyramid, now = self.stock.pyramid, time.monotonic()
        lacking = self.stock.lacking(level, box)
        missing = [key[2] for key in lacking if not self.failures.is_recent(key, now)]
        middle = [(start + stop) / 2 for start, stop in box]

        def distance(run: Run) -> float:
            place = pyramid.grid(level).box(block_of(run.keys[0]))
            return max(abs((start + stop) / 2 - m) for (start, stop), m in zip(place, middle, strict=True))

        if cut is not None:
            runs = thin_runs(pyramid, level, missing, cut, longest_bytes=_REQUEST_BYTES)
        else:
            runs = pyramid.runs(level, missing, longest_bytes=_REQUEST_BYTES)
        return sorted(runs, key=distance)


def _cut(want: Want, thin: View | None) -> Box | None:
    """The plane that is cut out of the blocks of a want, where it is that plane or a part of it."""
    is_part = thin is not None and want.level == thin.level and intersect(want.box, thin.box) == want.box
    return thin.box if thin is not None and is_part else None
