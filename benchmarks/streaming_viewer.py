"""How streaming feels in a real napari window: the figures of docs/about/performance.md, for us and others.

    python benchmarks/streaming_viewer.py [--only ours] [--rows tour,fast] [--repeats 5] [--profile middle] > out.json

A volume of 500 x 960 x 928 float32 and two masks, written as the portal writes them, behind a loopback server that is
as far away and as narrow as a profile says: ``near`` (20 ms, 300 MB/s), ``middle`` (60 ms, 20 MB/s a connection, 50
MB/s in all) or ``far`` (200 ms, 2 MB/s). Every measurement is a new process with a window of its own and empty
caches. The rival fetches whole chunks through zarr, fsspec and dask, as napari's OME-Zarr readers do, with as many
dask threads as we have requests in flight (16), and with its default, which is two on two cores; ``ours default`` has
two requests in flight as well. On ``far`` sixteen chunks at once take longer than the five minutes that the rival's
HTTP library gives a request: ``--only "rival patient"`` is the rival without that limit. ``in memory`` is the floor,
napari with numpy arrays. The rival needs ``pip install ".[bench]"``. Beside each stall stands for how long the machine
itself stood at most (``machine_s``, see ``witness.py``). All need a display; ``xvfb-run -a -s "-screen 0
1600x1000x24"`` makes one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from arguments import how_often, some_of
from slow_link import PROFILES, Profile, counted, make_data, slow_server
from streaming_first_plane import SHAPE, THREADS
from witness import rest

VARIANTS = ("in memory", "ours", "rival", "rival async", "ours default", "rival default", "rival default async")
PATIENT = ("rival patient", "rival patient async")
ROWS = ("tour", "volume", "across", "fast", "layers")
BEGINNING = "first_plane"  # of "tour"
TIMEOUT_S = 3600  # the rival's rows on the far line take a quarter of an hour and more


def run_child(row: str, variant: str, url: str, folder: Path) -> dict[str, Any]:
    """Measure once, in a new process."""
    call = [sys.executable, str(Path(__file__).with_name("viewer_rows.py")), "--row", row, "--variant", variant]
    rest()
    counted(url)
    with tempfile.TemporaryDirectory() as fresh:
        # settings and caches of whoever runs this are neither used nor changed
        own = {"NAPARI_CONFIG": f"{fresh}/napari.yaml", "XDG_CACHE_HOME": fresh, "NAPARI_CRYOET_CACHE_DIR": fresh}
        done = subprocess.run(
            [*call, "--url", url, "--data", str(folder)],
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=os.environ | own,
        )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        raise SystemExit(f"{row}, {variant}: failed")
    return json.loads(done.stdout.strip().splitlines()[-1])


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians; None where a run did not get there."""
    return {
        key: None if any(run[key] is None for run in runs) else round(median(run[key] for run in runs), 3)
        for key in runs[0]
    }


def limit_s(medians: dict[str, Any], profile: Profile) -> float | None:
    """The least that our first exact plane could take: its bytes by the bandwidth, two round trips, and napari's own.

    None where the tours of ours and of arrays in memory weren't both measured.
    """
    ours, in_memory = (medians.get("tour", {}).get(variant) for variant in ("ours", "in memory"))
    if not ours or not in_memory:
        return None
    own_s = in_memory["open_first_exact_s"]
    return round(ours["open_mb"] / profile.total_mb_s + 2 * profile.latency_ms / 1000 + own_s, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=how_often, default=5)
    parser.add_argument("--data", type=Path, help="where the data are kept between runs")
    parser.add_argument("--profile", choices=PROFILES, default="middle")
    parser.add_argument(
        "--only", type=some_of(VARIANTS + PATIENT), default=list(VARIANTS), help="variants, with commas"
    )
    parser.add_argument("--rows", type=some_of((*ROWS, BEGINNING)), default=list(ROWS), help="rows, with commas")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.data or Path(temporary)
        make_data(folder)
        print(json.dumps(benchmark(given, folder), indent=1))


def benchmark(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    profile = PROFILES[given.profile]
    medians: dict[str, Any] = {}
    runs: dict[str, Any] = {}
    with slow_server(folder, profile) as url:
        for row in given.rows:
            measured: dict[str, list[dict[str, Any]]] = {variant: [] for variant in given.only}
            for _ in range(given.repeats):
                for variant in given.only:  # in turns, so that a machine that slows down does so for all of them
                    measured[variant].append(run_child(row, variant, url, folder))
            runs[row] = measured
            medians[row] = {variant: summary(of_one) for variant, of_one in measured.items()}
            print(row, json.dumps(medians[row]), file=sys.stderr, flush=True)
    about: dict[str, Any] = {"shape": SHAPE, "threads": THREADS, "cpus": os.cpu_count(), "repeats": given.repeats}
    if (limit := limit_s(medians, profile)) is not None:
        about["first_plane_limit_s"] = limit
    return about | {"profile": given.profile, **asdict(profile), "medians": medians, "runs": runs}


if __name__ == "__main__":
    main()
