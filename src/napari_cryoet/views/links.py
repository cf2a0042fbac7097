"""Links that open a view or a record: ours, the portal's, and those of Neuroglancer.

Parsing reads the text only. It requests nothing, and opens no file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from napari_cryoet.exceptions import FormatError
from napari_cryoet.locations import is_web_address, path_to_read
from napari_cryoet.portal.links import Jump, parse_jump
from napari_cryoet.views.neuroglancer import read_state
from napari_cryoet.views.packing import unpack
from napari_cryoet.views.view import LINK_VERSION, SCHEME, SUFFIX, View, read_view
from napari_cryoet.wording import plain
from napari_cryoet.words import AROUND

#: napari needs the slashes; systems may remove or add some.
_OWN: Final = re.compile(rf"{SCHEME}:/*v([0-9]{{1,4}})/(.*)", re.IGNORECASE | re.DOTALL)
_STATE: Final = re.compile(r"#(?:!|%21)")
_LONGEST_PAGE: Final = 2000  # characters of the address of a page


def parse_link(text: str) -> View | Jump | None:
    """The view or record that a link leads to, or None for other text.

    FormatError if the link is damaged, or shows none of the portal's data.
    """
    text = text.strip().lstrip(AROUND)
    if text[: len(SCHEME) + 1].lower() == f"{SCHEME}:":
        return _parse_own(text)
    page, *states = _STATE.split(text, maxsplit=1)
    record = parse_jump(page) if len(page) <= _LONGEST_PAGE else None
    if not states or not is_web_address(page):
        return record if not states else None
    run_id = record.id if record is not None and record.kind == "run" else None
    return read_state(states[0], run_id) or record


def read_shared(text: str) -> tuple[View | Jump | None, Path | None]:
    """The view or record that a link or the path of a view's file leads to, and the file's folder.

    None for other text. FormatError if the link or the file is damaged or can't be read.
    """
    if not text.endswith(SUFFIX):
        return parse_link(text), None
    path = path_to_read(text)
    return read_view(path), path.parent


def read_shared_view(text: str) -> tuple[View, Path | None]:
    """The view that a link or the path of a file leads to; else like `read_shared`."""
    view, folder = read_shared(text)
    if not isinstance(view, View):
        raise FormatError(f"{plain(text)[:80]!r} is no view.", hint="Give its file or link.")
    return view, folder


def _parse_own(text: str) -> View:
    match = _OWN.fullmatch(unquote(text).rstrip(AROUND))
    if match is None:
        raise FormatError("This link is damaged.", hint="Copy it again.")
    if int(match[1]) > LINK_VERSION:
        hint = "Install a newer version of napari-cryoet."
        raise FormatError("This link was made by a newer version.", hint=hint)
    return View.of_json(unpack(match[2]))
