"""Each benchmark runs with a tiny volume."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def benchmarks(project_folder: Path) -> Path:
    folder = project_folder / "benchmarks"
    if not folder.is_dir():
        pytest.skip("a source distribution has no benchmarks")
    return folder


def test_benchmarks_named_in_the_docs_exist(benchmarks: Path, project_folder: Path) -> None:
    pages = [page.read_text("utf-8") for page in (project_folder / "docs").rglob("*.md")]
    named = set(re.findall(r"python benchmarks/(\w+)\.py", "".join(pages)))

    assert named
    assert named <= {path.stem for path in benchmarks.glob("*.py")}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is measured as Linux does it"
)
@pytest.mark.parametrize(
    ("name", "options", "figure"),
    [
        ("first_plane", ["--repeats=1", "--line=near"], "first exact plane"),
        ("bulk_read", ["--repeats=1", "--line=near"], "near, portal, whole"),
        ("cache", ["--repeats=1", "--line=near"], "find 0.5 MB, ms"),
        ("crops", ["--repeats=1", "--line=near"], "crops a second"),
        ("compare_and_add", ["--repeats=1", "--counts", "100"], "delete one of 100"),
        ("download", ["--repeats=1", "--line=near"], "annotations, s"),
        ("soak", ["--minutes=0.01", "--actions=3", "--faults=0"], '"tours": 1'),
        ("check_rates", ["--cases=4", "--source"], "right answer"),
        ("discovery", ["--datasets=5", "--runs=50", "--annotations=100"], "find, ms"),
    ],
)
def test_each_benchmark_runs(
    benchmarks: Path, demo_pack: Path, name: str, options: list[str], figure: str
) -> None:
    call = [
        sys.executable,
        benchmarks / f"{name}.py",
        *options,
        *([demo_pack] if "--source" in options else []),
    ]
    environment = os.environ | {"BENCH_SHAPE": "48x64x64"}
    done = subprocess.run(
        call, env=environment, capture_output=True, text=True, timeout=500, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert figure in done.stdout
