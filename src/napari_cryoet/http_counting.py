"""Counts what comes of an answer where nobody else does, and asks leave for what its server didn't announce."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

    from napari_cryoet.policy import Receipt


class Beat(Protocol):
    """See `napari_cryoet.errand.Errand.beat`."""

    def __call__(self, n_steps: int = 1, /) -> None:
        """Say that the work gets on, and how much there is to do before the next beat."""


class Meter:
    """Tells whoever waits for a body that it gets on, and a receipt what comes of it that isn't known otherwise.

    urllib3 counts what comes, but not in chunks. How much is to come may not be said before, and what comes in chunks
    may be more than was said; then it is asked leave for as it comes.
    """

    def __init__(self, response: BaseHTTPResponse, receipt: Receipt, beat: Beat) -> None:
        self._is_counted = not response.chunked
        self._is_said = self._is_counted and number(response.headers.get("Content-Length")) is not None
        self._receipt, self.beat = receipt, beat
        self._came_bytes = 0

    def note(self, size_bytes: int) -> None:
        """Note that so much more came; WithheldError where more may not."""
        self._came_bytes += size_bytes
        if not self._is_counted:
            self._receipt.add(size_bytes)
        if not self._is_said:
            self._receipt.expect(self._came_bytes)


def number(text: str | None) -> int | None:
    """A header that is a plain number of bytes, or None."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
