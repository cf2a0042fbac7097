"""What the network may be used for: nothing (offline mode), or so many bytes (the data saver).

One policy holds for the whole process. Every request obeys it, whether for metadata, pictures, pixels or downloads, and
what comes is counted. What is on this computer is not concerned.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from napari_cryoet.exceptions import WithheldError

OFFLINE_VARIABLE: Final = "NAPARI_CRYOET_OFFLINE"
MEGABYTE: Final = 1_000_000

_MINUTE_S = 60.0


class Policy:
    """What the network may be used for. It may be changed from any thread, and holds from the next request on.

    Attributes
    ----------
    offline
        Send nothing: only what is kept on this computer is shown.
    max_session_bytes, max_minute_bytes
        How much may come in all, and within any minute; None for any amount. A request under way when the limit is
        reached is not cut off if its size was known before.
    coarse_only
        Whether pictures from servers stay coarse until you ask for more.
    received_bytes
        How much has come so far.
    """

    def __init__(
        self, *, offline: bool = False, max_session_bytes: int | None = None, max_minute_bytes: int | None = None
    ) -> None:
        self.offline, self.coarse_only = offline, False
        self.max_session_bytes, self.max_minute_bytes = max_session_bytes, max_minute_bytes
        self._lock = threading.Lock()
        self._promised_bytes = 0  # to come for requests under way
        self.restart()

    def restart(self) -> None:
        """Count from nothing again."""
        self.received_bytes = 0
        self._by_second: dict[int, int] = {}

    @property
    def minute_bytes(self) -> int:
        """How much has come within the last minute."""
        since = time.monotonic() - _MINUTE_S
        return sum(size for second, size in tuple(self._by_second.items()) if second >= since)

    @property
    def saves_data(self) -> bool:
        """Whether anything but offline mode keeps the network from being used freely."""
        return self.coarse_only or self.max_session_bytes is not None or self.max_minute_bytes is not None

    def require(self, wanted_bytes: int = 0) -> None:
        """Ask whether so much may still come in this session; for work of many requests, before its first.

        Raises
        ------
        WithheldError
            Saying why not.
        """
        if self.offline:
            message = "This isn't kept on this computer, and offline mode is on."
            raise WithheldError(message, hint="Turn offline mode off to load it.", by="offline mode")
        self._require("session", self.max_session_bytes, self.received_bytes, wanted_bytes)

    @contextmanager
    def request(self, wanted_bytes: int = 0) -> Iterator[Receipt]:
        """Ask leave for a request, and note what it brings; WithheldError where it may not be sent."""
        receipt = Receipt(self, wanted_bytes)
        try:
            yield receipt
        finally:
            receipt.close()

    def promise(self, size_bytes: int) -> None:
        """Set so much aside for a request under way; WithheldError where it may not come."""
        with self._lock:
            self.require(size_bytes)
            self._require("minute", self.max_minute_bytes, self.minute_bytes, size_bytes)
            self._promised_bytes += size_bytes

    def receive(self, size_bytes: int, promised_bytes: int) -> None:
        """Note what came, and how much of what was set aside that settles."""
        with self._lock:
            self._promised_bytes -= promised_bytes
            self.received_bytes += size_bytes
            second = int(time.monotonic())
            if second not in self._by_second:
                self._by_second = {each: size for each, size in self._by_second.items() if each > second - _MINUTE_S}
            self._by_second[second] = self._by_second.get(second, 0) + size_bytes

    def _require(self, period: str, limit_bytes: int | None, used_bytes: int, wanted_bytes: int) -> None:
        if limit_bytes is None or used_bytes + self._promised_bytes + max(1, wanted_bytes) <= limit_bytes:
            return
        used = "and these are used up."
        if wanted_bytes >= MEGABYTE:
            used = f"of which {_megabytes(used_bytes)} are used, and this takes {_megabytes(wanted_bytes)} more."
        raise WithheldError(
            f"The data saver allows {_megabytes(limit_bytes)} a {period}, {used}",
            hint=f"{'Wait a minute, allow' if period == 'minute' else 'Allow'} more, or turn the data saver off.",
            by="data saver",
        )


class Receipt:
    """What one request brings, in all its attempts."""

    def __init__(self, policy: Policy, wanted_bytes: int) -> None:
        policy.promise(wanted_bytes)
        self._policy, self._expected_bytes, self._came_bytes = policy, wanted_bytes, 0

    def expect(self, size_bytes: int) -> None:
        """Note how much will come in all, once that is known; WithheldError where it may not."""
        if size_bytes > self._expected_bytes:
            self._policy.promise(size_bytes - self._expected_bytes)
            self._expected_bytes = size_bytes

    def add(self, size_bytes: int) -> None:
        """Note that so much more came."""
        promised_bytes = min(size_bytes, max(0, self._expected_bytes - self._came_bytes))
        self._came_bytes += size_bytes
        self._policy.receive(size_bytes, promised_bytes)

    def close(self) -> None:
        """Give back what didn't come."""
        self._policy.receive(0, max(0, self._expected_bytes - self._came_bytes))


_ours = Policy(offline=os.environ.get(OFFLINE_VARIABLE, "") not in {"", "0"})


def policy() -> Policy:
    """The policy of this process; offline at first where the environment says so."""
    return _ours


def save_data(*, mb_a_minute: int = 0, mb_a_session: int = 0, coarse_only: bool = False) -> None:
    """Use less of the network in this process.

    Parameters
    ----------
    mb_a_minute, mb_a_session
        How many megabytes may come within any minute, and in all; 0 for any amount.
    coarse_only
        Show only the coarsest level of what is on a server, until you ask for more.

    Raises
    ------
    ValueError
        If a limit is below 0, or no number; the limits stay as they were.
    """
    for period, limit_mb in (("minute", mb_a_minute), ("session", mb_a_session)):
        if not 0 <= limit_mb < math.inf:
            raise ValueError(f"mb_a_{period} is {limit_mb}; it has to be a number of megabytes, or 0 for any amount.")
    _ours.max_minute_bytes = math.ceil(mb_a_minute * MEGABYTE) or None
    _ours.max_session_bytes = math.ceil(mb_a_session * MEGABYTE) or None
    _ours.coarse_only = coarse_only


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / MEGABYTE:,.4g} MB"
