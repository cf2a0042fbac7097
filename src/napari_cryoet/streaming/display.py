"""Arrays that a viewer can slice without waiting: exact where blocks are in memory, coarse elsewhere.

A viewer slices `Display.levels` like any arrays and gets the best picture in memory at once.
Missing blocks are fetched in the order of `plan`; ``on_change`` tells the viewer to slice again.
"""

from __future__ import annotations

import math
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cryoet.exceptions import CryoETError, StreamError
from napari_cryoet.streaming.compose import compose, missing_keys
from napari_cryoet.streaming.engine import Bandwidth, Priority, Want
from napari_cryoet.streaming.grid import (
    Box,
    PlanePosition,
    box_shape,
    cut_part,
    plane_of,
    whole_box,
)
from napari_cryoet.streaming.plan import (
    RUN_BYTES,
    Motion,
    PlannedPart,
    View,
    affordable_level,
    blocks_passed,
    kept_bytes,
    motion_between,
    plan,
)

if TYPE_CHECKING:
    import asyncio

    from napari_cryoet.streaming.chunks import Block
    from napari_cryoet.streaming.memory import Key
    from napari_cryoet.streaming.pyramid import Pyramid

_LARGEST_VIEW_BYTES = 256 * 2**20
_SETTLE_S = 0.004  # one move of a slider may send several steps
_COSTLY_SETTLE_S, _COSTLY_BYTES = 0.1, 32 * 2**20  # large views are fetched once the view is still
_FAILED_S = 10.0  # before a failed block is requested again, unless you press Retry


@dataclass(frozen=True, slots=True)
class DisplayState:
    """How complete the picture is.

    Attributes
    ----------
    is_exact
        Whether the last picture of the view was exact everywhere.
    missing_blocks
        How many blocks of the view are missing.
    is_limited
        Whether a part of the view is shown at a coarser level, because its exact values would cost too much or
        were left out.
    is_partial
        Whether the file leaves out exact values of the view.
    full_bytes
        The estimated download for the exact view, if it is limited; else 0.
    bytes_read
        How many bytes have been read from the source.
    error
        Why a part of the view couldn't be read, or None.
    is_stopped
        Whether fetching was stopped or paused.
    """

    is_exact: bool = False
    missing_blocks: int = 0
    is_limited: bool = False
    is_partial: bool = False
    full_bytes: int = 0
    bytes_read: int = 0
    error: CryoETError | None = None
    is_stopped: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether the picture stays as it is unless you ask for more."""
        return (
            self.is_exact or self.error is not None or (self.is_limited and not self.missing_blocks)
        )


class Display:
    """A picture of a pyramid that never waits.

    Parameters
    ----------
    pyramid
        The image to show.
    on_change
        Called on another thread when a better picture is available or the state changed.
    placeholder
        The value of voxels that aren't known yet; by default the fill value.
    is_held
        Don't fetch until `release`.

    Attributes
    ----------
    levels
        Array-likes, finest first. Slicing one makes that slice the view.
    overviews
        The same, but slicing one fetches nothing.
    is_blank
        Whether the last picture of the view is all placeholder.
    """

    def __init__(
        self,
        pyramid: Pyramid,
        *,
        on_change: Callable[[], None] | None = None,
        placeholder: float | None = None,
        is_held: bool = False,
    ) -> None:
        self.pyramid, self.image = pyramid, pyramid.image
        self.on_change = on_change or (lambda: None)
        self.placeholder = placeholder if placeholder is not None else pyramid.fill_value
        self.is_blank = False
        self.levels = tuple(
            DisplayLevel(self, level, is_view=True) for level in range(len(pyramid.shapes))
        )
        self.overviews = tuple(
            DisplayLevel(self, level, is_view=False) for level in range(len(pyramid.shapes))
        )
        self._engine = pyramid.engine
        self._usual_view_bytes = min(_LARGEST_VIEW_BYTES, self._engine.memory.limit_bytes // 2)
        self._chosen_view_bytes: int | None = None
        self._is_held, self._prefetches = is_held, not is_held
        self._is_stopped = self._is_paused = self._is_closed = False
        # the view, on the viewer's thread
        self._view: View | None = None
        self._full_view: View | None = None  # shown in full, whatever it costs
        self._foreseen: View | None = None
        self._is_exact = False
        self._latest: tuple[int, Box, weakref.ref[Block]] | None = (
            None  # the last picture of the view
        )
        # its requests, on the loop thread
        self._planned_view: View | None = None
        self._motion: Motion | None = None
        self._moved_at = -math.inf
        self._awaited: set[Key] = set()  # blocks that would improve the picture
        self._arrived: set[Key] = set()  # awaited blocks that have arrived for this view
        self._evicted = 0  # how many of these were evicted again
        self._arrivals = 0  # how often blocks of the image arrived
        self._incomplete_at: int | None = (
            None  # arrivals before the last picture, if that was incomplete
        )
        self._failed: dict[Key, tuple[float, CryoETError]] = {}
        self._retried_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._notification: asyncio.Handle | None = None

    @property
    def usual_view_bytes(self) -> int:
        """The limit of decoded bytes in a view, ignoring the data saver."""
        return (
            self._usual_view_bytes if self._chosen_view_bytes is None else self._chosen_view_bytes
        )

    @property
    def largest_view_bytes(self) -> int:
        """The limit of decoded bytes in a view; half of it for planes across the blocks.

        Larger views are shown at a coarser level. 0 keeps views coarse, as the data saver does.
        Setting it applies to the current view at once; None restores the usual limit.
        """
        is_coarse = self._chosen_view_bytes is None and self.pyramid.stays_coarse
        return 0 if is_coarse else self.usual_view_bytes

    @largest_view_bytes.setter
    def largest_view_bytes(self, largest_bytes: int | None) -> None:
        if largest_bytes != self._chosen_view_bytes:
            self._chosen_view_bytes = largest_bytes
            self._start_over()

    @property
    def state(self) -> DisplayState:
        """How complete the picture of the current view is."""
        missing, view = self._missing(), self._view
        is_limited = is_partial = False
        if view is not None:
            is_limited = self._target(view)[0] != view.level
            is_partial = self.image.levels[view.level].leaves_out(view.box)
        errors = [self._failed[key][1] for key in missing if key in self._failed]
        full_bytes = 0
        if is_limited and view is not None and plane_of(view.box) is not None and not is_partial:
            full_bytes = self.image.wire_bytes(
                view.level, self.image.size_bytes(view.level, view.box)
            )
        return DisplayState(
            is_exact=self._is_exact,
            missing_blocks=len(missing),
            is_limited=is_limited or is_partial,
            is_partial=is_partial,
            full_bytes=full_bytes,
            bytes_read=self.pyramid.bytes_read,
            error=self.image.error or next(iter(errors), None) or self._does_not_fit(),
            is_stopped=self._is_stopped or self._is_paused,
        )

    @property
    def has_all(self) -> bool:
        """Whether all blocks that the view needs are in memory."""
        return not self._missing()

    def picture(self, level: int, box: Box, *, is_view: bool = True) -> Block:
        """The best available picture of a box of a level; ``is_view`` makes that box the view."""
        stored, arrivals = self.pyramid.stored_box(box), self._arrivals
        if not is_view and self._latest is not None and self._latest[:2] == (level, stored):
            # napari makes a thumbnail after each picture; composing a volume again would take long
            latest, self._latest = self._latest[2](), None
            if latest is not None:
                return self.pyramid.from_stored(latest)
        picture = compose(self.image, self._engine.memory, level, stored, self.placeholder)
        if is_view:
            self._view = View(level, stored)
            self._latest = level, stored, weakref.ref(picture.values)
            self._is_exact, self.is_blank = not picture.missing, picture.is_blank
            self._engine.call(
                self._record_picture,
                self._view,
                time.monotonic(),
                arrivals if picture.missing else None,
            )
        return self.pyramid.from_stored(picture.values)

    def foresee(self, level: int, box: Box) -> None:
        """Fetch the first view early, while held; ``box`` is start and stop on each axis."""
        self._foreseen = View(level, self.pyramid.stored_box(box))
        self._engine.call(self._plan)

    def load_in_full(self) -> None:
        """Fetch the current plane in full, whatever it costs, until the view changes.

        Has no effect on volumes, which `largest_view_bytes` limits.
        """
        if self._view is not None and plane_of(self._view.box) is not None:
            self._full_view = self._view
            self._start_over()

    def release(self, *, ahead: bool = True) -> None:
        """Start fetching; without ``ahead``, prefetch only once the view moves."""
        self._is_held, self._prefetches = False, ahead
        self._engine.call(self._plan)

    def stop(self) -> None:
        """Fetch nothing until `retry`; blocks in memory are still shown."""
        self._is_stopped = True
        self._start_over()

    def retry(self) -> None:
        """Resume after `stop` and fetch failed blocks again."""
        self._is_stopped = False
        self._start_over()

    def pause(self) -> None:
        """Fetch nothing until `resume`, which doesn't undo a `stop`."""
        self._is_paused = True
        self._start_over()

    def resume(self) -> None:
        """Resume after `pause` and fetch failed blocks again."""
        if self._is_paused:
            self._is_paused = False
            self._start_over()

    def close(self) -> None:
        """Stop fetching and reporting for good."""
        self._is_closed = True
        self.on_change = lambda: None
        self._engine.call(self._plan)

    def _start_over(self) -> None:
        """Clear failures and plan again."""

        def start_over() -> None:
            self._failed.clear()
            self._retried_at = self._engine.loop.time()
            self._arrived.clear()
            self._evicted = 0
            self._plan()
            self._notify_soon()

        self._engine.call(start_over)

    # choosing blocks for a view

    def _target(self, view: View) -> tuple[int, Box]:
        """The level to fetch for a view, and the box of the view there."""
        level = view.level
        if view != self._full_view:
            level = affordable_level(self.image, view, self.largest_view_bytes)
        return level, self.image.box_at(view.level, view.box, level)

    def _plane(self, level: int, box: Box) -> PlanePosition | None:
        """The plane to keep of each block, if whole blocks would take too much memory."""
        plane, limit = plane_of(box), self._engine.memory.limit_bytes
        is_cut = kept_bytes(self.image, level, box, is_cut=False) > limit // 2
        is_cut |= (
            self._evicted > self.image.levels[level].grid.count(box) // 4
        )  # other blocks evict them
        return plane if is_cut else None

    def _missing(self) -> list[Key]:
        """The missing blocks of the view."""
        if self._view is None:
            return []
        memory = self._engine.memory
        boxes = self.image.shown_boxes(*self._target(self._view))
        return [key for each in boxes for key in missing_keys(self.image, memory, *each)]

    def _does_not_fit(self) -> StreamError | None:
        """An error if the blocks of the view would keep evicting each other."""
        if self._view is None:
            return None
        (target, box), limit = self._target(self._view), self._engine.memory.limit_bytes
        is_cut = self._plane(target, box) is not None
        is_thrashing = self._evicted > 2 * self.image.levels[target].grid.count(box) + 2
        if not is_thrashing and kept_bytes(self.image, target, box, is_cut=is_cut) <= limit:
            return None
        message = (
            f"This view needs more than the {limit / 1e6:,.0f} MB of memory that pixels may use."
        )
        return StreamError(message, hint="Look at a plane, a smaller part or a coarser level.")

    # on the loop thread

    def _record_picture(self, view: View, at: float, incomplete_at: int | None) -> None:
        """Record the last picture.

        ``incomplete_at`` counts the arrivals before it if it was incomplete, else None.
        """
        self._incomplete_at = incomplete_at
        if view != self._planned_view:
            before = None if self._is_held else self._planned_view  # a held viewer still moves
            self._motion = motion_between(before, view, self._motion, at - self._moved_at)
            self._planned_view, self._moved_at = view, at
            self._arrived, self._evicted = set(), 0
            if not self._is_held:
                self._plan_after(_SETTLE_S)
        elif incomplete_at is not None and not self._awaited:  # its blocks were evicted
            self._plan_after(_SETTLE_S)

    def _plan_after(self, after_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._engine.hold(self)  # what isn't sent yet may be outdated
        self._timer = self._engine.loop.call_later(after_s, self._plan)

    def _plan(self) -> None:
        """Replace the wants of this display in the engine."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_closed:
            self._engine.forget(self)
            return
        view = self._foreseen if self._is_held else self._planned_view
        if (
            view is None
            or self._is_stopped
            or self._is_paused
            or self.image.error
            or self._does_not_fit()
        ):
            self._awaited = set()
            self._engine.want(self, ())
            self._engine.cancel_unwanted(self.image)
            return
        (target, box), motion, still_for_s = (
            self._target(view),
            self._motion,
            time.monotonic() - self._moved_at,
        )
        again_s = motion.still_after_s if motion is not None else 0.0
        if motion is not None and still_for_s >= again_s:
            motion = Motion(motion.axis, motion.sign)
        bandwidth = self._engine.bandwidth(self.image)
        wants = every_want = list(self._wants(view, target, motion, bandwidth))
        is_alone = view == self._full_view  # you asked for the bytes of this plane only
        if self._is_held or is_alone or (motion is None and not self._prefetches):
            wants = [want for want in wants if want.priority <= Priority.VIEW]
        elif self.image.size_bytes(target, box) > _COSTLY_BYTES:
            again_s = max(again_s, _COSTLY_SETTLE_S)
            if still_for_s < again_s:
                wants = [want for want in wants if want.priority < Priority.VIEW]
        if motion is not None and blocks_passed(
            self.image, view, target, motion, bandwidth.usual_s
        ):
            wants = [want for want in wants if want.priority != Priority.VIEW]
        visible = [want for want in every_want if want.priority <= Priority.VIEW]
        self._awaited = {key for want in visible for key in want.keys(self.image.owner)}
        self._evicted += len(self._awaited & self._arrived)
        self._arrived -= self._awaited
        if self._incomplete_at not in {None, self._arrivals}:
            self._notify_soon()  # blocks arrived while the picture was made
        self._engine.want(self, wants, in_flight=every_want)
        if still_for_s < again_s:
            self._timer = self._engine.loop.call_later(again_s - still_for_s, self._plan)

    def _wants(
        self, view: View, target: int, motion: Motion | None, bandwidth: Bandwidth
    ) -> Iterator[Want]:
        image, memory = self.image, self._engine.memory
        coarser = range(view.level + 1, len(image.levels))
        boxes = [(level, image.box_at(view.level, view.box, level)) for level in coarser]
        parts = plan(
            image,
            view,
            target,
            motion,
            bandwidth.bytes_per_s,
            axes=self.pyramid.stored_axes,
            needs_coarse=all(missing_keys(image, memory, *each) for each in boxes),
            memory_bytes=memory.limit_bytes,
            answer_s=bandwidth.usual_s,
        )
        for part in parts:
            if part.is_table:
                chunks = image.levels[part.level].grid.chunks(part.box)
                wants = (Want(part.priority, part.level, (), table=chunk) for chunk in chunks)
                yield from (want for want in wants if want.keys(image.owner)[0] not in memory)
            else:
                yield from self._wants_of(part, target)

    def _wants_of(self, part: PlannedPart, target: int) -> list[Want]:
        """Wants for the missing blocks of a part, or for a plane of them."""
        image, now = self.image, time.monotonic()
        plane = self._plane(part.level, part.box) if part.level == target else None
        if plane is not None and part.priority > Priority.VIEW:
            return []  # prefetched whole blocks would evict the view
        missing = missing_keys(image, self._engine.memory, part.level, part.box)
        blocks = [
            key[2] for key in missing if now - self._failed.get(key, (-math.inf,))[0] >= _FAILED_S
        ]
        return [
            Want(part.priority, part.level, run, plane)
            for run in image.runs(part.level, blocks, RUN_BYTES)
        ]

    def blocks_arrived(self, keys: Sequence[Key]) -> None:
        """Blocks are in memory; see `engine.Viewer`."""
        if not keys or keys[0][0] != self.image.owner:
            return
        self._arrivals += 1
        for key in keys:
            self._failed.pop(key[:3], None)
        if not self._awaited.isdisjoint(keys):
            self._arrived.update(self._awaited.intersection(keys))
            self._awaited.difference_update(keys)
            self._notify_soon()

    def blocks_failed(self, keys: Sequence[Key], error: CryoETError, requested_at: float) -> None:
        """Blocks could not be read; see `engine.Viewer`."""
        if requested_at < self._retried_at:
            self._plan_after(_SETTLE_S)
        elif (self.image.error is not None and not keys) or not self._awaited.isdisjoint(keys):
            self._failed.update(dict.fromkeys((key[:3] for key in keys), (time.monotonic(), error)))
            self._notify_soon()

    def _notify_soon(self) -> None:
        if self._notification is None:
            self._notification = self._engine.loop.call_soon(self._notify)

    def _notify(self) -> None:
        self._notification = None
        try:
            if not self._is_closed:
                self.on_change()
        except Exception:  # noqa: BLE001 - an error in the viewer must not stop the loop
            threading.excepthook(
                threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread()))
            )


class DisplayLevel:
    """One level of a display, or a part of it, as a lazy array-like.

    Integers, slices without steps and ``...`` stay lazy; any other index computes the values.
    """

    def __init__(
        self,
        display: Display,
        level: int,
        *,
        is_view: bool,
        box: Box | None = None,
        kept: tuple[int, ...] | None = None,
    ) -> None:
        self._display, self._level, self._is_view = display, level, is_view
        shape = display.pyramid.shapes[level]
        self._box = box if box is not None else whole_box(shape)
        self._kept = kept if kept is not None else tuple(range(len(shape)))
        self.dtype = display.pyramid.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in voxels."""
        sizes = box_shape(self._box)
        return tuple(sizes[axis] for axis in self._kept)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._kept)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        """A lazy part."""
        cut = cut_part(self._box, self._kept, index)
        if cut is None:
            return np.asarray(self)[index]
        return DisplayLevel(
            self._display, self._level, is_view=self._is_view, box=cut[0], kept=cut[1]
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Block:
        """The best picture available now; never waits. Raises ValueError with ``copy=False``."""
        if copy is False:
            raise ValueError("a picture is always a new array: copy=False isn't possible")
        if not all(box_shape(self._box)):
            return np.empty(self.shape, dtype or self.dtype)
        values = self._display.picture(self._level, self._box, is_view=self._is_view).reshape(
            self.shape
        )
        if copy:
            return np.array(values, dtype)  # the picture may be shared or read-only
        return values if dtype is None else values.astype(dtype, copy=False)
