"""A basket as a list to read: its datasets and runs, and what of each run is wanted, with sizes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from napari_cryoet.basket.basket import KINDS, Kind
from napari_cryoet.basket.contents import TABLES, Chosen, Owners
from napari_cryoet.download.rows import Row
from napari_cryoet.records import Record
from napari_cryoet.wording import count_text, joined, plain, spacing_text

_MOST_RUNS: Final = 500  # by name; of the others the number


class Entry(Record, frozen=True, kw_only=True, gc=False):
    """A dataset, a run, or something of a run."""

    title: str
    detail: str = ""
    size_bytes: int = 0
    parts: tuple[tuple[Kind, int], ...] = ()  # to untick to be rid of it; none for what the basket's choices add
    run_id: int | None = None  # of a run and what is below it
    dataset_id: int | None = None
    below: tuple[Entry, ...] = ()


def outline_basket(chosen: Chosen) -> tuple[Entry, ...]:
    """The whole datasets of a basket, then its runs by name, with what is wanted of each."""
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
    found = [
        Entry(
            title=f"DS-{row['id']} {plain(row['title'])}",
            detail=f"all of {count_text(len(of_datasets[row['id']]), 'run')}",
            size_bytes=sizes["datasets", row["id"]] + sum(sizes["runs", run["id"]] for run in of_datasets[row["id"]]),
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
        found.append(
            Entry(
                title=plain(row["name"]),
                detail=joined(dataset, "all of it" if is_whole else "", split.get(run_id, "")),
                size_bytes=sizes["runs", run_id],
                parts=((("runs", run_id),) if is_whole else ()) + tuple(part for each in parts for part in each.parts),
                run_id=run_id,
                below=() if is_whole else parts,
            )
        )
    if n_more := len(wanted[_MOST_RUNS:]):
        found.append(Entry(title=f"… and {count_text(n_more, 'more run')}"))
    return tuple(found)


def _parts(
    rows: Iterable[tuple[str, Row]],
    ids: Mapping[Kind, frozenset[int]],
    owners: Owners,
    sizes: Mapping[tuple[str, int | None], int],
) -> Iterator[Entry]:
    """What is wanted of a run; the files of an annotation are one."""
    found: dict[tuple[Kind, int], list[Row]] = defaultdict(list)
    for table, row in rows:
        if table != "annotationFiles":
            found["tomograms" if table == "tomograms" else "tilt_series", row["id"]].append(row)
        elif annotation := owners.annotation(row):
            found["annotations", annotation["id"]].append(row)
    for (kind, row_id), of_it in found.items():
        row, shapes, table = of_it[0], list[tuple[Kind, int]](), TABLES[kind]
        title, detail = "tilt series", ""
        if kind == "tomograms":
            title = joined(row["processing"], spacing_text(row["voxelSpacing"]))
            detail = "" if row_id in ids[kind] else "with annotations"
        elif kind == "annotations":
            row, table = owners.row("annotations", row_id) or row, "annotationFiles"
            title = joined(plain(row["objectName"]), f"{row['objectCount']:,}" if row["objectCount"] else "")
            detail = "ground truth" if row["groundTruthStatus"] else row["methodType"]
            shapes = [("annotation_shapes", file["annotationShapeId"]) for file in of_it]
        yield Entry(
            title=title,
            detail=detail,
            size_bytes=sum(sizes[table, each["id"]] for each in of_it),
            parts=tuple((kind, each) for kind, each in ((kind, row_id), *shapes) if each in ids[kind]),
            run_id=row["runId"],
        )
