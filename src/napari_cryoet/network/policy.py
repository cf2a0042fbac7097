"""What the network may be used for: not at all (offline), or for so many bytes (data saver).

One policy holds for the whole process. Every request over http(s) obeys it, whether for metadata, pictures, pixels or
downloads, and what comes over the wire is counted. What is on this computer is not concerned.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cryoet.exceptions import WithheldError
from napari_cryoet.forks import start_afresh_in_children
from napari_cryoet.shared import made_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OFFLINE_VARIABLE = "NAPARI_CRYOET_OFFLINE"

MEGABYTE = 1_000_000

_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What keeps the network from being used freely, as one process tells it to another; see `Policy`."""

    offline: bool = False
    max_session_bytes: int | None = None
    max_minute_bytes: int | None = None

    def within(self, others: Limits) -> Limits:
        """What keeps to both."""
        return Limits(
            self.offline or others.offline,
            _smaller(self.max_session_bytes, others.max_session_bytes),
            _smaller(self.max_minute_bytes, others.max_minute_bytes),
        )


class Policy:
    """What the network may be used for; may be changed and asked from any thread, and holds from the next request on.

    Attributes
    ----------
    offline
        Send nothing: only what is kept on this computer is shown.
    max_session_bytes, max_minute_bytes
        How much may come over the wire in all, and within any minute; None for any amount. A request under way when
        the limit is reached is not cut off, if it was known before how much it brings.
    coarse_only
        Whether pictures from servers stay coarse until somebody asks for more.
    """

    def __init__(
        self,
        *,
        offline: bool = False,
        max_session_bytes: int | None = None,
        max_minute_bytes: int | None = None,
        coarse_only: bool = False,
    ) -> None:
        self.offline = offline
        self.max_session_bytes, self.max_minute_bytes = max_session_bytes, max_minute_bytes
        self.coarse_only = coarse_only
        self._received_bytes = 0
        self.start_afresh()
        start_afresh_in_children(self)
        self._recent: deque[tuple[float, int]] = deque()

    def start_afresh(self) -> None:
        """Know of no request under way; see `forks`."""
        self._lock = threading.Lock()
        self._promised_bytes = 0

    @property
    def received_bytes(self) -> int:
        """How much has come over the wire so far."""
        return self._received_bytes

    @property
    def minute_bytes(self) -> int:
        """How much has come within the last minute."""
        with self._lock:
            return self._bytes_of_last_minute()

    @property
    def limits(self) -> Limits:
        """What others are to obey who read for this process."""
        return Limits(self.offline, self.max_session_bytes, self.max_minute_bytes)

    @property
    def saves_data(self) -> bool:
        """Whether anything but offline mode keeps the network from being used freely."""
        return self.coarse_only or self.max_session_bytes is not None or self.max_minute_bytes is not None

    def require(self, wanted_bytes: int) -> None:
        """Ask whether so much may still come in this session; for work of many requests, before its first.

        Raises
        ------
        WithheldError
            Saying why not.
        """
        with self._lock:
            self.require_online()
            self._require_session(wanted_bytes)

    def begin(self, wanted_bytes: int, in_all_bytes: int = 0) -> None:
        """Ask leave for a request, and promise to `end` it.

        Parameters
        ----------
        wanted_bytes
            How much will come, 0 where unknown.
        in_all_bytes
            How much that is with what has come of it already, where all of it is needed at once.

        Raises
        ------
        WithheldError
            Saying why it may not be sent.
        """
        with self._lock:
            self.require_online()
            self._require_session(wanted_bytes)
            self._require_minute(wanted_bytes, in_all_bytes)
            self._promised_bytes += wanted_bytes

    def end(self, wanted_bytes: int, received_bytes: int) -> None:
        """Note what a request brought."""
        with self._lock:
            self._promised_bytes -= wanted_bytes
            self._received_bytes += received_bytes
            if received_bytes:
                self._forget_older_than_a_minute()  # also where no limit asks for it: a long session has many requests
                self._recent.append((time.monotonic(), received_bytes))

    @contextmanager
    def request(self, wanted_bytes: int = 0) -> Iterator[Receipt]:
        """Between `begin` and `end`: note what comes."""
        self.begin(wanted_bytes)
        receipt = Receipt(wanted_bytes, more=self.begin, late=lambda late_bytes: self.end(0, late_bytes))
        try:
            yield receipt
        finally:
            received_bytes = receipt.close()
            self.end(receipt.expected_bytes, received_bytes)

    def require_online(self) -> None:
        """Ask whether what was begun may go on.

        Raises
        ------
        WithheldError
            Where offline mode was turned on meanwhile.
        """
        if self.offline:
            raise WithheldError(
                "This isn't kept on this computer, and offline mode is on.",
                hint="Turn offline mode off to load it.",
                by="offline mode",
            )

    def _require_session(self, wanted_bytes: int) -> None:
        received = self._received_bytes
        if _is_beyond(self.max_session_bytes, received + self._promised_bytes + max(1, wanted_bytes)):
            used = _used(received, wanted_bytes)
            raise WithheldError(
                f"The data saver allows {_megabytes(self.max_session_bytes)} a session, {used}",
                hint="Allow more, or turn the data saver off.",
                by="data saver",
            )

    def _require_minute(self, wanted_bytes: int, in_all_bytes: int) -> None:
        recent = self._bytes_of_last_minute() if self.max_minute_bytes is not None else 0
        if _is_beyond(self.max_minute_bytes, recent + self._promised_bytes + max(1, wanted_bytes)):
            is_rest_too_much = in_all_bytes > wanted_bytes and _is_beyond(self.max_minute_bytes, in_all_bytes)
            used = "and this takes more than that." if is_rest_too_much else _used(recent, wanted_bytes)
            waiting_helps = not _is_beyond(self.max_minute_bytes, max(wanted_bytes, in_all_bytes))
            raise WithheldError(
                f"The data saver allows {_megabytes(self.max_minute_bytes)} a minute, {used}",
                hint=("Wait a minute, allow" if waiting_helps else "Allow") + " more, or turn the data saver off.",
                by="data saver",
            )

    def _forget_older_than_a_minute(self) -> None:
        since = time.monotonic() - _MINUTE_S
        while self._recent and self._recent[0][0] < since:
            self._recent.popleft()

    def _bytes_of_last_minute(self) -> int:
        self._forget_older_than_a_minute()
        return sum(size for _, size in self._recent)


class Receipt:
    """How much a request brought, in all its attempts; may be added to from any thread.

    Parameters
    ----------
    expected_bytes
        How much will come, 0 where unknown.
    more
        Called to ask leave for more: how much, and how much that is in all where all of it is needed at once, else 0.
    late
        Called with what comes after it was closed: from a server that was left while it was sending.
    """

    def __init__(self, expected_bytes: int, *, more: Callable[[int, int], None], late: Callable[[int], None]) -> None:
        self.expected_bytes = expected_bytes
        self._more, self._late = more, late
        self._lock = threading.Lock()
        self._received_bytes = 0
        self._is_closed = False

    def add(self, size_bytes: int) -> None:
        """Note that so much more came."""
        with self._lock:
            is_late = self._is_closed
            if not is_late:
                self._received_bytes += size_bytes
        if is_late and size_bytes:
            self._late(size_bytes)

    def expect(self, size_bytes: int, *, can_go_on: bool = False) -> None:
        """Note how much will come in all, where that wasn't known; WithheldError where it may not.

        Where the rest ``can_go_on`` later, what was expected before need not come within the same minute.
        """
        with self._lock:
            if not self._is_closed and size_bytes > self.expected_bytes:
                self._more(size_bytes - self.expected_bytes, 0 if can_go_on else size_bytes)
                self.expected_bytes = size_bytes

    def close(self) -> int:
        """What came so far."""
        with self._lock:
            self._is_closed = True
            return self._received_bytes


@made_once
def policy() -> Policy:
    """The policy of this process; offline at first where the environment says so."""
    return Policy(offline=os.environ.get(OFFLINE_VARIABLE, "") not in {"", "0"})


shared_policy = policy


def save_data(*, mb_a_minute: int = 0, mb_a_session: int = 0, coarse_only: bool = False) -> None:
    """Let this process use less of the network.

    Parameters
    ----------
    mb_a_minute, mb_a_session
        How many megabytes may come over the wire within any minute, and in all; 0 for any amount.
    coarse_only
        Show only the coarsest level of what is on a server, until somebody asks for more.

    Raises
    ------
    ValueError
        If a limit is below 0, or no number; the limits stay as they were.
    """
    for per, limit_mb in (("minute", mb_a_minute), ("session", mb_a_session)):
        if not 0 <= limit_mb < math.inf:
            raise ValueError(f"mb_a_{per} is {limit_mb}; it has to be a number of megabytes, or 0 for any amount.")
    ours = policy()
    ours.max_minute_bytes = math.ceil(mb_a_minute * MEGABYTE) or None
    ours.max_session_bytes = math.ceil(mb_a_session * MEGABYTE) or None
    ours.coarse_only = coarse_only


def _smaller(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _is_beyond(limit_bytes: int | None, size_bytes: int) -> bool:
    return limit_bytes is not None and size_bytes > limit_bytes


def _used(received_bytes: int, wanted_bytes: int) -> str:
    if wanted_bytes < MEGABYTE:
        return "and these are used up."
    return f"of which {_megabytes(received_bytes)} are used, and this takes {_megabytes(wanted_bytes)} more."


def _megabytes(size_bytes: int | None) -> str:
    return f"{(size_bytes or 0) / MEGABYTE:,.4g} MB"
