"""A lesson's Markdown as the HTML that Qt's rich text shows, and the links in it that act."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final, Literal, get_args
from urllib.parse import unquote

import msgspec
from markdown_it import MarkdownIt
from markdown_it.token import Token

from napari_cryoet.exceptions import FormatError
from napari_cryoet.lessons.lesson import FILE_NAME
from napari_cryoet.views.view import Zyx

ActionKind = Literal["goto", "show", "hide", "highlight"]

_PICTURE: Final = re.compile(FILE_NAME)
_SHOWN: Final = re.compile('<img src="([^"]+)"')
_LINK: Final = re.compile("https?://|!", re.IGNORECASE)
_ACTION: Final = re.compile(f"!({'|'.join(get_args(ActionKind))})=(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Action:
    """What a link in a lesson does: go to or highlight a position in ångström, or a named layer."""

    kind: ActionKind
    position_zyx_angstrom: Zyx | None = None
    layer: str = ""


def parse_action(href: str) -> Action | None:
    """The action of a link such as ``!goto=350,800,700``; None if it is a web address.

    FormatError if it is a damaged action.
    """
    if not href.startswith("!"):
        return None
    match = _ACTION.fullmatch(href)
    if match is None:
        raise FormatError(f"A link in this lesson does nothing: {unquote(href)[:80]}")
    kind: Any = match[1]
    target = unquote(match[2])
    position = _position_of(target)
    if position is None and kind == "goto":
        raise FormatError(f"A link in this lesson leads to no position: {target[:80]}")
    if position is not None and kind in {"goto", "highlight"}:
        return Action(kind, position_zyx_angstrom=position)
    return Action(kind, layer=target)


def to_html(markdown: str) -> str:
    """Render Markdown as HTML for Qt's rich text.

    HTML in it is shown as text. Pictures are named by their path in the lesson's folder; other
    pictures are left out. Links lead to web addresses or are actions.
    """
    html: str = _RENDERER.render(markdown)
    return html


def pictures_in(markdown: str) -> list[str]:
    """The files of the pictures in a text."""
    return _SHOWN.findall(to_html(markdown))


def _position_of(text: str) -> Zyx | None:
    try:
        position: Zyx = msgspec.convert(text.replace(" ", "").split(","), Zyx, strict=False)
    except msgspec.ValidationError:
        return None
    return position


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802 - the parser's name
        return bool(_LINK.match(url) or _PICTURE.fullmatch(url))


def _picture(tokens: Sequence[Token], number: int, *_: Any) -> str:
    """The HTML of a picture in the lesson's folder; the words of any other one."""
    token = tokens[number]
    name = str(token.attrs.get("src", ""))
    words = escape(token.content)
    return f'<img src="{name}" alt="{words}">' if _PICTURE.fullmatch(name) else words


_RENDERER: Final = _Markdown("commonmark", {"html": False}).enable("table")
_RENDERER.renderer.rules["image"] = _picture  # type: ignore[attr-defined] # of the usual renderer
