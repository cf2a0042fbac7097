"""A basket as a list to read: its datasets and runs, and what of each run is wanted, with sizes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from napari_cryoet.basket.basket import KINDS, Basket, Kind
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
    runs = {row["id"]: row for row in chosen.rows["runs"]}
    sizes: Counter[tuple[str, int]] = Counter()  # by table and id
    for table, row, _column, size_bytes in file_sizes(basket, chosen):
        run = runs.get(chosen.owners.run_id(table, row) or 0)
        above = [("runs", run["id"]), ("datasets", run["datasetId"])] if run is not None else []
        for key in ((table, row["id"]), *above):
            sizes[key] += size_bytes or 0
    below: dict[int | None, list[Entry]] = defaultdict(list)
    for entry in _parts(basket, chosen, sizes):
        below[entry.run_id].append(entry)
    found = [
        Entry(
            title=f"DS-{row['id']} {plain(row['title'])}",
            detail=f"all of {count_text(sum(run['datasetId'] == row['id'] for run in runs.values()), 'run')}",
            size_bytes=sizes["datasets", row["id"]],
            parts=(("datasets", row["id"]),),
            dataset_id=row["id"],
        )
        for row in chosen.rows["datasets"]
        if row["id"] in basket.datasets
    ]
    of_runs = basket.split.of_runs if basket.split is not None else {}
    wanted = [row for row in runs.values() if row["datasetId"] not in basket.datasets]
    has_several = len({row["datasetId"] for row in wanted}) > 1
    for row in sorted(wanted, key=lambda row: (row["datasetId"], row["name"], row["id"])):
        run_id, parts = row["id"], below[row["id"]]
        whole: tuple[tuple[Kind, int], ...] = (("runs", run_id),) if run_id in basket.runs else ()
        dataset = f"DS-{row['datasetId']}" if has_several else ""
        if whole or parts:
            found.append(
                Entry(
                    title=plain(row["name"]),
                    detail=joined(dataset, "all of it" if whole else "", of_runs.get(run_id, "")),
                    size_bytes=sizes["runs", run_id],
                    parts=whole + tuple(part for entry in parts for part in entry.parts),
                    run_id=run_id,
                    below=() if whole else tuple(parts),
                )
            )
    return tuple(found)


def _parts(basket: Basket, chosen: Chosen, sizes: Mapping[tuple[str, int], int]) -> Iterator[Entry]:
    """What is wanted of runs; what comes with a whole run isn't named."""
    ids = {kind: frozenset(basket.ids(kind)) for kind in KINDS}

    def entry(row: Row, title: str, detail: str, files: Iterable[tuple[str, int]], *parts: tuple[Kind, int]) -> Entry:
        ticked = tuple((kind, record_id) for kind, record_id in parts if record_id in ids[kind])
        size_bytes = sum(sizes[file] for file in files)
        return Entry(title=title, detail=detail, size_bytes=size_bytes, parts=ticked, run_id=row["runId"])

    for row in chosen.tomograms:
        title, added = joined(row["processing"], spacing_text(row["voxelSpacing"])), row["id"] not in ids["tomograms"]
        files = [("tomograms", row["id"])]
        yield entry(row, title, "with annotations" if added else "", files, ("tomograms", row["id"]))
    shown: dict[int, list[Row]] = defaultdict(list)
    for file in chosen.annotation_files:
        if annotation := chosen.owners.annotation("annotationFiles", file):
            shown[annotation["id"]].append(file)
    for annotation_id, of_annotation in shown.items():
        row = chosen.owners.row("annotations", annotation_id) or {}
        title = joined(plain(row["objectName"]), f"{row['objectCount']:,}" if row["objectCount"] else "")
        detail = "ground truth" if row["groundTruthStatus"] else row["methodType"]
        files = [("annotationFiles", file["id"]) for file in of_annotation]
        shapes: list[tuple[Kind, int]] = [("annotation_shapes", file["annotationShapeId"]) for file in of_annotation]
        yield entry(row, title, detail, files, ("annotations", annotation_id), *shapes)
    for row in chosen.tilt_series:
        yield entry(row, "tilt series", "", [("tiltseries", row["id"])], ("tilt_series", row["id"]))
