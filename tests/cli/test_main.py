"""How every command ends, whoever reads what it says, and that only those with a window import Qt."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import POSIX, RUN, modules_after, run_process
from napari_cryoet.cli import main
from napari_cryoet.exceptions import CryoETError


@POSIX
def test_a_reader_that_leaves_early_is_no_error(demo_pack: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        command = [sys.executable, "-m", "napari_cryoet.cli", "search", str(demo_pack), "--json"]
        done = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, text=True, timeout=100, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


@POSIX
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_outputs_are_no_error(demo_pack: Path, closed: str) -> None:
    command = shlex.join([sys.executable, "-m", "napari_cryoet.cli", "search", str(demo_pack), "yeast"])
    done = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, timeout=100, check=False)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", [["search", "PACK"], ["search", "PACK", "--json"], ["download", "PACK", "--run", RUN]]
)
def test_what_the_output_cannot_spell_is_no_error(demo_pack: Path, tmp_path: Path, command: list[object]) -> None:
    arguments = [demo_pack if word == "PACK" else word for word in command]
    more = ["--to", tmp_path / "Å", "--what", "metadata"] if "download" in command else []
    done = run_process(*arguments, *more, env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    if "--json" in command:
        assert {row["id"] for row in json.loads(done.stdout)} == {90001, 90002}


@pytest.mark.parametrize("source", ["no/such/folder", "http://nowhere.invalid/graphql", "http://[::1", "ftp://a/b", ""])
def test_a_source_that_cannot_be_opened_is_told(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", source, "x"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("napari-cryoet: ")
    assert "Traceback" not in told


def test_debug_shows_where_an_error_comes_from() -> None:
    with pytest.raises(CryoETError):
        main(["search", "no/such/folder", "--debug"])


@pytest.mark.parametrize(
    "command",
    [
        ["search", "PACK", "yeast"],
        ["download", "PACK", "--run", RUN, "--what", "annotations", "--to", "FOLDER"],
        ["cache"],
        ["pack", "demo", "PACK"],
    ],
)
def test_only_open_and_demo_import_qt(command: list[object], demo_pack: Path, tmp_path: Path) -> None:
    arguments = [{"PACK": demo_pack, "FOLDER": tmp_path}.get(word, word) for word in command]
    modules = modules_after(arguments)
    assert "napari_cryoet" in modules
    assert not modules & {"napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "superqt", "vispy", "magicgui"}


def test_serving_does_not_import_qt() -> None:
    script = "import sys, napari_cryoet.cli.packs, napari_cryoet.packs.serve; sys.exit('qtpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=100, check=False).returncode == 0
