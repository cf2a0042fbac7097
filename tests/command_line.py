"""What the tests of the command line share."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import pytest

COMMANDS = ("demo", "open", "search", "download", "convert", "compare", "check", "pack", "serve", "cache")
RUN = 9001
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


def run_process(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "napari_cryoet.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, **options)


def modules_after(arguments: Sequence[object]) -> set[str]:
    """The modules that a command imported, by their first names; how it ended doesn't matter."""
    script = (
        "import sys\n"
        "from napari_cryoet.cli import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n    pass\n"
        "print('MODULES', *sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, timeout=100, check=True
    )
    return set(done.stdout.rpartition("MODULES ")[2].split())


def wait_until(is_so: Callable[[], bool], timeout_s: float = 60) -> None:
    """Wait for something outside of this process."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not come to that in time"
        time.sleep(0.02)
