"""How often Python functions of ours are called: what is done to many picks at once mustn't be done to one by one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari_cryoet

OURS = str(Path(napari_cryoet.__file__).parent)


def calls_of_ours(action: Callable[[], Any]) -> int:
    """The number of calls on this thread; those of comprehensions and generators count too."""
    count = 0

    def on_event(frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code.co_filename.startswith(OURS)

    sys.setprofile(on_event)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count
