"""Compare downloads of a run's annotations and large files with the portal's official client.

    python benchmarks/download.py [--line open] [--src OTHER/src]

This package serves a pack with one run over a simulated network. *annotations* are 24 point files
and 6 OME-Zarr masks with metadata; the official client skips MRC, which would be a second copy.
*volumes* are three tomograms of 64 planes, as OME-Zarr and as MRC. A new process downloads each to
an empty folder. Prints medians: seconds, and for volumes MB/s with the network's limit.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from shared import (
    LINES,
    OWN_SRC,
    SHAPE,
    SPACING_ANGSTROM,
    Noise,
    Result,
    add_src_option,
    balls,
    checkouts,
    finish,
    fresh_process,
    in_turns,
    options_of,
    report,
)

from portal_rows import Tables
from server import Link

N_POINTS, N_MASKS, N_TOMOGRAMS, N_PICKS = 24, 6, 3, 500
WHAT = ("annotations", "volumes")
HTTPS, S3 = "https://files.example.org/", "s3://bucket/"
VOLUME_SHAPE = (min(64, SHAPE[0]), *SHAPE[1:])
#: A network in which a single connection can use the whole bandwidth.
LINES["open"] = {"latency": 0.06, "connection_mb": 50, "total_mb": 50}


def make_pack(folder: Path) -> None:
    """Write the pack unless it exists."""
    from napari_cryoet.formats.mrc import write_mrc
    from napari_cryoet.formats.ome_zarr import folder_bytes, write_pyramid
    from napari_cryoet.packs.pack import PackManifest, write_pack

    if (folder / "pack.json").exists():
        return
    tables, base = Tables(), "1/TS/Reconstructions"

    def at(path: str, name: str, size: str = "") -> dict[str, Any]:
        file = folder / "files" / path
        n_bytes = (
            folder_bytes(file) if file.is_dir() else file.stat().st_size if file.exists() else 0
        )
        return {f"https{name}": HTTPS + path, f"s3{name}": S3 + path} | (
            {size: float(n_bytes)} if size else {}
        )

    def written(path: str, content: bytes) -> str:
        (folder / "files" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / path).write_bytes(content)
        return path

    def add_annotation(number: int, path: str, form: str, shape: str) -> None:
        metadata = at(written(f"{base}/Annotations/{number}/about.json", b"{}"), "MetadataPath")
        annotation = tables.add("annotations", runId=run, objectName=f"object {number}", **metadata)
        shape_id = tables.add("annotationShapes", annotationId=annotation, shapeType=shape)
        common = {"tomogramVoxelSpacingId": spacing, "alignmentId": alignment}
        tables.add(
            "annotationFiles",
            annotationShapeId=shape_id,
            format=form,
            **common,
            **at(path, "Path", "fileSize"),
        )

    deposition = tables.add("depositions", title="Benchmark")
    dataset = tables.add(
        "datasets", title="Benchmark", depositionId=deposition, **at("1/", "Prefix")
    )
    run = tables.add("runs", name="TS", datasetId=dataset, **at("1/TS/", "Prefix"))
    spacing = tables.add(
        "tomogramVoxelSpacings",
        runId=run,
        voxelSpacing=SPACING_ANGSTROM,
        **at(f"{base}/", "Prefix"),
    )
    alignment = tables.add("alignments", runId=run)
    random = np.random.default_rng(0)
    for number in range(N_POINTS):
        picks = random.uniform(0, VOLUME_SHAPE[::-1], (N_PICKS, 3))
        lines = (
            json.dumps({"type": "point", "location": dict(zip("xyz", pick, strict=True))})
            for pick in picks
        )
        path = f"{base}/Annotations/{number}/points.ndjson"
        add_annotation(number, written(path, "\n".join(lines).encode()), "ndjson", "Point")
    for number in range(N_POINTS, N_POINTS + N_MASKS):
        path = f"{base}/Annotations/{number}/mask.zarr"
        (folder / "files" / path).parent.mkdir(parents=True, exist_ok=True)
        write_pyramid(folder / "files" / path, balls(number), SPACING_ANGSTROM, "mask")
        add_annotation(number, path, "zarr", "SegmentationMask")
    for number in range(N_TOMOGRAMS):
        path = f"{base}/Tomograms/{number}/TS"
        (folder / "files" / path).parent.mkdir(parents=True, exist_ok=True)
        write_pyramid(folder / "files" / f"{path}.zarr", Noise(VOLUME_SHAPE), SPACING_ANGSTROM)
        write_mrc(folder / "files" / f"{path}.mrc", Noise(VOLUME_SHAPE), SPACING_ANGSTROM)
        volumes = at(f"{path}.zarr", "OmezarrDir", "fileSizeOmezarr") | at(
            f"{path}.mrc", "MrcFile", "fileSizeMrc"
        )
        sizes = dict(zip(("sizeZ", "sizeY", "sizeX"), VOLUME_SHAPE, strict=True))
        common = {"runId": run, "tomogramVoxelSpacingId": spacing, "alignmentId": alignment}
        tables.add(
            "tomograms",
            depositionId=deposition,
            voxelSpacing=SPACING_ANGSTROM,
            **common,
            **sizes,
            **volumes,
        )
    write_pack(folder, PackManifest(title="Benchmark", https_prefix=HTTPS, s3_prefix=S3), tables)


class Delay:
    """A proxy that limits latency and bandwidth of a server's responses."""

    def __init__(self, port: int, latency: float, connection_mb: float, total_mb: float) -> None:
        self.port, self.latency_s = port, latency
        self.connection_bytes_s, self.total = connection_mb * 1e6, Link(total_mb * 1e6)

    async def serve(self) -> None:
        """Print the port and serve forever."""
        server = await asyncio.start_server(self._on_client, "127.0.0.1", 0, limit=2**20)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        own = Link(self.connection_bytes_s)
        loop, waiting = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]](256)

        async def pump() -> None:
            while data := await upstream[0].read(2**16):
                await waiting.put((loop.time() + self.latency_s, data))
            await waiting.put((0.0, b""))

        async def deliver() -> None:
            while True:
                due, data = await waiting.get()
                if not data:
                    writer.close()
                    return
                now = loop.time()
                due = max(due, own.passed_at(now, len(data)), self.total.passed_at(now, len(data)))
                if due > now + 0.001:
                    await asyncio.sleep(due - now)
                writer.write(data)
                await writer.drain()

        async def send() -> None:
            while data := await reader.read(2**16):
                upstream[1].write(data)
                await upstream[1].drain()
            upstream[1].close()

        await asyncio.gather(pump(), deliver(), send(), return_exceptions=True)


def official(what: str, url: str, folder: Path) -> None:
    """Download with the official client, as documented."""
    os.environ |= {"BOTO_ENDPOINT_URL": f"{url}/s3", "AWS_DEFAULT_REGION": "us-west-2"}
    import cryoet_data_portal as cdp

    (run,) = cdp.Run.find(cdp.Client(f"{url}/graphql"))
    if what == "annotations":
        for annotation in run.annotations:
            for form in ("ndjson", "zarr"):
                annotation.download(str(folder), format=form)
        return
    for tomogram in run.tomograms:
        (folder / str(tomogram.id)).mkdir(parents=True)
        tomogram.download_omezarr(str(folder / str(tomogram.id)))
        tomogram.download_mrcfile(str(folder / str(tomogram.id)))


def ours(what: str, url: str, folder: Path) -> None:
    """Download with this package."""
    from napari_cryoet import open_portal
    from napari_cryoet.download import download_files
    from napari_cryoet.download.plan import plan_cells
    from napari_cryoet.portal.portal import ask_rows
    from napari_cryoet.runs.runs import every_cell, file_cells

    portal = open_portal(f"{url}/graphql")
    rows = ask_rows(portal, run_ids=[run.id for run in portal.runs(portal.datasets()[0].id)])
    if what == "annotations":
        cells = [
            *file_cells(rows["annotationFiles"], "zarr"),
            *every_cell({"annotations": rows["annotations"]}),
        ]
    else:
        cells = [*every_cell({"tomograms": rows["tomograms"]})]
    download_files(plan_cells(rows, portal.source, cells), folder)


def measure(client: str, what: str, url: str) -> Result:
    """Download once."""
    fetch: Callable[[str, str, Path], None] = official if client == "official" else ours
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        began = time.perf_counter()
        fetch(what, url, folder / "to")
        seconds = time.perf_counter() - began
        files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".part"]
        mb = sum(path.stat().st_size for path in files) / 1e6
    result = {f"{what}, s": seconds}
    return result | ({"volumes, MB/s": mb / seconds} if what == "volumes" else {})


def main() -> None:
    parser = options_of(__doc__)
    add_src_option(parser)
    args = parser.parse_args()
    if args.child and args.child[0] == "delay":
        asyncio.run(Delay(int(args.child[1]), **LINES[args.line]).serve())
    if args.child:
        finish(measure(*args.child, args.url))
    clients = {"official": OWN_SRC} | checkouts(args)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.data or Path(temporary)
        make_pack(folder / "pack")
        serve = [sys.executable, "-m", "napari_cryoet.cli", "serve", str(folder / "pack")]
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = (
                json.loads(server.stdout.readline())["graphql"].rpartition(":")[2].partition("/")[0]
            )
            delay = [sys.executable, __file__, "--line", args.line, "--child", "delay", port]
            with subprocess.Popen(delay, stdout=subprocess.PIPE, text=True) as connection:
                assert connection.stdout is not None
                url = f"http://127.0.0.1:{connection.stdout.readline().strip()}"

                def measure_one(name: str) -> Result:
                    result: Result = {}
                    for what in WHAT:
                        result |= fresh_process(
                            __file__, "--child", name, what, "--url", url, src=clients[name]
                        )
                    return result

                runs = in_turns(list(clients), measure_one, args.repeats)
                connection.terminate()
            server.terminate()
    report(args, runs)
    print(f"\nThe connection carries {LINES[args.line]['total_mb']} MB/s.")


if __name__ == "__main__":
    main()
