"""LIKE patterns of SQL: ``%`` is any text, ``_`` any character, a backslash takes the next character literally."""

from __future__ import annotations

import re
from collections.abc import Callable


def like(pattern: str, *, ignore_case: bool = False) -> Callable[[str], bool]:
    """A test whether a whole text is like the pattern.

    The pieces between the ``%`` are sought one after another, each as early as can be, so the time grows with the
    length of text times pattern and never faster.

    Raises
    ------
    ValueError
        The pattern ends with a lone backslash.
    """
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    pieces = [re.compile(piece, flags) for piece in _pieces(pattern)]
    widths = [_width(piece) for piece in _pieces(pattern)]
    if len(pieces) == 1:
        return lambda text: pieces[0].fullmatch(text) is not None
    first, *middle, last = pieces

    def test(text: str) -> bool:
        found = first.match(text)
        end = len(text) - widths[-1]
        if found is None or end < found.end() or last.match(text, end) is None:
            return False
        position = found.end()
        for piece in middle:
            found = piece.search(text, position, end)
            if found is None:
                return False
            position = found.end()
        return True

    return test


def _pieces(pattern: str) -> list[str]:
    """Regular expressions of fixed width for what stands between the ``%``."""
    pieces, characters = [""], iter(pattern)
    for character in characters:
        match character:
            case "%":
                pieces.append("")
            case "_":
                pieces[-1] += "."
            case "\\":
                literal = next(characters, None)
                if literal is None:
                    raise ValueError("A LIKE pattern must not end with a backslash.")
                pieces[-1] += re.escape(literal)
            case _:
                pieces[-1] += re.escape(character)
    return pieces


def _width(piece: str) -> int:
    return len(re.sub(r"\\(.)", r"\1", piece, flags=re.DOTALL))
