"""The files and sizes that a basket selects from rows, and its download plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from download_samples import DATASET, OTHER_RUN, RUN, sample_files, sample_rows
from napari_cryoet.basket.basket import Basket
from napari_cryoet.basket.contents import KnownRuns, ask_basket_runs, choose
from napari_cryoet.download.plan import plan_basket, plan_cells
from napari_cryoet.exceptions import DownloadError, StoppedError
from napari_cryoet.packs.pack import PackManifest, write_pack
from napari_cryoet.pages.basket import remarks_on
from napari_cryoet.portal.portal import Portal, open_portal
from napari_cryoet.runs.runs import Runs, every_cell
from napari_cryoet.task import Task
from portal_rows import blank_row

PREFIX = "https://files.example.org/"


def rows_with_richer_shapes() -> Any:
    """The sample, with oriented points for ribosomes and a second tomogram."""
    rows = sample_rows(PREFIX)
    file = next(row for row in rows["annotationFiles"] if row["id"] == 51)
    rows["annotationShapes"].append(
        blank_row("annotationShapes") | {"id": 63, "annotationId": 21, "shapeType": "OrientedPoint"}
    )
    rows["annotationFiles"].append(
        file | {"id": 54, "annotationShapeId": 63, "httpsPath": f"{file['httpsPath']}2"}
    )
    (tomogram,) = rows["tomograms"]
    tomogram["processing"] = "raw"
    other = {"id": 12, "processing": "denoised", "isVisualizationDefault": False}
    rows["tomograms"].append(
        tomogram
        | other
        | {"httpsOmezarrDir": f"{PREFIX}10000/denoised.zarr", "fileSizeOmezarr": 800.0}
    )
    return rows


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    manifest = PackManifest(title="Sample", https_prefix=PREFIX, s3_prefix="s3://bucket/")
    return open_portal(write_pack(tmp_path / "pack", manifest, rows_with_richer_shapes()).folder)


def ticked(portal: Portal, **ids: tuple[int, ...]) -> Basket:
    return Basket(source=portal.source.name, **ids)


def cells_in(portal: Portal, basket: Basket) -> set[tuple[str, int]]:
    plan = plan_basket(basket, ask_basket_runs(portal, basket), portal)
    return {(item.table, item.row_id) for item in plan.items}


def test_an_annotation_has_its_richest_shape_and_metadata(portal: Portal) -> None:
    basket = ticked(portal, annotations=(21,))
    assert cells_in(portal, basket) == {
        ("annotationFiles", 54),
        ("annotations", 21),
        ("alignments", 31),
    }
    assert cells_in(portal, basket.with_choices(metadata=False)) == {("annotationFiles", 54)}
    every = basket.with_choices(metadata=False, shapes="all")
    assert cells_in(portal, every) == {("annotationFiles", 51), ("annotationFiles", 54)}
    shape = ticked(portal, annotation_shapes=(61,)).with_choices(metadata=False)
    assert cells_in(portal, shape) == {("annotationFiles", 51)}


def test_a_mask_has_the_chosen_format_if_available(portal: Portal) -> None:
    basket = ticked(portal, annotations=(22,)).with_choices(metadata=False)
    assert cells_in(portal, basket) == {("annotationFiles", 52)}
    basket = basket.with_choices(volume_format="mrc")
    assert cells_in(portal, basket) == {("annotationFiles", 53)}
    rows = ask_basket_runs(portal, basket).rows
    files = [row for row in rows["annotationFiles"] if row["format"] != "mrc"]
    without_mrc = Runs.of_rows({**rows, "annotationFiles": files})
    assert [item.row_id for item in plan_basket(basket, without_mrc, portal).items] == [52]


@pytest.mark.parametrize(
    ("processing", "tomogram"),
    [("denoised", {12}), ("default", {11}), ("filtered", set()), ("", set())],
)
def test_annotations_can_include_one_tomogram_by_processing(
    portal: Portal, processing: str, tomogram: set[int]
) -> None:

    def tomograms_of(basket: Basket) -> set[int]:
        return {row_id for table, row_id in cells_in(portal, basket) if table == "tomograms"}

    basket = ticked(portal, annotations=(21,)).with_choices(with_tomogram=processing)
    assert tomograms_of(basket) == tomogram
    assert tomograms_of(basket.with_ids("tomograms", [11])) == {11}


def test_a_tilt_series_includes_its_angles(portal: Portal) -> None:
    basket = ticked(portal, tilt_series=(71,))
    items = plan_basket(basket, ask_basket_runs(portal, basket), portal).items
    assert {item.column for item in items} == {"httpsMrcFile", "httpsAngleList"}


def test_runs_and_datasets_include_every_listed_file(portal: Portal) -> None:
    whole = ticked(portal, datasets=(DATASET,))
    rows = ask_basket_runs(portal, whole).rows
    every = {(item.table, item.row_id) for item in plan_cells(rows, None, every_cell(rows)).items}
    assert cells_in(portal, whole) == every
    assert cells_in(portal, ticked(portal, runs=(RUN, OTHER_RUN))) == every
    frames = {"frames", "gainFiles", "frameAcquisitionFiles"}
    left = cells_in(portal, whole.with_choices(leave_out=("frames",)))
    assert left == {cell for cell in every if cell[0] not in frames}
    assert cells_in(portal, ticked(portal, runs=(OTHER_RUN,))) >= {
        ("frames", 81),
        ("gainFiles", 91),
    }


def test_contents_match_the_plan(portal: Portal) -> None:
    for basket in (
        ticked(portal, datasets=(DATASET,)),
        ticked(portal, annotations=(21, 22)).with_choices(with_tomogram="default"),
        ticked(portal, tomograms=(11, 12)).with_choices(level=1),
    ):
        contents = choose(basket, KnownRuns(portal).of(basket)).contents
        plan = plan_basket(basket, ask_basket_runs(portal, basket), portal)
        total = contents.total
        assert (total.n_files, total.size_bytes) == (len(plan.items), plan.total_bytes)


def test_contents_are_counted_by_run_and_kind(portal: Portal) -> None:
    basket = ticked(portal, annotations=(21, 22), tomograms=(12,)).with_choices(metadata=False)
    contents = choose(basket, KnownRuns(portal).of(basket)).contents
    size = sum(len(content) for key, content in sample_files().items() if "mask.zarr" in key) + 720
    assert contents.run_ids == (RUN,)
    assert contents.parts["tomograms"].size_bytes == 800
    assert contents.parts["annotations"].size_bytes == size
    assert contents.summary.startswith("1 run · 3 files · ")
    empty = ticked(portal)
    assert choose(empty, KnownRuns(portal).of(empty)).contents.summary == ""


def test_each_coarser_level_counts_an_eighth(portal: Portal) -> None:
    basket = ticked(portal, tomograms=(12,)).with_choices(level=1)
    size = choose(basket, KnownRuns(portal).of(basket)).contents.total.size_bytes
    assert 800 - size == pytest.approx(800 / (1 + 1 / 8 + 1 / 64), abs=1)


def test_missing_ids_are_listed(portal: Portal) -> None:
    basket = ticked(portal, annotations=(21, 99), runs=(77,), tomograms=(98,))
    chosen = choose(basket, KnownRuns(portal).of(basket))
    missing, *_ = remarks_on(chosen)
    assert missing.ids == {"annotations": (99,), "runs": (77,), "tomograms": (98,)}
    assert chosen.contents.run_ids == (RUN,)
    gone = ticked(portal, annotations=(99,))
    with pytest.raises(DownloadError, match="Nothing"):
        plan_basket(gone, ask_basket_runs(portal, gone), portal)


def test_adding_ids_of_a_known_run_sends_no_query(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_runs = KnownRuns(portal)
    basket = ticked(portal, annotations=(21,))
    known_runs.of(basket)
    queries: list[str] = []
    query = portal.query
    monkeypatch.setattr(
        portal,
        "query",
        lambda text, *args, **kwargs: queries.append(text) or query(text, *args, **kwargs),
    )

    known_runs.of(basket)
    assert not queries
    chosen = choose(basket, known_runs.of(basket.with_ids("tomograms", [12])))
    assert chosen.contents.run_ids == (RUN,)
    assert not queries
    assert [*known_runs.of(ticked(portal))] == []


def test_rows_not_fetched_after_a_stop_are_not_missing(portal: Portal) -> None:
    known_runs = KnownRuns(portal)
    task = Task()
    task.stop()
    basket = ticked(portal, annotations=(21,))
    with pytest.raises(StoppedError):
        known_runs.of(basket, task=task)
    assert choose(basket, known_runs.of(basket)).contents.run_ids == (RUN,)
