"""Measure how fast a remote tomogram appears on screen, and how responsive it is to navigation.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/first_plane.py [--src OTHER/src]
    [--line middle] [--busy 4]

Another process serves a volume of 500 x 960 x 928 float32 and two masks in the portal's layout;
they are opened with ``viewer.open``. Prints medians: seconds and MB sent. Stalls are the longest
pauses of the window's event loop.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from shared import (
    COARSE,
    EXACT,
    HALF,
    IMAGE,
    MASKS,
    SHAPE,
    STRIDE,
    Result,
    Window,
    add_src_option,
    busy_processes,
    checkouts,
    finish,
    fresh_process,
    in_turns,
    line_server,
    make_data,
    options_of,
    peak_memory_mb,
    report,
)

N_STEPS = min(30, SHAPE[0] // 3)
STEP_S = 0.1
FAR_PLANES = tuple(int(fraction * SHAPE[0]) for fraction in (0.8, 0.12, 0.66, 0.26, 0.94))
REST_S = 1.5


def tour(window: Window) -> Result:
    """Open an image, step, jump, go back, and show another axis."""
    result = opened(window)
    middle = window.index
    window.wait(REST_S)
    result |= stepped(window, "30 steps")
    result |= jumps(window, "far jump", FAR_PLANES)
    result |= jumps(window, "back", (middle + 5, middle, *FAR_PLANES[2:4]))
    return result | across(window) | {"peak memory, MB": peak_memory_mb()}


def opened(window: Window) -> Result:
    """Open the image and wait until its plane is exact."""
    window.begin()
    window.open(IMAGE)
    window.wait_for(window.is_exact)
    picture_s = window.first(EXACT, HALF, COARSE)
    return {
        "first picture": picture_s,
        "first exact plane": window.first(EXACT),
        "first exact plane, MB": window.sent_mb(),
        "first plane, stall": window.stall_s(),
        "first plane, stall after the picture": window.stall_s(picture_s or 0.0),
    }


def stepped(window: Window, name: str) -> Result:
    """Step at a steady pace, like a dragged slider; a late step is taken as soon as possible."""
    window.begin()
    start, taken = window.index, list[float]()
    for number in range(N_STEPS):
        window.wait_for(lambda due_s=number * STEP_S: window.elapsed_s >= due_s)
        taken.append(window.elapsed_s)
        window.go_to(start + number + 1)
    window.wait_for(lambda: window.elapsed_s >= N_STEPS * STEP_S)
    until = [*taken[1:], window.elapsed_s]
    in_time = sum(
        any(f.index == index and f.quality == EXACT and f.at_s <= end for f in window.frames)
        for index, end in enumerate(until, start + 1)
    )
    stall_s = window.stall_s()
    window.wait_for(window.is_exact)
    return {
        f"{name}, exact in time": in_time,
        f"{name}, stall": stall_s,
        f"{name}, MB": window.sent_mb(),
    }


def jumps(window: Window, name: str, planes: tuple[int, ...]) -> Result:
    """Jump to planes, pausing before each."""
    seconds, stalls, sent = list[float](), list[float](), list[float]()
    for plane in planes:
        window.wait(REST_S)
        window.begin()
        window.go_to(plane)
        window.wait_for(window.is_exact)
        seconds.append(window.first(EXACT) or np.inf)
        stalls.append(window.stall_s())
        sent.append(window.sent_mb())
    return {
        name: float(np.median(seconds)),
        f"{name}, stall": max(stalls),
        f"{name}, MB": float(np.median(sent)),
    }


def across(window: Window) -> Result:
    """Show an XZ plane, across the chunks, until it has half resolution.

    Finer levels are fetched only on request.
    """
    window.viewer.dims.set_current_step(1, SHAPE[1] // 2 // STRIDE * STRIDE)
    window.wait(REST_S)
    window.begin()
    window.look_across(1)
    window.wait_for(lambda: window.first(EXACT, HALF) is not None)
    return {
        "XZ, picture": window.first(EXACT, HALF, COARSE),
        "XZ, half resolution": window.first(EXACT, HALF),
        "XZ, stall": window.stall_s(),
        "XZ, MB": window.sent_mb(),
    }


def volume(window: Window) -> Result:
    """Show the coarsest level in 3D."""
    window.viewer.dims.ndisplay = 3
    window.wait(0.5)
    window.begin()
    window.open(IMAGE)
    window.wait_for(window.is_exact)
    picture_s = window.first(EXACT, COARSE)
    return {
        "3D, picture": picture_s,
        "3D, coarsest level": window.first(EXACT),
        "3D, stall after the picture": window.stall_s(picture_s or 0.0),
        "3D, MB": window.sent_mb(),
        "3D, peak memory, MB": peak_memory_mb(),
    }


def layers(window: Window) -> Result:
    """Open an image and two masks, and step through them together."""
    window.begin()
    for name in (IMAGE, *MASKS):
        window.open(name)
    window.wait_for(window.is_exact)
    result = {"three layers, exact": window.elapsed_s, "three layers, MB": window.sent_mb()}
    window.wait(REST_S)
    return (
        result
        | stepped(window, "30 steps of three layers")
        | {"three layers, peak memory, MB": peak_memory_mb()}
    )


PARTS = {part.__name__: part for part in (tour, volume, layers)}


def measure(src: Path, url: str, data: Path) -> Result:
    """All figures of a checkout, from three new processes."""
    arguments = ("--url", url, "--data", data)
    parts = [fresh_process(__file__, "--child", part, *arguments, src=src) for part in PARTS]
    result = parts[0] | parts[1] | parts[2]
    stalls = {
        name: value
        for name, value in result.items()
        if "stall" in name and name != "first plane, stall"
    }
    return result | {"longest stall after the first picture": max(stalls.values())}


def main() -> None:
    parser: argparse.ArgumentParser = options_of(__doc__)
    add_src_option(parser)
    parser.add_argument("--busy", type=int, default=0, help="how many processes to keep busy")
    args = parser.parse_args()
    if args.child:
        finish(PARTS[args.child[0]](Window(args.url, args.data)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.data or Path(temporary)
        make_data(folder)
        sources = checkouts(args)
        with line_server(folder, args.line) as url, busy_processes(args.busy):
            runs = in_turns(
                list(sources), lambda name: measure(sources[name], url, folder), args.repeats
            )
    report(args, runs)


if __name__ == "__main__":
    main()
