"""How many requests and seconds it takes to learn what a dataset holds: ours against the official client's traversal.

A made-up dataset of 60 runs, 169 annotations and 271 files (the counts of the portal's dataset 10456) is served on
this machine, behind a proxy that puts it 80 ms away. In one run, against the same server, it is asked for:

- the first look: what is on screen after opening the dataset and one of its runs;
- everything: every run, annotation and file of the dataset, where both must find the same ids.

Prints JSON. The client opens a connection for each request; what that costs over TLS (two round trips) is not in the
figures.

    python benchmarks/metadata_requests.py [--runs 60] [--round-trip-ms 80] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from latency_proxy import LatencyProxy

from napari_cryoet.packs.pack import Manifest, write_pack
from napari_cryoet.portal import open_portal
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.tables.schema import tables as portal_tables

DATASET_ID = 10_456
SAMPLE_VALUES = {"int": 1, "float": 10.0, "bool": False, "text": "text", "date": "2025-01-01T00:00:00+00:00"}


@dataclass
class Found:
    """What a way of asking found."""

    runs: set[int] = field(default_factory=set)
    annotations: set[int] = field(default_factory=set)
    files: set[int] = field(default_factory=set)


def sample_row(table: str, **values: Any) -> dict[str, Any]:
    """A row with nothing in it but what the schema demands."""
    columns = portal_tables()[table].columns.values()
    row: dict[str, Any] = {column.name: None for column in columns}
    for column in columns:
        if column.is_required:
            row[column.name] = SAMPLE_VALUES[column.kind]
    return row | values


def write_sample(folder: Path, run_count: int) -> None:
    """A pack with one dataset; annotations and files are spread over its runs as in dataset 10456."""
    tables: dict[str, list[dict[str, Any]]] = {}

    def add(table: str, **values: Any) -> int:
        rows = tables.setdefault(table, [])
        rows.append(sample_row(table, **{"id": len(rows) + 1} | values))
        return int(rows[-1]["id"])

    deposition = add("depositions")
    add("datasets", id=DATASET_ID, depositionId=deposition)
    annotation_count, file_count = round(run_count * 169 / 60), round(run_count * 271 / 60)
    for number in range(run_count):
        run = add("runs", datasetId=DATASET_ID, name=f"TS_{number:03}")
        spacing = add("tomogramVoxelSpacings", runId=run)
        add("tomograms", runId=run, tomogramVoxelSpacingId=spacing, depositionId=deposition)
    for number in range(annotation_count):
        annotation = add("annotations", runId=number % run_count + 1, objectName=f"object {number % 7}")
        add("annotationAuthors", annotationId=annotation, name="Somebody", authorListOrder=1)
        add("annotationShapes", annotationId=annotation, shapeType="SegmentationMask")
    for number in range(file_count):
        add("annotationFiles", annotationShapeId=number % annotation_count + 1, format="zarr")
    write_pack(folder, Manifest(title="Benchmark", https_prefix="https://x.org/", s3_prefix="s3://x/"), tables)


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """The port of a server of its own process, so that it doesn't compete for this one's interpreter."""
    program = "import sys; from napari_cryoet.packs.serve import serve_until_signalled as s; s(sys.argv[1])"
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(urlsplit(json.loads(process.stdout.readline())["graphql"]).port or 0)
        finally:
            process.terminate()


def our_first_look(url: str, cache: Path) -> Found:
    portal = open_portal(url, cache_dir=cache)
    page = portal.dataset_page(DATASET_ID, limit=500)
    found = _ids([portal.run_page(page.runs[0].id)])
    return Found({run.id for run in page.runs}, found.annotations, found.files)


def client_first_look(url: str, _: Path) -> Found:
    from cryoet_data_portal import Client, Dataset

    dataset = Dataset.get_by_id(Client(url), DATASET_ID)
    runs = sorted(dataset.runs, key=lambda run: run.name)
    found = Found({run.id for run in runs})
    list(runs[0].tomograms), list(runs[0].tomogram_voxel_spacings), list(runs[0].alignments), list(runs[0].tiltseries)
    _walk_run(runs[0], found)
    return found


def our_everything(url: str, cache: Path, *, at_once: int = 1) -> Found:
    portal = open_portal(url, cache_dir=cache)
    with ThreadPoolExecutor(at_once) as threads:
        return _ids(list(threads.map(lambda run: portal.run_page(run.id), portal.runs(DATASET_ID))))


def client_everything(url: str, _: Path) -> Found:
    from cryoet_data_portal import Client, Dataset

    found = Found()
    for run in Dataset.get_by_id(Client(url), DATASET_ID).runs:
        found.runs.add(run.id)
        _walk_run(run, found)
    return found


def _walk_run(run: Any, found: Found) -> None:
    """The client's own way: each attribute is a request."""
    for annotation in run.annotations:
        found.annotations.add(annotation.id)
        for shape in annotation.annotation_shapes:
            found.files.update(file.id for file in shape.annotation_files)


def _ids(pages: list[RunPage]) -> Found:
    return Found(
        {page.run.id for page in pages},
        {annotation.id for page in pages for annotation in page.annotations},
        {file.id for page in pages for file in page.annotation_files},
    )


def measure(proxy: LatencyProxy, work: Callable[[str, Path], Found]) -> tuple[dict[str, Any], Found]:
    """Do something once, with an empty cache; what it cost and found."""
    proxy.reset()
    with tempfile.TemporaryDirectory() as cache:
        began = time.perf_counter()
        found = work(f"http://127.0.0.1:{proxy.port}/graphql", Path(cache))
        seconds = time.perf_counter() - began
    return {"requests": proxy.requests, "connections": proxy.connections, "seconds": round(seconds, 3)}, found


def run_benchmark(run_count: int, round_trip_s: float) -> dict[str, Any]:
    """All measurements, after one of each that warms up imports and the server."""
    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "pack"
        write_sample(pack, run_count)
        with served(pack) as port:
            with LatencyProxy(port, 0) as proxy:
                measure(proxy, our_first_look), measure(proxy, client_first_look)
            with LatencyProxy(port, round_trip_s) as proxy:
                looks = {"ours": measure(proxy, our_first_look), "client": measure(proxy, client_first_look)}
                whole = {
                    "ours": measure(proxy, our_everything),
                    "ours, four at once": measure(proxy, lambda url, cache: our_everything(url, cache, at_once=4)),
                    "client": measure(proxy, client_everything),
                }
    for ways in (looks, whole):
        founds = [found for _, found in ways.values()]
        assert all(found == founds[0] for found in founds), "they must find the same"
    sizes = whole["ours"][1]
    return {
        "dataset": {"runs": len(sizes.runs), "annotations": len(sizes.annotations), "files": len(sizes.files)},
        "round_trip_ms": round_trip_s * 1000,
        "python": platform.python_version(),
        "first look": {name: cost for name, (cost, _) in looks.items()},
        "everything": {name: cost for name, (cost, _) in whole.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--round-trip-ms", type=float, default=80)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    text = json.dumps(run_benchmark(options.runs, options.round_trip_ms / 1000), indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
