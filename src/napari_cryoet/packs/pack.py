"""A pack is a folder: a manifest, the portal's tables as JSON, and files in the portal's own layout.

::

    PACK/pack.json                 title, origin, licence, and the prefixes of URLs in its rows
    PACK/tables/datasets.json ...  a list of rows per table, spelled as in the portal's API; a
    missing table is empty PACK/files/10000/TS_026/ ...   the files below the prefixes

Packs aren't trusted: sizes are limited, paths that leave the folder are refused, and every fault is
a `PackError` that names the file and the problem.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from urllib.parse import quote, unquote

import msgspec
from msgspec.structs import replace

from napari_cryoet.exceptions import FormatError, PackError
from napari_cryoet.files import content_of, replace_file, written_whole
from napari_cryoet.records import Terms, terms_of

if TYPE_CHECKING:
    from napari_cryoet.tables.database import Row

T = TypeVar("T")

FORMAT: Final = "napari-cryoet-pack"
VERSION: Final = 1
MANIFEST_NAME: Final = "pack.json"
MAX_MANIFEST_BYTES: Final = 1 << 20
MAX_TABLE_BYTES: Final = 1 << 30

_ELSEWHERE: Final = ("https://", "http://", "s3://")
_PLAIN: Final = (
    "/~!$&'()*,;=:@"  # allowed unencoded in a path, except "+", which some servers read as a space
)
_DRIVE: Final = re.compile("[A-Za-z]:")
_TABLE: Final = re.compile("[A-Za-z]{1,40}")
_Web = Annotated[str, msgspec.Meta(pattern="^(https?://|$)")]


class PackManifest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="format", tag=FORMAT
):
    """The manifest of a pack.

    URLs in rows start with one of the prefixes, which end with the slash before the dataset's
    folder. The rest of such a URL is a path below ``PACK/files``.
    """

    version: int = VERSION
    id: str = ""  # that views name it by; stays when its tables change
    title: str  # shown to users
    source: str = ""  # the portal that the content is from, for readers
    origin: str = ""  # the source whose records these are, as baskets name it
    created: str = ""  # ISO 8601
    licence: str = ""
    licence_url: _Web = ""
    site: _Web = ""  # with pages about its datasets and runs; no trailing slash
    https_prefix: Annotated[str, msgspec.Meta(pattern="^https?://[^/].*/$")]
    s3_prefix: Annotated[str, msgspec.Meta(pattern="^s3://[^/].*/$")]

    def __post_init__(self) -> None:
        if not 1 <= self.version <= VERSION:
            raise ValueError(
                f"the format version {self.version} is unknown; a newer napari-cryoet may read it"
            )

    @property
    def terms(self) -> Terms:
        """The licence and the site.

        If the manifest has none, the portal's for the portal's own files.
        """
        own = Terms(licence=self.licence, licence_url=self.licence_url, site=self.site)
        return terms_of(self.s3_prefix, own if self.licence or self.site else None)


class Pack:
    """An open pack. The manifest is in memory; a table is read at each access."""

    def __init__(self, folder: Path, manifest: PackManifest) -> None:
        self.folder = folder.absolute()
        self.manifest = manifest
        self.tables: Mapping[str, Sequence[Row]] = _Tables(folder / "tables")

    @property
    def id(self) -> str:
        """What views name it by, the same for all copies."""
        return self.manifest.id or _hash(msgspec.json.encode(self.manifest))

    @property
    def files(self) -> Path:
        """The folder that replaces the manifest's prefixes."""
        return self.folder / "files"

    def local_url(self, url: str) -> str:
        """A URL of a row, with ``file://`` URLs for the pack's own files; see `moved_url`."""
        return self.moved_url(url, self.files.as_uri() + "/")

    def moved_url(self, url: str, base: str) -> str:
        """A URL of a row: below ``base``, percent-encoded, for the pack's files; other web and S3 URLs unchanged.

        Anything else could name any file on this computer and becomes empty. Raises PackError if a
        URL leads out of the pack's files.
        """
        prefix = self.manifest.https_prefix
        if url.startswith(prefix):
            return base + quote(self.path_below(url[len(prefix) :]), safe=_PLAIN)
        return url if url.lower().startswith(_ELSEWHERE) else ""

    def path_below(self, rest: str) -> str:
        """The path below `files` for the rest of a URL, with slashes; a trailing slash is kept.

        Portals store paths plainly (``run 1/``) or percent-encoded (``run%201/``). A percent sign
        may be part of the name, so a file with exactly that name takes precedence over the decoded
        name.
        """
        if "%" in rest and not (is_safe(rest) and (self.files / rest).exists()):
            rest = unquote(rest)
        if not is_safe(rest):
            raise PackError(f"A URL of the pack leads out of its files: {rest!r}.")
        return rest


def is_pack(folder: Path | str) -> bool:
    """Whether a folder has a valid pack manifest."""
    try:
        _read_manifest(Path(folder))
    except PackError:
        return False
    return True


def open_pack(folder: Path | str) -> Pack:
    """Open a pack and read only its manifest; PackError if that is missing or damaged."""
    folder = Path(folder)
    return Pack(folder, _read_manifest(folder))


def write_pack(
    folder: Path | str, manifest: PackManifest, tables: Mapping[str, Iterable[Row]]
) -> Pack:
    """Write a pack's tables, then its manifest; ``folder/files`` stays unchanged.

    Raises PackError before writing anything if rows can't be stored as JSON.
    """
    folder = Path(folder)
    texts = {name: _table_text(name, rows) for name, rows in tables.items()}
    if not manifest.id:
        manifest = replace(manifest, id=_hash(*(text.encode() for text in texts.values())))
    (folder / "files").mkdir(parents=True, exist_ok=True)
    with written_whole(folder / "tables", overwrite=True, flush=False) as unfinished:
        unfinished.mkdir()
        for name, text in texts.items():
            (unfinished / f"{name}.json").write_text(text, encoding="utf-8")
    replace_file(
        folder / MANIFEST_NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    )
    return Pack(folder, manifest)


def is_safe(path: str) -> bool:
    """Whether a relative path with slashes stays within its folder, on every system."""
    return not (
        path.startswith("/")
        or _DRIVE.match(path)
        or any(part in (".", "..") for part in path.split("/"))
        or any(character in path for character in "\\\0")
    )


class _Tables(Mapping[str, "Sequence[Row]"]):
    """The rows of every table, read from its file at each access."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> Sequence[Row]:
        path = self._folder / f"{name}.json"
        if not _TABLE.fullmatch(name):
            raise KeyError(name)
        return _read(path, list[dict[str, Any]], MAX_TABLE_BYTES) if path.is_file() else ()

    def __iter__(self) -> Iterator[str]:
        return iter(
            sorted(path.stem for path in self._folder.glob("*.json") if _TABLE.fullmatch(path.stem))
        )

    def __len__(self) -> int:
        return len(list(iter(self)))


def _read_manifest(folder: Path) -> PackManifest:
    path = folder / MANIFEST_NAME
    if not folder.is_dir():
        raise PackError(f"There is no folder {folder}.")
    if not path.is_file():
        hint = f"Choose the folder that holds {MANIFEST_NAME}. Files by themselves open when dropped on napari."
        raise PackError(f"The folder {folder} isn't a pack: it has no {MANIFEST_NAME}.", hint=hint)
    return _read(path, PackManifest, MAX_MANIFEST_BYTES)


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _table_text(name: str, rows: Iterable[Row]) -> str:
    try:
        lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    except (TypeError, ValueError) as error:
        raise PackError(f"A row of the table {name} can't be written: {error}.") from error
    return f"[\n{lines}\n]\n"


def _read(path: Path, kind: type[T], max_bytes: int) -> T:
    try:
        return msgspec.json.decode(content_of(path, max_bytes), type=kind)
    except FormatError as error:
        raise PackError(error.message) from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise PackError(f"{path} is invalid: {error}.") from error
