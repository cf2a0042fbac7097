"""Packs in one zip file: checked, and unpacked into the cache folder.

A zip isn't trusted. Names that leave its folder, links, encrypted files, too many or too large files
and those that unpack to far more than they are, are refused before anything is written.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import unicodedata
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

from napari_cryoet.exceptions import ExistsError, PackError, SaveError
from napari_cryoet.files import cache_path, clean_name, written_whole
from napari_cryoet.packs.pack import MANIFEST_NAME, is_pack, is_safe, open_pack
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.wording import size_text

SUFFIX: Final = ".zip"
#: The folder of unpacked packs in the cache folder.
UNPACKED: Final = "packs"

_MAX_FILES: Final = 200_000
_MAX_BYTES: Final = 100_000_000_000
#: Chunks of a few voxels are padded with zeros, so that a pack may unpack to many times its size.
_MAX_RATIO: Final = 300
_ALWAYS_ALLOWED_BYTES: Final = 50_000_000
_METHODS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_KINDS: Final = {0, stat.S_IFREG}  # no links and devices
_PIECE_BYTES: Final = 1 << 20


def is_zipped_pack(path: Path) -> bool:
    """Whether a file is a zip with the manifest of a pack."""
    if path.suffix.lower() != SUFFIX or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return _top_of(archive) is not None
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def unpacked(path: Path, *, task: Task = UNWATCHED) -> Path:
    """The folder of a zipped pack in the cache folder, unpacked once for each content.

    Raises
    ------
    PackError
        If it isn't a zipped pack, or is damaged, hostile or too large.
    SaveError
        If it can't be written, or has two files of one name.
    StoppedError
        If ``task`` is stopped; nothing is left behind.
    """
    try:
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
        folder = cache_path() / UNPACKED / checksum[:32]
        if is_pack(folder):
            return folder
        with zipfile.ZipFile(path) as archive:
            files = _files(archive, path)
            # another process may be faster
            with suppress(ExistsError), written_whole(folder, flush=False) as unfinished:
                _unpack(archive, files, unfinished, task)
                open_pack(unfinished)
    except OSError as error:
        raise PackError(f"{path.name} can't be read: {error.strerror or error}.") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise PackError(f"{path.name} is damaged: {error}.") from error
    return folder


def _top_of(archive: zipfile.ZipFile) -> str | None:
    """The folder of the manifest in a zip, with a slash or empty; None if there is no manifest."""
    names = [
        name
        for name in archive.namelist()
        if name.count("/") <= 1 and name.rpartition("/")[2] == MANIFEST_NAME
    ]
    return min(names, key=len).removesuffix(MANIFEST_NAME) if names else None


def _files(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of a pack by their path in it, all of them checked; PackError for a hostile zip."""
    top = _top_of(archive)
    if top is None:
        raise PackError(f"{path.name} isn't a zipped pack: it has no {MANIFEST_NAME}.")
    infos = [info for info in archive.infolist() if not info.is_dir()]
    total_bytes = sum(info.file_size for info in infos)
    allowed = max(_ALWAYS_ALLOWED_BYTES, _MAX_RATIO * path.stat().st_size)
    if len(infos) > _MAX_FILES or total_bytes > min(_MAX_BYTES, allowed):
        raise PackError(f"{path.name} would unpack to more than a pack holds.")
    files = {}
    for info in infos:
        name = info.filename
        is_plain = info.compress_type in _METHODS and not info.flag_bits & 1
        is_file = stat.S_IFMT(info.external_attr >> 16) in _KINDS
        if not (is_plain and is_file and is_safe(name) and _is_portable(name)):
            raise PackError(f"{path.name} has a file that no pack has: {name[:80]!r}.")
        if name.startswith(top):
            files[name.removeprefix(top)] = info
    return files


def _is_portable(path: str) -> bool:
    """Whether all systems allow the names in a path; Windows forbids some, such as ``nul`` and ``a:b``."""
    names = unicodedata.normalize("NFC", path).split("/")
    return all(clean_name(name) == name for name in names)


def _unpack(
    archive: zipfile.ZipFile, files: dict[str, zipfile.ZipInfo], folder: Path, task: Task
) -> None:
    total_bytes = sum(info.file_size for info in files.values())
    free_bytes = shutil.disk_usage(folder.parent).free
    if total_bytes > free_bytes:
        sizes = f"{size_text(total_bytes)}, and {size_text(free_bytes)} are free"
        raise SaveError(f"There is no room to unpack the pack: it takes {sizes}.")
    done_bytes = 0
    for name, info in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        task.step_bytes(done_bytes, total_bytes)
        with archive.open(info) as source, target.open("xb") as file:
            shutil.copyfileobj(source, file, _PIECE_BYTES)
        done_bytes += info.file_size
