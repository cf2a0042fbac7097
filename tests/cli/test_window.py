"""``napari-cryoet open`` and ``demo`` where there is no display or no Qt."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from napari_cryoet.cli import main, window
from napari_cryoet.network.policy import policy

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can be without a display")


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


@LINUX
def test_without_xvfb_it_says_what_to_install(
    no_display: None, demo_pack: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert main(["open", str(demo_pack), "--screenshot", str(tmp_path / "a.png")]) == 1
    assert "install xvfb" in capsys.readouterr().err


@pytest.fixture
def as_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Let Python's code run where the command line would be run again, on the virtual display."""
    start, before = subprocess.Popen, signal.signal(signal.SIGINT, signal.default_int_handler)  # xdist ignores it

    def replace(code: str) -> None:
        def popen(command: list[str], **options: object) -> object:
            return start([sys.executable, "-c", code] if "napari_cryoet.cli" in command else command, **options)

        monkeypatch.setattr(subprocess, "Popen", popen)

    yield replace
    signal.signal(signal.SIGINT, before)


@LINUX
@pytest.mark.skipif(not shutil.which("Xvfb"), reason="needs Xvfb")
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os; os._exit(3 if os.environ['DISPLAY'].startswith(':') else 4)", 3),
        ("import os; os.kill(os.getpid(), 11)", 1),
        (
            "import os, time\n"
            "try: os.kill(os.getppid(), 15), time.sleep(60)\n"
            "except KeyboardInterrupt: raise SystemExit(130)",
            143,
        ),
    ],
    ids=["its exit code", "a crash", "a signal that is handed on"],
)
def test_a_picture_is_drawn_on_a_display_of_its_own(
    no_display: None, as_window: Callable[[str], None], demo_pack: Path, tmp_path: Path, code: str, expected: int
) -> None:
    as_window(code)

    assert main(["open", str(demo_pack), "--screenshot", str(tmp_path / "a.png")]) == expected


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("No module named 'napari'", 'pip install "napari-cryoet[all]"'),
        ("libEGL.so.1: cannot open shared object file: No such file or directory", "libegl1"),
        ("DLL load failed while importing QtCore", "Qt can't be loaded"),
    ],
)
def test_a_missing_napari_and_a_broken_qt_are_told_apart(reason: str, words: str) -> None:
    assert words in str(window.explained(ImportError(reason)))
    ours = ImportError("No module named 'napari_cryoet.x'", name="napari_cryoet.x")
    assert "as a whole" in str(window.explained(ours))


def test_the_command_line_limits_the_network(no_display: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy(), "offline", False)
    monkeypatch.setattr(policy(), "max_session_bytes", None)
    monkeypatch.setattr(window, "_open", lambda *_arguments, **_order: 0)
    assert main(["open", "live"]) == 0
    assert (policy().offline, policy().max_session_bytes) == (False, None)
    assert main(["open", "live", "--offline", "--max-mb", "200"]) == 0
    assert (policy().offline, policy().max_session_bytes) == (True, 200_000_000)
