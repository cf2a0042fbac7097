"""Where the disk cache is, how large it may get and for how long it counts unasked: environment, settings, defaults."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Final

from napari_cryoet.files import cache_path, config_path, replace_file

LIMIT_VARIABLE: Final = "NAPARI_CRYOET_CACHE_LIMIT"
FOLDER_VARIABLE: Final = "NAPARI_CRYOET_CACHE_DIR"
ASK_AGAIN_VARIABLE: Final = "NAPARI_CRYOET_CACHE_ASK_AGAIN"

_ASK_AGAIN_AFTER_S = 3600.0
_LARGEST_BYTES, _SHARE_OF_FREE = 10 * 10**9, 0.1
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)
_NAME = "disk_cache_limit_bytes"


def cache_folder() -> Path:
    """The folder of the disk cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if not named:
        return cache_path() / "pixels"
    with contextlib.suppress(RuntimeError):  # "~" of a user that there isn't is a name like any other
        return Path(named).expanduser().absolute()
    return Path(named).absolute()


def limit_bytes() -> int:
    """How large the disk cache may get; 0 turns it off.

    That is what the environment says, else what was chosen, else 10 GB or a tenth of the free disk.
    """
    named = named_limit_bytes()
    return default_limit_bytes(cache_folder()) if named is None else named


def named_limit_bytes() -> int | None:
    """What the environment says, else what `choose_limit` was told last; None where neither says anything."""
    with contextlib.suppress(ValueError):
        if named := os.environ.get(LIMIT_VARIABLE):
            return parse_size(named)
    try:
        value = json.loads(_settings_path().read_bytes())[_NAME]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return value if type(value) is int and value >= 0 else None


def is_limit_by_environment() -> bool:
    """Whether the environment says the limit, so that what `choose_limit` was told doesn't count."""
    return bool(os.environ.get(LIMIT_VARIABLE)) and not is_limit_unreadable()


def is_limit_unreadable() -> bool:
    """Whether the environment says something that is no size, so that it isn't obeyed."""
    try:
        parse_size(os.environ.get(LIMIT_VARIABLE) or "0")
    except ValueError:
        return True
    return False


def ask_again_after_s() -> float:
    """After how long a server is asked again whether it has what is kept."""
    with contextlib.suppress(ValueError):
        if named := os.environ.get(ASK_AGAIN_VARIABLE):
            return parse_time(named)
    return _ASK_AGAIN_AFTER_S


def is_ask_again_unreadable() -> bool:
    """Whether the environment says something that is no time, so that it isn't obeyed."""
    try:
        parse_time(os.environ.get(ASK_AGAIN_VARIABLE) or "0")
    except ValueError:
        return True
    return False


def choose_limit(size_bytes: int | None) -> None:
    """Set the limit, also for processes that run; None goes back to the default. OSError where that can't be kept."""
    if size_bytes is None:
        _settings_path().unlink(missing_ok=True)
    else:
        replace_file(_settings_path(), json.dumps({_NAME: size_bytes}).encode())


def default_limit_bytes(folder: Path, taken_bytes: int = 0) -> int:
    """10 GB, or a tenth of what is free on the disk, counting as free what the cache takes itself."""
    there = next((parent for parent in (folder, *folder.parents) if os.path.exists(parent)), folder)
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        return 0
    return int(min(_LARGEST_BYTES, _SHARE_OF_FREE * (free + taken_bytes)))


def parse_size(text: str) -> int:
    """A size in bytes; ValueError where it is none.

    Examples
    --------
    >>> parse_size("5 GB"), parse_size("1.5mb"), parse_size("0"), parse_size("off")
    (5000000000, 1500000, 0, 0)
    """
    if text.strip().lower() == "off":
        return 0
    return int(_amount(text, _UNITS, "size; sizes look like 5GB, 500MB, 0 or off"))


def parse_time(text: str) -> float:
    """A time in seconds; ValueError where it is none.

    Examples
    --------
    >>> parse_time("10min"), parse_time("1.5 h"), parse_time("7d"), parse_time("0")
    (600.0, 5400.0, 604800.0, 0.0)
    """
    if text.strip() == "0":
        return 0.0
    return _amount(text, _SECONDS, "time; times look like 30s, 10min, 12h, 7d or 0")


def _amount(text: str, units: dict[str, int], wanted: str) -> float:
    found = _AMOUNT.fullmatch(text.strip())
    if found is None or found[2].lower() not in units:
        raise ValueError(f"{text!r} is no {wanted}")
    return float(found[1]) * units[found[2].lower()]


def _settings_path() -> Path:
    return config_path() / "streaming.json"
