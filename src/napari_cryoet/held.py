"""Cached and downloaded data on this computer: sizes, folders and how to clear them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from napari_cryoet.files import cache_path, size_on_disk
from napari_cryoet.packs.zipped import UNPACKED

CacheKind: TypeAlias = Literal["metadata", "demo", "pack", "pixels", "other"]


_KINDS: Final[dict[str, CacheKind]] = {"answers": "metadata", UNPACKED: "pack"}


class Held(NamedTuple):
    """One folder or file of cached or downloaded data."""

    kind: CacheKind
    path: Path

    @property
    def size_bytes(self) -> int:
        """Its current size; scans the whole folder."""
        return size_on_disk(self.path)


def held_data() -> Iterator[Held]:
    """All cached and downloaded data; in the pixels' folder, only our own."""
    from napari_cryoet.streaming.disk_cache import OWN_FOLDER, cache_folder

    root, pixels = cache_path(), cache_folder() / OWN_FOLDER
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if path in {pixels, pixels.parent} or path.suffix == ".lock":  # locks between processes
            continue
        kind: CacheKind = "demo" if path.name.startswith("demo-") else "other"
        yield Held(_KINDS.get(path.name, kind), path)
    if pixels.is_dir():
        yield Held("pixels", pixels)


def clear(held: Held) -> None:
    """Delete it; processes that use the pixel cache continue with an empty one."""
    from napari_cryoet.streaming.disk_cache import DiskCache

    if held.kind == "pixels":
        DiskCache().clear()
        for folder in (held.path, held.path.parent):
            with suppress(OSError):  # the user's folder may hold other files
                folder.rmdir()
    elif held.path.is_symlink() or not held.path.is_dir():
        held.path.unlink(missing_ok=True)
    else:
        shutil.rmtree(held.path)
