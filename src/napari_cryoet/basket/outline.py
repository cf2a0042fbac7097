"""A basket as a list to read: its datasets and runs, and what of each run is wanted, with sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from napari_cryoet.basket.basket import Basket, Kind
from napari_cryoet.basket.contents import Chosen, file_sizes
from napari_cryoet.download.rows import Row
from napari_cryoet.records import Record
from napari_cryoet.wording import count_text, joined, plain, spacing_text


class Entry(Record, frozen=True, kw_only=True):
    """A dataset, a run, or something of a run.

    Attributes
    ----------
    parts
        What to untick to be rid of it; empty for what the choices of the basket add.
    run_id
        Of a run and what is below it.
    """

    title: str
    detail: str = ""
    size_bytes: int = 0
    parts: tuple[tuple[Kind, int], ...] = ()
    run_id: int | None = None
    dataset_id: int | None = None
    below: tuple[Entry, ...] = ()


def outline_basket(basket: Basket, chosen: Chosen) -> tuple[Entry, ...]:
    """The whole datasets of a basket, then its runs by name, with what is wanted of each."""
    sizes: dict[tuple[str, int], int] = defaultdict(int)  # by table and id
    of_runs: dict[int | None, int] = defaultdict(int)
    of_datasets: dict[int, int] = defaultdict(int)
    dataset_of = {row["id"]: row["datasetId"] for row in chosen.rows["runs"]}
    for table, row, _column, size_bytes in file_sizes(basket, chosen):
        run_id = chosen.owners.run_id(table, row)
        sizes[table, row["id"]] += size_bytes or 0
        of_runs[run_id] += size_bytes or 0
        of_datasets[dataset_of.get(run_id or 0, 0)] += size_bytes or 0
    below: dict[int | None, list[Entry]] = defaultdict(list)
    for entry in _parts(basket, chosen, sizes):
        below[entry.run_id].append(entry)
    found = [_dataset(row, chosen, of_datasets) for row in chosen.rows["datasets"] if row["id"] in basket.datasets]
    runs = sorted(chosen.rows["runs"], key=lambda row: (row["datasetId"], row["name"], row["id"]))
    runs = [row for row in runs if row["datasetId"] not in basket.datasets]
    wanted = [row for row in runs if row["id"] in basket.runs or below[row["id"]]]
    names_dataset = len({row["datasetId"] for row in wanted}) > 1
    for row in wanted:
        dataset = f"DS-{row['datasetId']}" if names_dataset else ""
        found.append(_run(row, basket, dataset, of_runs[row["id"]], below[row["id"]]))
    return tuple(found)


def _dataset(row: Row, chosen: Chosen, sizes: dict[int, int]) -> Entry:
    count = sum(run["datasetId"] == row["id"] for run in chosen.rows["runs"])
    return Entry(
        title=f"DS-{row['id']} {plain(row['title'])}",
        detail=f"all of {count_text(count, 'run')}",
        size_bytes=sizes[row["id"]],
        parts=(("datasets", row["id"]),),
        dataset_id=row["id"],
    )


def _run(row: Row, basket: Basket, dataset: str, size_bytes: int, below: Iterable[Entry]) -> Entry:
    is_whole = row["id"] in basket.runs
    split = basket.split.of_runs.get(row["id"], "") if basket.split is not None else ""
    whole: tuple[tuple[Kind, int], ...] = (("runs", row["id"]),) if is_whole else ()
    return Entry(
        title=plain(row["name"]),
        detail=joined(dataset, "all of it" if is_whole else "", split),
        size_bytes=size_bytes,
        parts=whole + tuple(part for entry in below for part in entry.parts),
        run_id=row["id"],
        below=() if is_whole else tuple(below),
    )


def _parts(basket: Basket, chosen: Chosen, sizes: dict[tuple[str, int], int]) -> Iterator[Entry]:
    """What is wanted of runs; what comes with a whole run isn't named."""
    for row in chosen.tomograms:
        yield _entry(
            joined(row["processing"], spacing_text(row["voxelSpacing"])),
            sizes["tomograms", row["id"]],
            [("tomograms", row["id"])] if row["id"] in basket.tomograms else [],
            row["runId"],
            detail="" if row["id"] in basket.tomograms else "with annotations",
        )
    files: dict[int, list[Row]] = defaultdict(list)
    for file in chosen.annotation_files:
        if annotation := chosen.owners.annotation("annotationFiles", file):
            files[annotation["id"]].append(file)
    for annotation_id, of_annotation in files.items():
        row = chosen.owners.row("annotations", annotation_id) or {}
        shapes = {file["annotationShapeId"] for file in of_annotation}
        parts: list[tuple[Kind, int]] = [("annotation_shapes", each) for each in shapes & {*basket.annotation_shapes}]
        parts += [("annotations", annotation_id)] if annotation_id in basket.annotations else []
        truth = "ground truth" if row["groundTruthStatus"] else row["methodType"]
        count = f"{row['objectCount']:,}" if row["objectCount"] else ""
        size_bytes = sum(sizes["annotationFiles", file["id"]] for file in of_annotation)
        yield _entry(joined(plain(row["objectName"]), count), size_bytes, parts, row["runId"], detail=truth)
    for row in chosen.tilt_series:
        ticked: list[tuple[Kind, int]] = [("tilt_series", row["id"])] if row["id"] in basket.tilt_series else []
        yield _entry("tilt series", sizes["tiltseries", row["id"]], ticked, row["runId"])


def _entry(title: str, size_bytes: int, parts: Any, run_id: int, *, detail: str = "") -> Entry:
    return Entry(title=title, size_bytes=size_bytes, parts=tuple(parts), run_id=run_id, detail=detail)
