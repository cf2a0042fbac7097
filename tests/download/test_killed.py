"""A download that is killed repeatedly ends with the same bytes, and fetches no complete file twice."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from download_samples import download_everything, downloading, files_in, sample_files
from server import Server

N_KILLS = 20


@pytest.mark.slow
def test_twenty_kills_at_random_moments_end_with_identical_bytes(tmp_path: Path, bucket: Server) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - to reproduce a failure
    dice, to = random.Random(seed), tmp_path / "to"
    bucket.latency_s, bucket.total_bytes_s = 0.02, 200_000  # 2 MiB take longer than all rounds
    for _ in range(N_KILLS):
        asked = len(bucket.requests)
        with downloading(f"{bucket.url}/", to) as process:
            bucket.wait_until(lambda asked=asked: len(bucket.requests) > asked)
            time.sleep(dice.uniform(0, 0.6))
            process.kill()
    bucket.total_bytes_s = 1e9
    whole = {path.relative_to(to).as_posix(): path.stat().st_mtime_ns for path in in_place(to)}
    asked = len(bucket.requests)
    report = download_everything(f"{bucket.url}/", to)

    assert files_in(to) == sample_files()
    assert report.n_skipped >= len(whole)
    assert all((to / path).stat().st_mtime_ns == changed for path, changed in whole.items())
    assert not list(to.rglob("*.part*"))
    assert no_file_twice(bucket.requests[asked:])


def in_place(folder: Path) -> list[Path]:
    """The finished files, which have their final names."""
    found = (folder / "files").rglob("*")
    return [path for path in found if path.is_file() and ".part" not in path.name and ".unfinished" not in path.name]


def no_file_twice(requests: list[Any]) -> bool:
    """Whether no file was requested twice, except metadata, which are read again."""
    paths = [request.path for request in requests if not request.path.rpartition("/")[2].startswith(".z")]
    return len(paths) == len(set(paths))
