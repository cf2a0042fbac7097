"""Callbacks that report progress."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the fraction done, from 0 to 1, and a status message, from any thread.
Progress = Callable[[float, str], None]
#: Called with the number of bytes done and the total.
BytesProgress = Callable[[int, int], None]
