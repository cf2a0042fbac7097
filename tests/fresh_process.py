"""What a new process imports, and which module imported it first. Run as a script, it is that process.

    python tests/fresh_process.py "import napari_cryoet"

The code runs after ``BEFORE`` of the environment, whose modules don't count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import Any


class Imports:
    """The modules that some code imported in a new process, each with its importer."""

    def __init__(self, code: str, *arguments: object, before: str = "") -> None:
        done = subprocess.run(
            [sys.executable, __file__, code, *map(str, arguments)],
            env=os.environ | {"BEFORE": before},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        self.importers: dict[str, str] = json.loads(done.stdout.splitlines()[-1])

    def __len__(self) -> int:
        return len(self.importers)

    def ours(self) -> list[str]:
        return [name for name in self.importers if name.startswith("napari_cryoet")]

    def chains(self, packages: set[str]) -> list[str]:
        """How each of these packages came in: ``scipy <- dask.array <- napari_cryoet.measure``."""
        found: dict[str, str] = {}
        for name in self.importers:
            package = next((each for each in packages if f"{name}.".startswith(f"{each}.")), None)
            if package is not None:
                found.setdefault(package, self._chain(name))
        return list(found.values())

    def _chain(self, name: str) -> str:
        links = [name]
        while links[-1] in self.importers and self.importers[links[-1]] not in links:
            links.append(self.importers[links[-1]])
        return " <- ".join(links)


class _Recorder:
    """A finder that finds nothing, and notes who looks for which module."""

    def __init__(self) -> None:
        self.importers: dict[str, str] = {}

    def find_spec(self, name: str, *_where: Any) -> None:
        frame = sys._getframe(1)
        while frame.f_back and frame.f_globals.get("__name__", "").startswith("importlib"):
            frame = frame.f_back
        self.importers.setdefault(name, frame.f_globals.get("__name__", "?"))


def main() -> None:
    code = sys.argv.pop(1)
    exec(os.environ["BEFORE"], globals())
    before = set(sys.modules)
    recorder = _Recorder()
    sys.meta_path.insert(0, recorder)
    with suppress(SystemExit):
        exec(code, globals())
    new = set(sys.modules) - before
    found = {name: by for name, by in recorder.importers.items() if name in new}
    sys.stdout.write(f"{json.dumps(found)}\n")
    sys.stdout.flush()
    os._exit(0)  # without waiting for windows and threads


if __name__ == "__main__":
    main()
