"""Files and folders that are written whole or not at all, and never over what is there without consent.

What is written goes under a hidden name beside its place, onto the disk, and only then to its name. Whoever is killed
half-way leaves a hidden file that looks like nothing, and what was there before.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from napari_cryoet.exceptions import ExistsError, SaveError

#: How names of what isn't finished start.
UNFINISHED: Final = ".unfinished-"
_KEPT_CHARACTERS: Final = 40  # of a name, so that those of unfinished files fit where the name itself does


@contextmanager
def written_whole(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a free name beside ``path``, with its suffix, for a file or a folder; what is there at the end becomes it.

    Parameters
    ----------
    path
        The name in the end. Folders above it are made.
    overwrite
        Whether what is at ``path`` may be replaced.

    Raises
    ------
    ExistsError
        If there is something at ``path`` and ``overwrite`` isn't set; before anything is written.
    SaveError
        If the disk doesn't take it.
    """
    refuse_existing(path, overwrite=overwrite)
    unfinished = _free_name(path)
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield unfinished
            _onto_disk(unfinished)
            _move(unfinished, path, overwrite=overwrite)
        except OSError as error:
            raise SaveError(f"{path.name} can't be written: {error.strerror or error}.") from error
    finally:
        _remove(unfinished)


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise `ExistsError` if there is something and nobody said to replace it."""
    if not overwrite and os.path.lexists(path):
        raise ExistsError(f"There is a {path.name} already.", hint="Choose another name, or say that it be replaced.")


def _free_name(path: Path) -> Path:
    return path.with_name(f"{UNFINISHED}{secrets.token_hex(4)}-{path.name[-_KEPT_CHARACTERS:]}")


def _move(unfinished: Path, path: Path, *, overwrite: bool) -> None:
    if unfinished.is_dir():
        _move_folder(unfinished, path, overwrite=overwrite)
    elif overwrite:
        if path.is_dir():
            raise SaveError(f"{path.name} is a folder.", hint="Choose another name.")
        unfinished.replace(path)
    else:
        _move_file_if_free(unfinished, path)
    _folder_onto_disk(path.parent)


def _move_file_if_free(unfinished: Path, path: Path) -> None:
    """By a second name for the file where the disk has such: it fails, also for a file that came meanwhile."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        refuse_existing(path, overwrite=False)
    except OSError:  # FAT and some network disks have no second names
        refuse_existing(path, overwrite=False)
        unfinished.replace(path)


def _move_folder(unfinished: Path, path: Path, *, overwrite: bool) -> None:
    refuse_existing(path, overwrite=overwrite)
    if not os.path.lexists(path):
        unfinished.rename(path)
        return
    old = _free_name(path)
    path.rename(old)
    try:
        unfinished.rename(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)


def _onto_disk(unfinished: Path) -> None:
    for file in [unfinished] if unfinished.is_file() else unfinished.rglob("*"):
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())


def _folder_onto_disk(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Windows opens no folders
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # whatever went wrong before is what matters
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
