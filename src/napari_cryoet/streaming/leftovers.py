"""Memory that nobody uses goes back to the system once all is still.

glibc gives threads arenas of their own, and keeps what is freed in them for later: answers of servers, frames that were
decoded, pictures that were drawn. After some hundred megabytes of these a tenth of what a viewer holds is nothing at
all. Other C libraries give it back by themselves, or can't be asked.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def give_back() -> bool:
    """Give back what is free, in some milliseconds in which Python's other threads go on; whether that can be asked."""
    trim = _trim()
    if trim is None:
        return False
    trim(0)
    return True


@cache
def _trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim
