"""Rows of the portal's tables: those of a dataset or of runs, and the columns that name files."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from napari_cryoet.exceptions import NotFoundError
from napari_cryoet.portal.portal import Portal
from napari_cryoet.records import AnnotationFile, Run, Terms, Tomogram, terms_of
from napari_cryoet.tables.database import Row, Rows
from napari_cryoet.tables.schema import is_url, tables

IN_FLIGHT: Final = 4
ROWS_A_PAGE: Final = 1000

_LEFT_OUT: Final = frozenset({"neuroglancerConfig"})  # 14 kB per tomogram, for another viewer


class FileColumn(NamedTuple):
    """The columns that accompany one with file URLs: their S3 paths and sizes, if any."""

    s3: str | None
    size: str | None


@cache
def file_columns() -> Mapping[str, Mapping[str, FileColumn]]:
    """The columns that name files, by table and name, without folders of whole datasets or runs."""
    columns: dict[str, dict[str, FileColumn]] = {}
    for table in tables().values():
        for name in table.columns:
            if is_url(name) and not name.startswith("s3") and not name.endswith("Prefix"):
                stem = name.removeprefix("https")
                volume_format = next(
                    (each for each in ("Omezarr", "Mrc") if stem.startswith(each)), ""
                )
                s3, size = f"s3{stem}", f"fileSize{volume_format}" if stem != name else ""
                column = FileColumn(
                    s3 if s3 in table.columns else None, size if size in table.columns else None
                )
                columns.setdefault(table.name, {})[name] = column
    return columns


def by_id(rows: Mapping[str, Sequence[Any]]) -> dict[str, dict[int, Row]]:
    """Rows by table and id."""
    return {name: {row["id"]: row for row in of_table} for name, of_table in rows.items()}


class Records:
    """Converts rows to records, with their authors and parents.

    ``terms`` are those of their source.
    """

    def __init__(self, rows: Rows, terms: Terms | None) -> None:
        self._by_id, self._terms = by_id(rows), terms
        self._authors: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for key in ("annotationId", "tomogramId"):
            for row in rows.get(f"{key.removesuffix('Id')}Authors", ()):
                self._authors[key, row[key]].append(row)

    def run(self, row_id: int) -> Run:
        """A run by its id."""
        return msgspec.convert(self._run(row_id), Run)

    def tomogram(self, row_id: int) -> Tomogram:
        """A tomogram by its id."""
        return msgspec.convert(
            self._whole(self._by_id["tomograms"][row_id], "tomogramId"), Tomogram
        )

    def annotation_file(self, row_id: int) -> AnnotationFile:
        """An annotation file by its id, with its annotation."""
        row = self._by_id["annotationFiles"][row_id]
        shape = self._by_id["annotationShapes"][row["annotationShapeId"]]
        annotation = self._whole(self._by_id["annotations"][shape["annotationId"]], "annotationId")
        spacing = self._by_id.get("tomogramVoxelSpacings", {}).get(row["tomogramVoxelSpacingId"])
        return msgspec.convert(
            {**row, "shape": {**shape, "annotation": annotation}, "voxelSpacing": spacing},
            AnnotationFile,
        )

    def _whole(self, row: Row, key: str) -> Row:
        return {
            **row,
            "authors": self._authors[key, row["id"]],
            "deposition": self._by_id["depositions"].get(row["depositionId"]),
            "run": self._run(row["runId"]),
        }

    def _run(self, row_id: int) -> Row:
        row = self._by_id["runs"][row_id]
        terms = terms_of(row["s3Prefix"] or "", self._terms)
        return {**row, "dataset": self._by_id["datasets"].get(row["datasetId"]), "terms": terms}


def ask_rows(
    portal: Portal,
    *,
    dataset_id: int | None = None,
    run_ids: Iterable[int] = (),
    names: Collection[str] | None = None,
    stop: threading.Event | None = None,
) -> Rows:
    """All rows of a dataset, or of runs, with their datasets and depositions; NotFoundError if one is missing.

    ``names`` are the tables to request, by default all.
    """
    wanted, names = set(run_ids), tables().keys() if names is None else names
    rows: dict[str, list[Row]] = {}
    roots: dict[str, dict[str, Any]] = {
        "runs": {"datasetId": {"_eq": dataset_id}} if dataset_id else {"id": {"_in": [*wanted]}}
    }

    def ask(names: Iterable[str]) -> None:
        wheres = {
            name: where for name in names if name not in rows and (where := _where(name, roots))
        }
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="napari-cryoet-rows") as pool:
            answers = pool.map(
                lambda name: ask_table(portal, name, wheres[name], stop=stop), wheres
            )
            rows.update(zip(wheres, answers, strict=True))

    ask(["runs"])
    if missing := wanted - {row["id"] for row in rows["runs"]}:
        raise NotFoundError(f"The portal has no run {min(missing)}.")
    dataset_ids = {dataset_id} if dataset_id else {row["datasetId"] for row in rows["runs"]}
    roots["datasets"] = {"id": {"_in": [*dataset_ids]}}
    ask(names)
    if not rows["datasets"]:
        raise NotFoundError(f"The portal has no dataset {dataset_id}.")
    deposition_ids = {row.get("depositionId") for of_table in rows.values() for row in of_table} - {
        None
    }
    roots["depositions"] = {"id": {"_in": [*deposition_ids]}}
    ask(names)
    return rows


def ask_table(
    portal: Portal,
    name: str,
    where: dict[str, Any],
    *,
    columns: Collection[str] = (),
    stop: threading.Event | None = None,
) -> list[Row]:
    """All rows of a table that match ``where``, with all columns or the id and some, requested page by page."""
    wanted = columns or [column for column in tables()[name].columns if column not in _LEFT_OUT]
    return [*chain.from_iterable(portal.pages(name, wanted, where, size=ROWS_A_PAGE, stop=stop))]


def _where(name: str, roots: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The condition on a table that follows from that on its run, dataset or deposition.

    None if there is none yet.
    """
    table = tables()[name]
    if name in roots or table.owner is None:
        return roots.get(name)
    where = _where(table.parents[table.owner].table, roots)
    return None if where is None else {table.owner: where}
