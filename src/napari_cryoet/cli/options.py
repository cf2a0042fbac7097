"""Options that commands share, and parsers of their values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from typer import Argument, BadParameter, Option

from napari_cryoet.wording import ID_PREFIXES

_SIZE: Final = "([1-9][0-9]{0,6})"
_NUMBER: Final = r"([0-9]+(?:\.[0-9]+)?)"
_SPAN: Final = "([0-9]{1,6}):([0-9]{1,6})"


def matched(pattern: str, text: str, example: str) -> tuple[str, ...]:
    """Match the whole text and return the groups; BadParameter shows an example."""
    match = re.fullmatch(pattern, text.strip(), re.IGNORECASE)
    if not match:
        raise BadParameter(f"{text!r} isn't valid; an example is {example}")
    return match.groups()


def one_of(*known: str) -> Callable[[str], str]:
    """A parser of one of these words, for repeatable options; others use Literal."""

    def word(text: str) -> str:
        if text not in known:
            raise BadParameter(f"{text!r} isn't one of {', '.join(known)}")
        return text

    return word


def record_id(kind: str) -> Callable[[str], int]:
    """A parser of ids of one kind, such as ``506`` or ``RN-506``."""
    prefix = ID_PREFIXES[kind]
    return lambda text: int(
        matched(f"(?:{prefix}-)?([0-9]{{1,9}})", text, f"506 or {prefix}-506")[0]
    )


def which_annotations(text: str) -> Any:
    """Parse ``all``, ``default``, ``none``, or ids separated by commas."""
    is_word = text in {"all", "default", "none"}
    return text if is_word else tuple(record_id("annotation")(part) for part in text.split(","))


def positive(text: str) -> float:
    """Parse a number above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise BadParameter(f"{text!r} isn't a positive number")
    return number


def spacings(text: str) -> tuple[float, ...]:
    """Parse one voxel spacing for two files, or two separated by a comma."""
    numbers = tuple(positive(part) for part in text.split(","))
    if len(numbers) > 2:
        raise BadParameter(f"{text!r} has more than two voxel spacings")
    return numbers


def region(text: str) -> tuple[tuple[int, int], ...]:
    """Parse a box of voxels: start and end (exclusive) along z, y, x."""
    ends = [
        int(end) for end in matched(f"{_SPAN}, *{_SPAN}, *{_SPAN}", text, "100:356,0:256,0:256")
    ]
    return tuple(zip(ends[::2], ends[1::2], strict=True))


def region_angstrom(text: str) -> tuple[tuple[float, float], ...]:
    """Parse a slab or box: start and end along z, or along z, y and x, in ångström."""
    spans = []
    for part in text.split(","):
        start, end = map(float, matched(f"{_NUMBER}:{_NUMBER}", part, "200:800"))
        if not start < end:
            raise BadParameter(f"{part!r} doesn't end after its start")
        spans.append((start, end))
    if len(spans) > 3:
        raise BadParameter(f"{text!r} has more than three axes")
    return tuple(spans)


def symmetry(text: str) -> str:
    """Parse a rotational symmetry, such as C4."""
    return matched("(C[1-9][0-9]{0,2})", text, "C4")[0].upper()


def shape(text: str) -> tuple[int, ...]:
    """Parse the shape of a volume in voxels along z, y, x."""
    return tuple(map(int, matched(f"{_SIZE}, *{_SIZE}, *{_SIZE}", text, "1000,928,960")))


def window_size(text: str) -> tuple[int, ...]:
    """Parse a window's width and height in pixels, at least 100 each."""
    return tuple(map(int, matched("([1-9][0-9]{2,3})x([1-9][0-9]{2,3})", text, "1280x800")))


_WHICH: Final = (
    "Annotations to show: all, default (the curators' choice), none, or ids separated by commas."
)

SourceArgument = Annotated[
    str,
    Argument(
        metavar="SOURCE",
        help="live, demo, the URL of a GraphQL server, or a pack: its folder or zip.",
    ),
]
AnnotationsOption = Annotated[
    Any, Option("--annotations", parser=which_annotations, metavar="WHICH", help=_WHICH)
]
DepositionOption = Annotated[
    int | None, Option(parser=record_id("deposition"), metavar="ID", help="Id of a deposition.")
]
DatasetOption = Annotated[
    int | None, Option(parser=record_id("dataset"), metavar="ID", help="Id of a dataset.")
]
RunOption = Annotated[
    int | None, Option(parser=record_id("run"), metavar="ID", help="Id of a run.")
]
RefreshOption = Annotated[bool, Option("--refresh", help="Download the search index again.")]
JsonOption = Annotated[bool, Option("--json", help="Print JSON, for other programs.")]
ShapeOption = Annotated[
    Any,
    Option(
        parser=shape, metavar="Z,Y,X", help="Shape of the volume in voxels, if the format needs it."
    ),
]
UnitOption = Annotated[
    Literal["voxel", "angstrom", "nanometer"] | None,
    Option(help="Unit of columns x, y, z in a CSV or Parquet file."),
]
TomogramOption = Annotated[
    str | None, Option(metavar="NAME", help="Tomogram to use, if the file has several.")
]
