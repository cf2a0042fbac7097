"""What pictures want to be fetched, most important first, and whose turn it is among those that want as urgently."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Hashable, Iterable, Sequence

    from napari_cryoet.exceptions import CryoETError

Block = npt.NDArray[np.generic]


class Priority(IntEnum):
    """Why a picture wants a block; smaller comes first."""

    FIRST_SIGHT = 0
    COARSE = 1  # the rest of something coarse, of which enough comes at first sight to be seen everywhere
    VIEW = 2
    AHEAD = 3
    BACKGROUND = 4


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Blocks that are best fetched together.

    Attributes
    ----------
    keys
        One for each block, unique in the process.
    load
        Reads some of these blocks, blocking, and gives up with StoppedError when the event is set.
    wire_bytes
        About how much each of them takes on its way here.
    line
        Which way they come; what is known of its speed is known of all runs that name the same.
    is_kept
        Whether blocks stay in memory also where no picture wants them.
    is_placed
        Whether loading them puts them where whoever waits for them wants them, who then is given none.
    along
        The keys of what comes along with a block, and can be loaded with it for others.
    url
        Of what they are blocks, for messages; empty where nobody says.
    """

    keys: tuple[Hashable, ...]
    load: Callable[[tuple[Hashable, ...], threading.Event], dict[Hashable, Block]]
    wire_bytes: int = 0
    line: Hashable = None
    is_kept: bool = True
    is_placed: bool = False
    along: Callable[[Hashable], Iterable[Hashable]] | None = None
    url: str = ""


def staggered(runs: Sequence[tuple[Priority, Run]], at_once: int) -> list[tuple[Priority, Run]]:
    """Runs of which the first don't all end together.

    Requests that begin together, are of one size and share a line end together, and then the line is empty until the
    next ones are answered. Where more are wanted than can be sent at once, every other one of those is cut in two, and
    the second halves are sent after all of these.
    """
    if len(runs) <= at_once:
        return list(runs)
    first, halves = [], []
    for number, (priority, run) in enumerate(runs[:at_once]):
        middle = (len(run.keys) + 1) // 2
        cut = middle if number % 2 else len(run.keys)
        first.append((priority, replace(run, keys=run.keys[:cut])))
        if run.keys[cut:]:
            halves.append((priority, replace(run, keys=run.keys[cut:])))
    return [*first, *halves, *runs[at_once:]]


def looked_at(runs: Iterable[tuple[Priority, Run]]) -> list[tuple[Priority, Run]]:
    """Those that bring what somebody looks at, without what comes into view later."""
    return [(priority, run) for priority, run in runs if priority <= Priority.VIEW]


class Wanter(Protocol):
    """Someone who wants blocks and is told, on any thread, what became of them."""

    def blocks_arrived(self, keys: Sequence[Hashable]) -> None:
        """These blocks are in the cache now."""

    def blocks_failed(self, keys: Sequence[Hashable], error: CryoETError) -> None:
        """These blocks could not be had."""


class Planner(Wanter, Protocol):
    """Someone who can be asked again and again what they want."""

    def plan(self) -> None:
        """Say to the fetcher what is wanted now; called on one of its threads."""


@dataclass(slots=True)
class _Wish:
    """What one picture wants, most important first."""

    runs: deque[tuple[Priority, Run]] = field(default_factory=deque)
    keys: set[Hashable] = field(default_factory=set)
    served_at: float = 0.0
    ask_at: float | None = None  # when to ask what is wanted then
    is_asked: bool = False  # by a thread just now
    is_outdated: bool = False  # nothing of it is sent before it was asked

    @property
    def asks_at(self) -> float:
        """When to ask; never while that is being done: the older of two answers might come last, and count."""
        return math.inf if self.ask_at is None or self.is_asked else self.ask_at


class Wishes:
    """One wish a picture. Not safe to use from several threads at once."""

    def __init__(self) -> None:
        self._wishes: dict[Wanter, _Wish] = {}
        self._planners: dict[Wanter, Planner] = {}
        self._chosen = _Wish()

    def set(
        self, wanter: Wanter, runs: Iterable[tuple[Priority, Run]], under_way: Iterable[tuple[Priority, Run]] = ()
    ) -> None:
        """Replace what a picture wants; ``under_way`` it wants only if that is on its way already."""
        wish = self._wishes.setdefault(wanter, _Wish())
        wish.runs = deque(runs)
        wish.keys = {key for _, run in (*wish.runs, *under_way) for key in run.keys}

    def clear(self, wanter: Wanter) -> None:
        """Have a picture want nothing; one that is forgotten stays so."""
        if wanter in self._wishes:
            self.set(wanter, ())

    def ask(self, planner: Planner, at: float, *, is_outdated: bool) -> None:
        """Have a picture asked at a time; ``is_outdated`` if what it wanted until then is not to be sent."""
        wish = self._wishes.setdefault(planner, _Wish())
        self._planners[planner] = planner
        if is_outdated:
            wish.is_outdated, wish.ask_at = True, at
        elif wish.ask_at is None:
            wish.ask_at = at

    def next_to_ask(self, now: float) -> Planner | None:
        """A picture that is to be asked now, which is thereby noted as done; not again before it `has_answered`."""
        for wanter, wish in self._wishes.items():
            if wish.asks_at <= now:
                wish.ask_at, wish.is_outdated, wish.is_asked = None, False, True
                return self._planners[wanter]
        return None

    def has_answered(self, wanter: Wanter) -> None:
        """Note that a picture has said what it wants, and may be asked again."""
        if (wish := self._wishes.get(wanter)) is not None:
            wish.is_asked = False

    def drop(self, wanter: Wanter) -> None:
        """Forget a picture."""
        if self._wishes.pop(wanter, None) is self._chosen:
            self._chosen = _Wish()  # else it would keep what it wanted
        self._planners.pop(wanter, None)

    def wanters(self) -> list[Wanter]:
        """All pictures."""
        return list(self._wishes)

    def any_wants(self, keys: Iterable[Hashable]) -> bool:
        """Whether any of these blocks is part of any wish, sent or not."""
        keys = tuple(keys)
        return any(not wish.keys.isdisjoint(keys) for wish in self._wishes.values())

    def count(self) -> int:
        """How much there is to send or to ask."""
        return sum(len(wish.runs) + (not math.isinf(wish.asks_at)) for wish in self._wishes.values())

    def next_time(self) -> float:
        """When somebody is to be asked next."""
        return min((wish.asks_at for wish in self._wishes.values()), default=math.inf)

    def next(self, lowest: Priority, busy: Collection[Hashable] = ()) -> tuple[Priority, Run] | None:
        """The most important run that may be sent, not less important than ``lowest``; `pop` takes it out.

        None whose line is ``busy``.
        """
        ready = [
            wish
            for wish in self._wishes.values()
            if not wish.is_outdated and wish.runs and wish.runs[0][0] <= lowest and wish.runs[0][1].line not in busy
        ]
        if not ready:
            return None
        self._chosen = min(ready, key=lambda wish: (wish.runs[0][0], wish.served_at))
        return self._chosen.runs[0]

    def pop(self, served_at: float | None = None) -> None:
        """Take out what `next` gave; where it is sent, it is the others' turn then."""
        self._chosen.runs.popleft()
        if served_at is not None:
            self.serve(served_at)

    def serve(self, served_at: float) -> None:
        """Note that something of what `next` gave is sent: it is the others' turn then."""
        self._chosen.served_at = served_at
