"""``napari-cryoet download``: what lies in the folder, what is left alone, and how it stops."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from command_line import POSIX, RUN, wait_until
from napari_cryoet.cli import main
from packs.served_files import hold_files


def downloaded(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and "zarr" not in str(path)}


def test_a_download_lays_files_out_like_the_portal(
    demo_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", str(demo_pack), "--run", str(RUN), "--to", str(tmp_path)]) == 0
    copied = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    for path in copied:
        if path.name != "manifest.json":
            assert (tmp_path / path).read_bytes() == (demo_pack / "files" / path).read_bytes()
    assert any(path.suffix == ".ndjson" for path in copied)
    assert any(".zarr" in str(path) for path in copied)
    assert "files," in capsys.readouterr().out


def test_a_download_from_a_server_brings_the_same(demo_pack: Path, tmp_path: Path) -> None:
    from napari_cryoet.packs.serve import serve_pack

    arguments = ["--run", str(RUN), "--what", "tomogram,annotations,metadata"]
    with serve_pack(demo_pack) as server:
        assert main(["download", server.graphql_url, *arguments, "--to", str(tmp_path / "web")]) == 0
    assert main(["download", str(demo_pack), *arguments, "--to", str(tmp_path / "disk")]) == 0

    def content(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    assert content(tmp_path / "web") == content(tmp_path / "disk")
    assert len(content(tmp_path / "web")) > 20


def test_only_what_is_asked_for_comes(demo_pack: Path, tmp_path: Path) -> None:
    arguments = ["download", str(demo_pack), "--run", f"RN-{RUN}", "--to", str(tmp_path)]
    assert main([*arguments, "--what", "tomogram", "--format", "mrc"]) == 0
    assert downloaded(tmp_path) == {"DEMO_001.mrc", "manifest.json"}


def test_a_dry_run_tells_sizes_and_writes_nothing(
    demo_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", str(demo_pack), "--run", str(RUN), "--to", str(tmp_path / "to"), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "DEMO_001.zarr" in printed
    assert "items of run DEMO_001, " in printed
    assert not (tmp_path / "to").exists()


def test_sizes_that_nobody_knows_are_not_called_nothing(
    demo_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", str(demo_pack), "--run", str(RUN), "--what", "metadata", "--to", str(tmp_path)]) == 0
    assert "items of run DEMO_001, 15 files of unknown size\n" in capsys.readouterr().err


def test_a_file_in_the_way_is_named_and_replaced_only_when_allowed(
    demo_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["download", str(demo_pack), "--run", str(RUN), "--what", "annotations", "--to", str(tmp_path)]
    assert main(arguments) == 0
    mine = next(tmp_path.rglob("*.ndjson"))
    mine.write_text("my own notes")
    (tmp_path / "manifest.json").unlink()
    capsys.readouterr()
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert "would be overwritten" in told
    assert "--overwrite" in told
    assert mine.name in told
    assert mine.read_text() == "my own notes"
    assert main([*arguments, "--overwrite"]) == 0
    assert mine.read_text() != "my own notes"


def test_what_the_server_lacks_is_told_and_ends_with_one(
    demo_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(demo_pack, pack)
    gone = next((pack / "files").rglob("DEMO_001/**/*.ndjson"))
    gone.unlink()
    assert main(["download", str(pack), "--run", str(RUN), "--what", "annotations", "--to", str(tmp_path / "to")]) == 1
    told = capsys.readouterr().err
    assert "missing on the server; the rest is complete" in told
    assert gone.name in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--run", "1"], "no run 1"),
        (["--run", str(RUN), "--annotations", "1,2"], "has no annotation 1, 2"),
        (["--run", "9004"], "has no tomogram"),
    ],
)
def test_what_the_source_does_not_have_is_told_in_a_sentence(
    demo_pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["download", str(demo_pack), *arguments, "--to", str(tmp_path)]) == 1
    assert words in capsys.readouterr().err


@POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_download_which_then_continues(
    demo_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    from napari_cryoet.packs.serve import serve_pack

    is_over = threading.Event()
    hold_files(monkeypatch, lambda path: ".zarr/0/0" in path, is_over)
    with serve_pack(demo_pack) as server:
        command = [sys.executable, "-m", "napari_cryoet.cli", "download", server.graphql_url, "--run", str(RUN)]
        process = subprocess.Popen([*command, "--to", str(tmp_path)], stderr=subprocess.PIPE, text=True)
        wait_until(lambda: any(tmp_path.rglob("*.ndjson")))
        process.send_signal(number)
        _, told = process.communicate(timeout=100)
        is_over.set()
    assert process.returncode == code
    assert told.endswith("napari-cryoet: stopped\n")
    assert not json.loads((tmp_path / "manifest.json").read_text())["is_complete"]
    assert main(["download", str(demo_pack), "--run", str(RUN), "--to", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "manifest.json").read_text())["is_complete"]
