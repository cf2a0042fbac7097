"""Remarks on a basket: their texts, the records concerned, and their fixes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from download_samples import OTHER_RUN, sample_rows
from napari_cryoet.basket.basket import Basket
from napari_cryoet.basket.contents import choose
from napari_cryoet.pages.basket import Remark, remarks_on
from napari_cryoet.runs.runs import Runs
from portal_rows import blank_row

ALL = Basket().with_ids("annotations", [21, 22]).with_ids("tomograms", [11])


@pytest.fixture
def rows() -> Any:
    """The sample without anything to remark on."""
    rows = sample_rows("https://files.example.org/")
    for row in rows["annotations"]:
        row |= {"groundTruthStatus": True, "methodType": "manual"}
    rows["tomograms"][0]["voxelSpacing"] = 10.0
    return rows


def remarks(basket, rows, **options) -> tuple[Remark, ...]:
    chosen = choose(basket, Runs.of_rows(rows))
    return remarks_on(chosen, **options)


def add_annotation(rows: Any, row_id: int, **cells: Any) -> None:
    """Add an annotation with a file, like that of the ribosomes."""
    annotation, file = rows["annotations"][0], rows["annotationFiles"][0]
    alignment = cells.pop("alignmentId", file["alignmentId"])
    rows["annotations"].append(annotation | {"id": row_id, **cells})
    rows["annotationShapes"].append(
        blank_row("annotationShapes") | {"id": row_id, "annotationId": row_id, "shapeType": "Point"}
    )
    rows["annotationFiles"].append(
        file
        | {
            "id": row_id,
            "annotationShapeId": row_id,
            "alignmentId": alignment,
            "httpsPath": f"https://x.org/{row_id}",
        }
    )


def only(remarks: tuple[Remark, ...], kind: str) -> Remark:
    (remark,) = remarks
    assert remark.kind == kind
    return remark


def test_a_basket_without_problems_has_no_remarks(rows: Any) -> None:
    assert remarks(ALL, rows, free_bytes=10**12) == ()


def test_the_fix_for_duplicate_objects_keeps_the_best(rows: Any) -> None:
    add_annotation(rows, 25, groundTruthStatus=False)
    remark = only(remarks(ALL.with_ids("annotations", [25]), rows), "twice")
    assert remark.ids == {"annotations": (21, 25)}
    assert "1 run: ribosome" in remark.text
    assert remark.fix == ALL


def test_other_alignments_are_reported(rows: Any) -> None:
    add_annotation(rows, 25, objectName="proteasome", objectId="x", alignmentId=32)
    remark = only(remarks(ALL.with_ids("annotations", [25]), rows), "alignment")
    assert remark.ids == {"annotations": (25,)}
    assert remark.fix == ALL
    without_tomogram = ALL.without_ids("tomograms", [11]).with_ids("annotations", [25])
    assert only(remarks(without_tomogram, rows), "alignment").ids == {"annotations": (25,)}


@pytest.mark.parametrize(("spacing", "kinds"), [(10.01, []), (5.0, ["spacing"])])
def test_mixed_spacings_are_reported_except_rounding(
    rows: Any, spacing: float, kinds: list[str]
) -> None:
    rows["tomograms"].append(rows["tomograms"][0] | {"id": 12, "voxelSpacing": spacing})
    remarks_found = remarks(ALL.with_ids("tomograms", [12]), rows)
    assert [remark.kind for remark in remarks_found] == kinds


def test_purely_automated_annotations_are_reported(rows: Any) -> None:
    for row in rows["annotations"]:
        row |= {"groundTruthStatus": False, "methodType": "automated"}
    assert only(remarks(ALL, rows), "automated").ids == {"annotations": (21, 22)}
    rows["annotations"][0]["methodType"] = "hybrid"
    assert remarks(ALL, rows) == ()


@pytest.mark.parametrize(
    "spoil", [lambda rows: rows["annotationFiles"].pop(0), lambda rows: rows["annotations"].pop(0)]
)
def test_annotations_without_files_are_reported(rows: Any, spoil: Callable[[Any], None]) -> None:
    spoil(rows)
    remark = only(remarks(ALL, rows), "missing")
    assert remark.ids == {"annotations": (21,)}
    assert remark.fix == ALL.without_ids("annotations", [21])


def test_a_full_disk_and_large_frames_are_reported(rows: Any) -> None:
    rows["frames"][0]["fileSize"] = 3e11
    basket = Basket().with_ids("runs", [OTHER_RUN])
    disk, frames = remarks(basket, rows, free_bytes=10**9)
    assert (disk.kind, frames.kind) == ("disk", "frames")
    assert "300 GB" in frames.text
    assert frames.fix is not None
    assert remarks(frames.fix, rows, free_bytes=10**9) == ()
