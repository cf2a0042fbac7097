"""Check a whole pack against the portal's schema: columns, required cells, keys, and the files of URLs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from napari_cryoet.exceptions import PackError
from napari_cryoet.packs.pack import Pack
from napari_cryoet.tables.database import Database, Row, Table, is_url, tables

MAX_PROBLEMS: Final = 100


def problems_of(pack: Pack, *, with_files: bool = False) -> tuple[str, ...]:
    """The first 100 problems of a pack, as sentences; a pack may have tables without files."""
    return tuple(islice(_problems(pack, with_files), MAX_PROBLEMS))


def _problems(pack: Pack, with_files: bool) -> Iterator[str]:
    database = Database(pack.tables)
    ids: dict[str, set[int]] = {}
    for name in tables():
        try:
            ids[name] = {row["id"] for row in database.rows(name)}
        except PackError as error:
            yield str(error)
    for table in tables().values():
        for row in pack.tables[table.name] if table.name in ids else ():
            row_name = f"Row {row['id']} of the table {table.name}"
            yield from (
                f"{row_name} has {problem}" for problem in _problems_of_row(table, row, ids)
            )
            if with_files:
                missing = _missing_files(pack, table, row)
                yield from (
                    f"{row_name} has {url} in {name}, but the pack has no such file."
                    for name, url in missing
                )


def _problems_of_row(table: Table, row: Row, ids: dict[str, set[int]]) -> Iterator[str]:
    for name in row.keys() - table.columns.keys():
        yield f"{name}, which the schema doesn't have."
    for column in table.columns.values():
        if column.is_required and row.get(column.name) is None:
            yield f"no {column.name}, which every row must have."
    for relation in table.parents.values():
        key = row.get(relation.key)
        if key is not None and key not in ids.get(relation.table, {key}):
            yield f"{relation.key} {key}, but {relation.table} has no such row."


def _missing_files(pack: Pack, table: Table, row: Row) -> Iterator[tuple[str, str]]:
    prefix = pack.manifest.https_prefix
    for column in table.columns.values():
        url = str(row.get(column.name)) if is_url(column.name) else ""
        if (
            url.startswith(prefix)
            and not (pack.files / pack.path_below(url[len(prefix) :])).exists()
        ):
            yield column.name, url
