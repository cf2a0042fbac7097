"""The streaming benchmarks that need no window: each row is there, with a number that can be, whichever it is."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark_runs import READS_PROC, RIVALS, SHAPE, require_sane


def test_every_benchmark_of_the_docs_is_run_by_a_test(project_folder):
    pages = [page.read_text("utf-8") for page in (project_folder / "docs").rglob("*.md")]
    commands = set(re.findall(r"python benchmarks/(\w+)\.py", "".join(pages)))
    tests = [path.read_text("utf-8") for path in (project_folder / "tests").rglob("test_*.py")]

    assert commands
    assert [name for name in commands if not any(f'"{name}"' in text for text in tests)] == []


@READS_PROC
def test_a_witness_tells_how_long_it_was_held_up(benchmarks):
    witnesses = benchmarks.module("witness").Witnesses()
    try:
        one = witnesses.processes[0]
        began = time.perf_counter()
        one.send_signal(signal.SIGSTOP)
        while time.perf_counter() < began + 0.2:
            pass
        one.send_signal(signal.SIGCONT)
        while witnesses.longest_s(began) < 0.15:
            assert time.perf_counter() < began + 60
        assert witnesses.longest_s(time.perf_counter() + 60) == 0
    finally:
        witnesses.close()
    assert one.poll() is not None


@pytest.mark.parametrize(
    ("name", "arguments", "complaint"),
    [
        ("streaming_first_plane", ("--repeats", 0), "“0” is no whole number from 1 on"),
        ("masks", ("--repeats", "-3"), "“-3” is no whole number from 1 on"),
        ("streaming_viewer", ("--only", "ours,theirs"), "“theirs” is none of in memory, ours, rival"),
        ("streaming_scaling", ("--only", "size,layer"), "“layer” is none of size, latency, layers, window"),
        ("streaming_viewer", ("--rows", "slow"), "“slow” is none of tour, volume, across"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name_before_anything_is(name, arguments, complaint, benchmarks, capsys):
    with pytest.raises(SystemExit):
        benchmarks.run(name, *arguments)
    assert complaint in capsys.readouterr().err


PLANE = np.arange(100.0).reshape(10, 10)


@pytest.mark.parametrize(
    ("drawn", "quality"),
    [
        (PLANE, "exact"),
        (PLANE + 1, "level 1"),
        (PLANE + 5, "coarse"),
        (PLANE[2:6], "part"),
        (PLANE[::2, ::2], "part"),
        (np.zeros((5, 5)), "other"),
        (np.zeros((10, 10)), "blank"),
    ],
)
def test_whatever_a_viewer_draws_of_a_plane_counts_as_a_picture_unless_it_is_empty(drawn, quality, benchmarks):
    """Also a tile, or a coarse level as it is stored, which napari draws of other layers before it has the plane."""
    probe = object.__new__(benchmarks.module("viewer_probe").Probe)
    probe.axis, probe.viewer = 0, SimpleNamespace(dims=SimpleNamespace(ndisplay=2, current_step=(3, 0, 0)))
    probe.layer = SimpleNamespace(_slice=SimpleNamespace(image=SimpleNamespace(raw=drawn)))
    probe.truth = SimpleNamespace(plane=lambda level, *_: PLANE + level, of_picture=lambda values, _axis: values)
    assert probe.quality() == quality


def test_the_limit_of_a_first_plane_is_its_bytes_two_round_trips_and_what_napari_takes(benchmarks):
    viewer, middle = benchmarks.module("streaming_viewer"), benchmarks.module("slow_link").PROFILES["middle"]
    tour = {"ours": {"open_mb": 7.0, "open_first_exact_s": 0.42}, "in memory": {"open_first_exact_s": 0.15}}
    assert viewer.limit_s({"tour": tour}, middle) == pytest.approx(7.0 / 50 + 0.12 + 0.15)
    assert viewer.limit_s({"tour": {"ours": tour["ours"]}}, middle) is None
    assert viewer.limit_s({"fast": tour}, middle) is None


def test_the_first_plane_as_from_a_command_line(benchmarks):
    """In processes of its own, as every benchmark of streaming starts them."""
    only = ["--repeats", "1", "--only", "pyramid.read", "--latency-ms", "1", "--data", str(benchmarks.data)]
    call = [sys.executable, str(benchmarks.folder / "streaming_first_plane.py"), *only]
    done = subprocess.run(call, check=True, capture_output=True, text=True, timeout=100, env=os.environ)
    found = json.loads(done.stdout)

    require_sane(found)
    assert found["shape"] == list(SHAPE)
    assert list(found["medians"]) == ["plane: pyramid.read"]
    assert found["medians"]["plane: pyramid.read"]["requests"] > 0


@pytest.mark.parametrize("whose", ["dask levels", "pyramid.read", pytest.param("rival", marks=RIVALS)])
def test_the_first_plane_without_a_window(benchmarks, whose):
    first_plane = benchmarks.module("streaming_first_plane")
    wanted = [name for name in first_plane.VARIANTS if name.startswith("plane") and whose in name]
    first_plane.VARIANTS = wanted

    found = benchmarks.run("streaming_first_plane", "--repeats", 1, "--latency-ms", 1, "--data", benchmarks.data)

    require_sane(found)
    assert list(found["medians"]) == wanted
    assert all(row["mb"] > 0 and row["requests"] > 0 for row in found["medians"].values())


@READS_PROC
def test_large_reads(benchmarks):
    found = benchmarks.run("bulk_read", "--repeats", 1, "--data", benchmarks.data)

    require_sane(found)
    assert found["shape"] == list(SHAPE)
    assert set(found["medians"]) == {
        f"{place}, {layout}, {part}"
        for place in ("disk", "http")
        for layout in ("portal", "sharded", "plain")
        for part in ("whole", "box")
    }
    for row in found["medians"].values():
        assert set(row) == {"zarr", "dask", "ours: read", "ours: dask levels", "ratio"}
        assert set(row["ratio"]) == {"ours: read", "ours: dask levels"}
        assert all(set(ratios) == {"zarr", "dask"} for ratios in row["ratio"].values())


def test_http_engines(benchmarks):
    engines = benchmarks.module("http_engines")
    engines.RANGE_BYTES, engines.N_RANGES, engines.N_TABLES = 5000, 4, 3
    engines.IDLE_S = 0.01
    here = ["nothing", "ours", "urllib3_bare"]

    found = benchmarks.run("http_engines", "--repeats", 1, "--in-flight", 2, "--engines", *here)

    require_sane(found)
    assert {"60 ms, 20/50 MB/s", "loopback"} <= set(found)
    for line in ("60 ms, 20/50 MB/s", "loopback"):
        assert list(found[line]) == here
        assert all(set(row) == {"tables, cold", "tables", "ranges, cold", "ranges"} for row in found[line].values())


@READS_PROC
@pytest.mark.parametrize("what", ["plane", "all"])
@pytest.mark.parametrize("whose", ["ours", pytest.param("rival", marks=RIVALS)])
def test_masks_without_a_window(benchmarks, what, whose):
    masks = benchmarks.module("masks")
    masks.VARIANTS = [name for name in masks.VARIANTS if name.startswith(f"{what}: {whose}")]

    found = benchmarks.run("masks", "--repeats", 1, "--line", "near", "--data", benchmarks.data)

    assert set(found["medians"]) == {f"{dtype} {name}" for dtype in ("int8", "uint16") for name in masks.VARIANTS}
    for row in found["medians"].values():
        row.pop("memory_mb")  # by how much the process grew, less what it gives back
        require_sane(row)
        assert row["sum"] > 0


@READS_PROC
@pytest.mark.parametrize("kind", ["ours", pytest.param("rival", marks=RIVALS)])
def test_scaling(benchmarks, kind):
    scaling = benchmarks.module("streaming_scaling")
    measured, shape = scaling.measured, SHAPE
    scaling.SIZES, scaling.USUAL, scaling.FOR_LAYERS = (shape,), shape, shape
    scaling.LATENCIES_MS, scaling.LATENCIES_FOR_RIVAL_MS, scaling.LAYERS = (1,), (1,), (2,)
    scaling.measured = lambda whose, *rest: measured(whose, *rest) if whose == kind else {}
    every = [
        "--repeats",
        1,
        "--only",
        "size,latency,layers",
        "--latency-ms",
        1,
        "--connection-mb-s",
        1000,
        "--total-mb-s",
        1000,
    ]

    found = benchmarks.run("streaming_scaling", *every)

    rows = {name: [row for row in rows if row["kind"] == kind] for name, rows in found["rows"].items()}
    require_sane(rows)
    assert {name: len(of) for name, of in rows.items()} == {"size": 1, "latency": 1, "layers": 1}
    assert all(row["first_mb"] > 0 for of in rows.values() for row in of)
    assert benchmarks.children == 3


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="plots are drawn by matplotlib, of the extra “bench”"
)
def test_plots_of_scaling(benchmarks, tmp_path):
    row = {"first_s": 0.5, "first_mb": 7.0}
    whose = [row | {"kind": kind} for kind in ("ours", "rival")]
    rows = {
        "size": [each | {"shape": [16, 300, 300]} for each in whose],
        "latency": [each | {"latency_ms": 60} for each in whose],
        "layers": [each | {"layers": 2} for each in whose],
    }
    line = {"latency_ms": 60, "connection_mb_s": 20, "total_mb_s": 50}
    (tmp_path / "earlier.json").write_text(json.dumps(line | {"rows": rows}))

    folder = tmp_path / "not there" / "yet"
    found = benchmarks.run("streaming_scaling", "--from", tmp_path / "earlier.json", "--plots", folder)

    assert found["rows"] == rows
    assert {path.name for path in folder.glob("*.svg")} == {
        "streaming-size.svg",
        "streaming-latency.svg",
        "streaming-layers.svg",
    }


def test_what_was_measured_is_told_though_no_plot_can_be_drawn(benchmarks, tmp_path, monkeypatch, capsys):
    (tmp_path / "earlier.json").write_text('{"rows": {}}')
    (tmp_path / "a file").touch()
    arguments = ["--from", str(tmp_path / "earlier.json"), "--plots", str(tmp_path / "a file")]
    monkeypatch.setattr("sys.argv", ["streaming_scaling.py", *arguments])
    with pytest.raises(OSError, match="a file"):
        benchmarks.module("streaming_scaling").main()
    assert json.loads(capsys.readouterr().out) == {"rows": {}}
