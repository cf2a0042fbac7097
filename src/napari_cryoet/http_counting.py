"""Counts what comes of an answer where nobody else does, and asks leave for what its server didn't announce."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from napari_cryoet.exceptions import WithheldError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from urllib3.response import BaseHTTPResponse

    from napari_cryoet.network.policy import Policy, Receipt

_MOST_KNOWN: Final = 10_000


class Beat(Protocol):
    """See `napari_cryoet.errand.Errand.beat`."""

    def __call__(self, n_steps: int = 1, /) -> None:
        """Say that the work gets on, and how much there is to do before the next beat."""


class Tally:
    """Tells a receipt what comes of a body that isn't known otherwise, and asks leave for what wasn't announced.

    urllib3 counts what comes, but not in chunks. How much is to come may not be said before, and what comes in chunks
    may be more than was said; then it is asked leave for as it comes.

    Parameters
    ----------
    response
        Whose body it is.
    receipt
        Of the request.
    can_go_on
        Whether the rest of the body can be had later. Then leave is asked for as it comes also where it is announced.

    Attributes
    ----------
    came_bytes
        How much has come.
    is_said
        Whether leave was asked for all of it before.
    """

    def __init__(self, response: BaseHTTPResponse, receipt: Receipt, *, can_go_on: bool = False) -> None:
        self._is_counted = not response.chunked
        is_announced = self._is_counted and number(response.headers.get("Content-Length")) is not None
        self.is_said = is_announced and not can_go_on
        self._receipt, self.can_go_on = receipt, can_go_on
        self.came_bytes = 0

    def note(self, size_bytes: int) -> None:
        """Note that so much more came; WithheldError where more may not."""
        self.came_bytes += size_bytes
        if not self._is_counted:
            self._receipt.add(size_bytes)
        if not self.is_said:
            self.expect(self.came_bytes)

    def expect(self, size_bytes: int) -> None:
        """Ask leave for so much in all; WithheldError where it may not come."""
        self._receipt.expect(size_bytes)


class Meter(Tally):
    """A tally that also tells whoever waits for the body that it gets on, and how much of its content has come."""

    def __init__(
        self, response: BaseHTTPResponse, receipt: Receipt, beat: Beat, came: Callable[[int], None] | None = None
    ) -> None:
        super().__init__(response, receipt)
        self.beat, self._came = beat, came

    def note(self, size_bytes: int) -> None:
        """Note that so much more came; see `Tally`."""
        if self._came is not None:
            self._came(size_bytes)
        super().note(size_bytes)


class Lengths:
    """How much at least is to come of what no server says the length of, and can only be had from its start.

    That is learned where it ends for want of leave. What came is lost then, so that whoever asks for it again is told
    before it comes in vain once more.
    """

    def __init__(self) -> None:
        self._least: dict[Hashable, int] = {}

    @contextmanager
    def learned(self, key: Hashable, tally: Tally, *, least_bytes: int = 0) -> Iterator[None]:
        """Ask leave for what is known to come at least, by now or by others; learn more while it is read."""
        if tally.is_said or tally.can_go_on:
            yield
            return
        tally.expect(max(least_bytes, self._least.get(key, 0)))
        try:
            yield
        except WithheldError:
            if len(self._least) >= _MOST_KNOWN:
                self._least.clear()
            self._least[key] = max(tally.came_bytes, self._least.get(key, 0))
            raise

    @contextmanager
    def tallied(
        self, url: str, response: BaseHTTPResponse, policy: Policy, *, can_go_on: bool, least_bytes: int
    ) -> Iterator[Tally]:
        """Count a file that is read piece by piece; of the rest of one, leave is asked for as it comes."""
        is_rest = can_go_on and response.status == 206
        with policy.request(0 if is_rest else number(response.headers.get("Content-Length")) or 0) as receipt:
            tally = Tally(response, receipt, can_go_on=can_go_on)
            try:
                with self.learned((url, None), tally, least_bytes=least_bytes):
                    yield tally
            finally:
                receipt.add(response.tell())


def number(text: str | None) -> int | None:
    """A header that is a plain number of bytes, or None."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
