"""The parts of a basket as a readable tree: datasets, runs and their parts, with sizes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from napari_cryoet.basket.basket import KINDS, RecordKind
from napari_cryoet.basket.contents import TABLES, Chosen, Owners
from napari_cryoet.records import Record
from napari_cryoet.tables.database import Row
from napari_cryoet.wording import count_text, joined, plain, spacing_text

_MOST_RUNS: Final = 500  # listed by name; the others are only counted


class Entry(Record, frozen=True, kw_only=True, gc=False):
    """A dataset, a run, or a part of a run."""

    title: str
    detail: str = ""
    size_bytes: int = 0
    parts: tuple[
        tuple[RecordKind, int], ...
    ] = ()  # untick these to remove it; none if the basket's choices add it
    run_id: int | None = None  # of a run and its parts
    dataset_id: int | None = None
    below: tuple[Entry, ...] = ()


def outline_basket(chosen: Chosen) -> tuple[Entry, ...]:
    """The whole datasets of a basket, then its runs with their parts, sorted by dataset and name."""
    basket, ids = chosen.basket, {kind: frozenset(chosen.basket.ids(kind)) for kind in KINDS}
    sizes: Counter[tuple[str, int | None]] = Counter()  # by table and id
    for file in chosen.files:
        for key in {(file.table, file.row_id), ("runs", file.run_id)}:
            sizes[key] += file.size_bytes
    of_runs: dict[int | None, list[tuple[str, Row]]] = defaultdict(list)
    for table, rows in (
        ("tomograms", chosen.tomograms),
        ("annotationFiles", chosen.annotation_files),
        ("tiltseries", chosen.tilt_series),
    ):
        for row in rows:
            of_runs[chosen.owners.run_id(table, row)].append((table, row))
    of_datasets: dict[int, list[Row]] = defaultdict(list)
    for row in chosen.rows["runs"]:
        of_datasets[row["datasetId"]].append(row)
    entries = [
        Entry(
            title=f"DS-{row['id']} {plain(row['title'])}",
            detail=f"all of {count_text(len(of_datasets[row['id']]), 'run')}",
            size_bytes=sizes["datasets", row["id"]]
            + sum(sizes["runs", run["id"]] for run in of_datasets[row["id"]]),
            parts=(("datasets", row["id"]),),
            dataset_id=row["id"],
        )
        for row in chosen.rows["datasets"]
        if row["id"] in ids["datasets"]
    ]
    split = basket.split.of_runs if basket.split is not None else {}
    in_parts = [row for row in chosen.rows["runs"] if row["datasetId"] not in ids["datasets"]]
    wanted = [row for row in in_parts if row["id"] in of_runs or row["id"] in ids["runs"]]
    has_several = len({row["datasetId"] for row in wanted}) > 1
    wanted.sort(key=lambda row: (row["datasetId"], row["name"], row["id"]))
    for row in wanted[:_MOST_RUNS]:
        run_id, is_whole = row["id"], row["id"] in ids["runs"]
        parts = tuple(_parts(of_runs[run_id], ids, chosen.owners, sizes))
        dataset = f"DS-{row['datasetId']}" if has_several else ""
        entries.append(
            Entry(
                title=plain(row["name"]),
                detail=joined(dataset, "all of it" if is_whole else "", split.get(run_id, "")),
                size_bytes=sizes["runs", run_id],
                parts=((("runs", run_id),) if is_whole else ())
                + tuple(part for each in parts for part in each.parts),
                run_id=run_id,
                below=() if is_whole else parts,
            )
        )
    if n_more := len(wanted[_MOST_RUNS:]):
        entries.append(Entry(title=f"… and {count_text(n_more, 'more run')}"))
    return tuple(entries)


def _parts(
    rows: Iterable[tuple[str, Row]],
    ids: Mapping[RecordKind, frozenset[int]],
    owners: Owners,
    sizes: Mapping[tuple[str, int | None], int],
) -> Iterator[Entry]:
    """The parts of a run; the files of an annotation make one entry."""
    groups: dict[tuple[RecordKind, int], list[Row]] = defaultdict(list)
    for table, row in rows:
        if table != "annotationFiles":
            groups["tomograms" if table == "tomograms" else "tilt_series", row["id"]].append(row)
        elif annotation := owners.annotation(row):
            groups["annotations", annotation["id"]].append(row)
    for (kind, row_id), group in groups.items():
        row, shapes, table = group[0], list[tuple[RecordKind, int]](), TABLES[kind]
        title, detail = "tilt series", ""
        if kind == "tomograms":
            title = joined(row["processing"], spacing_text(row["voxelSpacing"]))
            detail = "" if row_id in ids[kind] else "with annotations"
        elif kind == "annotations":
            row, table = owners.row("annotations", row_id) or row, "annotationFiles"
            title = joined(
                plain(row["objectName"]), f"{row['objectCount']:,}" if row["objectCount"] else ""
            )
            detail = "ground truth" if row["groundTruthStatus"] else row["methodType"]
            shapes = [("annotation_shapes", file["annotationShapeId"]) for file in group]
        yield Entry(
            title=title,
            detail=detail,
            size_bytes=sum(sizes[table, each["id"]] for each in group),
            parts=tuple(
                (kind, each) for kind, each in ((kind, row_id), *shapes) if each in ids[kind]
            ),
            run_id=row["runId"],
        )
