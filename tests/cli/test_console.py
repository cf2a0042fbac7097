"""Progress of commands, tables, and escaping of control characters."""

from __future__ import annotations

import io
import json
import sys
from contextlib import closing
from pathlib import Path

import pytest

from napari_cryoet.cli import main
from napari_cryoet.cli.console import ProgressDisplay, harmless, say, say_table, tell
from napari_cryoet.cli.portals import VisitorDisplay, open_class
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.network.client import fetch
from napari_cryoet.packs.serve import PackServer
from napari_cryoet.picks import Picks
from napari_cryoet.wording import size_text

ODD_NAME = "\x1b[31mred\x9b1m\u202e"
ESCAPED = "\\u001b[31mred\\u009b1m\\u202e"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_is_a_bar_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with closing(ProgressDisplay()) as progress:
        progress.show(0.25, "reading [a]")
        say("result")
    assert capsys.readouterr().out == "result\n"
    assert "25%" in terminal.getvalue()
    assert "reading [a]" in terminal.getvalue()


def test_progress_in_a_log_is_an_occasional_line(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with closing(ProgressDisplay()) as progress:
        for number in range(100):
            progress.show(number / 100, "reading")
    assert log.getvalue() == "  0%  reading\n"


def test_control_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"Å · {ODD_NAME}\n\ttwo")
    tell(f"a\nb {ODD_NAME}")

    assert capsys.readouterr() == (f"Å · {ESCAPED}\n\ttwo\n", f"a b {ESCAPED}\n")
    assert json.loads(harmless(json.dumps({"name": ODD_NAME}, ensure_ascii=False))) == {
        "name": ODD_NAME
    }


def test_a_table_has_one_line_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    say_table((">size", "file"), [("1 KB", "long\n" * 60 + "[bold]"), ("10 MB", ODD_NAME)])
    first, second, third = capsys.readouterr().out.splitlines()

    assert first.split() == ["size", "file"]
    assert second == " 1 KB  " + "long " * 60 + "[bold]"
    assert third == f"10 MB  {ESCAPED}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "picks.csv", f"{ODD_NAME}.mrc"],
        ["compare", f"{ODD_NAME}.csv", "picks.csv", "--radius", "5"],
        ["convert", "picks.csv", f"{ODD_NAME}/other.csv"],
        ["convert", "picks.csv", f"{ODD_NAME}.csv"],
        ["compare", "a", "b", f"--{ODD_NAME}"],
        ["compare", "a", "b", "--radius", ODD_NAME],
        [ODD_NAME],
    ],
)
def test_commands_escape_control_characters_in_arguments(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_picks(Picks([[1, 2, 3]], 10.0), "picks.csv")
    main(arguments)
    output = "".join(capsys.readouterr())

    assert "red" in output
    assert not {"\x1b", "\x9b", "\u202e"} & set(output)


@pytest.mark.parametrize(("host", "is_alone"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_a_class_says_whether_others_can_join(
    host: str,
    is_alone: bool,
    demo_pack: Path,
    user_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    open_class(demo_pack, "Monday", host, 0, [], []).close()
    assert ("Only this computer" in capsys.readouterr().err) == is_alone


@pytest.mark.parametrize("screen", [Terminal, io.StringIO])
def test_serve_shows_who_is_connected(
    screen: type[io.StringIO], demo_pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = screen()
    monkeypatch.setattr(sys, "stderr", shown)
    with PackServer(demo_pack) as server, closing(VisitorDisplay()) as display:
        display.show(server)
        fetch(server.files_url, limit_bytes=10_000)
        display.show(server)
        (visitor,) = server.visitors()
    assert visitor.address in shown.getvalue()
    assert size_text(visitor.sent_bytes) in shown.getvalue()
