"""Downloads of datasets and runs from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from download_samples import sample_files, sample_rows, write_files
from napari_cryoet import open_portal
from napari_cryoet.cli import main
from napari_cryoet.packs.pack import Manifest, write_pack

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def pack(tmp_path: Path) -> str:
    write_files(tmp_path / "pack" / "files")
    manifest = Manifest(title="Sample", https_prefix="https://files.example.org/", s3_prefix="s3://bucket/")
    rows = sample_rows(manifest.https_prefix)
    rows["depositions"][0]["releaseDate"] = "2025-01-01"
    return str(write_pack(tmp_path / "pack", manifest, rows).folder)


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder / "files").as_posix() for path in folder.rglob("files/**/*") if path.is_file()}


def test_a_dataset_comes_whole(pack: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["download", pack, "--dataset", "DS-10000", "--to", str(tmp_path / "to")]) == 0
    assert files_in(tmp_path / "to") == set(sample_files())
    assert json.loads((tmp_path / "to" / "manifest.json").read_text())["is_complete"]
    assert [run.name for run in open_portal(tmp_path / "to").runs(10000)] == ["TS_1", "TS_2"]

    assert main(["download", pack, "--dataset", "10000", "--to", str(tmp_path / "to")]) == 0
    assert f"{len(sample_files())} files complete already" in capsys.readouterr().out


def test_a_part_of_a_dataset_can_be_chosen(pack: str, tmp_path: Path) -> None:
    arguments = ["--what", "tomogram,annotations", "--format", "mrc", "--annotations", "none"]
    assert main(["download", pack, "--dataset", "10000", *arguments, "--to", str(tmp_path / "to")]) == 0
    assert [Path(path).name for path in files_in(tmp_path / "to")] == ["TS_1.mrc"]


def test_a_dry_run_says_the_sizes_and_writes_nothing(pack: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["download", pack, "--dataset", "10000", "--to", str(tmp_path / "to"), "--dry-run"]) == 0
    said = capsys.readouterr().out

    assert "2.1 MB" in said
    assert "8 items of unknown size" in said
    assert not (tmp_path / "to").exists()
    assert main(["download", pack, "--dataset", "7", "--to", str(tmp_path / "to")]) == 1
    assert "7" in capsys.readouterr().err
