"""The user's files: written whole or not at all, the folders that we keep things in, and names for messages."""

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
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

from platformdirs import user_cache_path, user_config_path, user_data_path

from napari_cryoet.exceptions import CryoETError, ExistsError, FormatError, SaveError

_APP: Final = "napari-cryoet"
#: How the names of unfinished and of replaced files start.
UNFINISHED: Final = ".unfinished-"
_REPLACED: Final = ".replaced-"
_LEFTOVER_AGE_S: Final = 24 * 3600.0
_KEPT_CHARACTERS: Final = 40  # of a name, so that a hidden name isn't too long where the name itself isn't

#: Also matches an address that went through `Path`, which turns two slashes into one.
_ADDRESS: Final = re.compile(r"\s*(?:[a-z][a-z0-9+.-]+://|(?:https?|s3|gs|ftp|file):[/\\])", re.IGNORECASE)
_LOGIN: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)([^:/?#]*)(?::[^/?#]*)?@")
_LONGEST_URL_PATH, _LONGEST_HOST, _LONGEST_PATH, _LONGEST_WORDS = 60, 80, 120, 200


# folders of ours


def cache_path() -> Path:
    """The folder for what can be made or fetched again."""
    return user_cache_path(_APP)


def config_path() -> Path:
    """The folder for settings."""
    return user_config_path(_APP)


def data_path() -> Path:
    """The folder for what the user made, such as reviews."""
    return user_data_path(_APP, appauthor=False)


# writing


@contextmanager
def written_whole(path: Path, *, overwrite: bool = False, flush: bool = True) -> Iterator[Path]:
    """Give a hidden path beside ``path``; the file or folder that is there at the end gets the name.

    Folders above ``path`` are made. A symbolic link stays one: its target is written. What a killed process left in the
    folder is removed a day later. ``flush`` waits until the file would survive a power cut. ExistsError before anything
    is written; SaveError if the disk refuses.
    """
    place = ready_place(path, overwrite=overwrite)
    unfinished = _hidden_name(place, UNFINISHED)
    try:
        _remove_leftovers(place.parent)
        yield unfinished
        if flush:
            flush_to_disk(unfinished)
        _move(unfinished, place, overwrite=overwrite)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        _remove(unfinished)


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file of our own, whole or not at all; folders above it are made. OSError if the disk refuses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _hidden_name(path, UNFINISHED)
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def ready_place(path: Path, *, overwrite: bool) -> Path:
    """The file that a path means, in a folder that exists from now on; raises as `written_whole` does at its start."""
    refuse_existing(path, overwrite=overwrite)
    place = Path(os.path.realpath(path)) if os.path.islink(path) else path
    try:
        if place.exists() and not (place.is_file() or place.is_dir()):
            raise SaveError(f"{path.name} is neither a file nor a folder.", hint="Choose another name.")
        place.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise SaveError(f"{path.name} can't be written: {place.parent} is no folder.") from error
    except OSError as error:
        raise _not_written(path, error) from error
    return place


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise `ExistsError` if there is something at a path that may not be replaced."""
    if not overwrite and os.path.lexists(path):
        raise ExistsError(f"There is a {path.name} already.", hint="Choose another name, or say that it be replaced.")


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or all files of a folder, would survive a power cut."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())


def _not_written(path: Path, error: OSError) -> SaveError:
    """Libraries put the hidden name into their messages, so only the system's words are taken."""
    why = error.strerror or error if error.errno is None else os.strerror(error.errno)
    return SaveError(f"{path.name} can't be written: {why}.")


def _hidden_name(place: Path, start: str) -> Path:
    """A free name beside a file, with the same suffix, because libraries go by that."""
    return place.with_name(f"{start}{secrets.token_hex(8)}-{place.name[-_KEPT_CHARACTERS:]}")


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left, once it is old enough for no process to be writing it."""
    before = time.time() - _LEFTOVER_AGE_S
    for left in [*folder.glob(f"{UNFINISHED}*"), *folder.glob(f"{_REPLACED}*")]:
        with contextlib.suppress(OSError):
            if left.lstat().st_mtime < before:
                _remove(left)


def _move(unfinished: Path, place: Path, *, overwrite: bool) -> None:
    if unfinished.is_dir():
        _move_folder(unfinished, place, overwrite=overwrite)
    elif not overwrite:
        _move_file_if_free(unfinished, place)
    elif place.is_dir():
        raise SaveError(f"{place.name} is a folder.", hint="Choose another name.")
    else:
        unfinished.replace(place)
    _flush_folder(place.parent)


def _move_file_if_free(unfinished: Path, place: Path) -> None:
    """Through a hard link where the disk has them: that fails if somebody else was quicker."""
    try:
        os.link(unfinished, place)
    except FileExistsError:
        refuse_existing(place, overwrite=False)
    except OSError:
        refuse_existing(place, overwrite=False)
        unfinished.replace(place)


def _move_folder(unfinished: Path, place: Path, *, overwrite: bool) -> None:
    refuse_existing(place, overwrite=overwrite)
    if not os.path.lexists(place):
        unfinished.rename(place)
        return
    old = _hidden_name(place, _REPLACED)
    place.rename(old)
    try:
        unfinished.rename(place)
    except OSError:
        old.rename(place)
        raise
    _remove(old)


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Windows opens no folders
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


# paths of users


def path_to_read(value: str | os.PathLike[str]) -> Path:
    """A path on this computer; FormatError for an address, or for what can't be a path."""
    if is_address(value):
        raise FormatError("An address is given, and this is read from this computer only.", hint="Download it first.")
    return _path(value, FormatError)


def path_to_write(value: str | os.PathLike[str]) -> Path:
    """A path on this computer; SaveError for an address, or for what can't be a path."""
    if is_address(value):
        raise SaveError("An address is given; files are written on this computer.", hint="Give a path.")
    return _path(value, SaveError)


def is_address(value: str | os.PathLike[str]) -> bool:
    """Whether a text or path is an address, such as ``https://…`` or ``s3://…``."""
    return _ADDRESS.match(os.fsdecode(value)) is not None


def local_path(url: str) -> Path | None:
    """The path that a ``file:`` URL names; None for other addresses."""
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def _path(value: str | os.PathLike[str], error: type[CryoETError]) -> Path:
    path = Path(os.fsdecode(value))
    try:
        is_possible = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        is_possible = False
    if not is_possible:
        raise error(f"{str(path)!r} can't be a path.", hint="Check the path.")
    return path


# names in messages: short, in plain text, without secrets


def host_of(url: str) -> str:
    """The host of a URL, with its port if it names one.

    >>> host_of("https://me:secret@files.org:81/a.zarr")
    'files.org:81'
    """
    url = without_login(url)
    return _printable(_host_and_path(url)[0] or url)[:_LONGEST_HOST]


def file_of(url: str) -> str:
    """The end of a URL's path.

    >>> file_of("https://files.org/10000/TS_026/TS_026.zarr/0/0/1/2?signature=secret")
    '10000/TS_026/TS_026.zarr/0/0/1/2'
    """
    path = _host_and_path(without_login(url))[1]
    return _end_of(_printable(unquote(path)).strip("/ "), "/", _LONGEST_URL_PATH)


def file_at(address: str, key: str = "") -> str:
    """What to call an address or path, or a file below it.

    >>> file_at("https://me:secret@files.org/a%20b.zarr?signature=secret", "0/1.2.3")
    'a b.zarr/0/1.2.3 on files.org'
    """
    if "://" not in address:
        return _end_of(_printable(str(Path(address) / key)), os.sep, _LONGEST_PATH)
    base = without_login(address).partition("#")[0].partition("?")[0].rstrip("/")
    file, host = file_of(f"{base}/{quote(key)}" if key else base), host_of(address)
    return f"{file} on {host}" if file else host


def without_login(address: str) -> str:
    """An address without the user and the password that it may name; a path stays as it is.

    >>> without_login("https://me:secret@files.org/a.zarr?b=c")
    'https://files.org/a.zarr?b=c'
    """
    return _LOGIN.sub(r"\1", address)


def without_password(address: str) -> str:
    """An address that still names its user, whose files may be others than those of another one.

    >>> without_password("https://me:secret@files.org/a.zarr"), without_password("https://files.org")
    ('https://me@files.org/a.zarr', 'https://files.org')
    """
    return _LOGIN.sub(r"\1\2@", address)


def brief(words: object) -> str:
    """Words of a library, such as those of its error, as one line of bounded length."""
    line = " ".join(_printable(str(words), " ").split())
    return line if len(line) <= _LONGEST_WORDS else f"{line[: _LONGEST_WORDS - 1]}…"


def _host_and_path(url: str) -> tuple[str, str]:
    """Host with port, and path; empty for what isn't a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.netloc, parts.path


def _printable(text: str, otherwise: str = "") -> str:
    return "".join(letter if letter.isprintable() else otherwise for letter in text)


def _end_of(path: str, separator: str, longest: int) -> str:
    """The end of a path, cut between names if possible."""
    if len(path) <= longest:
        return path
    end = path[1 - longest :]
    return f"…{end[max(end.find(separator), 0) :]}"
