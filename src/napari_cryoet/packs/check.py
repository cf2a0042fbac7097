"""Checks a whole pack against the portal's schema: what whoever makes a pack wants to know before others open it.

Opening a pack checks only what is looked at, when it is looked at. This looks at everything: columns that the schema
doesn't have, cells that every row must have, values that don't belong in their column, keys that lead nowhere, and
URLs of the pack without a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from napari_cryoet.exceptions import PackError
from napari_cryoet.packs.database import Database
from napari_cryoet.packs.pack import Pack, Row
from napari_cryoet.packs.schema import TableShape
from napari_cryoet.packs.urls import path_below

MAX_PROBLEMS: Final = 100


def problems_of(pack: Pack, *, with_files: bool = False) -> tuple[str, ...]:
    """What is wrong with a pack, a sentence each, the first 100; none for a good one.

    Parameters
    ----------
    pack
        What to check.
    with_files
        Whether every URL of the pack has to have its file or folder; packs of tables alone are good packs too.
    """
    return tuple(islice(_problems(pack, with_files), MAX_PROBLEMS))


def _problems(pack: Pack, with_files: bool) -> Iterator[str]:
    database = Database(pack)
    for shape in database.shapes.values():
        try:
            rows = pack.tables[shape.name]
            database.table(shape.name)
        except PackError as error:
            yield str(error)
            continue
        for row in rows:
            yield from _column_problems(shape, row)
            yield from _key_problems(database, shape, row)
            if with_files:
                yield from _file_problems(pack, shape, row)


def _column_problems(shape: TableShape, row: Row) -> Iterator[str]:
    place = _place(shape, row)
    for name in row.keys() - shape.columns.keys():
        yield f"{place} has {name}, which the schema doesn't have."
    for column in shape.columns.values():
        cell = row.get(column.name)
        if column.is_required and cell is None:
            yield f"{place} lacks {column.name}, which every row must have."
        if column.words and cell is not None and cell not in column.words:
            yield f"{place} has {cell!r} in {column.name}, which isn't one of its words."


def _key_problems(database: Database, shape: TableShape, row: Row) -> Iterator[str]:
    for relation in shape.parents.values():
        key = row.get(relation.key)
        if not isinstance(key, int):
            continue
        try:
            found = database.table(relation.table).get(key)
        except PackError:  # said when that table is checked
            continue
        if found is None:
            yield f"{_place(shape, row)} has {relation.key} {key}, but {relation.table} has no such row."


def _file_problems(pack: Pack, shape: TableShape, row: Row) -> Iterator[str]:
    prefix = pack.manifest.https_prefix
    for column in shape.columns.values():
        url = row.get(column.name)
        if not column.is_url or not isinstance(url, str) or not url.startswith(prefix):
            continue
        if not (pack.files / path_below(pack.files, url[len(prefix) :])).exists():
            yield f"{_place(shape, row)} has {url} in {column.name}, but the pack has no such file."


def _place(shape: TableShape, row: Row) -> str:
    return f"Row {row['id']} of the table {shape.name}"
