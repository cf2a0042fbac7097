"""Where the disk cache is, how large it may get, and for how long it counts unasked.

As the person, the environment or the free disk says.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cryoet.files import cache_path, config_path
from napari_cryoet.streaming.disk_cache import DiskCache

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_VARIABLE = "NAPARI_CRYOET_CACHE_LIMIT"
FOLDER_VARIABLE = "NAPARI_CRYOET_CACHE_DIR"
ASK_AGAIN_VARIABLE = "NAPARI_CRYOET_CACHE_ASK_AGAIN"
ASK_AGAIN_AFTER_S = 3600.0

_LARGEST_BYTES = 10 * 10**9
_SHARE_OF_FREE = 0.1
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_TIME = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)\s*([a-z]+)", re.ASCII | re.IGNORECASE)
_NAME = "disk_cache_limit_bytes"


def cache_folder() -> Path:
    """The folder of the disk cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if not named:
        return cache_path() / "pixels"
    folder = Path(named)
    with contextlib.suppress(RuntimeError):  # "~" of a user that there isn't is a name like any other
        folder = folder.expanduser()
    return folder.absolute()


def limit_bytes() -> int:
    """How large the disk cache may get: what the environment says, else what was set, else a default; 0 turns it off.

    The default is 10 GB, or a tenth of what is free on the disk where that is less.
    """
    named = named_limit_bytes()
    return default_limit_bytes(cache_folder()) if named is None else named


def named_limit_bytes() -> int | None:
    """What the environment says, else what `choose_limit` was told last; None where neither says anything."""
    with contextlib.suppress(ValueError):
        if named := os.environ.get(LIMIT_VARIABLE):
            return parse_size(named)
    try:
        value = json.loads(_settings_path().read_bytes()).get(_NAME)
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return value if type(value) is int and value >= 0 else None


def is_limit_by_environment() -> bool:
    """Whether the environment says the limit, so that what `choose_limit` was told doesn't count."""
    return bool(os.environ.get(LIMIT_VARIABLE)) and not is_limit_unreadable()


def is_limit_unreadable() -> bool:
    """Whether the environment says something that is no size, and that nobody obeys therefore."""
    return _is_unreadable(LIMIT_VARIABLE, parse_size)


def ask_again_after_s() -> float:
    """After how long a server is asked again whether it has what is kept: as the environment says, else an hour."""
    with contextlib.suppress(ValueError):
        if named := os.environ.get(ASK_AGAIN_VARIABLE):
            return parse_time(named)
    return ASK_AGAIN_AFTER_S


def is_ask_again_unreadable() -> bool:
    """Whether the environment says something that is no time, and that nobody obeys therefore."""
    return _is_unreadable(ASK_AGAIN_VARIABLE, parse_time)


def _is_unreadable(variable: str, parse: Callable[[str], float]) -> bool:
    try:
        parse(os.environ.get(variable) or "0")
    except ValueError:
        return True
    return False


def choose_limit(size_bytes: int | None) -> None:
    """Set the limit, also for processes that run; None goes back to the default for what is opened from then on.

    Raises
    ------
    OSError
        If that can't be kept.
    """
    path = _settings_path()
    if size_bytes is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_text(json.dumps({_NAME: size_bytes}), encoding="utf-8")
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def default_limit_bytes(folder: Path) -> int:
    """10 GB, or a tenth of what is free on the disk, not counting what the cache takes itself."""
    # not the path's own method, which raises where one may not look into a folder
    there = next((parent for parent in (folder, *folder.absolute().parents) if os.path.exists(parent)), folder)
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        return 0
    with contextlib.closing(DiskCache(folder, 0)) as cache:
        taken = cache.usage().size_bytes
    return int(min(_LARGEST_BYTES, _SHARE_OF_FREE * (free + taken)))


def parse_size(text: str) -> int:
    """A size in bytes.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> parse_size("5 GB"), parse_size("1.5mb"), parse_size("0"), parse_size("off")
    (5000000000, 1500000, 0, 0)
    """
    if text.strip().lower() == "off":
        return 0
    return int(_amount(text, _SIZE, _UNITS, "size; sizes look like 5GB, 500MB, 0 or off"))


def parse_time(text: str) -> float:
    """A time in seconds.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> parse_time("10min"), parse_time("1.5 h"), parse_time("7d"), parse_time("0")
    (600.0, 5400.0, 604800.0, 0.0)
    """
    if text.strip() == "0":
        return 0.0
    return _amount(text, _TIME, _SECONDS, "time; times look like 30s, 10min, 12h, 7d or 0")


def _amount(text: str, pattern: re.Pattern[str], units: dict[str, int], wanted: str) -> float:
    """A number times its unit."""
    found = pattern.fullmatch(text.strip())
    if found is None or found[2].lower() not in units:
        raise ValueError(f"{text!r} is no {wanted}")
    return float(found[1]) * units[found[2].lower()]


def shared_disk_cache() -> DiskCache | None:
    """The disk cache that all parts of this process share; None where it is turned off."""
    return _cache_in(cache_folder(), named_limit_bytes())


@lru_cache(maxsize=1)
def _cache_in(folder: Path, named_limit: int | None) -> DiskCache | None:
    limit = default_limit_bytes(folder) if named_limit is None else named_limit
    return DiskCache(folder, limit, newest_limit_bytes=named_limit_bytes) if limit > 0 else None


def _settings_path() -> Path:
    return config_path() / "streaming.json"
