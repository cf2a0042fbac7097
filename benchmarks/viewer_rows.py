"""What is measured in the window, one function a row; run as a process of its own by ``streaming_viewer.py``."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from slow_link import MASK_NAMES, STRIDE, Truth
from streaming_first_plane import SHAPE, SPACING_ANGSTROM
from viewer_probe import BLANK, COARSE, EXACT, LEVEL_1, PART, Probe

MIDDLE = (SHAPE[0] - 1) // 2
SCRUB = (30, 0.1)  # steps, and seconds between two
FAST = (80, 0.04)
SCRUB_LAYERS = (20, 0.1)
FAR_PLANES = tuple(int(share * SHAPE[0]) for share in (0.8, 0.12, 0.66, 0.26, 0.94))
ACROSS = SHAPE[1] // 2 // STRIDE * STRIDE
SCRUB_FROM = 2 * SHAPE[0] // 5  # along any axis
REST_MS = 1500
Result = dict[str, Any]


def first_plane(probe: Probe) -> Result:
    """Open in a window without layers, until the first exact plane."""
    probe.clear()
    probe.begin()
    probe.open_image()
    is_exact = probe.wait_for(probe.is_exact)
    exact_s = probe.first(EXACT) if is_exact else None
    sent = probe.sent()  # before more is fetched ahead
    return {
        "first_any_s": probe.first(EXACT, LEVEL_1, COARSE, PART),
        "first_exact_s": exact_s,
        "mb": sent["bytes"] / 1e6,
        "requests": sent["requests"],
        "stall_s": probe.longest_stall_s(),
        "machine_s": probe.machine_stood_s(),
        "server_cpu_share": sent["server_cpu_s"] / probe.elapsed_s,
        "server_late_s": sent["server_late_s"],
    }


def tour(probe: Probe) -> Result:
    """A first plane, then scrubbing, jumps, a way back, and what that took of memory."""
    result = {f"open_{key}": value for key, value in first_plane(probe).items()}
    probe.wait(REST_MS)
    result |= {f"scrub_{key}": value for key, value in scrub(probe, *SCRUB).items()}
    result |= jumps(probe)
    result |= back(probe)
    return result | memory()


def fast(probe: Probe) -> Result:
    """More steps a second than the line can carry."""
    first_plane(probe)
    probe.wait(REST_MS)
    return {f"fast_{key}": value for key, value in scrub(probe, *FAST).items()}


def scrub(probe: Probe, steps: int, pause_s: float) -> Result:
    """Step on at a steady pace, as a hand on the slider does; a late step is taken at the event loop's next turn."""
    probe.begin()
    start = probe.index()
    taken: list[tuple[float, int]] = []
    for number in range(steps):
        due_s = number * pause_s
        probe.wait_for(lambda due_s=due_s: probe.elapsed_s >= due_s)
        taken.append((probe.elapsed_s, start + number + 1))
        probe.go_to(start + number + 1)
    probe.wait_for(lambda: probe.elapsed_s >= steps * pause_s)
    moved_s = probe.elapsed_s
    exact_in_time, level_1_in_time, latencies = 0, 0, []
    for (at, index), (next_at, _) in zip(taken, [*taken[1:], (moved_s, 0)], strict=True):
        frames = [f for f in probe.frames if f.index == index and f.at <= next_at]
        exact_in_time += any(f.quality == EXACT for f in frames)
        level_1_in_time += any(f.quality in {EXACT, LEVEL_1} for f in frames)
        latencies += [f.at - at for f in frames if f.quality == EXACT][:1]
    probe.wait_for(probe.is_exact)
    last_exact_s = probe.first(EXACT, index=start + steps)
    stall_s, machine_s = probe.longest_stall_s(), probe.machine_stood_s()
    frames = len(probe.frames)
    probe.wait(REST_MS)
    sent = probe.sent()
    plane_bytes = _bytes_of_planes(probe.folder, start + 1, start + steps)
    return {
        "steps": steps,
        "exact_steps": exact_in_time,
        "level_1_steps": level_1_in_time,
        "stall_s": stall_s,
        "machine_s": machine_s,
        "black_frames": sum(f.quality == BLANK for f in probe.frames),
        "frames": frames,
        "step_latency_median_s": float(np.median(latencies)) if latencies else None,
        "exact_after_stop_s": max(0.0, last_exact_s - moved_s + pause_s) if last_exact_s is not None else None,
        "moved_s": moved_s,
        "mb": sent["bytes"] / 1e6,
        "finest_mb": sent["by_folder"].get("a.zarr/0", 0) / 1e6,
        "planes_mb": plane_bytes / 1e6,
        "server_cpu_share": sent["server_cpu_s"] / probe.elapsed_s,
        "server_late_s": sent["server_late_s"],
    }


def _bytes_of_planes(folder: Path, first: int, last: int) -> float:
    """How many bytes the blocks of some planes take in the files: two planes a block, 128 blocks a chunk."""
    pairs = {z // 2 for z in range(first, last + 1)}
    total = 0.0
    for chunk_z in (0, 1):
        n = sum(pair // 128 == chunk_z for pair in pairs)
        files = (folder / "a.zarr" / "0" / str(chunk_z)).rglob("*")
        total += n / 128 * sum(file.stat().st_size for file in files if file.is_file())
    return total


def jumps(probe: Probe) -> Result:
    """Planes that are far away, one after the other, each from rest."""
    any_s, exact_s, mb, stalls, machine = [], [], [], [], []
    for plane in FAR_PLANES:
        probe.wait(REST_MS)
        probe.begin()
        probe.go_to(plane)
        probe.wait_for(probe.is_exact)
        exact_s.append(probe.first(EXACT))
        any_s.append(probe.first(EXACT, LEVEL_1, COARSE))
        mb.append(probe.sent()["bytes"] / 1e6)
        stalls.append(probe.longest_stall_s())
        machine.append(probe.machine_stood_s())
    return {
        "jump_any_s": float(np.median(any_s)),
        "jump_exact_s": float(np.median(exact_s)),
        "jump_exact_max_s": max(exact_s),
        "jump_mb": float(np.median(mb)),
        "jump_stall_s": max(stalls),
        "jump_machine_s": max(machine),
    }


def back(probe: Probe) -> Result:
    """Back to planes that were seen before."""
    seconds, requests, stalls = [], [], []
    for plane in (MIDDLE + 5, MIDDLE, *FAR_PLANES[-3:-1]):
        probe.wait(REST_MS)
        probe.begin()
        probe.go_to(plane)
        is_exact_at_once = probe.wait_for(probe.is_exact)
        requests.append(probe.sent()["requests"])
        stalls.append(probe.longest_stall_s())
        seconds.append(probe.first(EXACT) if is_exact_at_once else None)
    return {"back_s": float(np.median(seconds)), "back_requests": max(requests), "back_stall_s": max(stalls)}


def volume(probe: Probe) -> Result:
    """The whole coarsest level in three dimensions."""
    probe.warm_up_3d()
    expected = np.load(probe.folder / "sample2.npy", mmap_mode="r")
    at_y, at_x = (np.minimum(np.arange(0, size, STRIDE) >> 2, (size >> 2) - 1) for size in SHAPE[1:])
    any_s: list[float] = []
    exact_s: list[float] = []

    def look(_event: object = None) -> None:
        raw = probe.layer._slice.image.raw if probe.layer is not None else np.zeros((1, 1, 1))
        if raw.shape != tuple(size // 4 for size in SHAPE):
            return
        now = time.perf_counter() - probe.began
        if not any_s and np.any(raw[::4, ::16, ::16]):
            any_s.append(now)
        if not exact_s and np.array_equal(raw[:, at_y[:, None], at_x], expected):
            exact_s.append(now)

    canvas = probe.viewer.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(look, position="last")
    probe.clear()
    began = time.perf_counter()
    add = probe.prepare_image()
    open_s = time.perf_counter() - began  # which is not counted below
    probe.begin()
    add()
    probe.wait_for(lambda: bool(exact_s), 60.0)
    canvas.events.draw.disconnect(look)
    result = {"volume_open_s": open_s, "volume_any_s": any_s[0], "volume_all_s": exact_s[0]}
    result |= {"volume_stall_s": probe.longest_stall_s()}
    return result | {"volume_mb": probe.sent()["bytes"] / 1e6} | memory("volume_")


def across(probe: Probe) -> Result:
    """A plane across the blocks, XZ: first coarse, then finer."""
    first_plane(probe)
    probe.viewer.dims.set_current_step(1, ACROSS)  # which is seen only once
    probe.wait(REST_MS)
    probe.begin()
    probe.look_across(1)
    probe.wait_for(lambda: probe.first(EXACT, LEVEL_1) is not None, 120.0)
    sent = probe.sent()
    result = {
        "across_any_s": probe.first(EXACT, LEVEL_1, COARSE),
        "across_level_1_s": probe.first(EXACT, LEVEL_1),
        "across_mb": sent["bytes"] / 1e6,
    }
    probe.wait_for(probe.is_exact, 15.0)
    result |= {"across_exact_s": probe.first(EXACT), "across_exact_mb": (sent["bytes"] + probe.sent()["bytes"]) / 1e6}
    result |= {"across_stall_s": probe.longest_stall_s(), "across_machine_s": probe.machine_stood_s()}
    return result | memory("across_")


def layers(probe: Probe) -> Result:
    """An image and two masks, scrubbed along each axis in turn."""
    first_plane(probe)
    options = {"scale": (SPACING_ANGSTROM,) * 3}
    for name in MASK_NAMES:
        if probe.is_ours:
            probe.prepare_ours(name, "labels", options)()
        else:
            probe.viewer.add_labels(_other_levels(probe, name), multiscale=True, **options)
    result: Result = {}
    blanks = 0
    steps, pause_s = SCRUB_LAYERS
    for axis, plane in enumerate(("xy", "xz", "yz")):
        probe.look_across(axis)
        probe.wait(REST_MS)
        probe.begin()
        for number in range(steps):
            probe.wait_for(lambda number=number: probe.elapsed_s >= number * pause_s)
            probe.go_to(SCRUB_FROM + STRIDE * number)
        result[f"layers_{plane}_stall_s"] = probe.longest_stall_s()
        result[f"layers_{plane}_machine_s"] = probe.machine_stood_s()
        blanks += sum(f.quality == BLANK for f in probe.frames)
    return result | {"layers_black_frames": blanks} | memory("layers_")


def _other_levels(probe: Probe, name: str) -> Any:
    import zarr

    if probe.variant == "in memory":
        return [zarr.open_array(f"{probe.folder}/{name}/{level}", mode="r")[:] for level in range(3)]
    return probe.rival_levels(name)


def memory(prefix: str = "") -> Result:
    """Resident memory now and at most, GB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return {
        f"{prefix}rss_gb": pages * os.sysconf("SC_PAGE_SIZE") / 1e9,
        f"{prefix}peak_rss_gb": int(status.split()[0]) * 1024 / 1e9,
    }


ROWS = {row.__name__: row for row in (first_plane, tour, volume, across, fast, layers)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", choices=ROWS, required=True)
    parser.add_argument("--variant", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    Truth(given.data)  # fails early where there is none
    probe = Probe(given.url, given.data, given.variant)
    if given.variant == "in memory":
        probe.load_memory()
    try:
        print(json.dumps(ROWS[given.row](probe)), flush=True)
    finally:
        probe.close()
    os._exit(0)  # what is still being fetched is no part of the measurement


if __name__ == "__main__":
    main()
