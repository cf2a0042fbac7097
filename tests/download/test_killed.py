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
def test_downloads_killed_at_random_resume_with_identical_bytes(
    tmp_path: Path, bucket: Server
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - to reproduce a failure
    generator, to = random.Random(seed), tmp_path / "to"
    bucket.latency_s, bucket.total_bytes_s = 0.02, 200_000  # 2 MiB take longer than all rounds
    for _ in range(N_KILLS):
        n_requests = len(bucket.requests)
        with downloading(f"{bucket.url}/", to) as process:
            bucket.wait_until(lambda n_requests=n_requests: len(bucket.requests) > n_requests)
            time.sleep(generator.uniform(0, 0.6))
            process.kill()
    bucket.total_bytes_s = 1e9
    finished = {
        path.relative_to(to).as_posix(): path.stat().st_mtime_ns for path in finished_files(to)
    }
    n_requests = len(bucket.requests)
    report = download_everything(f"{bucket.url}/", to)

    assert files_in(to) == sample_files()
    assert report.n_skipped >= len(finished)
    assert all((to / path).stat().st_mtime_ns == changed for path, changed in finished.items())
    assert not list(to.rglob("*.part*"))
    assert has_no_repeats(bucket.requests[n_requests:])


def finished_files(folder: Path) -> list[Path]:
    """The finished files, which have their final names."""
    paths = (folder / "files").rglob("*")
    return [
        path
        for path in paths
        if path.is_file() and ".part" not in path.name and ".unfinished" not in path.name
    ]


def has_no_repeats(requests: list[Any]) -> bool:
    """Whether no file was requested twice, except metadata, which are read again."""
    paths = [
        request.path for request in requests if not request.path.rpartition("/")[2].startswith(".z")
    ]
    return len(paths) == len(set(paths))
