"""``napari-cryoet open`` and ``demo`` where there is no display or no Qt."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from napari_cryoet.cli import display, main, view
from napari_cryoet.cli.parser import build_parser
from napari_cryoet.network.policy import Policy


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can be without a display")
def test_without_a_display_a_window_is_refused_in_words(
    demo_pack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["open", str(demo_pack)]) == 1
    told = capsys.readouterr().err
    assert "no display" in told
    assert "--screenshot" in told


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can be without a display")
def test_without_a_display_and_without_xvfb_it_says_what_to_install(
    demo_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(display.shutil, "which", lambda _name: None)
    assert main(["open", str(demo_pack), "--screenshot", str(tmp_path / "a.png")]) == 1
    assert "apt-get install xvfb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("No module named 'napari'", 'pip install "napari-cryoet[all]"'),
        ("libEGL.so.1: cannot open shared object file: No such file or directory", "libegl1"),
        ("DLL load failed while importing QtCore", "Qt can't be loaded"),
    ],
)
def test_a_missing_napari_and_a_broken_qt_are_told_apart(reason: str, words: str) -> None:
    assert words in str(view.words_for_import(ImportError(reason)))


def test_a_missing_part_of_our_own_is_not_blamed_on_napari() -> None:
    told = str(view.words_for_import(ImportError("No module named 'napari_cryoet.x'", name="napari_cryoet.x")))
    assert "isn't installed as a whole" in told


def test_the_command_line_limits_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy()
    monkeypatch.setattr(view, "policy", lambda: policy)
    view.limit_network(build_parser().parse_args(["open", "live"]))
    assert (policy.offline, policy.max_session_bytes) == (False, None)
    view.limit_network(build_parser().parse_args(["open", "live", "--offline", "--max-mb", "200"]))
    assert (policy.offline, policy.max_session_bytes) == (True, 200_000_000)


def test_the_demo_has_no_such_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy(offline=True)  # the environment may say so
    monkeypatch.setattr(view, "policy", lambda: policy)
    view.limit_network(build_parser().parse_args(["demo"]))
    assert (policy.offline, policy.max_session_bytes) == (True, None)
