"""What a command says while it works."""

from __future__ import annotations

import io
import sys

import pytest

from napari_cryoet.cli.console import ProgressLine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_progress_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressLine() as line:
        line.show("one", is_last=True)
        line.show("two", is_last=True)
    first, second, wiped, rest = terminal.getvalue().removeprefix("\r").split("\r")
    assert (first.strip(), second.strip(), wiped.strip(), rest) == ("one", "two", "", "")


def test_in_a_log_progress_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with ProgressLine() as line:
        for number in range(100):
            line.show(f"{number}")
    assert log.getvalue() == "0\n"
