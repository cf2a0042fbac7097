"""Open our links by a click: register their scheme with the desktop, and take that back."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from platformdirs import user_data_path

from napari_cryoet.exceptions import CryoETError
from napari_cryoet.files import replace_file
from napari_cryoet.views.view import SCHEME

_DESKTOP_FILE: Final = "napari-cryoet.desktop"
_MIME_TYPE: Final = f"x-scheme-handler/{SCHEME}"
_CLASS: Final = rf"Software\Classes\{SCHEME}"
_COMMAND: Final = r"shell\open\command"
_TIMEOUT_S: Final = 30.0
_ARGUMENTS: Final = ("-m", "napari_cryoet.cli", "open")


def handler() -> str:
    """The program that opens our links: a command or a desktop file; empty if there is none.

    CryoETError if this desktop has no way to register programs.
    """
    if sys.platform == "win32":
        return _registered_command()
    if sys.platform == "darwin":
        raise CryoETError(
            "macOS opens links only with app bundles, which napari-cryoet isn't.",
            hint=f"Paste a link into napari, or run napari-cryoet open '{SCHEME}:…'.",
        )
    name = _xdg_mime("query", "default", _MIME_TYPE)
    return "" if name == _DESKTOP_FILE and not _desktop_path().exists() else name


def is_ours(program: str) -> bool:
    """Whether a program that `handler` returned is this one."""
    return program in {_DESKTOP_FILE, _windows_command()}


def register() -> None:
    """Open our links with this installation, whatever opened them before.

    CryoETError or OSError if that isn't possible.
    """
    handler()  # fails before anything is written
    if sys.platform == "win32":
        _write_class()
        return
    replace_file(_desktop_path(), _desktop_entry().encode())
    _xdg_mime("default", _DESKTOP_FILE, _MIME_TYPE)


def unregister() -> None:
    """Stop opening our links; another program's registration stays."""
    if not is_ours(handler()):
        return
    if sys.platform == "win32":
        _delete_class()
    else:
        _desktop_path().unlink(missing_ok=True)


# Linux


def _desktop_path() -> Path:
    return user_data_path() / "applications" / _DESKTOP_FILE


def _desktop_entry() -> str:
    program = sys.executable.replace("%", "%%")
    if " " in program:  # not always: xdg-open of bare window managers knows no quotes
        program = f'"{program}"'
    lines = (
        "[Desktop Entry]",
        "Type=Application",
        "Name=napari-cryoet",
        "NoDisplay=true",
        f"Exec={program} {' '.join(_ARGUMENTS)} %u",
        f"MimeType={_MIME_TYPE};",
    )
    return "\n".join(lines) + "\n"


def _xdg_mime(*arguments: str) -> str:
    program = shutil.which("xdg-mime")
    if program is None:
        raise CryoETError("xdg-mime isn't installed.", hint="Install the package xdg-utils.")
    try:
        done = subprocess.run(  # noqa: S603 - the desktop's own program, without a shell
            [program, *arguments], check=True, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CryoETError(f"xdg-mime failed: {error}.") from error
    return done.stdout.strip()


# Windows


def _windows_command() -> str:
    return f'"{sys.executable}" {" ".join(_ARGUMENTS)} "%1"'


def _winreg() -> Any:
    return importlib.import_module("winreg")  # untyped: other systems don't have it


def _registered_command() -> str:
    winreg = _winreg()
    try:
        return str(winreg.QueryValue(winreg.HKEY_CURRENT_USER, rf"{_CLASS}\{_COMMAND}"))
    except FileNotFoundError:
        return ""


def _write_class() -> None:
    winreg = _winreg()
    user = winreg.HKEY_CURRENT_USER
    winreg.SetValue(user, _CLASS, winreg.REG_SZ, f"URL:{SCHEME}")
    winreg.SetValue(user, rf"{_CLASS}\{_COMMAND}", winreg.REG_SZ, _windows_command())
    with winreg.CreateKey(user, _CLASS) as key:
        winreg.SetValueEx(key, "URL Protocol", 0, winreg.REG_SZ, "")


def _delete_class() -> None:
    winreg = _winreg()
    for below in (rf"\{_COMMAND}", r"\shell\open", r"\shell", ""):  # only empty keys can be deleted
        winreg.DeleteKey(winreg.HKEY_CURRENT_USER, _CLASS + below)
