"""The example that compares annotations does so, and finds what is wrong with the careless one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_cryoet.packs.demo.picks import _HABITS
from napari_cryoet.packs.pack import open_pack, write_pack


def test_the_example_finds_the_shift_of_the_careless_picks(project_folder: Path, demo_pack: Path) -> None:
    command = [sys.executable, str(project_folder / "examples" / "compare_annotations.py"), str(demo_pack)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True, encoding="utf-8").stdout
    assert (
        told.count("the reference: optimal one-to-one matching within 120 Å.") == 3
    )  # picked by hand, matched, careless
    assert "The portal says of A: precision 90.1 %, recall 85.9 %" in told
    _, _, shift = told.rpartition("(z, y, x): [")
    assert [float(part) for part in shift.strip("]\n ").split()] == pytest.approx(
        _HABITS["sloppy"].shift_xyz[::-1], abs=12
    )


def test_a_pack_of_which_no_run_has_two_annotations_of_an_object_is_told_to_be_so(
    project_folder: Path, demo_pack: Path, tmp_path: Path
) -> None:
    pack = open_pack(demo_pack)
    tables = {name: [] if name == "annotationFiles" else pack.tables[name] for name in pack.tables}
    write_pack(tmp_path / "bare", pack.manifest, tables)
    command = [sys.executable, str(project_folder / "examples" / "compare_annotations.py"), str(tmp_path / "bare")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, encoding="utf-8")

    assert ended.returncode == 1
    assert ended.stderr == "No run here has two annotations of one object as points, so there is nothing to compare.\n"
