"""What functions of the public API expect, in words for whoever gave them something else."""

from __future__ import annotations

import numbers
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_AS_VOWELS = (*"AEIOUaeiou", "nd")  # as they are spoken


def expect(value: Any, kind: type[T] | tuple[type[Any], ...], name: str, hint: str = "") -> None:
    """Raise TypeError if an argument isn't of a kind.

    Parameters
    ----------
    name
        Of the argument.
    hint
        What to do instead, one sentence.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        words = " or ".join(_with_article(each.__name__) for each in kinds)
        raise TypeError(f"{name} must be {words}, not {kind_of(value)}.{f' {hint}' if hint else ''}")


def path_text(value: Any, name: str, *, or_else: str = "") -> str:
    """A path or address as text; TypeError where it is neither.

    Parameters
    ----------
    name
        Of the argument.
    or_else
        What it may be besides, in words.
    """
    if not isinstance(value, str | os.PathLike):
        besides = f", or {or_else}" if or_else else ""
        raise TypeError(f"{name} must be a path or an address{besides}, not {kind_of(value)}.")
    return os.fsdecode(value)


def local_path(value: Any, name: str) -> Path:
    """A path on this computer; TypeError where it is none."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name} must be a path, not {kind_of(value)}.")
    return Path(os.fsdecode(value))


def expect_number(value: Any, name: str) -> None:
    """Raise TypeError if an argument is no number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, not {kind_of(value)}.")


def expect_texts(value: Any, name: str) -> tuple[str, ...]:
    """Several texts; TypeError for anything else, also for one text, which is as many as it has letters."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a list of texts, not {kind_of(value)}.")
    texts = tuple(value)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a list of texts, not of {kind_of(text)}.")
    return texts


def expect_choice(value: Any, choices: Sequence[str], name: str) -> None:
    """Raise ValueError if an argument is none of the words that there are."""
    if value not in choices:
        raise ValueError(f"{name} must be {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}, not {value!r}.")


def expect_volume(value: Any, name: str) -> None:
    """Raise TypeError if an argument is nothing like an array."""
    if not hasattr(value, "shape") or not hasattr(value, "__getitem__"):
        raise TypeError(f"{name} must be an array in z, y, x (numpy, dask or zarr), not {kind_of(value)}.")


def kind_of(value: object) -> str:
    """What a value is, in words."""
    return "None" if value is None else _with_article(type(value).__name__)


def _with_article(name: str) -> str:
    return f"{'an' if name.startswith(_AS_VOWELS) else 'a'} {name}"
