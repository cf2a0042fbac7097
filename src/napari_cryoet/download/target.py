"""The folder that a download writes to: nothing leaves it, and what is there already is looked at first."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_cryoet.download.names import PART_SUFFIX
from napari_cryoet.exceptions import DownloadError
from napari_cryoet.wording import size_text

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_MAX_WINDOWS_PATH = 259


class Target:
    """A folder to download into; it is made when the first file needs it.

    Parameters
    ----------
    folder
        Where to; ``~`` stands for the home folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().absolute()
        if self.folder.exists() and not self.folder.is_dir():
            raise DownloadError(f"{self.folder} is a file, not a folder.", hint="Choose another folder.")

    def path(self, relative: str) -> Path:
        """Return where a relative path of a plan lies in the folder.

        Raises
        ------
        DownloadError
            If it would lie outside, also by way of a link in the folder.
        """
        segments = relative.split("/")
        if any(segment in ("", ".", "..") or os.sep in segment or "\\" in segment for segment in segments):
            raise DownloadError(f"{relative!r} is no path inside the folder.")
        path = self.folder.joinpath(*segments)
        if os.name == "nt" and len(str(path)) + len(PART_SUFFIX) > _MAX_WINDOWS_PATH:
            raise DownloadError(
                f"The path {path} is too long for Windows.", hint="Choose a folder with a shorter path."
            )
        with words_for_disk_faults(path):
            if not path.parent.resolve().is_relative_to(self.folder.resolve()):
                raise DownloadError(
                    f"{path.parent} leads out of the folder through a link.", hint="Choose a folder without such links."
                )
        return path

    def size_on_disk(self, relative: str) -> int | None:
        """Return the size of a file that is there, -1 for something that is no plain file, None for nothing."""
        path = self.path(relative)
        with words_for_disk_faults(path):
            if path.is_symlink():
                return -1
            if not path.exists():
                return None
            return path.stat().st_size if path.is_file() else -1

    def remove(self, relative: str) -> None:
        """Remove a file or a link, if it is there."""
        path = self.path(relative)
        with words_for_disk_faults(path):
            path.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Return how much can be written to the disk of the folder."""
        place = self.folder
        while not place.exists() and place != place.parent:
            place = place.parent
        with words_for_disk_faults(place):
            return shutil.disk_usage(place).free

    def require_space(self, needed_bytes: int) -> None:
        """Raise DownloadError if the disk can't hold that much more."""
        free_bytes = self.free_bytes()
        if needed_bytes > free_bytes:
            needed, free = size_text(needed_bytes), size_text(free_bytes)
            raise DownloadError(
                f"{needed} are needed, but the disk of {self.folder} has {free} free.",
                hint="Make room, or choose a folder on another disk.",
            )


@contextmanager
def words_for_disk_faults(path: Path) -> Iterator[None]:
    """Raise what the system says of a folder or file as a DownloadError in words."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DownloadError(
                f"The disk of {path.parent} is full.",
                hint="Make room and start the same download again: what is complete is kept.",
            ) from error
        if error.errno in _FORBIDDEN:
            raise DownloadError(
                f"You may not write to {path}.", hint="Choose another folder, or change its permissions."
            ) from error
        raise DownloadError(f"{path} can't be written: {error.strerror or error}.") from error
