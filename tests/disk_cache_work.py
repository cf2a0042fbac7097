"""What processes do to a disk cache in its tests; run by itself, this is such a process."""

from __future__ import annotations

import hashlib
import random
import sys
import threading
from pathlib import Path

ADDRESS = "https://files.example.org/a.zarr"
KEYS = (".zattrs", "0/0/0")
LARGE = bytes(range(256)) * 400  # does not fit into the database


def content_of(*what: object, size: int = 100) -> bytes:
    """The same bytes for the same words; the last one may be a size."""
    if isinstance(what[-1], int) and len(what) > 3:
        *what, size = what
    seed = hashlib.sha256(repr(what).encode()).digest()
    return (seed * (size // 32 + 1))[:size]


def put_some(cache, numbers) -> None:
    tree = cache.tree(ADDRESS)
    for number in numbers:
        content = content_of(0, number, "v1", len(LARGE))
        cache.put(tree, f"{number}", 0, content, version="v1", total_bytes=len(LARGE))
    assert cache.flush(30)


def write_for_ever(cache, seed: int) -> None:
    numbers = random.Random(seed)
    while True:
        put_some(cache, numbers.sample(range(400), 1 + numbers.randrange(6)))
        sys.stdout.write("written\n")
        sys.stdout.flush()


def write_and_check(cache, seed: int) -> None:
    numbers = random.Random(seed)
    tree = cache.tree(ADDRESS)
    hits = 0
    for _ in range(120):
        put_some(cache, numbers.sample(range(60), 3))
        for number in range(60):
            part = cache.find(tree if tree.number else cache.tree(ADDRESS), f"{number}")
            if part is not None:
                hits += 1
                assert part.content == content_of(0, number, "v1", len(LARGE)), number
    assert hits > 500
    assert not cache.usage().fault, cache.usage().fault


def write_where_files_must_be_small(cache) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    put_some(cache, range(3))
    sys.stdout.write(cache.usage().fault)


def find_outdated_and_write_nothing(cache) -> None:
    from napari_cryoet.streaming import disk_writer

    put_some(cache, range(1))
    disk_writer._GATHER_S = threading.TIMEOUT_MAX
    cache.drop(cache.tree(ADDRESS))
    sys.stdout.write("outdated\n")
    sys.stdout.flush()
    threading.Event().wait()


def main() -> None:
    from napari_cryoet.streaming.disk_cache import DiskCache

    folder, task, seed, limit_bytes = sys.argv[1:]
    cache = DiskCache(Path(folder), int(limit_bytes))
    match task:
        case "write":
            write_for_ever(cache, int(seed))
        case "check":
            write_and_check(cache, int(seed))
        case "outdated":
            find_outdated_and_write_nothing(cache)
        case "limited":
            write_where_files_must_be_small(cache)


if __name__ == "__main__":
    main()
