"""Limits on the use of the network: none at all in offline mode, or so many bytes with the data saver.

One policy covers the whole process: metadata, pictures, pixels and downloads. Files on this
computer don't count.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

from napari_cryoet.exceptions import WithheldError
from napari_cryoet.settings import Settings
from napari_cryoet.wording import joined

OFFLINE_VARIABLE: Final = "NAPARI_CRYOET_OFFLINE"
MEGABYTE: Final = 1_000_000


class Policy:
    """The limits on network use. Any thread may change them; changes apply from the next request on.

    Attributes
    ----------
    offline
        Send nothing; only data on this computer is shown.
    max_session_bytes
        How many bytes may be received in all; None for no limit.
    coarse_only
        Whether pictures from servers stay coarse until you ask for more.
    received_bytes
        How many bytes have been received.
    """

    def __init__(self, *, offline: bool = False, max_session_bytes: int | None = None) -> None:
        self.offline, self.coarse_only = offline, False
        self.max_session_bytes = max_session_bytes
        self.received_bytes = 0
        self._reserved_bytes = 0  # for requests in flight
        self._lock = threading.Lock()

    @property
    def saves_data(self) -> bool:
        """Whether the data saver is on."""
        return self.coarse_only or self.max_session_bytes is not None

    def require(self, wanted_bytes: int = 0) -> None:
        """Check, before many requests, that so many bytes are still allowed.

        WithheldError if not.
        """
        if self.offline:
            message = "This isn't on this computer, and offline mode is on."
            raise WithheldError(message, hint="Turn offline mode off to load it.")
        limit_bytes, used_bytes = self.max_session_bytes, self.received_bytes
        if (
            limit_bytes is None
            or used_bytes + self._reserved_bytes + max(1, wanted_bytes) <= limit_bytes
        ):
            return
        used = "and these are used up."
        if wanted_bytes >= MEGABYTE:
            used = f"of which {_megabytes(used_bytes)} are used, and this takes {_megabytes(wanted_bytes)} more."
        message = f"The data saver allows {_megabytes(limit_bytes)} a session, {used}"
        raise WithheldError(message, hint="Allow more, or turn the data saver off.")

    @contextmanager
    def request(self, wanted_bytes: int = 0) -> Iterator[Receipt]:
        """Reserve bytes for a request and count those received.

        WithheldError if it isn't allowed.
        """
        self.reserve(wanted_bytes)
        receipt = Receipt(self, wanted_bytes)
        try:
            yield receipt
        finally:
            self.receive(0, receipt.left_bytes)

    def reserve(self, size_bytes: int) -> None:
        """Reserve bytes for a request in flight; WithheldError if they aren't allowed."""
        with self._lock:
            self.require(size_bytes)
            self._reserved_bytes += size_bytes

    def receive(self, size_bytes: int, released_bytes: int) -> None:
        """Count received bytes, and release bytes that were reserved."""
        with self._lock:
            self.received_bytes += size_bytes
            self._reserved_bytes -= released_bytes


class Receipt:
    """The received bytes of one request.

    ``left_bytes`` are reserved for it and not received yet.
    """

    def __init__(self, policy: Policy, left_bytes: int) -> None:
        self._policy, self.left_bytes = policy, left_bytes

    def expect(self, size_bytes: int) -> None:
        """Reserve the rest of the response once its size is known.

        WithheldError if it isn't allowed.
        """
        if size_bytes > self.left_bytes:
            self._policy.reserve(size_bytes - self.left_bytes)
            self.left_bytes = size_bytes

    def add(self, size_bytes: int) -> None:
        """Count received bytes; WithheldError if they were not reserved and aren't allowed."""
        self.expect(size_bytes)
        self._policy.receive(size_bytes, size_bytes)
        self.left_bytes -= size_bytes


_policy = Policy(offline=os.environ.get(OFFLINE_VARIABLE, "") not in {"", "0"})


def policy() -> Policy:
    """The policy of this process; initially offline if the environment says so."""
    return _policy


def save_data(*, mb_a_session: int = 0, coarse_only: bool = False) -> None:
    """Use less of the network in this process.

    Parameters
    ----------
    mb_a_session
        How many megabytes may be received in all; 0 for no limit.
    coarse_only
        Show only the coarsest level of remote images, until you ask for more.
    """
    if not 0 <= mb_a_session < math.inf:
        raise ValueError(
            f"mb_a_session is {mb_a_session}; it has to be a number of megabytes, or 0 for any amount."
        )
    _policy.max_session_bytes = math.ceil(mb_a_session * MEGABYTE) or None
    _policy.coarse_only = coarse_only


def recall(settings: Settings) -> None:
    """Apply the saved network limits; current limits are tightened, never relaxed."""
    kept = settings.data_saver
    _policy.offline = _policy.offline or settings.is_offline
    if not _policy.saves_data:
        save_data(mb_a_session=kept.mb_a_session, coarse_only=kept.coarse_only)


@cache
def recall_once() -> None:
    """Apply the saved limits once, before the first request of a session without the dock."""
    recall(Settings())


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / MEGABYTE:,.4g} MB"


def network_use_text(policy: Policy) -> str:
    """The limits on network use as text; empty if there are none.

    >>> network_use_text(Policy(max_session_bytes=200_000_000)), network_use_text(Policy(offline=True))
    ('data saver: 0 of 200 MB', 'offline: only what was loaded before')
    """
    if policy.offline:
        return "offline: only what was loaded before"
    allowed, used = policy.max_session_bytes, policy.received_bytes
    amount = (
        f"{used / MEGABYTE:,.0f} of {allowed / MEGABYTE:,.4g} MB" if allowed is not None else ""
    )
    coarse = "coarse only" if policy.coarse_only else ""
    return f"data saver: {joined(amount, coarse)}" if policy.saves_data else ""
