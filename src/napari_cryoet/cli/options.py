"""What can be typed after commands: parsers, and the options that commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from typer import Argument, BadParameter, Option

WHAT: Final = ("everything", "tomogram", "annotations", "metadata")

_PREFIXES: Final = {"deposition": "CZCDP", "dataset": "DS", "run": "RN", "annotation": "AN", "alignment": "AL"}


def record_id(kind: str) -> Callable[[str], int]:
    """A parser of ids of one kind as the portal writes them, such as ``506`` or ``RN-506``."""
    prefix = _PREFIXES[kind]

    def number(text: str) -> int:
        match = re.fullmatch(rf"(?:{prefix}-)?([0-9]{{1,9}})", text.strip(), re.IGNORECASE)
        if not match:
            raise BadParameter(f"{text!r} is no {kind}; ids look like 506 or {prefix}-506")
        return int(match[1])

    return number


def which_annotations(text: str) -> Any:
    """A word, or ids with commas."""
    is_word = text in {"all", "default", "none"}
    return text if is_word else tuple(record_id("annotation")(part) for part in text.split(","))


def what(text: str) -> tuple[str, ...]:
    """Some of the words for what can be downloaded, with commas."""
    words = tuple(part.strip() for part in text.split(","))
    if not set(words) <= set(WHAT):
        raise BadParameter(f"{text!r}: say {', '.join(WHAT)}, several with commas")
    return words


def positive(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise BadParameter(f"{text!r} is no positive number")
    return number


def spacings(text: str) -> tuple[float, ...]:
    """The voxel spacings of two files, or one of both."""
    found = tuple(positive(part) for part in text.split(","))
    if len(found) > 2:
        raise BadParameter(f"{text!r}: say one voxel spacing, or two with a comma")
    return found


def sizes(text: str, count: int, least: int, example: str) -> tuple[int, ...]:
    """So many whole numbers, with commas or an x between them."""
    parts = re.split("[,x×]", text.replace(" ", ""))
    found = tuple(int(part) for part in parts if re.fullmatch("[0-9]{1,7}", part))
    if len(parts) != count or len(found) != count or min(found) < least:
        raise BadParameter(f"{text!r}: say for example {example}")
    return found


def region(text: str) -> tuple[tuple[int, int], ...]:
    """A box of voxels: the first and the one after the last along z, y, x."""
    spans = re.findall(r"(?:^|,)([0-9]{1,6}):([0-9]{1,6})(?=,|$)", text.replace(" ", ""))
    if len(spans) != 3 or text.count(",") != 2:
        raise BadParameter(f"{text!r}: say for example 100:356,0:256,0:256")
    return tuple((int(start), int(end)) for start, end in spans)


def symmetry(text: str) -> str:
    """A rotational symmetry, such as C4."""
    if not re.fullmatch("[Cc][1-9][0-9]{0,2}", text):
        raise BadParameter(f"{text!r}: say C1, C2, C3, …")
    return text.upper()


def shape(text: str) -> tuple[int, ...]:
    """How many voxels a volume has along z, y, x."""
    return sizes(text, 3, 1, "1000,928,960")


def window_size(text: str) -> tuple[int, ...]:
    """A window's width and height in pixels."""
    return sizes(text, 2, 200, "1280x800")


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
