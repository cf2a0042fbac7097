"""``napari-cryoet links``: registering our links with the desktop."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_cryoet.cli import main

Captured = pytest.CaptureFixture[str]
#: Stands in for the desktop's program: keeps the default in a file.
XDG_MIME = """#!/bin/sh
case "$1" in
  query) cat "$0.default" 2>/dev/null || true ;;
  default) printf '%s\\n' "$2" > "$0.default" ;;
esac
"""


class Registry(SimpleNamespace):
    """The functions of winreg, over a dict of keys."""

    HKEY_CURRENT_USER, REG_SZ = "HKCU", 1

    def __init__(self) -> None:
        super().__init__(keys={})

    @contextmanager
    def CreateKey(self, root: str, path: str) -> Iterator[dict[str, str]]:  # noqa: N802 - winreg's
        yield self.keys.setdefault(path, {})

    def SetValue(self, root: str, path: str, kind: int, value: str) -> None:  # noqa: N802
        self.keys.setdefault(path, {})[""] = value

    def SetValueEx(self, key: dict[str, str], name: str, _: int, kind: int, value: str) -> None:  # noqa: N802
        key[name] = value

    def QueryValue(self, root: str, path: str) -> str:  # noqa: N802
        if path not in self.keys:
            raise FileNotFoundError
        return self.keys[path][""]

    def DeleteKey(self, root: str, path: str) -> None:  # noqa: N802
        below = [key for key in self.keys if key.startswith(f"{path}\\")]
        assert not below, "Windows deletes no key with others below it"
        self.keys.pop(path, None)


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that holds the desktop's default program for our links."""
    if os.name == "nt":
        pytest.skip("the stand-in for xdg-mime needs a shell")
    program = tmp_path / "bin" / "xdg-mime"
    program.parent.mkdir()
    program.write_text(XDG_MIME)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "linux")
    return program.with_name("xdg-mime.default")


def test_links_are_turned_on_and_off_on_linux(
    desktop: Path, user_folder: Path, capsys: Captured
) -> None:
    file = user_folder / "data" / "applications" / "napari-cryoet.desktop"
    assert main(["links"]) == 0
    assert capsys.readouterr().out.startswith("off")
    assert main(["links", "on"]) == 0
    assert capsys.readouterr().out.startswith("on")
    assert f"Exec={sys.executable} -m napari_cryoet.cli open %u" in file.read_text()
    assert "MimeType=x-scheme-handler/napari-cryoet;" in file.read_text()
    assert desktop.read_text() == "napari-cryoet.desktop\n"
    assert main(["links", "off"]) == 0
    assert capsys.readouterr().out.startswith("off")
    assert not file.exists()


def test_another_programs_handler_is_replaced_only_aloud(desktop: Path, capsys: Captured) -> None:
    desktop.write_text("other.desktop\n")
    assert main(["links", "off"]) == 0
    assert "other.desktop" in capsys.readouterr().out
    assert desktop.read_text() == "other.desktop\n"
    assert main(["links", "on"]) == 0
    assert "replaced other.desktop" in capsys.readouterr().err


def test_links_are_turned_on_and_off_on_windows(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    registry = Registry()
    monkeypatch.setitem(sys.modules, "winreg", registry)
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["links", "on"]) == 0
    key = registry.keys[r"Software\Classes\napari-cryoet"]
    assert key == {"": "URL:napari-cryoet", "URL Protocol": ""}
    command = registry.keys[r"Software\Classes\napari-cryoet\shell\open\command"][""]
    assert command == f'"{sys.executable}" -m napari_cryoet.cli open "%1"'
    assert main(["links", "off"]) == 0
    assert not registry.keys
    states = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert states == ["on", "off"]


@pytest.mark.parametrize(("system", "word"), [("darwin", "macOS"), ("linux", "xdg-utils")])
def test_a_desktop_without_a_way_to_do_it_says_so(
    system: str, word: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setenv("PATH", "")
    assert main(["links", "on"]) == 1
    assert word in capsys.readouterr().err
