"""Keep one demo pack in the user's cache: made when it is first wanted, whole or not at all."""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from napari_cryoet._version import __version__
from napari_cryoet.exceptions import PackError
from napari_cryoet.files import cache_path
from napari_cryoet.packs.demo.content import Size
from napari_cryoet.packs.pack import is_pack
from napari_cryoet.stopping import raise_if_stopped

CONTENT_VERSION: Final = 5
"""Counts up whenever the demo's content changes, so that an older one in the cache is not used."""


def demo_folder() -> Path:
    """Where the demo pack is kept."""
    return cache_path() / f"demo-{__version__}-{CONTENT_VERSION}"


def ensure_demo_pack(
    folder: Path | None = None,
    progress: Callable[[float, str], None] | None = None,
    stop: threading.Event | None = None,
    *,
    size: Size = "full",
) -> Path:
    """The demo pack, generated now if it isn't there yet.

    Two processes or threads that ask at once generate it once: the second waits. It appears under its name only when
    it is complete.

    Parameters
    ----------
    folder
        Where to keep it; the user's cache if not given.
    progress
        Called with the share that is done (0 to 1) and words for it.
    stop
        Set it to give up; nothing is left behind.
    size
        As in `napari_cryoet.packs.demo.write.write_demo_pack`.

    Raises
    ------
    StoppedError
        ``stop`` was set.
    PackError
        It can't be written there; the message says why.
    """
    folder = demo_folder() if folder is None else Path(folder)
    if is_pack(folder):
        return folder

    def waiting() -> None:
        raise_if_stopped(stop)
        if progress is not None:
            progress(0.0, "Waiting for another window that is making the demo")

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(folder.name + ".lock"), waiting):
            if not is_pack(folder):
                _generate(folder, size, progress, stop)
    except OSError as error:
        raise PackError(
            f"The demo can't be written to {folder}: {error.strerror or error}.",
            hint="Free some space there (about 200 MB), or choose another folder.",
        ) from error
    return folder


@contextmanager
def _locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock once no other process does; ``waiting`` is called now and then until that, and may raise."""
    lock = FileLock(path)
    while not lock.is_locked:
        with suppress(Timeout):
            lock.acquire(timeout=0.1)
        if not lock.is_locked:
            waiting()
    try:
        yield
    finally:
        lock.release()


def _generate(
    folder: Path, size: Size, progress: Callable[[float, str], None] | None, stop: threading.Event | None
) -> None:
    from napari_cryoet.packs.demo.write import write_demo_pack

    for leftover in folder.parent.glob(f".{folder.name}-*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)  # of a process that was killed: we hold the lock
    fresh = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}.partial")
    try:
        write_demo_pack(fresh, size=size, progress=progress, stop=stop)
        if folder.exists():
            _require_replaceable(folder)
            shutil.rmtree(folder)
        os.replace(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _require_replaceable(folder: Path) -> None:
    """Refuse to replace what isn't an empty folder or a demo that lost its manifest."""
    if not folder.is_dir() or any(entry.name not in {"files", "tables"} for entry in folder.iterdir()):
        raise PackError(f"{folder} holds something else, and is left alone.", hint="Choose another folder.")
