"""How fast the connection to a server is, as far as was seen: bytes a second, and how soon an answer comes.

How much comes in a second says what a line can carry only while more is asked of it than it carries; at other times it
can carry at least that.
"""

from __future__ import annotations

import math
from collections import deque

_LOCAL_S = 0.005  # what was answered sooner came over no line worth the name
_GROWTH, _ANSWERS_TO_GROW = 1.3, 10  # while the line is in use, but not full: it may have become faster
_MOST_JUDGED, _REMEMBERED = 64, 32
_ROUNDS = 2.5  # before, too much or too little of what is under way may just have come
_LONG_S = 1.0  # a line that takes so long for one round is slow, and need not be watched for more
_SMALLEST_ANSWER_SHARE = 1 / 3  # of the time that a request takes, is spent on waiting for its answer
_SHORTEST_S = 0.02
_RECONNECT_ROUND_TRIPS = 3
_SLACK_S = 0.15  # less would keep a line from being seen to carry more than it was once asked for
_SMALLEST_REQUEST_BYTES, _LARGEST_REQUEST_BYTES, _REQUESTS_THAT_FILL = 2**18, 2**22, 8


class Line:
    """What is known of the way to one server; whoever fetches says when requests begin and end.

    Parameters
    ----------
    most_requests
        How many are under way at most. It counts as full from three quarters of them on, until there are less than
        half: requests come and go.

    Attributes
    ----------
    bytes_per_s
        What it can carry, infinite as long as it was never full.
    quickest_s
        How soon an answer comes at best, lately, without the time that requests wait for each other as far as that is
        known; 0 as long as nothing was seen.
    """

    def __init__(self, most_requests: int) -> None:
        self._most_requests = most_requests
        self.bytes_per_s = math.inf
        self.quickest_s = 0.0
        self._under_way = 0
        self._judged_at = 0.0
        self._full_since: float | None = None
        self._ended: deque[tuple[float, int]] = deque()  # since it is full
        self._durations: deque[float] = deque(maxlen=_REMEMBERED)

    def began(self, now: float) -> None:
        """A request was sent."""
        if self._under_way == 0:
            self._judged_at = now
        self._under_way += 1
        if self._under_way >= self._most_requests * 3 // 4:
            self.filled(now)

    def filled(self, now: float) -> None:
        """As much is asked of the line as is ever asked."""
        if self._full_since is None:
            self._full_since = now
            self._ended.clear()

    def ended(self, now: float, size_bytes: int, duration_s: float) -> None:
        """A request was answered with so many bytes, or given up (0 bytes)."""
        self._under_way -= 1
        if size_bytes > 0 and duration_s >= _LOCAL_S:
            self._learn(now, size_bytes, duration_s)
        if self._under_way < self._most_requests // 2:
            self._full_since = None

    def _learn(self, now: float, size_bytes: int, duration_s: float) -> None:
        if self._full_since is None:
            answers = (now - self._judged_at) / max(self.quickest_s, _LOCAL_S)
            self.bytes_per_s *= _GROWTH ** min(1.0, answers / _ANSWERS_TO_GROW)
        else:
            self._ended.append((now, size_bytes))
            rounds, full_s = len(self._ended) / (self._under_way + 1), now - self._full_since
            if rounds >= _ROUNDS or (rounds >= 1 and full_s >= _LONG_S):
                if math.isinf(self.bytes_per_s):
                    self._durations.clear()  # they waited for each other, and nobody knew how long
                self.bytes_per_s = self._rate(self._full_since, now)
        queued_s = size_bytes * (self._under_way + 1) / self.bytes_per_s
        self._durations.append(max(duration_s - queued_s, duration_s * _SMALLEST_ANSWER_SHARE))
        self.quickest_s = min(self._durations)
        self._judged_at = now

    def _rate(self, full_since: float, now: float) -> float:
        """What came a second since the line is full, or lately; at first nothing comes for as long as answers take."""
        if len(self._ended) <= _MOST_JUDGED:
            since = full_since + min(self.quickest_s, (now - full_since) / 4)
            return sum(size for _, size in self._ended) / max(_SHORTEST_S, now - since)
        while len(self._ended) > _MOST_JUDGED + 1:
            self._ended.popleft()
        since = self._ended[0][0]
        return sum(size for at, size in self._ended if at > since) / max(_SHORTEST_S, now - since)

    @property
    def request_bytes(self) -> int:
        """How large requests should be to fill the line, when several are under way."""
        if math.isinf(self.bytes_per_s):
            return _SMALLEST_REQUEST_BYTES
        fair = round(self.bytes_per_s * self.quickest_s / _REQUESTS_THAT_FILL)
        return max(_SMALLEST_REQUEST_BYTES, min(_LARGEST_REQUEST_BYTES, fair))

    def may_carry_more(self, bytes_under_way: int, size_bytes: int) -> bool:
        """Whether a request more keeps the line from what is more urgent for no longer than an answer takes."""
        return bytes_under_way == 0 or bytes_under_way + size_bytes <= self.bytes_per_s * (self.quickest_s + _SLACK_S)

    def saves_by_hanging_up(self, age_s: float, size_bytes: int) -> bool:
        """Whether giving up a request of that age and size frees the line for longer than a new connection takes."""
        if not self._durations or math.isinf(self.bytes_per_s):
            return False
        share = self.bytes_per_s / max(1, self._under_way)
        left_s = size_bytes / share - max(0.0, age_s - self.quickest_s)
        return left_s > _RECONNECT_ROUND_TRIPS * self.quickest_s
