"""The virtual display: how long it lasts, and who hears of a signal."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from napari_cryoet.cli import display


@pytest.mark.skipif(not sys.platform.startswith("linux") or not shutil.which("Xvfb"), reason="needs Xvfb")
def test_a_virtual_display_lasts_as_long_as_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    servers: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            servers.append(self)

    monkeypatch.setattr(display.subprocess, "Popen", Recorded)
    with display.virtual_display((400, 300)) as name:
        assert name.removeprefix(":").isdecimal()
        assert [server.poll() for server in servers] == [None]
    assert servers[0].poll() is not None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there are virtual displays")
def test_files_beside_which_a_command_is_typed_are_no_part_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "argparse.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    monkeypatch.setattr(display, "virtual_display", lambda _size_px: nullcontext(":99"))
    assert display.run_on_virtual_display(["--version"], size_px=(400, 300)) == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there are virtual displays")
def test_being_terminated_is_passed_on_to_the_command_on_the_virtual_display() -> None:
    command = [sys.executable, "-c", "print('ready', flush=True); import time; time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process, display.passing_on_termination(process):
        assert process.stdout.readline() == b"ready\n"
        signal.raise_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == -signal.SIGTERM
