"""The report of an unexpected error, without the user's home folder, name and logins."""

from __future__ import annotations

import getpass
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from qtpy import API_NAME

_PACKAGES: Final = ("napari-cryoet", "napari", API_NAME, "numpy", "dask", "zarr")
_LOGIN: Final = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY: Final = re.compile(r"(://[^\s?'\"]+\?)[^\s'\"]+")  # may hold a token


def report_text(details: str) -> str:
    """What a developer needs: versions, platform, and the traceback ``details``."""
    versions = [f"{name} {_version_of(name)}" for name in _PACKAGES]
    system = f"Python {platform.python_version()} on {platform.platform()}"
    return "\n".join([", ".join(versions), system, "", _without_private(details)])


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a folder, without an installation
        return "(unknown)"


def _without_private(text: str) -> str:
    home = re.escape(str(Path.home()))
    text = re.sub(home, "~", text, flags=re.IGNORECASE)  # Windows ignores case
    user = re.escape(getpass.getuser())
    text = re.sub(rf"(?<=[/\\]){user}(?=[/\\])", "USER", text)
    return _QUERY.sub(r"\1…", _LOGIN.sub("", text))
