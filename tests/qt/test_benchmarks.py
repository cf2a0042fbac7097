"""The streaming benchmarks that look at a window: each row is there, with a number that can be, whichever it is."""

from __future__ import annotations

import faulthandler
import gc
import sys
import threading
import tracemalloc

import napari
import pytest

from benchmark_runs import READS_PROC, RIVALS, require_sane
from napari_cryoet.streaming.engine import shared_engine

pytestmark = [READS_PROC, pytest.mark.slow]
WINDOW = (800, 480)  # in a smaller one napari shows a coarser level of even a tiny volume
WHOSE = ["in memory", "ours", pytest.param("rival", marks=RIVALS)]


@pytest.fixture
def windows(benchmarks, viewer_in_window, as_new, monkeypatch):
    """The benchmarks, which all get the same window, empty: it takes longer to make than what they do in it."""

    def new_viewer(**_options):
        gc.collect()  # who watched it before
        as_new(viewer_in_window)
        viewer_in_window.window.resize(*WINDOW)
        return viewer_in_window

    monkeypatch.setattr(napari, "Viewer", new_viewer)
    return benchmarks


@pytest.mark.parametrize("whose", WHOSE)
def test_the_first_plane(windows, whose):
    first_plane = windows.module("streaming_first_plane")
    wanted = f"viewer: {whose}"
    assert wanted in first_plane.VARIANTS

    near = ["--repeats", 1, "--latency-ms", 1, "--data", windows.data]
    found = windows.run("streaming_first_plane", *near, "--only", wanted)

    require_sane(found)
    assert set(found["medians"][wanted]) == {"mb", "requests", "first_any_s", "first_exact_s", "longest_stall_s"}


@pytest.mark.parametrize("whose", WHOSE[1:])
def test_masks(windows, whose):
    masks = windows.module("masks")
    masks.VARIANTS = [f"viewer: {whose}"]

    found = windows.run("masks", "--repeats", 1, "--line", "near", "--data", windows.data)

    require_sane(found)
    assert list(found["medians"]) == [f"{dtype} viewer: {whose}" for dtype in ("int8", "uint16")]
    assert all(row["requests"] > 0 for row in found["medians"].values())


def test_what_is_kept_on_disk(windows):
    kept = windows.module("disk_cache")
    kept.AHEAD_MS, kept.PARTS = 10, {"528 B": (528, 20)}

    found = windows.run("disk_cache", "--repeats", 1, "--data", windows.data)

    require_sane(found)
    assert set(found["medians"]) == {"plane: pyramid.read", "viewer: ours"}
    for rows in found["medians"].values():
        assert list(rows) == ["local file", "cold", "warm, asked", "warm, not asked"]
        assert rows["cold"]["requests"] > rows["warm, asked"]["requests"] > 0
        assert rows["local file"]["requests"] == rows["warm, not asked"]["requests"] == 0
    assert set(found["store"]["528 B"]) == {"queue_ms", "write_ms", "find_ms"}


ROWS = ["first_plane", "tour", "volume", "across", "fast", "layers"]
OF_OTHERS = ["volume", "layers"]  # the rest of them differs in nothing


@pytest.mark.parametrize(
    ("whose", "names"),
    [
        ("ours", ROWS),
        ("in memory", OF_OTHERS),
        pytest.param("rival", OF_OTHERS, marks=RIVALS),
        pytest.param("rival patient", ["first_plane"], marks=RIVALS),
    ],
)
def test_every_row_of_the_viewer(windows, whose, names):
    rows = windows.module("viewer_rows")
    windows.module("viewer_probe")._WARM_UP_MS = 10
    rows.SCRUB, rows.FAST, rows.SCRUB_LAYERS, rows.REST_MS = (2, 0.01), (3, 0.01), (2, 0.01), 10
    assert list(rows.ROWS) == ROWS

    near = ["--repeats", 1, "--profile", "near", "--data", windows.data]
    found = windows.run("streaming_viewer", *near, "--only", whose, "--rows", ",".join(names))

    assert list(found["medians"]) == names
    require_sane(found, may_lack=frozenset({"scrub_step_latency_median_s", "fast_step_latency_median_s"}))
    planes = {f"layers_{plane}_{what}_s" for plane in ("xy", "xz", "yz") for what in ("stall", "machine")}
    assert "layers" not in names or planes <= set(found["medians"]["layers"][whose])


def test_orthogonal_views(windows):
    views = windows.module("ortho_views")
    views.DRAGS = {"z": (1, 0, 0), "xz": (1, 0, 2)}
    views.WINDOW, views.STEPS, views.STEP_S = WINDOW, 2, 0.001
    views.ADDED_MS, views.OPENED_MS, views.REST_MS, views.SHARPENED_MS = 50, 50, 10, 20

    found = windows.run("ortho_views", "--repeats", 1, "--profile", "near", "--data", windows.data)

    require_sane(found)
    moves = [f"{name} {what}" for what in ("first", "again") for name in ("z", "xz")]
    assert set(found["runs"]) == {"viewer alone", "views", "views in memory"}
    for variant, runs in found["runs"].items():
        alone = variant == "viewer alone"
        assert set(moves[::2] if alone else [*moves, "opening_s", "opening_worst_stall_s"]) == set(runs[0])


def test_scaling_in_a_window(windows):
    scaling = windows.module("streaming_scaling")
    scaling.SIZES = ((16, 64, 64),)

    found = windows.run("streaming_scaling", "--only", "window", "--repeats", 1, "--latency-ms", 1)

    require_sane(found)
    assert [row["kind"] for row in found["rows"]["window"]] == ["window"]


@pytest.mark.usefixtures("restored")
def test_a_walk(windows):
    windows.module("soak_data").SHAPE = (48, 64, 64)

    found = windows.run("soak", "--minutes", 0.001, "--actions", 4, "--seed", 1, "--faults", 0, "--latency-ms", 0)

    require_sane(found["first_sample"])
    assert found["findings"] == []
    assert found["tours"] == len(found["samples"]) == 1
    assert sum(found["actions"].values()) >= 4
    assert {"private_mb", "threads", "files", "sockets", "cache_blocks"} <= set(found["growth_after_warm_up"])


@pytest.fixture
def restored(monkeypatch):
    """What a walk changes in the process that it has for itself."""
    for module in (sys, threading):
        monkeypatch.setattr(module, "excepthook", module.excepthook)
    monkeypatch.setattr(shared_engine().memory, "limit_bytes", shared_engine().memory.limit_bytes)
    yield
    faulthandler.cancel_dump_traceback_later()
    tracemalloc.stop()
