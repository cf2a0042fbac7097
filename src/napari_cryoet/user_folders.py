"""A user's own folders: what can be made anew, what was set, and what they did.

Accounts without a home folder, as in some containers and on clusters, have none. There, what can be made anew and what
was set is kept until the program ends.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from platformdirs import user_cache_path, user_config_path, user_data_path

from napari_cryoet.exceptions import SaveError

_NAME: Final = "napari-cryoet"


def cache_path() -> Path:
    """For what can be made or fetched anew."""
    try:
        return user_cache_path(_NAME)
    except RuntimeError:  # there is no home
        return _passing() / "cache"


def config_path() -> Path:
    """For what was set."""
    try:
        return user_config_path(_NAME)
    except RuntimeError:
        return _passing() / "config"


def data_path() -> Path:
    """For what a user did.

    Raises
    ------
    SaveError
        If there is no such place: what is kept elsewhere nobody would find again.
    """
    try:
        return user_data_path(_NAME, appauthor=False)
    except RuntimeError as error:
        raise SaveError(
            "What you do can't be kept: this account has no home folder.",
            hint="Set the environment variable HOME to a folder of yours.",
        ) from error


@lru_cache(maxsize=1)
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix=f"{_NAME}-", ignore_cleanup_errors=True)


def _passing() -> Path:
    """A folder that goes when the program ends."""
    return Path(_folder().name)
