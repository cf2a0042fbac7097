"""The example that lists depositions does so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_example_lists_what_depositions_brought_and_added(project_folder: Path, demo_pack: Path) -> None:
    command = [sys.executable, str(project_folder / "examples" / "deposition_runs.py"), str(demo_pack)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout.splitlines()
    assert told[0].startswith("CZCDP-90903 ")
    assert told[1] == "  added to DS-90001: 4 annotations"
    assert told[2].startswith("    RN-9001 DEMO_001: cytosolic ribosome 1 automated")
    assert "  brought DS-90001: 12 annotations" in told
