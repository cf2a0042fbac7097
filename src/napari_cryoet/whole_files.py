"""Files and folders that are written whole or not at all, and never over what is there without consent.

What is written goes under a hidden name beside its place, onto the disk, and only then to its name. Whoever is killed
half-way leaves a hidden file that looks like nothing, and what was there before. The next who writes to the same name
removes what was left so, an hour after anything was written to it: before, somebody may be at it.

A name that is a symbolic link stays one: what it points to is written.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from napari_cryoet.exceptions import ExistsError, SaveError

#: How names of what isn't finished start.
UNFINISHED: Final = ".unfinished-"
#: How names of what was moved out of the way start, for the moment that its successor takes to get its name.
REPLACED: Final = ".replaced-"
_STALE_S: Final = 3600.0
_KEPT_CHARACTERS: Final = 40  # of a name, so that those of unfinished files fit where the name itself does


@contextmanager
def written_whole(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a free name beside ``path``, with its suffix, for a file or a folder; what is there at the end becomes it.

    Parameters
    ----------
    path
        The name in the end. Folders above it are made. Where it is a symbolic link, what it points to is written.
    overwrite
        Whether what is at ``path`` may be replaced.

    Raises
    ------
    ExistsError
        If there is something at ``path`` and ``overwrite`` isn't set; before anything is written.
    SaveError
        If the disk doesn't take it.
    """
    place = ready_place(path, overwrite=overwrite)
    unfinished = _free_name(place, UNFINISHED, path.name)
    try:
        try:
            remove_stale(place.parent, _names_of(UNFINISHED, path.name))
            yield unfinished
            onto_disk(unfinished)
            _move(unfinished, place, overwrite=overwrite)
            remove_stale(place.parent, _names_of(REPLACED, place.name))
        except OSError as error:
            raise not_written(path, error) from error
    finally:
        _remove(unfinished)


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file of our own over what is at its name, whole or not at all; folders above it are made.

    Raises
    ------
    OSError
        If the disk doesn't take it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _free_name(path, UNFINISHED, path.name)
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def ready_place(path: Path, *, overwrite: bool) -> Path:
    """What a path stands for, in a folder that is there from now on; raises what `written_whole` does at its start."""
    refuse_existing(path, overwrite=overwrite)
    place = pointed_to(path)
    if os.path.islink(place):
        raise SaveError(f"{path.name} is a link to itself.", hint="Choose another name.")
    if os.path.exists(place) and not (place.is_file() or place.is_dir()):  # it would be lost to all who use it
        raise SaveError(f"{path.name} is neither a file nor a folder.", hint="Choose another name.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise SaveError(f"{path.name} can't be written: {place.parent} is no folder.") from error
    except OSError as error:
        raise not_written(path, error) from error
    return place


def not_written(path: Path, error: OSError) -> SaveError:
    """That a file isn't written, and why, in the system's words: libraries add names of unfinished files to them."""
    why = error.strerror or error if error.errno is None else os.strerror(error.errno)
    return SaveError(f"{path.name} can't be written: {why}.")


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise `ExistsError` if there is something and nobody said to replace it."""
    if not overwrite and os.path.lexists(path):
        raise ExistsError(f"There is a {path.name} already.", hint="Choose another name, or say that it be replaced.")


def pointed_to(path: Path) -> Path:
    """What a symbolic link points to in the end, there or not; any other path as it is."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def remove_stale(folder: Path, names: re.Pattern[str]) -> None:
    """Remove files and folders of such names in which nothing was written for an hour: what killed writers left."""
    with contextlib.suppress(OSError):
        for left in [path for path in folder.iterdir() if names.fullmatch(path.name)]:
            with contextlib.suppress(OSError):  # somebody else's, or gone meanwhile
                if _last_touched(left) < time.time() - _STALE_S:
                    _remove(left)


def _last_touched(path: Path) -> float:
    """When anything in a file or folder was written or renamed last."""
    found = [path.lstat(), *(below.lstat() for below in (path.rglob("*") if path.is_dir() else ()))]
    return max(max(each.st_mtime, each.st_ctime) for each in found)


def _free_name(place: Path, start: str, name: str) -> Path:
    """A hidden name beside a place, which ends as the name does, since libraries go by that."""
    return place.with_name(f"{start}{secrets.token_hex(4)}-{name[-_KEPT_CHARACTERS:]}")


def _names_of(start: str, name: str) -> re.Pattern[str]:
    """The names that `_free_name` gives for a name; a library may have added an ending."""
    return re.compile(rf"{re.escape(start)}[0-9a-f]{{8}}-{re.escape(name[-_KEPT_CHARACTERS:])}(\.tbl)?", re.ASCII)


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
    old = _free_name(path, REPLACED, path.name)
    path.rename(old)
    try:
        unfinished.rename(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)


def onto_disk(unfinished: Path) -> None:
    """Wait until a file, or all files of a folder, would be there after a power cut too."""
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
