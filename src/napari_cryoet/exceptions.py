"""All errors that this package raises deliberately, all subclasses of `CryoETError`.

``message`` tells the user what happened and ``hint`` what to do next. Causes are chained with
``raise ... from error``.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from numbers import Real
from typing import Any, Literal, TypeVar

T = TypeVar("T")

#: Information about the volume of its positions that a file may lack.
ContextField = Literal["spacing_angstrom", "shape_zyx", "tomogram"]


class CryoETError(Exception):
    """Base of all errors of this package.

    ``message`` and ``hint`` are sentences, and the hint may be empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class NetworkError(CryoETError):
    """A server gave no answer or an unusable one; ``status`` is None if there was no answer."""

    def __init__(
        self, message: str, *, hint: str = "", url: str = "", status: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.url = url
        self.status = status


class PortalError(CryoETError):
    """The portal's metadata could not be read."""


class NotFoundError(PortalError):
    """The portal has no such record."""


class PackError(PortalError):
    """An offline pack is damaged, or the folder isn't a pack."""


class FormatError(CryoETError):
    """A file is damaged, or isn't in the format that its name or metadata says."""


class AnswerError(FormatError):
    """An answer of a lesson contradicts itself or an earlier one; it will never be taken."""


class OtherKindError(FormatError):
    """A file may be valid, but holds nothing that this package reads.

    Other programs may open it.
    """


class MissingContextError(FormatError):
    """A file is valid, but lacks information needed to place its content.

    Attributes
    ----------
    missing
        The names of the arguments that supply it.
    choices
        The names of tomograms in the file: those to choose from, or the one whose size is missing.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        missing: tuple[ContextField, ...] = (),
        choices: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.missing = missing
        self.choices = choices


class SaveError(CryoETError):
    """A file could not be written; an existing file is unchanged."""


class ExistsError(SaveError):
    """The file or folder exists, and replacing it was not allowed."""


class StreamError(CryoETError):
    """Pixels could not be read."""


class ChangedError(StreamError):
    """A file changed between reads; parts of different versions are never combined."""


class LeftOutError(StreamError):
    """A pack has these voxels only at a coarser level."""


class WithheldError(StreamError, NetworkError):
    """A request was not sent, because of offline mode or the data saver."""


class DownloadError(CryoETError):
    """A download did not finish; ``files`` are missing or conflicting paths in its folder."""

    def __init__(self, message: str, *, hint: str = "", files: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.files = files


class ComparisonError(CryoETError):
    """Two annotations can't be compared."""


class EmptyPartError(CryoETError):
    """A part of a split, such as test, has nothing to export."""


class StoppedError(CryoETError):
    """The user stopped the operation; this is not a failure."""

    def __init__(self, message: str = "Stopped.") -> None:
        super().__init__(message)


def require_known(word: str, words: Collection[str], what: str) -> None:
    """Raise `CryoETError`, which lists the words, unless the word is one of them."""
    if word not in words:
        raise CryoETError(f"{word!r} isn't a {what}.", hint=f"Use {', '.join(words)}.")


def require_positive(name: str, number: Any, most: float = sys.float_info.max) -> None:
    """Raise ValueError unless an argument is a number above 0, up to ``most``."""
    if not isinstance(number, Real) or not 0 < float(number) <= most:
        limit = "" if most > 1e9 else f" of at most {most:g}"
        raise ValueError(f"{name} must be a positive number{limit}, not {number!r}")
