"""The example that downloads a run does so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_the_example_downloads_a_run_and_then_finds_it_complete(
    project_folder: Path, demo_pack: Path, tmp_path: Path
) -> None:
    command = [sys.executable, str(project_folder / "examples" / "download_run.py"), str(demo_pack), str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    second = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert json.loads((tmp_path / "manifest.json").read_text())["is_complete"]
    assert "0 complete already" in first.stdout
    assert "\n0 files fetched" in second.stdout
