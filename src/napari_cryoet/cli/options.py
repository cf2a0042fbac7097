"""What can be typed after commands: parsers, and the options that commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from typer import Argument, BadParameter, Option

_PREFIXES: Final = {"deposition": "CZCDP", "dataset": "DS", "run": "RN", "annotation": "AN", "alignment": "AL"}
_SIZE: Final = "([1-9][0-9]{0,6})"
_SPAN: Final = "([0-9]{1,6}):([0-9]{1,6})"


def matched(pattern: str, text: str, example: str) -> tuple[str, ...]:
    """The groups of a regular expression that the whole text has to match."""
    found = re.fullmatch(pattern, text.strip(), re.IGNORECASE)
    if not found:
        raise BadParameter(f"{text!r}: say for example {example}")
    return found.groups()


def one_of(*known: str) -> Callable[[str], str]:
    """A parser of some words, for options that are repeatable; others have a Literal."""

    def word(text: str) -> str:
        if text not in known:
            raise BadParameter(f"{text!r}: say {', '.join(known)}")
        return text

    return word


def record_id(kind: str) -> Callable[[str], int]:
    """A parser of ids of one kind as the portal writes them, such as ``506`` or ``RN-506``."""
    prefix = _PREFIXES[kind]
    return lambda text: int(matched(f"(?:{prefix}-)?([0-9]{{1,9}})", text, f"506 or {prefix}-506")[0])


def which_annotations(text: str) -> Any:
    """A word, or ids with commas."""
    is_word = text in {"all", "default", "none"}
    return text if is_word else tuple(record_id("annotation")(part) for part in text.split(","))


def positive(text: str) -> float:
    """A number above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise BadParameter(f"{text!r} is no positive number")
    return number


def spacings(text: str) -> tuple[float, ...]:
    """The voxel spacings of two files, or one of both."""
    found = tuple(positive(part) for part in text.split(","))
    if len(found) > 2:
        raise BadParameter(f"{text!r}: say one voxel spacing, or two with a comma")
    return found


def region(text: str) -> tuple[tuple[int, int], ...]:
    """A box of voxels: the first and the one after the last along z, y, x."""
    ends = [int(end) for end in matched(f"{_SPAN}, *{_SPAN}, *{_SPAN}", text, "100:356,0:256,0:256")]
    return tuple(zip(ends[::2], ends[1::2], strict=True))


def symmetry(text: str) -> str:
    """A rotational symmetry, such as C4."""
    return matched("(C[1-9][0-9]{0,2})", text, "C4")[0].upper()


def shape(text: str) -> tuple[int, ...]:
    """How many voxels a volume has along z, y, x."""
    return tuple(map(int, matched(f"{_SIZE}, *{_SIZE}, *{_SIZE}", text, "1000,928,960")))


def window_size(text: str) -> tuple[int, ...]:
    """A window's width and height in pixels, from 100 on."""
    return tuple(map(int, matched("([1-9][0-9]{2,3})x([1-9][0-9]{2,3})", text, "1280x800")))


_WHICH: Final = "all, default (the curators' choice), none, or ids with commas."

Source = Annotated[
    str, Argument(metavar="SOURCE", help="live, demo, the address of a GraphQL server, or the folder of a pack.")
]
Annotations = Annotated[Any, Option("--annotations", parser=which_annotations, metavar="WHICH", help=_WHICH)]
Deposition = Annotated[int | None, Option(parser=record_id("deposition"), metavar="ID", help="A deposition.")]
Dataset = Annotated[int | None, Option(parser=record_id("dataset"), metavar="ID", help="A dataset.")]
Run = Annotated[int | None, Option(parser=record_id("run"), metavar="ID", help="A run.")]
Json = Annotated[bool, Option("--json", help="Print JSON, for other programs.")]
Shape = Annotated[Any, Option(parser=shape, metavar="Z,Y,X", help="Size of the volume in voxels, where it is needed.")]
Unit = Annotated[
    Literal["voxel", "angstrom", "nanometer"] | None,
    Option(help="What columns x, y, z of a CSV or Parquet file count."),
]
Tomogram = Annotated[str | None, Option(metavar="NAME", help="Which one, where a file of picks has several tomograms.")]
