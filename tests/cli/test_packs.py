"""``napari-cryoet serve`` and ``napari-cryoet pack``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from command_line import POSIX, RUN
from napari_cryoet.cli import main


@POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_serve_prints_one_line_when_ready_and_ends_when_told(demo_pack: Path, number: int, code: int) -> None:
    command = [sys.executable, "-m", "napari_cryoet.cli", "serve", str(demo_pack)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        urls = json.loads(process.stdout.readline())
        assert set(urls) == {"graphql", "files", "s3"}
        question = urllib.request.Request(
            urls["graphql"], json.dumps({"query": "{runs{id}}"}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(question, timeout=60) as answer:
            assert {"id": RUN} in json.load(answer)["data"]["runs"]
    finally:
        process.send_signal(number)
        rest, told = process.communicate(timeout=100)
    assert process.returncode == code
    assert rest == ""
    assert "Traceback" not in told


def test_a_folder_that_is_no_pack_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path)]) == 1
    assert "isn't a pack" in capsys.readouterr().err


def test_a_pack_is_never_written_over_something(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("")
    assert main(["pack", "demo", str(tmp_path)]) == 1
    assert "isn't an empty folder" in capsys.readouterr().err


def test_the_demo_is_written_as_a_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from napari_cryoet.packs import demo
    from napari_cryoet.packs.pack import is_pack

    write = demo.write_demo_pack
    monkeypatch.setattr(demo, "write_demo_pack", lambda folder, **options: write(folder, size="tiny", **options))
    assert main(["pack", "demo", str(tmp_path / "pack")]) == 0
    assert is_pack(tmp_path / "pack")
    assert capsys.readouterr().out == f"{tmp_path / 'pack'}\n"
