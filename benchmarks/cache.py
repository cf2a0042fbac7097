"""Measure how much the disk cache saves when a tomogram is reopened in a new process, and its overhead.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/cache.py [--line middle]

``cold`` starts with an empty cache, ``warm`` with the cache of an earlier process, ``file`` opens
the same volume from disk. Prints medians: seconds and MB sent; for the cache alone, milliseconds
per part.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from first_plane import opened
from shared import (
    Result,
    Window,
    finish,
    fresh_process,
    in_turns,
    line_server,
    make_data,
    options_of,
    report,
)

AHEAD_S = 5.0  # for prefetched parts to be cached too
PARTS = {"0.5 kB": (528, 2000), "0.5 MB": (500_000, 100), "4 MB": (4_000_000, 16)}
VARIANTS = ("file", "cold", "warm")


def view(url: str, data: Path, root: str) -> Result:
    """Open the image in a window, and wait until the cache is written."""
    window = Window(url, data, root=root)
    result = opened(window)
    window.wait(AHEAD_S)
    return result


def keep() -> Result:
    """Milliseconds to write and to find a part in the cache."""
    from napari_cryoet.streaming import DiskCache
    from napari_cryoet.streaming.sources import Piece

    result: Result = {}
    for name, (size, count) in PARTS.items():
        with tempfile.TemporaryDirectory() as folder:
            cache = DiskCache(folder, 10**10)
            image, content = cache.image("https://files.example.org/a.zarr"), os.urandom(size)
            began = time.perf_counter()
            for number in range(count):
                cache.put(image, f"0/{number}", 0, Piece(content, "v", size))
            assert cache.flush(60)
            written = time.perf_counter()
            for number in range(count):
                assert cache.find(image, f"0/{number}", 0, size) is not None
            read = time.perf_counter()
            cache.close()
        result[f"keep {name}, ms"] = 1000 * (written - began) / count
        result[f"find {name}, ms"] = 1000 * (read - written) / count
    return result


def main() -> None:
    args = options_of(__doc__).parse_args()
    if args.child:
        finish(keep() if args.child[0] == "keep" else view(args.url, args.data, args.child[1]))
    with tempfile.TemporaryDirectory() as temporary:
        data = args.data or Path(temporary, "data")
        data.mkdir(exist_ok=True)
        make_data(data)
        with line_server(data, args.line) as url:
            roots, cache = (
                {"file": str(data.resolve()), "cold": url, "warm": url},
                Path(temporary, "cache"),
            )

            def measure(variant: str) -> Result:
                if variant == "cold":
                    shutil.rmtree(cache, ignore_errors=True)
                child = ("--child", "view", roots[variant], "--url", url, "--data", data)
                return fresh_process(__file__, *child, cache=cache)

            runs = in_turns(VARIANTS, measure, args.repeats)
        runs["cache"] = [fresh_process(__file__, "--child", "keep") for _ in range(args.repeats)]
    report(args, runs)


if __name__ == "__main__":
    main()
