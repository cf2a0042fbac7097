"""All errors that this package raises on purpose; every one is a `CryoETError`.

The message says what happened, in plain words for a biologist, ``hint`` what to do next. The cause is chained with
``raise ... from error``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final, Literal, TypeVar

T = TypeVar("T")

_POLL_S: Final = 0.05  # how long a stop can go unnoticed
#: What a file may fail to say of the volume that its positions belong to.
Context = Literal["spacing_angstrom", "shape_zyx", "tomogram"]


class CryoETError(Exception):
    """Base of all errors of this package; ``message`` and ``hint`` are a plain sentence each, the hint may be empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class NetworkError(CryoETError):
    """A server gave no answer, or one that can't be used; ``status`` is None where there was no answer at all."""

    def __init__(self, message: str, *, hint: str = "", url: str = "", status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.url = url
        self.status = status


class PortalError(CryoETError):
    """The portal's metadata could not be had or understood."""


class NotFoundError(PortalError):
    """The portal has no record of that kind with that id."""


class PackError(PortalError):
    """An offline pack is damaged, or the folder isn't a pack."""


class FormatError(CryoETError):
    """A file is not what its name or its metadata says."""


class OtherKindError(FormatError):
    """A file may be right, but holds nothing that is read here. Other programs may open it."""


class MissingContextError(FormatError):
    """A file is right, but doesn't say all that is needed to place what is in it.

    Attributes
    ----------
    missing
        What the caller can say instead, by the names of the arguments that take it.
    choices
        Where one of several has to be chosen: the names of all.
    """

    def __init__(
        self, message: str, *, hint: str = "", missing: tuple[Context, ...] = (), choices: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.missing = missing
        self.choices = choices


class SaveError(CryoETError):
    """A file could not be written. What was there before is as it was."""


class ExistsError(SaveError):
    """Something is there already, and replacing it was not allowed."""


class StreamError(CryoETError):
    """Pixels could not be read."""


class ChangedError(StreamError):
    """A file changed while parts of it were read; parts of two versions are never put together."""


class WithheldError(StreamError, NetworkError):
    """Nothing was asked of the server, because offline mode or the data saver is on."""


class DownloadError(CryoETError):
    """A download did not finish; ``files`` are paths in its folder that are missing or in the way."""

    def __init__(self, message: str, *, hint: str = "", files: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.files = files


class ComparisonError(CryoETError):
    """Two annotations can't be compared."""


class StoppedError(CryoETError):
    """The user said stop; nothing is wrong."""

    def __init__(self, message: str = "Stopped.") -> None:
        super().__init__(message)


def raise_if_stopped(stop: threading.Event | None) -> None:
    """Raise `StoppedError` if ``stop`` is set; long work asks between its steps."""
    if stop is not None and stop.is_set():
        raise StoppedError


def stoppable(work: Callable[[], T], stop: threading.Event | None) -> T:
    """Run long calls of NumPy and SciPy in a thread; abandon it with `StoppedError` once ``stop`` is set."""
    raise_if_stopped(stop)
    if stop is None:
        return work()
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised by `result`
            future.set_exception(error)

    threading.Thread(target=run, name="napari-cryoet work", daemon=True).start()
    while not wait([future], _POLL_S).done:
        raise_if_stopped(stop)
    return future.result()
