"""What the network may be used for: nothing (offline mode), or so many bytes (the data saver).

One policy holds for the whole process, for metadata, pictures, pixels and downloads alike. Nothing that is on this
computer counts.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from napari_cryoet.exceptions import WithheldError
from napari_cryoet.wording import joined

OFFLINE_VARIABLE: Final = "NAPARI_CRYOET_OFFLINE"
MEGABYTE: Final = 1_000_000


class Policy:
    """What the network may be used for. It may be changed from any thread, and holds from the next request on.

    Attributes
    ----------
    offline
        Send nothing: only what is kept on this computer is shown.
    max_session_bytes
        How much may come in all; None for any amount.
    coarse_only
        Whether pictures from servers stay coarse until you ask for more.
    received_bytes
        How much has come so far.
    """

    def __init__(self, *, offline: bool = False, max_session_bytes: int | None = None) -> None:
        self.offline, self.coarse_only = offline, False
        self.max_session_bytes = max_session_bytes
        self.received_bytes = 0
        self._promised_bytes = 0  # still to come for requests in flight
        self._lock = threading.Lock()

    def restart(self) -> None:
        """Count from nothing again."""
        self.received_bytes = 0

    @property
    def saves_data(self) -> bool:
        """Whether anything but offline mode limits the use of the network."""
        return self.coarse_only or self.max_session_bytes is not None

    def require(self, wanted_bytes: int = 0) -> None:
        """Check that so much may still come in this session, before work of many requests; WithheldError if not."""
        if self.offline:
            message = "This isn't kept on this computer, and offline mode is on."
            raise WithheldError(message, hint="Turn offline mode off to load it.")
        limit_bytes, used_bytes = self.max_session_bytes, self.received_bytes
        if limit_bytes is None or used_bytes + self._promised_bytes + max(1, wanted_bytes) <= limit_bytes:
            return
        used = "and these are used up."
        if wanted_bytes >= MEGABYTE:
            used = f"of which {_megabytes(used_bytes)} are used, and this takes {_megabytes(wanted_bytes)} more."
        message = f"The data saver allows {_megabytes(limit_bytes)} a session, {used}"
        raise WithheldError(message, hint="Allow more, or turn the data saver off.")

    @contextmanager
    def request(self, wanted_bytes: int = 0) -> Iterator[Receipt]:
        """Ask for leave to send a request, and count what it brings; WithheldError where it may not be sent."""
        self.promise(wanted_bytes)
        receipt = Receipt(self, wanted_bytes)
        try:
            yield receipt
        finally:
            self.receive(0, receipt.left_bytes)

    def promise(self, size_bytes: int) -> None:
        """Set bytes aside for a request in flight; WithheldError where they may not come."""
        with self._lock:
            self.require(size_bytes)
            self._promised_bytes += size_bytes

    def receive(self, size_bytes: int, promised_bytes: int) -> None:
        """Count bytes that came, and how many are no longer set aside."""
        with self._lock:
            self.received_bytes += size_bytes
            self._promised_bytes -= promised_bytes


class Receipt:
    """What one request brings; ``left_bytes`` are set aside for it and still to come."""

    def __init__(self, policy: Policy, left_bytes: int) -> None:
        self._policy, self.left_bytes = policy, left_bytes

    def expect(self, size_bytes: int) -> None:
        """Say how much is still to come, once that is known; WithheldError where it may not."""
        if size_bytes > self.left_bytes:
            self._policy.promise(size_bytes - self.left_bytes)
            self.left_bytes = size_bytes

    def add(self, size_bytes: int) -> None:
        """Count bytes that came; WithheldError where they were not expected, and may not come."""
        self.expect(size_bytes)
        self._policy.receive(size_bytes, size_bytes)
        self.left_bytes -= size_bytes


_ours = Policy(offline=os.environ.get(OFFLINE_VARIABLE, "") not in {"", "0"})


def policy() -> Policy:
    """The policy of this process; offline at first where the environment says so."""
    return _ours


def save_data(*, mb_a_session: int = 0, coarse_only: bool = False) -> None:
    """Use less of the network in this process.

    Parameters
    ----------
    mb_a_session
        How many megabytes may come in all; 0 for any amount.
    coarse_only
        Show only the coarsest level of what is on a server, until you ask for more.
    """
    if not 0 <= mb_a_session < math.inf:
        raise ValueError(f"mb_a_session is {mb_a_session}; it has to be a number of megabytes, or 0 for any amount.")
    _ours.max_session_bytes = math.ceil(mb_a_session * MEGABYTE) or None
    _ours.coarse_only = coarse_only


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / MEGABYTE:,.4g} MB"


def network_use_text(policy: Policy) -> str:
    """How the network may be used, empty where freely.

    >>> network_use_text(Policy(max_session_bytes=200_000_000)), network_use_text(Policy(offline=True))
    ('data saver: 0 of 200 MB', 'offline: only what was loaded before')
    """
    if policy.offline:
        return "offline: only what was loaded before"
    allowed, used = policy.max_session_bytes, policy.received_bytes
    amount = f"{used / MEGABYTE:,.0f} of {allowed / MEGABYTE:,.4g} MB" if allowed is not None else ""
    coarse = "coarse only" if policy.coarse_only else ""
    return f"data saver: {joined(amount, coarse)}" if policy.saves_data else ""
