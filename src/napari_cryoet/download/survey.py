"""What of a plan lies in the folder already: complete, or something else that nobody may overwrite unasked."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from napari_cryoet.download.bodies import ABSENT, Bodies
from napari_cryoet.download.manifest import Manifest
from napari_cryoet.download.plan import Plan, PlannedFile
from napari_cryoet.download.target import Target
from napari_cryoet.download.transfer import sha256_of
from napari_cryoet.exceptions import DownloadError, NetworkError
from napari_cryoet.portal.links import is_web_address
from napari_cryoet.wording import count_text

_WORKERS = 8


class Existing(StrEnum):
    """What becomes of files that are in the folder and aren't what the plan would write there.

    A file of the right size is complete and is never fetched again, except that ``OVERWRITE`` also replaces files
    whose content no longer has the checksum of the manifest.
    """

    REFUSE = "refuse"  # nothing is fetched; the error lists them, so that the user can be asked
    KEEP = "keep"  # they stay, everything else is fetched
    OVERWRITE = "overwrite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A plan held against its folder.

    Attributes
    ----------
    todo
        Files to fetch.
    complete
        Sizes in bytes of the files that are there, by path.
    complete_files
        The same files.
    conflicts
        Paths where something else is.
    """

    todo: tuple[PlannedFile, ...]
    complete: Mapping[str, int]
    complete_files: tuple[PlannedFile, ...]
    conflicts: tuple[str, ...]

    @property
    def needed_bytes(self) -> int:
        """About how much will be written."""
        return sum(file.size_bytes or file.estimate_bytes for file in self.todo)

    @property
    def remote_bytes(self) -> int:
        """About how much of that comes from servers."""
        return sum(file.size_bytes or file.estimate_bytes for file in self.todo if is_web_address(file.url))

    def require_consent(self, existing: Existing) -> None:
        """Raise DownloadError if something would have to be overwritten and nobody said that it may."""
        if self.conflicts and existing is Existing.REFUSE:
            n_files = count_text(len(self.conflicts), "file")
            raise DownloadError(
                f"{n_files} in the folder would be overwritten, among them {self.conflicts[0]}.",
                hint="Choose another folder, or allow overwriting (--overwrite on the command line).",
                files=self.conflicts,
            )


def survey(
    plan: Plan,
    target: Target,
    manifest: Manifest,
    bodies: Bodies,
    *,
    existing: Existing = Existing.REFUSE,
    stop: threading.Event,
) -> Survey:
    """Return what is there and what is to be fetched; asks the server only for sizes that nobody noted.

    Raises
    ------
    NetworkError
        If the server doesn't tell a size.
    StoppedError
        If ``stop`` is set.
    """
    surveyor = _Surveyor(target, manifest, bodies, existing, stop)
    files = tuple(plan.files())
    with ThreadPoolExecutor(max_workers=_WORKERS, thread_name_prefix="napari-cryoet-survey") as pool:
        sizes_on_disk = [target.size_on_disk(file.path) for file in files]
        is_complete = tuple(pool.map(surveyor.is_complete, files, sizes_on_disk))
    found = tuple(zip(files, sizes_on_disk, is_complete, strict=True))
    conflicts = tuple(file.path for file, size, is_there in found if size is not None and not is_there)
    kept = frozenset(conflicts) if existing is Existing.KEEP else frozenset()
    return Survey(
        todo=tuple(file for file, _, is_there in found if not is_there and file.path not in kept),
        complete={file.path: size for file, size, is_there in found if is_there and size is not None},
        complete_files=tuple(file for file, _, is_there in found if is_there),
        conflicts=conflicts,
    )


@dataclass(frozen=True, slots=True)
class _Surveyor:
    target: Target
    manifest: Manifest
    bodies: Bodies
    existing: Existing
    stop: threading.Event

    def is_complete(self, file: PlannedFile, size_on_disk: int | None) -> bool:
        """Whether a file is there as it should be."""
        if size_on_disk is None or size_on_disk < 0:
            return False
        noted = self.manifest.sha256_of(file.path, file.url, size_on_disk)
        if noted is not None:
            return self.existing is not Existing.OVERWRITE or sha256_of(self.target.path(file.path), self.stop) == noted
        return size_on_disk == file.size_bytes or size_on_disk == self._size_on_server(file)

    def _size_on_server(self, file: PlannedFile) -> int | None:
        try:
            return self.bodies.size_bytes(file.url, stop=self.stop)
        except NetworkError as error:
            if error.status in ABSENT:
                return None
            raise
