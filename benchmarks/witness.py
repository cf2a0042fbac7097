"""What the machine does to a measurement, told apart from what the program does.

A virtual machine stands now and then: its host gives the processors to others, or takes back the memory that a program
has left, seconds after its end. A window stands with it, and its event loop can't tell that from a stall of its own.
So a measurement begins with `rest` after the one before, and has `Witnesses` beside it: one process on each processor
that wakes a hundred times a second, touches some memory of its own, and tells when it was late.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EVERY_S = 0.01
LATE_S = 0.01  # less is the scheduler of a busy machine
MEMORY_BYTES = 8 << 20
PAGE_BYTES = 4096
REST_S = 8.0  # free memory is first offered to the host two seconds after


def rest() -> None:
    """Let the machine give away what the process before has left; a volume that is only tried leaves nothing."""
    time.sleep(0.0 if "BENCH_SHAPE" in os.environ else REST_S)


class Witnesses:
    """One process on each processor this one may use, until `close`; all watch once they are made.

    Attributes
    ----------
    processes
        One a processor.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.processes: list[subprocess.Popen[bytes]] = []
        for processor in sorted(os.sched_getaffinity(0)):
            said = Path(self._folder.name, str(processor))
            with said.open("wb") as file:
                call = [sys.executable, __file__, str(processor)]
                self.processes.append(subprocess.Popen(call, stdout=file))
        while not all(said.stat().st_size for said in Path(self._folder.name).iterdir()):
            if any(process.poll() is not None for process in self.processes):
                self.close()
                raise RuntimeError("a witness ended")
            time.sleep(EVERY_S)

    def longest_s(self, since: float) -> float:
        """How long one of them was held up at most in the time since a value of ``time.perf_counter``, seconds."""
        return max((late for _, late in self._lates(since)), default=0.0)

    def _lates(self, since: float) -> list[tuple[float, float]]:
        told = [line.split() for said in Path(self._folder.name).iterdir() for line in said.read_text().splitlines()]
        pairs = [(float(words[0]), float(words[1])) for words in told if len(words) == 2]
        return [(at, late) for at, late in pairs if at >= since]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self._folder.cleanup()


def watch(processor: int) -> None:
    """Tell of each time that was late: when it was over, and by how many seconds."""
    import numpy as np

    os.sched_setaffinity(0, {processor})
    memory = np.zeros(MEMORY_BYTES, np.uint8)
    parent = os.getppid()
    print(f"{time.perf_counter():.4f} 0", flush=True)
    while os.getppid() == parent:  # a measurement that ends leaves none behind
        before = time.perf_counter()
        time.sleep(EVERY_S)
        memory[::PAGE_BYTES] += 1
        now = time.perf_counter()
        if now - before - EVERY_S > LATE_S:
            print(f"{now:.4f} {now - before - EVERY_S:.4f}", flush=True)


if __name__ == "__main__":
    watch(int(sys.argv[1]))
