"""A download folder as a pack: the rows of what was downloaded become its tables, and a portal can be opened on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from napari_cryoet.download.manifest import now_text
from napari_cryoet.download.plan import FILES, Cell, Plan
from napari_cryoet.download.rows import Row, Rows, file_columns
from napari_cryoet.exceptions import DownloadError, PackError
from napari_cryoet.packs.pack import MANIFEST_NAME as PACK_NAME
from napari_cryoet.packs.pack import Manifest, Pack, open_pack, write_pack
from napari_cryoet.tables.schema import tables


def refuse_other_pack(folder: Path, plan: Plan) -> None:
    """Raise DownloadError for a folder with a pack of another portal, which can't take these rows."""
    try:
        is_other = (folder / PACK_NAME).exists() and open_pack(folder).manifest.s3_prefix != plan.s3_prefix
    except PackError:
        is_other = True
    if is_other:
        raise DownloadError(f"{folder} holds files of another portal.", hint="Choose another folder.")


def write_tables(folder: Path, plan: Plan, complete: Collection[str]) -> Pack:
    """Add the rows of what was downloaded to the tables of the folder.

    Parameters
    ----------
    complete
        Paths of the items of which everything is there.
    """
    before = open_pack(folder) if (folder / PACK_NAME).exists() else None
    manifest = before.manifest if before else _manifest(plan)
    old = {name: before.tables[name] for name in before.tables} if before else {}
    paths = {item.cell: item.path.removeprefix(f"{FILES}/") for item in plan.items if item.path in complete}
    fresh = {
        name: [_own(name, row, paths, plan, manifest) for row in rows]
        for name, rows in _kept(plan.rows, {(cell.table, cell.row_id) for cell in paths}).items()
    }
    merged = {name: _merged(old.get(name, ()), fresh.get(name, ())) for name in old | fresh}
    return write_pack(folder, manifest, {name: rows for name, rows in merged.items() if rows})


def _manifest(plan: Plan) -> Manifest:
    bucket = plan.s3_prefix.split("/")[2]
    return Manifest(
        title=f"Download from {plan.source}" if plan.source else "Download",
        source=plan.source,
        created=now_text(),
        licence=plan.terms.licence,
        licence_url=plan.terms.licence_url,
        site=plan.terms.site,
        https_prefix=f"https://{bucket}.invalid/" if plan.is_local else plan.https_prefix,
        s3_prefix=plan.s3_prefix,
    )


def _kept(rows: Rows, wanted: Collection[tuple[str, int]]) -> dict[str, list[Row]]:
    """The wanted rows, those that they lead to, and those that describe any of these, such as authors and spacings."""
    known = {(name, row["id"]): row for name, found in rows.items() for row in found}
    kept: set[tuple[str, int]] = set()
    waiting = list(wanted)
    while waiting:
        key = waiting.pop()
        if key in known and key not in kept:
            kept.add(key)
            waiting += _parents(key[0], known[key])
    for name in sorted(rows.keys() - file_columns().keys(), key=lambda name: name != "runs"):  # which others describe
        for row in rows[name]:
            parents = known.keys() & _parents(name, row)
            if parents and parents <= kept:
                kept.add((name, row["id"]))
    return {name: [row for row in found if (name, row["id"]) in kept] for name, found in rows.items()}


def _parents(name: str, row: Row) -> set[tuple[str, int]]:
    relations = tables()[name].parents.values()
    return {(relation.table, row[relation.key]) for relation in relations if row.get(relation.key) is not None}


def _own(name: str, row: Row, paths: dict[Cell, str], plan: Plan, manifest: Manifest) -> dict[str, Any]:
    """A row whose addresses lead to the folder's files; those of files that weren't downloaded are left out."""
    table = tables()[name]
    own: dict[str, Any] = {column: row[column] for column in table.columns if column in row}
    for column, value in own.items():
        if table.columns[column].is_url and (value or "").startswith(plan.https_prefix):
            own[column] = manifest.https_prefix + value[len(plan.https_prefix) :]
    for place in file_columns().get(name, ()):
        path = paths.get(Cell(name, row["id"], place.https))
        if path is not None:
            own[place.https] = manifest.https_prefix + quote(path)
            own |= {place.s3: manifest.s3_prefix + path} if place.s3 else {}
        elif not table.columns[place.https].is_required:
            own |= dict.fromkeys(filter(None, (place.https, place.s3, place.size)))
    return own


def _merged(old: Iterable[Mapping[str, Any]], fresh: Iterable[Row]) -> list[Row]:
    """Old and new rows; of one that both have, what either knows."""
    rows = {row["id"]: dict(row) for row in old}
    for row in fresh:
        known = rows.setdefault(row["id"], {})
        known |= {column: value for column, value in row.items() if value is not None or column not in known}
    return list(rows.values())
