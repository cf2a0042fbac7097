"""The blocks of a STAR file, whatever is in them: labels and their values, all as texts.

Read as RELION does and CIF means it: lines that start with ``#`` are comments, as is the rest of a line from a word on
that starts so; a value with spaces stands in quotes. Lines end as on any system, also where several were at it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.exchange import not_utf8

if TYPE_CHECKING:
    import pyarrow as pa

_WORD: Final = re.compile(r"""'((?:[^']|'(?=\S))*)'(?!\S)|"((?:[^"]|"(?=\S))*)"(?!\S)|(\S+)""", re.ASCII)
_SHOWN: Final = 5
_ROWS_AT_A_TIME: Final = 2**14  # kept as lists of words, which take ten times the memory of columns


@dataclass(slots=True)
class Block:
    """One block, or one loop of it.

    Attributes
    ----------
    name
        What stands after ``data_``.
    labels
        Without their underscore, in the file's order.
    is_loop
        Whether it is a table; else a list of facts, which is a table of one row.
    """

    name: str
    labels: list[str] = field(default_factory=list)
    is_loop: bool = False
    _waiting: list[list[str]] = field(default_factory=list)
    _taken: list[list[pa.Array]] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(part[0]) for part in self._taken) + len(self._waiting)

    @property
    def columns(self) -> list[pa.ChunkedArray]:
        """All values of each label."""
        import pyarrow as pa

        self._take_waiting()
        parts = list(zip(*self._taken, strict=True)) or [()] * len(self.labels)
        return [pa.chunked_array(list(part), pa.string()) for part in parts]

    @property
    def rows(self) -> list[list[str]]:
        """One value a label, in each."""
        return [list(row) for row in zip(*(column.to_pylist() for column in self.columns), strict=True)]

    def add(self, words: list[str]) -> None:
        """Add a row."""
        self._waiting.append(words)
        if len(self._waiting) == _ROWS_AT_A_TIME:
            self._take_waiting()

    def add_fact(self, label: str, value: str) -> None:
        """Add a label with its value."""
        self.labels.append(label)
        self._waiting = [[*(self._waiting[0] if self._waiting else []), value]]

    def _take_waiting(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._taken.append([pa.array(column, pa.string()) for column in zip(*self._waiting, strict=True)])
            self._waiting = []


def read_blocks(path: Path) -> list[Block]:
    """All blocks that hold anything.

    Raises
    ------
    FormatError
        If a row has more or fewer values than there are labels, a block has a label twice, or it is no text.
    """
    blocks: list[Block] = []
    for number, words in _lines(path):
        start = words[0]
        if start.startswith("data_") and len(words) == 1:
            blocks.append(Block(start[len("data_") :]))
        elif not blocks:
            raise FormatError(f"{path.name} is no STAR file: line {number} stands before any block.")
        elif start == "loop_":
            if blocks[-1].labels:
                blocks.append(Block(blocks[-1].name))
            blocks[-1].is_loop = True
        else:
            _take(path, number, words, blocks)
    return [block for block in blocks if block.labels]


def _take(path: Path, number: int, words: list[str], blocks: list[Block]) -> None:
    """Add a label, a label with its value, or a row to the last block."""
    block = blocks[-1]
    is_label = words[0].startswith("_") and not (block.is_loop and len(block))
    if is_label:
        label = words[0][1:]
        if label in block.labels:
            raise FormatError(f"{path.name}, line {number}: its block {block.name!r} has {label} twice.")
        if block.is_loop:
            block.labels.append(label)
        else:
            block.add_fact(label, " ".join(words[1:]))
    elif block.is_loop and len(words) == len(block.labels):
        block.add(words)
    else:
        expected = f"{len(block.labels)} columns" if block.is_loop else "a label"
        raise FormatError(
            f"{path.name}, line {number}: {len(words)} values where {expected} should be ({_shown(words)})."
        )


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The words of each line that has any, with its number; lines end with CR, LF or both."""
    try:
        with path.open(encoding="utf-8-sig", newline=None) as file:
            for number, line in enumerate(file, start=1):
                words = _words(line)
                if words:
                    yield number, words
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except OSError as error:
        raise FormatError(f"{path.name!r} can't be read: {error.strerror or error}.") from error


def _words(line: str) -> list[str]:
    if "#" not in line and '"' not in line and "'" not in line and line.isascii():  # a space of other scripts is none
        return line.split()
    words = []
    for match in _WORD.finditer(line):
        single, double, bare = match.groups()
        if bare is not None and bare.startswith("#"):
            break
        words.append(next(value for value in (single, double, bare) if value is not None))
    return words


def _shown(words: Sequence[str]) -> str:
    return ", ".join(repr(word[:20]) for word in words[:_SHOWN]) + (", …" if len(words) > _SHOWN else "")
