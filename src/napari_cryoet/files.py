"""Files: atomic writing, our folders, checks of paths, and names for messages."""

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
#: Prefixes of the names of unfinished and of replaced files.
UNFINISHED: Final = ".unfinished-"
_REPLACED: Final = ".replaced-"
_LEFTOVER_AGE_S: Final = 24 * 3600.0
_KEPT_CHARACTERS: Final = 40  # of a name, so that the hidden name doesn't get too long

#: Also matches addresses that went through `Path`, which merges their two slashes.
_ADDRESS: Final = re.compile(
    r"\s*(?:[a-z][a-z0-9+.-]+://|(?:https?|s3|gs|ftp|file):[/\\])", re.IGNORECASE
)
_LOGIN: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)([^:/?#]*)(?::[^/?#]*)?@")
_LONGEST_URL_PATH, _LONGEST_HOST, _LONGEST_PATH, _LONGEST_TEXT = 60, 80, 120, 200


# our folders


def cache_path() -> Path:
    """The folder for data that can be created or downloaded again."""
    return user_cache_path(_APP)


def config_path() -> Path:
    """The folder for settings."""
    return user_config_path(_APP)


def data_path() -> Path:
    """The folder for the user's data, such as reviews."""
    return user_data_path(_APP, appauthor=False)


# writing


@contextmanager
def written_whole(path: Path, *, overwrite: bool = False, flush: bool = True) -> Iterator[Path]:
    """Yield a hidden path beside ``path``; the file or folder written there is renamed to ``path`` at the end.

    Parent folders are created. If ``path`` is a symbolic link, its target is replaced. Files left
    by killed processes are removed after a day. ``flush`` waits until the file would survive a
    power cut. Raises ExistsError before writing, SaveError if writing fails.
    """
    target = prepare_target(path, overwrite=overwrite)
    unfinished = _hidden_name(target, UNFINISHED)
    try:
        _remove_leftovers(target.parent)
        yield unfinished
        if flush:
            flush_to_disk(unfinished)
        _move(unfinished, target, overwrite=overwrite)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        _remove(unfinished)


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file of our own atomically, creating parent folders; OSError if that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _hidden_name(path, UNFINISHED)
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def prepare_target(path: Path, *, overwrite: bool) -> Path:
    """The target to write for a path, with its folder created; raises like `written_whole`."""
    refuse_existing(path, overwrite=overwrite)
    target = Path(os.path.realpath(path)) if os.path.islink(path) else path
    try:
        if target.exists() and not (target.is_file() or target.is_dir()):
            raise SaveError(
                f"{path.name} is neither a file nor a folder.", hint="Choose another name."
            )
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise SaveError(
            f"{path.name} can't be written: {target.parent} is not a folder."
        ) from error
    except OSError as error:
        raise _not_written(path, error) from error
    return target


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise `ExistsError` if a path exists, unless ``overwrite`` is set."""
    if not overwrite and os.path.lexists(path):
        raise ExistsError(
            f"There is a {path.name} already.", hint="Choose another name, or allow replacing it."
        )


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or all files of a folder, would survive a power cut."""
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())


def _not_written(path: Path, error: OSError) -> SaveError:
    """Use only the system's message, since libraries' messages contain the hidden name."""
    reason = error.strerror or error if error.errno is None else os.strerror(error.errno)
    return SaveError(f"{path.name} can't be written: {reason}.")


def _hidden_name(target: Path, prefix: str) -> Path:
    """An unused path beside a file, with the same suffix, because libraries depend on it."""
    return target.with_name(f"{prefix}{secrets.token_hex(8)}-{target.name[-_KEPT_CHARACTERS:]}")


def _remove_leftovers(folder: Path) -> None:
    """Remove leftovers of killed processes, once they are too old to be in use."""
    cutoff = time.time() - _LEFTOVER_AGE_S
    for leftover in [*folder.glob(f"{UNFINISHED}*"), *folder.glob(f"{_REPLACED}*")]:
        with contextlib.suppress(OSError):
            if leftover.lstat().st_mtime < cutoff:
                _remove(leftover)


def _move(unfinished: Path, target: Path, *, overwrite: bool) -> None:
    if unfinished.is_dir():
        _move_folder(unfinished, target, overwrite=overwrite)
    elif not overwrite:
        _move_file_if_free(unfinished, target)
    elif target.is_dir():
        raise SaveError(f"{target.name} is a folder.", hint="Choose another name.")
    else:
        unfinished.replace(target)
    _flush_folder(target.parent)


def _move_file_if_free(unfinished: Path, target: Path) -> None:
    """Rename with a hard link if the disk supports them: it fails if the name was taken meanwhile."""
    try:
        os.link(unfinished, target)
    except FileExistsError:
        refuse_existing(target, overwrite=False)
    except OSError:
        refuse_existing(target, overwrite=False)
        unfinished.replace(target)


def _move_folder(unfinished: Path, target: Path, *, overwrite: bool) -> None:
    refuse_existing(target, overwrite=overwrite)
    if not os.path.lexists(target):
        unfinished.rename(target)
        return
    old = _hidden_name(target, _REPLACED)
    target.rename(old)
    try:
        unfinished.rename(target)
    except OSError:
        old.rename(target)
        raise
    _remove(old)


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Windows can't open folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


# user paths


def path_to_read(value: str | os.PathLike[str]) -> Path:
    """A local path; FormatError for an address or an invalid path."""
    if is_address(value):
        raise FormatError(
            "This is an address, but only local files can be read here.", hint="Download it first."
        )
    return _path(value, FormatError)


def path_to_write(value: str | os.PathLike[str]) -> Path:
    """A local path; SaveError for an address or an invalid path."""
    if is_address(value):
        raise SaveError(
            "This is an address, but files can only be written on this computer.",
            hint="Give a path.",
        )
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
    """The end of a URL's path, decoded.

    >>> file_of("https://files.org/10000/TS_026/TS_026.zarr/0/0/1/2?signature=secret")
    '10000/TS_026/TS_026.zarr/0/0/1/2'
    """
    path = _host_and_path(without_login(url))[1]
    return _end_of(_printable(unquote(path)).strip("/ "), "/", _LONGEST_URL_PATH)


def file_at(address: str, key: str = "") -> str:
    """A name for an address or path, or for a file below it.

    >>> file_at("https://me:secret@files.org/a%20b.zarr?signature=secret", "0/1.2.3")
    'a b.zarr/0/1.2.3 on files.org'
    """
    if "://" not in address:
        return _end_of(_printable(str(Path(address) / key)), os.sep, _LONGEST_PATH)
    base = without_login(address).partition("#")[0].partition("?")[0].rstrip("/")
    file, host = file_of(f"{base}/{quote(key)}" if key else base), host_of(address)
    return f"{file} on {host}" if file else host


def without_login(address: str) -> str:
    """An address without its user and password; paths are unchanged.

    >>> without_login("https://me:secret@files.org/a.zarr?b=c")
    'https://files.org/a.zarr?b=c'
    """
    return _LOGIN.sub(r"\1", address)


def without_password(address: str) -> str:
    """An address without its password; the user stays, because users may have different files.

    >>> without_password("https://me:secret@files.org/a.zarr"), without_password("https://files.org")
    ('https://me@files.org/a.zarr', 'https://files.org')
    """
    return _LOGIN.sub(r"\1\2@", address)


def brief(text: object) -> str:
    """A library's text, such as an error message, as one line of limited length."""
    line = " ".join(_printable(str(text), " ").split())
    return line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"


def _host_and_path(url: str) -> tuple[str, str]:
    """Host with port, and path; empty if it isn't a URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.netloc, parts.path


def _printable(text: str, replacement: str = "") -> str:
    return "".join(character if character.isprintable() else replacement for character in text)


def _end_of(path: str, separator: str, longest: int) -> str:
    """The end of a path, cut between names if possible."""
    if len(path) <= longest:
        return path
    end = path[1 - longest :]
    return f"…{end[max(end.find(separator), 0) :]}"
