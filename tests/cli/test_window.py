"""``napari-cryoet open`` and ``demo`` without a display or Qt."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import pytest

from napari_cryoet.classroom import client
from napari_cryoet.cli import main, window
from napari_cryoet.exceptions import NetworkError
from napari_cryoet.network.policy import policy

LINUX = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux can be without a display"
)


@pytest.fixture
def no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)


@LINUX
def test_a_missing_xvfb_is_explained(
    no_display: None, demo_pack: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert main(["open", str(demo_pack), "--screenshot", str(tmp_path / "a.png")]) == 1
    assert "install xvfb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("No module named 'napari'", 'pip install "napari-cryoet[pyqt]"'),
        ("libEGL.so.1: cannot open shared object file: No such file or directory", "libegl1"),
        ("DLL load failed while importing QtCore", "Qt can't be loaded"),
    ],
)
def test_a_missing_napari_and_a_broken_qt_are_distinguished(reason: str, words: str) -> None:
    assert words in str(window.explained(ImportError(reason)))


def test_options_limit_the_network(no_display: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy(), "offline", False)
    monkeypatch.setattr(policy(), "max_session_bytes", None)
    monkeypatch.setattr(window, "_open", lambda *_arguments, **_order: 0)
    assert main(["open", "live"]) == 0
    assert (policy().offline, policy().max_session_bytes) == (False, None)
    assert main(["open", "live", "--offline", "--max-mb", "200"]) == 0
    assert (policy().offline, policy().max_session_bytes) == (True, 200_000_000)


class Typing(io.StringIO):
    """What a user types in a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("address", "typed"),
    [("lab:80", "K7QM-4XDA\nAnna\n"), ("lab:80#K7QM-4XDA", "Anna\n"), ("lab:80", "ABCDEFGHJKMN\n")],
)
def test_join_asks_for_what_is_missing(
    address: str, typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def join_class(address: str, code: str, name: str, **_options: object) -> None:
        asked.append((code.replace("-", ""), name))
        raise NetworkError("There is no class.")

    monkeypatch.setattr(client, "join_class", join_class)
    monkeypatch.setattr(sys, "stdin", Typing(typed))
    assert main(["join", address]) != 0
    is_teacher = "Anna" not in typed
    assert asked == [("ABCDEFGHJKMN", "") if is_teacher else ("K7QM4XDA", "Anna")]
