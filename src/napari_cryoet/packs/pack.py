"""A pack is a folder: a manifest, the portal's tables as JSON, and files in the portal's own layout.

::

    PACK/pack.json                 what it is, where it came from, the licence, the URL prefixes of its rows
    PACK/tables/datasets.json ...  one list of rows a table, as the portal's API spells them; a missing table is empty
    PACK/files/10000/TS_026/ ...   what lies below the prefixes

This file opens and writes packs. It trusts no content: sizes are bounded, and every fault is a `PackError` that says
which file is wrong and how. What columns a table has is the business of `napari_cryoet.packs.check`.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from napari_cryoet.exceptions import PackError
from napari_cryoet.files import replace_file

FORMAT: Final = "napari-cryoet-pack"
VERSION: Final = 1
MANIFEST_NAME: Final = "pack.json"
MAX_MANIFEST_BYTES: Final = 1 << 20
MAX_TABLE_BYTES: Final = 1 << 30

TABLE_NAMES: Final = (
    "alignments",
    "annotationAuthors",
    "annotationFiles",
    "annotationMethodLinks",
    "annotationShapes",
    "annotations",
    "datasetAuthors",
    "datasetFunding",
    "datasets",
    "depositionAuthors",
    "depositionTypes",
    "depositions",
    "frameAcquisitionFiles",
    "frames",
    "gainFiles",
    "identifiedObjects",
    "perSectionAlignmentParameters",
    "perSectionParameters",
    "runs",
    "tiltseries",
    "tomogramAuthors",
    "tomogramVoxelSpacings",
    "tomograms",
)
"""The root list fields of the portal's schema; a test holds the two equal."""

Cell = str | int | float | bool | Sequence[Sequence[float]] | None
"""What a row holds in a column; rows of numbers for a matrix."""
Row = Mapping[str, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a pack says about itself.

    Parameters
    ----------
    title
        What a person calls it.
    https_prefix, s3_prefix
        How the URLs of its rows begin, up to and with the slash before the dataset's folder. What follows such a
        prefix in a row is a path below ``PACK/files``.
    source
        Where the content came from.
    created
        The date on which it was made, ISO 8601.
    licence
        Under which terms the content may be used.
    """

    title: str
    https_prefix: str
    s3_prefix: str
    source: str = ""
    created: str = ""
    licence: str = "CC0-1.0"

    def __post_init__(self) -> None:
        _require_prefix("httpsPrefix", self.https_prefix, ("https://", "http://"))
        _require_prefix("s3Prefix", self.s3_prefix, ("s3://",))

    def to_json(self) -> dict[str, object]:
        """The content of ``pack.json``."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "title": self.title,
            "source": self.source,
            "created": self.created,
            "licence": self.licence,
            "httpsPrefix": self.https_prefix,
            "s3Prefix": self.s3_prefix,
        }

    @classmethod
    def from_json(cls, content: object) -> Manifest:
        """Read the content of ``pack.json``.

        Raises
        ------
        PackError
            It isn't the manifest of a pack, or of a newer version than this package reads.
        """
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise PackError(f"{MANIFEST_NAME} isn't the manifest of a pack.")
        version = content.get("version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise PackError(f"{MANIFEST_NAME} has no valid format version: {version!r}.")
        if version > VERSION:
            raise PackError(
                f"The pack has format version {version}; this version of napari-cryoet reads up to {VERSION}.",
                hint="Please update napari-cryoet.",
            )
        return cls(
            title=_text(content, "title"),
            source=_text(content, "source", ""),
            created=_text(content, "created", ""),
            licence=_text(content, "licence", ""),
            https_prefix=_text(content, "httpsPrefix"),
            s3_prefix=_text(content, "s3Prefix"),
        )


class Pack:
    """An open pack. The manifest is read, tables are read when they are first asked for; safe to share by threads.

    Parameters
    ----------
    folder
        Where the pack lies.
    manifest
        What it says about itself.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.tables: Mapping[str, Sequence[Row]] = _LazyTables(folder / "tables")

    @property
    def files(self) -> Path:
        """The folder that the manifest's prefixes stand for."""
        return self.folder / "files"

    def __repr__(self) -> str:
        return f"Pack({str(self.folder)!r}, title={self.manifest.title!r})"


def is_pack(folder: Path | str) -> bool:
    """Whether a folder says that it is a pack; only the manifest is looked at, and nothing is raised."""
    try:
        _read_manifest(Path(folder))
    except PackError:
        return False
    return True


def open_pack(folder: Path | str) -> Pack:
    """Open a pack; reads the manifest only.

    Raises
    ------
    PackError
        There is no such folder, it isn't a pack, or its manifest is damaged.
    """
    folder = Path(folder)
    try:
        return Pack(folder, _read_manifest(folder))
    except PackError as error:
        raise PackError(error.message, hint=error.hint or _where_else(folder)) from error


def write_pack(folder: Path | str, manifest: Manifest, tables: Mapping[str, Iterable[Row]]) -> Pack:
    """Write a pack's tables and manifest; ``folder/files`` is left as it is.

    The manifest goes first and comes last, so that a folder in which the writing was cut short is not a pack, and two
    generations of tables never mix.

    Raises
    ------
    PackError
        A table isn't one of `TABLE_NAMES`, or its rows can't be rows. Nothing is written then.
    OSError
        The folder can't be written to.
    """
    folder = Path(folder)
    texts = {name: _table_text(name, rows) for name, rows in tables.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "files").mkdir(exist_ok=True)
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    fresh = folder / f".tables-{uuid.uuid4().hex}"
    try:
        fresh.mkdir()
        for name, text in texts.items():
            (fresh / f"{name}.json").write_text(text, encoding="utf-8")
        shutil.rmtree(folder / "tables", ignore_errors=True)
        fresh.rename(folder / "tables")
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    text = json.dumps(manifest.to_json(), indent=2, ensure_ascii=False) + "\n"
    replace_file(folder / MANIFEST_NAME, text.encode())
    return Pack(folder, manifest)


class _LazyTables(Mapping[str, "Sequence[Row]"]):
    """The rows of every table; each file is read once, when its table is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[Row, ...]] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> tuple[Row, ...]:
        if name not in TABLE_NAMES:
            raise KeyError(name)
        with self._lock:
            if name not in self._read:
                self._read[name] = _read_table(self._folder / f"{name}.json", name)
            return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(TABLE_NAMES)

    def __len__(self) -> int:
        return len(TABLE_NAMES)


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_NAME
    if not folder.is_dir():
        raise PackError(f"There is no folder {folder}.")
    if not path.is_file():
        raise PackError(f"The folder {folder} isn't a pack: it has no {MANIFEST_NAME}.")
    content = _read_json(path, MAX_MANIFEST_BYTES)
    try:
        return Manifest.from_json(content)
    except PackError as error:
        raise PackError(f"The pack {folder} can't be opened. {error.message}", hint=error.hint) from error


def _where_else(folder: Path) -> str:
    """What to choose in place of a folder that isn't a pack: one beside it in the tree that is, where there is one."""
    if not folder.is_dir() or (folder / MANIFEST_NAME).is_file():
        return ""
    try:
        below = [path.parent for path in islice(folder.glob(f"*/{MANIFEST_NAME}"), 2)]
    except OSError:
        below = []
    if (folder.parent / MANIFEST_NAME).is_file():
        return f"The folder above it, {folder.parent.name}, is one."
    if below:
        return f"The folder {below[0].name} in it is one." if len(below) == 1 else "Choose one of the packs in it."
    return f"Choose the folder in which {MANIFEST_NAME} lies. Files by themselves open when dropped on napari."


def _read_table(path: Path, name: str) -> tuple[Row, ...]:
    if not os.path.lexists(path):
        return ()
    return _checked_rows(name, _read_json(path, MAX_TABLE_BYTES))


def _checked_rows(name: str, rows: object) -> tuple[Row, ...]:
    """The rows of a table, each with an id of its own and plain cells; columns are not looked at."""
    if not isinstance(rows, list):
        raise PackError(f"The table {name} isn't a list of rows.")
    seen: set[int] = set()
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise PackError(f"Row {number} of the table {name} isn't a row: {_shortened(row)}.")
        row_id = row.get("id")
        if not isinstance(row_id, int) or isinstance(row_id, bool):
            raise PackError(f"Row {number} of the table {name} has no id, or one that isn't a whole number.")
        if row_id in seen:
            raise PackError(f"The table {name} has two rows with the id {row_id}.")
        seen.add(row_id)
        for column, cell in row.items():
            if not (_is_plain(cell) or _is_matrix(cell)):
                raise PackError(f"Row {row_id} of the table {name} has no plain value in {column}: {_shortened(cell)}.")
    return tuple(rows)


def _is_plain(cell: object) -> bool:
    return cell is None or isinstance(cell, str | int) or (isinstance(cell, float) and math.isfinite(cell))


def _is_matrix(cell: object) -> bool:
    return isinstance(cell, list) and all(
        isinstance(row, list) and all(isinstance(number, int | float) and _is_plain(number) for number in row)
        for row in cell
    )


def _table_text(name: str, rows: Iterable[Row]) -> str:
    if name not in TABLE_NAMES:
        raise PackError(f"The portal has no table {name!r}.", hint=f"Its tables are {', '.join(TABLE_NAMES)}.")
    checked = _checked_rows(name, [dict(row) for row in rows])
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in checked)
    return f"[\n{lines}\n]\n" if checked else "[]\n"


def _read_json(path: Path, max_bytes: int) -> Any:
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise PackError(f"{path} isn't a file.")
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise PackError(f"{path} can't be read: {error.strerror}.") from error
    if len(content) > max_bytes:
        raise PackError(f"{path} is larger than {max_bytes} bytes.")
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise PackError(f"{path} isn't valid JSON: {error}.") from error


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number in JSON")


def _text(content: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = content.get(key, default)
    if not isinstance(value, str):
        raise PackError(f"{MANIFEST_NAME} has no {key}, or one that isn't text.")
    return value


def _require_prefix(key: str, prefix: str, schemes: tuple[str, ...]) -> None:
    scheme = next((scheme for scheme in schemes if prefix.startswith(scheme)), None)
    if scheme is None or not prefix.endswith("/") or prefix == scheme:
        raise PackError(f"The pack's {key} has to be like {schemes[0]}name/, with a slash at its end: {prefix!r}.")


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
