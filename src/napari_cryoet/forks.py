"""What a forked process must not use as it got it: threads stay behind, and connections still belong to the parent.

Two processes that read from one connection get each other's answers.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something with threads, connections or locks."""

    def start_afresh(self) -> None:
        """Forget threads, connections, whatever is under way, and who holds locks; called in the new process."""


_all: WeakSet[Forked] = WeakSet()


def start_afresh_in_children(each: Forked) -> None:
    """Have something start afresh in every process that is forked from this one."""
    _all.add(each)


def _start_all_afresh() -> None:
    for each in list(_all):
        each.start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_all_afresh)
