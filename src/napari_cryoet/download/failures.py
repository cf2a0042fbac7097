"""What a download could not get, in one sentence and as a list."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from napari_cryoet.exceptions import DownloadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A file, or an OME-Zarr whose files aren't known, that is not there after the download."""

    path: str
    message: str
    is_missing: bool = False  # the server doesn't have it


def failure_error(failures: Collection[Failure], *, n_files: int) -> DownloadError:
    """Return the error that tells of failures among ``n_files``."""
    missing = [failure for failure in failures if failure.is_missing]
    others = [failure for failure in failures if not failure.is_missing]
    told = []
    if missing:
        told.append(f"{len(missing)} of {n_files} files {_are(missing)} missing on the server")
    if others:
        reason = others[0].message.rstrip(".")
        told.append(f"{len(others)} of {n_files} files could not be downloaded ({reason})")
    rest = "; the rest is complete" if len(failures) < n_files else ""
    hint = "Start the same download again: it fetches only what is not complete." if others else ""
    return DownloadError(f"{', and '.join(told)}{rest}.", hint=hint, files=tuple(sorted(f.path for f in failures)))


def _are(failures: Collection[Failure]) -> str:
    return "is" if len(failures) == 1 else "are"
