"""One-to-one matches in a sparse graph of possible pairs: as many as can be, then at the least total cost.

The way is that of Jonker and Volgenant (1987), shortest augmenting paths: nodes are matched one after another, each
along the cheapest path of changes, and potentials keep what is matched cheapest. A search touches only what lies around
its node, never another connected part, so that a million points that have few neighbours each take seconds. scipy's two
solvers are no choice here: `linear_sum_assignment` wants a dense table, and `min_weight_full_bipartite_matching` visits
every node for every node and holds up all other threads meanwhile. The tests compare with the first.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.comparison.sorting import sorted_portions
from napari_cryoet.stopping import raise_if_stopped

_NONE: Final = -1
_VISITS_BETWEEN_LOOKS: Final = 1024
_NODES_BETWEEN_LOOKS: Final = 2**16


def cheapest_matches(
    rows_a: NDArray[np.intp],
    rows_b: NDArray[np.intp],
    costs: NDArray[np.float64],
    n_a: int,
    n_b: int,
    *,
    progress: Callable[[float], None] = lambda _share: None,
    stop: threading.Event | None = None,
) -> NDArray[np.intp]:
    """Which of the possible pairs are matches: as many as can be, and of all such choices one of the least total cost.

    Parameters
    ----------
    rows_a, rows_b, costs
        The possible pairs; costs are finite and not negative.
    n_a, n_b
        How many nodes there are on either side.
    progress
        Told the share that is done.

    Returns
    -------
    NDArray
        Numbers of pairs, rising.

    Raises
    ------
    StoppedError
        When ``stop`` is set.
    """
    if len(costs) == 0:
        return np.empty(0, dtype=np.intp)
    done, waiting = 0, [0]

    def look() -> None:
        raise_if_stopped(stop)
        progress(done / len(waiting))

    order = np.concatenate(list(sorted_portions((rows_a, costs), look)))
    look()
    graph = _Graph(rows_a[order], rows_b[order], costs[order], n_a, n_b, look=look)
    waiting = graph.take_the_obvious()
    for done, node in enumerate(waiting):  # noqa: B007 - for `look`
        graph.match(node)
    matched = np.array([pair for pair in graph.pair_of_a if pair != _NONE], dtype=np.intp)
    return np.sort(order[matched])


class _Graph:
    """Possible pairs, sorted by their node of A and then by cost, with what is matched so far.

    For every pair, ``cost - potential_a - potential_b`` is never negative, and zero for matches. Leaving a node of A
    alone costs more than any rearrangement can save, so as many as possible are matched. Lists, since Python reads
    single numbers of arrays slowly. ``look`` is called now and then, also in the middle of a search, which goes through
    all nodes where each has many neighbours; nothing is changed by then, so it may raise.
    """

    def __init__(
        self,
        rows_a: NDArray[np.intp],
        rows_b: NDArray[np.intp],
        costs: NDArray[np.float64],
        n_a: int,
        n_b: int,
        *,
        look: Callable[[], None],
    ) -> None:
        self._look, self._visits = look, 0
        self._starts = np.searchsorted(rows_a, np.arange(n_a + 1)).tolist()
        self._a_of: list[int] = rows_a.tolist()
        look()  # of millions of pairs, each takes a while
        self._b_of: list[int] = rows_b.tolist()
        look()
        self._costs: list[float] = costs.tolist()
        look()
        self._cost_alone = (min(n_a, n_b) + 1) * (float(costs.max()) or 1.0)
        self._potential_a = [0.0] * n_a
        self._potential_b = [0.0] * n_b
        self._a_of_b = [_NONE] * n_b
        self.pair_of_a = [_NONE] * n_a

    def take_the_obvious(self) -> list[int]:
        """Give each node of A its cheapest one of B if nobody had that before; returns those that went without."""
        waiting = []
        for a, (first, end) in enumerate(itertools.pairwise(self._starts)):
            if a % _NODES_BETWEEN_LOOKS == 0:
                self._look()
            if first == end:
                continue
            self._potential_a[a] = self._costs[first]
            if self._a_of_b[self._b_of[first]] == _NONE:
                self._match(first)
            else:
                waiting.append(a)
        return waiting

    def match(self, root: int) -> None:
        """Match one more node of A, or leave that one alone which is best left alone once this one is there."""
        found = self._search(root)
        self._potential_a[root] += found.length
        for b, length in found.settled:
            self._potential_b[b] -= found.length - length
            self._potential_a[self._a_of_b[b]] += found.length - length
        b = found.free_b
        if b == _NONE:
            if found.lonely_a == root:
                return
            b = self._b_of[self.pair_of_a[found.lonely_a]]
            self.pair_of_a[found.lonely_a] = _NONE
        while True:
            pair = found.via[b]
            a = self._a_of[pair]
            before = self.pair_of_a[a]
            self._match(pair)
            if a == root:
                return
            b = self._b_of[before]

    def _match(self, pair: int) -> None:
        self.pair_of_a[self._a_of[pair]] = pair
        self._a_of_b[self._b_of[pair]] = self._a_of[pair]

    def _search(self, root: int) -> _Path:
        """Dijkstra's way from a node of A to the cheapest end: a free node of B, or a node of A that is left alone."""
        found = _Path()
        reached: dict[int, float] = {}
        heap: list[tuple[float, int]] = []
        is_settled: set[int] = set()
        a, length = root, 0.0
        while True:
            if self._visits % _VISITS_BETWEEN_LOOKS == 0:
                self._look()
            self._visits += 1
            base = length - self._potential_a[a]
            found.end_at(base + self._cost_alone, lonely_a=a)
            for pair in range(self._starts[a], self._starts[a + 1]):
                b = self._b_of[pair]
                through = base + self._costs[pair] - self._potential_b[b]
                if through >= found.length or b in is_settled or through >= reached.get(b, math.inf):
                    continue
                reached[b], found.via[b] = through, pair
                if self._a_of_b[b] == _NONE:
                    found.end_at(through, free_b=b)
                else:
                    heappush(heap, (through, b))
            while heap and (heap[0][1] in is_settled or heap[0][0] > reached[heap[0][1]]):
                heappop(heap)
            if not heap or heap[0][0] >= found.length:
                return found
            length, b = heappop(heap)
            is_settled.add(b)
            found.settled.append((b, length))
            a = self._a_of_b[b]


@dataclass(slots=True)
class _Path:
    """The cheapest way that was found yet, and what was seen on the search for it."""

    length: float = math.inf
    free_b: int = _NONE
    lonely_a: int = _NONE
    via: dict[int, int] = field(default_factory=dict)  # for each node of B, the pair that leads to it
    settled: list[tuple[int, float]] = field(default_factory=list)

    def end_at(self, length: float, *, free_b: int = _NONE, lonely_a: int = _NONE) -> None:
        """Take an end if it is cheaper."""
        if length < self.length:
            self.length, self.free_b, self.lonely_a = length, free_b, lonely_a
