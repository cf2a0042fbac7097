"""Helpers for the tests of the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def wait_until(is_so: Callable[[], bool], timeout_s: float = 60) -> None:
    """Wait for a condition outside of this process."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not come to that in time"
        time.sleep(0.02)


@contextmanager
def serving(pack: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A process that serves a pack, and the addresses that it prints when it is ready."""
    command = [sys.executable, "-m", "napari_cryoet.cli", "serve", str(pack), *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()
