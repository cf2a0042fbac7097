"""What benchmarks are told on their command lines, looked at before anything is measured."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence


def how_often(text: str) -> int:
    """How often something is measured: once at least."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"“{text}” is no whole number from 1 on")
    return int(text)


def some_of(names: Sequence[str]) -> Callable[[str], list[str]]:
    """A way to read names with commas between them; others than these are refused."""

    def read(text: str) -> list[str]:
        found = text.split(",")
        for name in found:
            if name not in names:
                raise argparse.ArgumentTypeError(f"“{name}” is none of {', '.join(names)}")
        return found

    return read
