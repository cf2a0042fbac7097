"""Files: valid names, bounded reading, atomic writing, and the folders of this package."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path, user_config_path, user_data_path

from napari_cryoet.exceptions import ExistsError, FormatError, SaveError
from napari_cryoet.wording import size_text

_APP: Final = "napari-cryoet"
#: Prefixes of the names of unfinished and of replaced files.
UNFINISHED: Final = ".unfinished-"
_REPLACED: Final = ".replaced-"
_LEFTOVER_AGE_S: Final = 24 * 3600.0
_MAX_NAME_BYTES: Final = 160  # of 255 in file systems; leaves room for a hash and suffixes
_RESERVED: Final = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE
)
_KEPT_CHARACTERS: Final = 40  # of a name, so that the hidden name doesn't get too long


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


# names


def clean_name(name: str) -> str:
    """A path segment as a valid file name on Linux, macOS and Windows.

    Valid names are kept. Others are changed and get digits of their hash, so that different remote
    names never become the same file.
    """
    normalised = unicodedata.normalize("NFC", name)
    valid = "".join(
        letter if letter.isprintable() and letter not in '<>:"/\\|?*' else "_"
        for letter in normalised
    )
    valid = valid.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").strip(" ").rstrip(" .") or "_"
    if _RESERVED.fullmatch(valid):
        valid = f"_{valid}"
    return valid if valid == name else name_with_hash(valid, name)


def name_with_hash(name: str, original: str) -> str:
    """The name with eight digits of the original's hash before its suffix."""
    digits = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    stem, _, suffix = name.rpartition(".")
    return f"{stem}~{digits}.{suffix}" if stem else f"{name}~{digits}"


# reading


def content_of(path: Path, max_bytes: int) -> bytes:
    """The content of a file; FormatError if it can't be read or is larger."""
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise FormatError(f"{path} can't be read: {error.strerror}.") from error
    if len(content) > max_bytes:
        raise FormatError(f"{path.name} is larger than {size_text(max_bytes)}.")
    return content


# writing


@contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Lock a file of our own that several processes change; SaveError if that or writing it fails."""
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=timeout_s):
            yield
    except OSError as error:
        raise SaveError(f"{path} can't be written: {error.strerror or error}.") from error


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
        if flush:
            _flush_folder(target.parent)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        _remove(unfinished)


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file of our own atomically, creating parent folders; SaveError if that fails."""
    with written_whole(path, overwrite=True, flush=False) as unfinished:
        unfinished.write_bytes(content)


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


def size_on_disk(path: Path) -> int:
    """The bytes in a file or folder; files deleted meanwhile aren't counted."""
    total = 0
    for file in (path, *path.rglob("*")):
        with contextlib.suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total


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
