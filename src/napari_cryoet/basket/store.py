"""The current basket of each source, in the user's data folder, shared by all windows and commands."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from msgspec.structs import replace

from napari_cryoet.basket.basket import Basket, read_basket, write_basket
from napari_cryoet.exceptions import SaveError
from napari_cryoet.files import data_path
from napari_cryoet.locations import without_password


class BasketStore:
    """Reads and changes the current baskets; changes are written to disk immediately.

    Methods raise FormatError if a file was edited and has become invalid, and SaveError if writing
    fails.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or data_path() / "baskets"

    def path(self, source: str) -> Path:
        """The path of a source's basket, whether or not it exists."""
        source = without_password(source)
        digits = hashlib.sha256(source.encode()).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9]+", "-", re.sub(r"^\w+://", "", source)).strip("-")[-40:]
        return self.folder / f"{name}-{digits}.toml"

    def current(self, source: str) -> Basket:
        """The basket of a source, as `Source.name` names it; empty if there is none."""
        path = self.path(source)
        return replace(read_basket(path), source=source) if path.exists() else Basket(source=source)

    def change(self, source: str, change: Callable[[Basket], Basket]) -> Basket:
        """Change the basket on disk, which another window may have changed, and return the new one."""
        path = self.path(source)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock"), timeout=10):
                before = self.current(source)
                after = replace(change(before), source=source)
                if after != before:
                    write_basket(after, path)
                return after
        except OSError as error:  # or if another process holds the lock too long
            raise SaveError(f"The basket can't be saved: {error.strerror or error}.") from error
