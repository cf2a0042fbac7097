"""What the network may be used for: not at all (offline), or for so many bytes (data saver).

One policy holds for the whole process. All streaming from servers obeys it, and what comes over the wire is counted.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from functools import cache
from typing import TYPE_CHECKING

from napari_cryoet.exceptions import WithheldError

if TYPE_CHECKING:
    from napari_cryoet.streaming.sources import ByteSource, Piece

OFFLINE_VARIABLE = "NAPARI_CRYOET_OFFLINE"

_MINUTE_S = 60.0


class Policy:
    """What the network may be used for; may be changed and asked from any thread, and holds from the next request on.

    Attributes
    ----------
    offline
        Send nothing: only what is kept on this computer is shown.
    max_session_bytes, max_minute_bytes
        How much may come over the wire in all, and within any minute; None for any amount. A request under way when
        the limit is reached is not cut off.
    """

    def __init__(
        self, *, offline: bool = False, max_session_bytes: int | None = None, max_minute_bytes: int | None = None
    ) -> None:
        self.offline = offline
        self.max_session_bytes, self.max_minute_bytes = max_session_bytes, max_minute_bytes
        self._lock = threading.Lock()
        self._received_bytes = self._promised_bytes = 0
        self._recent: deque[tuple[float, int]] = deque()

    @property
    def received_bytes(self) -> int:
        """How much has come over the wire so far."""
        return self._received_bytes

    def begin(self, wanted_bytes: int) -> None:
        """Ask leave for a request, and promise to `end` it.

        Parameters
        ----------
        wanted_bytes
            How much will come, 0 where unknown.

        Raises
        ------
        WithheldError
            Saying why it may not be sent.
        """
        with self._lock:
            if self.offline:
                raise WithheldError(
                    "This isn't kept on this computer, and offline mode is on.",
                    hint="Turn offline mode off to load it.",
                )
            going = self._promised_bytes + max(1, wanted_bytes)
            if _is_beyond(self.max_session_bytes, self._received_bytes + going):
                raise WithheldError(
                    f"The data saver allows {_megabytes(self.max_session_bytes)} a session, and these are used up.",
                    hint="Allow more, or turn the data saver off.",
                )
            if _is_beyond(self.max_minute_bytes, self._bytes_of_last_minute() + going):
                raise WithheldError(
                    f"The data saver allows {_megabytes(self.max_minute_bytes)} a minute, and these are used up.",
                    hint="Wait a minute, allow more, or turn the data saver off.",
                )
            self._promised_bytes += wanted_bytes

    def end(self, wanted_bytes: int, received_bytes: int) -> None:
        """Note what a request brought."""
        with self._lock:
            self._promised_bytes -= wanted_bytes
            self._received_bytes += received_bytes
            if received_bytes:
                self._recent.append((time.monotonic(), received_bytes))

    def _bytes_of_last_minute(self) -> int:
        since = time.monotonic() - _MINUTE_S
        while self._recent and self._recent[0][0] < since:
            self._recent.popleft()
        return sum(size for _, size in self._recent)


class GuardedSource:
    """A source on the network that obeys a policy.

    Parameters
    ----------
    source
        Where bytes come from.
    policy
        By default the one of the whole process.
    """

    def __init__(self, source: ByteSource, policy: Policy | None = None) -> None:
        self._source = source
        self._policy = policy or shared_policy()

    @property
    def url(self) -> str:
        """The address."""
        return self._source.url

    @property
    def bytes_read(self) -> int:
        """How many bytes of content the server has sent."""
        return self._source.bytes_read

    def read(
        self,
        key: str,
        *,
        start: int = 0,
        length: int | None = None,
        version: str | None = None,
        stop: threading.Event | None = None,
    ) -> Piece | None:
        """Read a file, or a part of it, if the policy allows; see `ByteSource`."""
        wanted_bytes = length if length is not None and length <= _BELIEVED_BYTES else 0
        self._policy.begin(wanted_bytes)
        piece = None
        try:
            piece = self._source.read(key, start=start, length=length, version=version, stop=stop)
        finally:
            self._policy.end(wanted_bytes, len(piece.content) if piece else 0)
        return piece

    def forget(self, key: str) -> None:
        """Pass it on; see `ByteSource`."""
        self._source.forget(key)


_BELIEVED_BYTES = 8 * 2**20  # who names more means "all there is"


@cache
def shared_policy() -> Policy:
    """The policy of this process; offline at first where the environment says so."""
    return Policy(offline=os.environ.get(OFFLINE_VARIABLE, "") not in {"", "0"})


def _is_beyond(limit_bytes: int | None, size_bytes: int) -> bool:
    return limit_bytes is not None and size_bytes > limit_bytes


def _megabytes(size_bytes: int | None) -> str:
    return f"{(size_bytes or 0) / 1e6:,.3g} MB"
