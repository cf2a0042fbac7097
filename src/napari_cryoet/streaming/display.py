"""What a viewer shows of a pyramid: arrays that never wait, and that ask for what they lack.

A viewer slices `Display.levels` as it would slice any arrays. It gets at once what is in memory. What is missing is
fetched: first something coarse everywhere, then what is looked at, then the next planes in the direction of motion,
then the whole coarsest level, so that no plane need ever be empty. It says when better ones have come: slice again.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING

from napari_cryoet.exceptions import StoppedError
from napari_cryoet.streaming.aim import Aim
from napari_cryoet.streaming.display_level import DisplayLevel
from napari_cryoet.streaming.display_state import DisplayState
from napari_cryoet.streaming.failures import Failures
from napari_cryoet.streaming.fetcher import THREADS
from napari_cryoet.streaming.geometry import Box
from napari_cryoet.streaming.orders import Orders
from napari_cryoet.streaming.pace import Pace
from napari_cryoet.streaming.picture import compose
from napari_cryoet.streaming.plan import Motion, View, affordable_level, still_after_s
from napari_cryoet.streaming.stock import Stock
from napari_cryoet.streaming.thin import plane_of
from napari_cryoet.streaming.wishes import Priority, looked_at, staggered

if TYPE_CHECKING:
    from napari_cryoet.exceptions import CryoETError
    from napari_cryoet.streaming.fetcher import Fetcher
    from napari_cryoet.streaming.paint import Paint
    from napari_cryoet.streaming.picture import Picture
    from napari_cryoet.streaming.pyramid import Pyramid
    from napari_cryoet.streaming.wishes import Block, Run

_LARGEST_VIEW_BYTES = 256 * 2**20
_SETTLE_S = 0.004  # a slider sends several steps at once
_COSTLY_SETTLE_S = 0.1  # what costs much is fetched once the view is still
_COSTLY_BYTES = 32 * 2**20


class Display:
    """A pyramid as a viewer shows it.

    Parameters
    ----------
    pyramid
        The image.
    fetcher
        Who fetches.
    on_change
        Called on any thread when the picture can get better or its state changed; not again before `state` is read
        or a picture is made, unless `has_all` is so by now. What it raises goes to `threading.excepthook`.
    placeholder
        What is shown where nothing is known yet; by default the fill value.
    is_held
        Start without fetching, until `release`.

    Attributes
    ----------
    levels
        Array-likes with the stored shapes, finest first. Slicing one makes it what is looked at.
    overviews
        The same, but slicing one asks for nothing.
    largest_view_bytes
        How many bytes of decoded blocks one view may need, half of it where most of them aren't in view; what needs
        more is shown at a coarser level. Where nobody set it, none for what comes from a server while the data saver
        leaves pictures coarse.
    paint
        What was painted over the finest level by whoever looks at it, and is shown over that.
    right_of_way
        For a viewer to take when it begins to draw, and to give back when it has drawn.
    """

    def __init__(
        self,
        pyramid: Pyramid,
        fetcher: Fetcher,
        *,
        on_change: Callable[[], None] | None = None,
        placeholder: float | None = None,
        is_held: bool = False,
    ) -> None:
        self.pyramid = pyramid
        self.on_change = on_change or (lambda: None)
        self.placeholder = placeholder if placeholder is not None else pyramid.fill_value
        self.paint: Paint | None = None
        self._default_view_bytes = min(_LARGEST_VIEW_BYTES, fetcher.memory.limit_bytes // 2)
        self._chosen_view_bytes: int | None = None
        self.levels = tuple(DisplayLevel(self, level, is_view=True) for level in range(len(pyramid.shapes)))
        self.overviews = tuple(DisplayLevel(self, level, is_view=False) for level in range(len(pyramid.shapes)))
        self._fetcher = fetcher
        self.right_of_way = fetcher.right_of_way
        self._stock = Stock(pyramid, fetcher.memory)
        self._lock = threading.RLock()
        self._is_held, self._goes_ahead = is_held, not is_held
        self._is_stopped = self._is_paused = self._is_closed = False
        self._aim, self._pace = Aim(self._stock), Pace()
        self._foreseen: View | None = None
        self._begun: View | None = None  # whose costly blocks have been asked for
        self._missing: set[Hashable] = set()
        self._stand_ins: set[Hashable] = set()  # what would make the picture better, though not exact
        self._is_exact = self._is_limited = self._is_told = self._is_blank = False
        self._latest: tuple[int, Box, weakref.ref[Block]] | None = None  # picture of what is looked at
        self._failures = Failures()
        self._orders = Orders(self._stock, self._failures, self._pace)

    @property
    def usual_view_bytes(self) -> int:
        """How many bytes a view may need, whether data are saved or not."""
        return self._default_view_bytes if self._chosen_view_bytes is None else self._chosen_view_bytes

    @property
    def largest_view_bytes(self) -> int:
        """How many bytes a view may need; setting it counts at once for what is looked at, 0 leaves it coarse."""
        is_coarse = self._chosen_view_bytes is None and self.pyramid.stays_coarse
        return 0 if is_coarse else self.usual_view_bytes

    @largest_view_bytes.setter
    def largest_view_bytes(self, largest_bytes: int) -> None:
        with self._lock:
            is_same, self._chosen_view_bytes = largest_bytes == self._chosen_view_bytes, largest_bytes
            aim = self._aim
            if aim.view is None or is_same:
                return
            before = aim.level, aim.is_thin, aim.fit.is_hopeless
            aim.take(aim.view, affordable_level(self.pyramid, aim.view, largest_bytes))
            if before == (aim.level, aim.is_thin, aim.fit.is_hopeless):
                return
        self._fetcher.ask(self, after_s=0.0)
        self.tell()

    @property
    def state(self) -> DisplayState:
        """How far the picture of what was looked at last is."""
        with self._lock:
            self._is_told = False
            errors = [*self._failures.errors_of(self._missing), *self._aim.errors()]
            return DisplayState(
                is_exact=self._is_exact,
                missing_blocks=len(self._missing),
                is_limited=self._is_limited,
                full_bytes=self._aim.full_bytes() if self._is_limited else 0,
                bytes_read=self.pyramid.bytes_read,
                error=errors[0] if errors else None,
                is_stopped=self._is_stopped or self._is_paused,
                is_unchecked=self.pyramid.is_unchecked,
            )

    @property
    def has_all(self) -> bool:
        """Whether all is there that is fetched to make the picture better: the next one is the last."""
        return not (self._missing or self._stand_ins)

    @property
    def is_blank(self) -> bool:
        """Whether the last picture of what was looked at shows nothing at all but the placeholder."""
        return self._is_blank

    def picture(self, level: int, box: Box, *, is_view: bool = True) -> Picture:
        """The best there is of a box of a level; ``is_view`` makes it what is looked at."""
        with self._lock:
            self._is_told &= not is_view
            expects_more = self._expects_more
        where = self.pyramid, self._fetcher.memory, level, box, self.placeholder
        picture = compose(*where, paint=self.paint, fills_holes=expects_more)
        if is_view:
            self._latest = level, box, weakref.ref(picture.values)
            self._look(View(level, box), picture)
            if expects_more != self._expects_more:  # as where it turned out that it never fits into memory
                return self.picture(level, box)
        return picture

    def overview(self, level: int, box: Box) -> Block:
        """The best there is of a box of a level, without making it what is looked at.

        Where that is what was looked at last, it is the same values, once: viewers make a thumbnail after each picture,
        and a volume takes long to put together.
        """
        latest, self._latest = self._latest, None
        if latest is not None and latest[:2] == (level, box) and (values := latest[2]()) is not None:
            return values
        return self.picture(level, box, is_view=False).values

    def foresee(self, level: int, box: Box) -> None:
        """Fetch what will be looked at first, though still held: a box of a level, start and stop on each axis."""
        with self._lock:
            self._foreseen = View(level, box)
        self._fetcher.ask(self, after_s=0.0)

    def load_in_full(self) -> None:
        """Fetch the exact values of a plane that is looked at, whatever they cost, until something else is looked at.

        Nothing changes where no axis of the view is one voxel thin, as of a volume: that is up to `largest_view_bytes`.
        """
        with self._lock:
            view = self._aim.view
            if view is None or self._aim.level == view.level or plane_of(view.box) is None:
                return
            self._aim.take(view, view.level)
            self._aim.keep(is_thin=True)
            self._is_limited, self._missing = False, self._aim.lacking()
        self._fetcher.ask(self, after_s=0.0)
        self.tell()

    def release(self, *, ahead: bool = True) -> None:
        """Start to fetch what is looked at; without ``ahead`` what may come next only once the view moves."""
        with self._lock:
            self._is_held, self._goes_ahead = False, ahead
        self._fetcher.ask(self, after_s=0.0)

    def stop(self) -> None:
        """Ask for nothing any more, until `retry`; what is in memory is still shown."""
        with self._lock:
            self._is_stopped = True
        self._fetcher.hang_up(self, self.pyramid.owner)
        self.tell()

    def pause(self) -> None:
        """Ask for nothing until `resume`, which does not undo a `stop`."""
        with self._lock:
            self._is_paused = True
        self._fetcher.ask(self, after_s=0.0)
        self.tell()

    def resume(self) -> None:
        """Go on after `pause`; what has failed meanwhile is asked for again."""
        with self._lock:
            if not self._is_paused:
                return
            self._is_paused = False
            self._failures.clear()
        self._fetcher.ask(self, after_s=0.0)
        self.tell()

    def retry(self) -> None:
        """Ask again for what failed or was stopped."""
        with self._lock:
            self._is_stopped = False
            self._aim.keep(is_thin=self._aim.is_thin)
            self._failures.retry(self._missing | self._stand_ins)
        self._fetcher.ask(self, after_s=0.0)
        self.tell()

    def close(self) -> None:
        """Ask for nothing and tell nothing any more; what is under way for nobody else is hung up."""
        with self._lock:
            self._is_closed = True
            self.on_change = lambda: None
        self._fetcher.hang_up(self, self.pyramid.owner)
        self._fetcher.forget(self)

    def leave(self) -> None:
        """As `close`, but hangs up nothing, and takes no lock: a garbage collector's own thread may hold one."""
        self._is_closed = True
        self.on_change = lambda: None
        self._fetcher.forget_soon(self)

    def blocks_arrived(self, keys: Sequence[Hashable]) -> None:
        """Blocks are in memory; see `fetcher.Wanter`."""
        with self._lock:
            keys = [*keys, *self._aim.wholes(keys)]
            is_news = not (self._missing.isdisjoint(keys) and self._stand_ins.isdisjoint(keys))
            was_idle = self._is_idle
            if not was_idle:  # else what comes was asked for by others, and need not be kept
                self._aim.came(self._missing.intersection(keys))
            self._missing.difference_update(keys)
            self._stand_ins.difference_update(keys)
            self._failures.mend(keys)
            gives_up = self._is_idle and not was_idle
            if is_news and self.has_all:
                self._is_told = False  # a viewer that spares itself drawings need wait no longer
        if gives_up:
            self._fetcher.ask(self, after_s=0.0)
        if is_news:
            self.tell()

    def blocks_failed(self, keys: Sequence[Hashable], error: CryoETError) -> None:
        """Blocks could not be had; see `fetcher.Wanter`."""
        if isinstance(error, StoppedError):
            return
        with self._lock:
            awaited = self._missing | self._stand_ins
            failed, is_to_repeat = self._failures.note([*keys, *self._aim.wholes(keys)], awaited, error)
        if is_to_repeat:
            self._fetcher.ask(self, after_s=0.0)
        if failed:
            self.tell()

    def begin_anew(self) -> None:
        """Take nothing for seen: it isn't in memory any more, since the image has changed."""
        with self._lock:
            self._latest = None
            self._failures.clear()
            self._aim.keep(is_thin=self._aim.is_thin)
        self.tell()

    def tell(self) -> None:
        """Say that the picture can get better or its state changed."""
        with self._lock:
            if self._is_told or self._is_closed:
                return
            self._is_told = True
            on_change = self.on_change
        try:
            on_change()
        except Exception as error:  # noqa: BLE001 - the viewer's: neither other pictures nor who waits must suffer
            where = threading.current_thread()
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, where)))

    def _look(self, view: View, picture: Picture) -> None:
        """Remember what is looked at, and ask for what it lacks."""
        with self._lock:
            aim = self._aim
            is_new = aim.view != view
            if is_new:
                before = None if self._is_held else aim.view  # a viewer that adds a layer comes to its place by and by
                self._pace.step(before, view, at=time.monotonic(), is_late=bool(self._missing))
                aim.take(view, affordable_level(self.pyramid, view, self.largest_view_bytes))
            self._is_exact, self._is_limited = picture.is_whole, aim.level != view.level
            self._is_blank = picture.is_blank
            self._missing = aim.lacking() if self._is_limited else set(picture.holes)
            if is_new:
                self._pace.began(is_lacking=bool(self._missing))
            aim.saw(self._missing)
            if self._is_held:
                return
        self._fetcher.ask(self, after_s=_SETTLE_S)

    def plan(self) -> None:
        """Say to the fetcher what is wanted now; see `wishes.Planner`. The viewer's thread is spared this."""
        if (pause_s := self.pyramid.pause_s()) > 0:
            self._fetcher.want(self, [])
            self._fetcher.ask(self, after_s=pause_s)
        else:
            self._plan()
        if self._is_closed or self._is_stopped:  # perhaps meanwhile
            self._fetcher.hang_up(self, self.pyramid.owner)
        if self._is_closed:  # else the fetcher would remember this for ever
            self._fetcher.forget(self)

    def _plan(self) -> None:
        with self._lock:
            view, motion, target = self._aim.view, self._pace.motion, self._aim.level
            still_for_s, is_held, foreseen = time.monotonic() - self._pace.moved_at, self._is_held, self._foreseen
            if self._is_closed:
                return
            if (foreseen if is_held else view) is None or self._is_idle:
                self._fetcher.want(self, [])
                return
        if is_held and foreseen is not None:
            target = affordable_level(self.pyramid, foreseen, self.largest_view_bytes)
            first = looked_at(self._runs(foreseen, target, None))
            self._fetcher.want(self, staggered(first, THREADS))  # so that something of a volume is seen early
        elif view is not None:
            self._plan_for(view, target, motion, still_for_s)

    @property
    def _expects_more(self) -> bool:
        """Whether what a picture lacks will come unasked, as far as is known."""
        is_asked_for = self._foreseen is not None or not self._is_held
        return is_asked_for and self._failures.are_none and not (self._is_idle or self._is_closed)

    @property
    def _is_idle(self) -> bool:
        return self._is_stopped or self._is_paused or self._aim.fit.is_hopeless

    def _plan_for(self, view: View, target: int, motion: Motion | None, still_for_s: float) -> None:
        again_s = still_after_s(motion)
        if motion is not None and still_for_s >= again_s:
            motion = Motion(motion.axis, motion.sign)
        runs = all_runs = list(self._runs(view, target, motion))
        if motion is None and not self._goes_ahead:
            runs = looked_at(runs)
        if self.pyramid.size_bytes(target, view.at(self.pyramid, target)) > _COSTLY_BYTES:
            again_s = max(again_s, _COSTLY_SETTLE_S)
            if still_for_s < again_s:
                runs = [(priority, run) for priority, run in runs if priority < Priority.VIEW]
            elif self._begun is not view:
                self._begun, runs = view, staggered(runs, THREADS)
        with self._lock:
            if self._aim.view is not view:
                return  # what is looked at now will be asked for
            self._stand_ins = {key for priority, run in runs if priority <= Priority.VIEW for key in run.keys}
            awaited = self._missing | self._stand_ins
        self._fetcher.want(self, runs, under_way=all_runs)
        if still_for_s < again_s:
            self._fetcher.ask(self, after_s=again_s - still_for_s, is_outdated=False)
        # what has arrived between the picture and now would be told to nobody
        here = [key for key in awaited if key in self._fetcher.memory]
        if self._aim.is_thin:
            here += self._missing - self._aim.lacking()
        self.blocks_arrived(here)

    def _runs(self, view: View, target: int, motion: Motion | None) -> Iterator[tuple[Priority, Run]]:
        return self._orders.runs(view, target, motion, line=self._fetcher.line(self.pyramid.line), thin=self._aim.thin)
