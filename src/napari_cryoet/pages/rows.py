"""A row of a list or tree: a record with its texts, mark, colour and picture; and tick boxes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, TypeAlias

from napari_cryoet.appearance.colors import RGBA

#: A text, or alternatives from longest to shortest; the first that fits is shown.
Text: TypeAlias = str | tuple[str, ...]


class RowKind(Enum):
    """The kind of a row."""

    RECORD = "record"
    HEADING = "heading"  # can't be selected
    MESSAGE = "message"  # last row: more rows are loading
    FAILURE = "failure"  # last row: loading failed; Enter or a click retries


class TickState(IntEnum):
    """The state of a tick box, numbered as in Qt."""

    OFF = 0
    PARTIAL = 1
    ON = 2


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick box, with the colour of its layer."""

    state: TickState = TickState.OFF
    color: RGBA | None = None
    is_hollow: bool = False  # for a hidden layer, only the frame is coloured


@dataclass(frozen=True, slots=True)
class RecordRow:
    """The content of a row; all fields but ``record`` and ``title`` are optional."""

    record: Any  # emitted by the view's signals
    title: Text
    key: Hashable = None  # selection and folding follow the key when rows change
    kind: RowKind = RowKind.RECORD
    title_lines: int = 1  # or 2
    is_bold: bool = False
    is_dim: bool = False  # draws the title in the dim colour of the other lines
    lines: tuple[Text, ...] = ()
    right: Text = ""  # on the title's line; alternatives must leave room for title and badge
    badge: str = ""  # short text in a box after the title, if there is room
    color: RGBA | None = None  # of a chip before the title
    icon: str = ""  # before the title; for child rows, in the indentation
    is_chosen: bool | None = None  # a radio mark before the title; None draws none
    picture_url: str | None = None  # for root rows; "" draws a placeholder, None leaves no room
    tooltip: str = ""
    spoken: str = ""  # for screen readers, instead of all texts
    opens: bool = True  # on Enter or double click; otherwise they fold and unfold the row
    is_unfolded: bool = True  # when it is first listed
    children: tuple[RecordRow, ...] = ()


def longest(text: Text) -> str:
    """The text, or its longest alternative."""
    return text if isinstance(text, str) else text[0]
