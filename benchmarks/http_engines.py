"""What an HTTP engine costs: seconds, processor time, and how long it keeps a window's thread from its turn.

    python benchmarks/http_engines.py [--repeats 5] [--in-flight 16]

Each engine fetches 144 ranges of 485 kB (full-resolution planes of a large tomogram) and 31 tables of 528 bytes, from
`slow_file_server.py` (60 ms, 20 MB/s a connection, 50 MB/s together) and from the same without limits, first with new
connections, then with those. Meanwhile the main thread ticks every millisecond, as a window would; how late the ticks
come is the delay, to be compared with that of ``nothing``, which only waits. Each measurement is a process of its own;
medians go to the JSON. aiohttp, httpx and obstore come with ``pip install ".[bench]"``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arguments import how_often

RANGE_BYTES, N_RANGES = 485_000, 144
TABLE_BYTES, N_TABLES = 528, 31
LINES = {"60 ms, 20/50 MB/s": (60, 20, 50), "loopback": (0, 10_000, 10_000)}
IDLE_S = 1.5  # for which no engine's ticks are watched
LATE_S = 0.02  # a tick that comes this late is a frame that drops

Wanted = list[tuple[str, int, int]]
Round = Callable[[Wanted], int]


def nothing(url: str, in_flight: int) -> Round:  # noqa: ARG001 - as all engines are called
    """No engine: what the machine alone does to the ticks."""

    def wait(wanted: Wanted) -> int:
        time.sleep(IDLE_S)
        return sum(length for _, _, length in wanted)

    return wait


def ours(url: str, in_flight: int) -> Round:
    """The package's own client, called as its fetcher calls it."""
    from napari_cryoet.http import Http

    http, threads = Http(connections=in_flight), ThreadPoolExecutor(in_flight)

    def get(part: tuple[str, int, int]) -> int:
        key, start, length = part
        return len(http.get(f"{url}/{key}", start=start, length=length))

    return lambda wanted: sum(threads.map(get, wanted))


def urllib3_bare(url: str, in_flight: int) -> Round:
    """urllib3 with nothing around it: no stop, no retries, no checks."""
    import urllib3

    pool, threads = urllib3.PoolManager(maxsize=in_flight), ThreadPoolExecutor(in_flight)

    def get(part: tuple[str, int, int]) -> int:
        key, start, length = part
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        return len(pool.request("GET", f"{url}/{key}", headers=headers).data)

    return lambda wanted: sum(threads.map(get, wanted))


def obstore_threads(url: str, in_flight: int) -> Round:
    """obstore (Rust), blocking calls from threads."""
    import obstore
    from obstore.store import HTTPStore

    store = HTTPStore.from_url(url, client_options={"allow_http": True})
    threads = ThreadPoolExecutor(in_flight)

    def get(part: tuple[str, int, int]) -> int:
        key, start, length = part
        return len(obstore.get_range(store, key, start=start, length=length))

    return lambda wanted: sum(threads.map(get, wanted))


def obstore_loop(url: str, in_flight: int) -> Round:
    """obstore (Rust), awaited in an event loop."""
    import obstore
    from obstore.store import HTTPStore

    store = HTTPStore.from_url(url, client_options={"allow_http": True})

    async def get(part: tuple[str, int, int]) -> int:
        key, start, length = part
        return len(await obstore.get_range_async(store, key, start=start, length=length))

    return _in_loop(get, in_flight)


def aiohttp(url: str, in_flight: int) -> Round:
    """aiohttp in an event loop."""
    import aiohttp as engine

    session: list[engine.ClientSession] = []

    async def get(part: tuple[str, int, int]) -> int:
        key, start, length = part
        if not session:
            connector = engine.TCPConnector(limit=in_flight)
            session.append(engine.ClientSession(connector=connector, auto_decompress=False))
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        async with session[0].get(f"{url}/{key}", headers=headers) as response:
            return len(await response.read())

    return _in_loop(get, in_flight)


def httpx(url: str, in_flight: int) -> Round:
    """httpx in an event loop."""
    import httpx as engine

    client = engine.AsyncClient(limits=engine.Limits(max_connections=in_flight), timeout=60)

    async def get(part: tuple[str, int, int]) -> int:
        key, start, length = part
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        return len((await client.get(f"{url}/{key}", headers=headers)).content)

    return _in_loop(get, in_flight)


def _in_loop(get: Callable[[tuple[str, int, int]], Any], in_flight: int) -> Round:
    """Runs requests in an event loop on a thread of its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def get_all(wanted: Wanted) -> int:
        turns = asyncio.Semaphore(in_flight)

        async def get_in_turn(part: tuple[str, int, int]) -> int:
            async with turns:
                return await get(part)

        return sum(await asyncio.gather(*(get_in_turn(part) for part in wanted)))

    return lambda wanted: asyncio.run_coroutine_threadsafe(get_all(wanted), loop).result()


ENGINES = {each.__name__: each for each in (nothing, ours, urllib3_bare, obstore_threads, obstore_loop, aiohttp, httpx)}


def measure(engine: str, url: str, in_flight: int) -> dict[str, dict[str, float]]:
    """Both tasks with new connections and with kept ones, in this process."""
    ranges = [("volume", index * RANGE_BYTES, RANGE_BYTES) for index in range(N_RANGES)]
    tables = [(f"table{index}", 0, TABLE_BYTES) for index in range(N_TABLES)]
    fetch = ENGINES[engine](url, in_flight)
    fetch(tables[:1])  # imports, name look-up
    result = {"tables, cold": _watched(fetch, tables), "tables": _watched(fetch, tables)}
    fetch = ENGINES[engine](url, in_flight)
    fetch(tables[:1])
    return result | {"ranges, cold": _watched(fetch, ranges), "ranges": _watched(fetch, ranges)}


def _watched(fetch: Round, wanted: Wanted) -> dict[str, float]:
    done: list[int] = []
    worker = threading.Thread(target=lambda: done.append(fetch(wanted)))
    began, cpu = time.perf_counter(), time.process_time()
    worker.start()
    delays = []
    while worker.is_alive():
        due = time.perf_counter() + 0.001
        time.sleep(0.001)
        delays.append(time.perf_counter() - due)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    if done != [sum(length for _, _, length in wanted)]:
        raise SystemExit(f"{done} bytes came")
    return {
        "s": seconds,
        "cpu_s": cpu,
        "longest_delay_ms": max(delays, default=0.0) * 1000,
        "delay_ms": sum(delays) * 1000,
        "late_ticks": sum(delay > LATE_S for delay in delays),
    }


@contextmanager
def served(folder: Path, line: tuple[float, float, float]) -> Iterator[str]:
    """The slow file server in a process of its own; gives its address."""
    call = [sys.executable, str(Path(__file__).with_name("slow_file_server.py")), str(folder)]
    for name, value in zip(("latency-ms", "connection-mb-s", "total-mb-s"), line, strict=True):
        call += [f"--{name}", str(value)]
    server = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["url"]
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=how_often, default=5)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--engines", nargs="*", default=list(ENGINES))
    parser.add_argument("--one", nargs=2, metavar=("ENGINE", "URL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*given.one, given.in_flight)))
        return
    report: dict[str, Any] = {"repeats": given.repeats, "in_flight": given.in_flight, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "volume").write_bytes(os.urandom(RANGE_BYTES) * N_RANGES)
        for index in range(N_TABLES):
            (folder / f"table{index}").write_bytes(bytes(TABLE_BYTES))
        for line, width in LINES.items():
            runs: dict[str, list[Any]] = {engine: [] for engine in given.engines}
            with served(folder, width) as url:
                for _ in range(given.repeats):
                    for engine in given.engines:  # in turn, so that a busy moment of the machine hits all alike
                        call = [sys.executable, __file__, "--in-flight", str(given.in_flight), "--one", engine, url]
                        runs[engine].append(json.loads(subprocess.run(call, check=True, capture_output=True).stdout))
            report[line] = {engine: _medians(each) for engine, each in runs.items()}
    print(json.dumps(report, indent=2))


def _medians(runs: list[Any]) -> dict[str, dict[str, float]]:
    return {
        task: {name: round(statistics.median(run[task][name] for run in runs), 3) for name in runs[0][task]}
        for task in runs[0]
    }


if __name__ == "__main__":
    main()
