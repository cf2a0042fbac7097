"""Ask a portal for rows of its tables: all those of a dataset or of runs, or some of one table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any, Final

from napari_cryoet.exceptions import NotFoundError
from napari_cryoet.portal.portal import Portal
from napari_cryoet.tables.database import Row, Rows
from napari_cryoet.tables.schema import tables
from napari_cryoet.task import UNWATCHED, Task

IN_FLIGHT: Final = 4
ROWS_A_PAGE: Final = 1000

_LEFT_OUT: Final = frozenset({"neuroglancerConfig"})  # 14 kB per tomogram, for another viewer


def ask_rows(
    portal: Portal,
    *,
    dataset_id: int | None = None,
    run_ids: Iterable[int] = (),
    names: Collection[str] | None = None,
    task: Task = UNWATCHED,
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
                lambda name: ask_table(portal, name, wheres[name], task=task), wheres
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
    task: Task = UNWATCHED,
) -> list[Row]:
    """All rows of a table that match ``where``, with all columns or the id and some, requested page by page."""
    wanted = columns or [column for column in tables()[name].columns if column not in _LEFT_OUT]
    return [*chain.from_iterable(portal.pages(name, wanted, where, size=ROWS_A_PAGE, task=task))]


def _where(name: str, roots: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    """The condition on a table that follows from that on its run, dataset or deposition.

    None if there is none yet.
    """
    table = tables()[name]
    owner = table.owning
    if name in roots or owner is None:
        return roots.get(name)
    where = _where(owner.table, roots)
    return None if where is None else {str(table.owner): where}
