"""Measure exact reads of large parts of a volume in a script.

    python benchmarks/bulk_read.py [--src OTHER/src] [--line middle] [--rivals]

``whole`` is all of level 0 of 256 x 960 x 928 float32; ``box`` is a large part that isn't aligned
with chunks. ``portal`` has the portal's layout (zarr v2, chunks of 256³, Blosc), ``sharded`` has
chunks of 64³ in shards of 256³ (zarr v3, Zstandard). Each is read from disk and over the network,
by a new process. Prints medians: seconds, and MB of memory. ``--rivals`` adds zarr-python and dask;
it requires fsspec and aiohttp.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

from shared import (
    OWN_SRC,
    SHAPE,
    Noise,
    Result,
    add_src_option,
    checkouts,
    finish,
    fresh_process,
    in_turns,
    line_server,
    options_of,
    peak_memory_mb,
    report,
)

BULK_SHAPE = (min(256, SHAPE[0]), *SHAPE[1:])
BOX = tuple(slice(size // 10, size * 9 // 10) for size in BULK_SHAPE)
LAYOUTS = ("portal", "sharded")
PARTS = ("whole", "box")
FIGURES = {"": "s", ", memory, MB": "memory, MB", ", sum": "sum"}
RIVALS = ("zarr", "dask")
N_REQUESTS = 16  # concurrent requests of the rivals, same as ours


def make_layouts(folder: Path) -> None:
    """Write the volumes unless they exist."""
    import zarr
    from numcodecs import Blosc

    v2 = {
        "compressors": Blosc("lz4", 5, Blosc.SHUFFLE),
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    }
    layouts: dict[str, dict[str, Any]] = {
        "portal": {"zarr_format": 2, "chunks": (256, 256, 256), **v2},
        "sharded": {"zarr_format": 3, "chunks": (64, 64, 64), "shards": (256, 256, 256)},
    }
    for name in LAYOUTS:
        if not (folder / f"{name}.zarr").exists():
            array = zarr.create_array(
                folder / f"{name}.zarr", shape=BULK_SHAPE, dtype="f4", **layouts[name]
            )
            for y in range(0, BULK_SHAPE[1], 256):
                region = (
                    slice(0, BULK_SHAPE[0]),
                    slice(y, min(y + 256, BULK_SHAPE[1])),
                    slice(0, BULK_SHAPE[2]),
                )
                array[region] = Noise(BULK_SHAPE)[region]


def measure(reader: str, part: str, url: str) -> Result:
    """Read a part once."""
    box = BOX if part == "box" else tuple(slice(0, size) for size in BULK_SHAPE)
    began = time.perf_counter()
    if reader not in RIVALS:
        from napari_cryoet.streaming import open_pyramid

        values = open_pyramid(url).levels[0][box].compute()
    else:
        import dask.array
        import zarr

        zarr.config.set({"async.concurrency": N_REQUESTS})
        dask.config.set(num_workers=N_REQUESTS)
        store = (
            zarr.storage.FsspecStore.from_url(url, read_only=True)
            if url.startswith("http")
            else url
        )
        array = zarr.open_array(store, mode="r")
        values = array[box] if reader == "zarr" else dask.array.from_zarr(array)[box].compute()
    seconds = time.perf_counter() - began
    return {
        "s": seconds,
        "memory, MB": peak_memory_mb(),
        "sum": float(values[::3, ::5, ::7].sum(dtype="f8")),
    }


def measure_all(reader: str, src: Path, roots: dict[str, str], only: str) -> Result:
    """Measure a reader, each figure in a new process.

    ``only`` selects figures by part of their name.
    """
    result: Result = {}
    for (source, root), layout, part in itertools.product(roots.items(), LAYOUTS, PARTS):
        if only not in f"{source}, {layout}, {part}":
            continue
        figures = fresh_process(
            __file__, "--child", reader, part, "--url", f"{root}/{layout}.zarr", src=src
        )
        result |= {
            f"{source}, {layout}, {part}{key}": figures[name] for key, name in FIGURES.items()
        }
    return result


def main() -> None:
    parser = options_of(__doc__)
    add_src_option(parser)
    parser.add_argument("--rivals", action="store_true", help="measure zarr-python and dask too")
    parser.add_argument(
        "--only", default="", help='only figures with this in their name, such as "disk, portal"'
    )
    args = parser.parse_args()
    if args.child:
        finish(measure(*args.child, args.url))
    readers = checkouts(args) | (dict.fromkeys(RIVALS, OWN_SRC) if args.rivals else {})
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.data or Path(temporary)
        make_layouts(folder)
        with line_server(folder, args.line) as url:
            roots = {"disk": str(folder.resolve()), args.line: url}

            def measure_one(name: str) -> Result:
                return measure_all(name, readers[name], roots, args.only)

            runs = in_turns(list(readers), measure_one, args.repeats)
    sums = [
        {key: run.pop(key) for key in list(run) if key.endswith("sum")}
        for found in runs.values()
        for run in found
    ]
    assert all(other == sums[0] for other in sums), "values differ"
    report(args, runs)


if __name__ == "__main__":
    main()
