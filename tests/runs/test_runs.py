"""The rules about a run's records, the same on its page, in a basket and in a download."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_cryoet.basket.basket import Basket
from napari_cryoet.basket.contents import ask_basket_runs, choose
from napari_cryoet.cli import main
from napari_cryoet.discovery.index import read_index
from napari_cryoet.discovery.search import Search
from napari_cryoet.exceptions import PortalError
from napari_cryoet.portal.portal import ask_rows, open_portal
from napari_cryoet.records import AnnotationShape, ShapeType
from napari_cryoet.runs.runs import Runs, richest_shapes
from portal_rows import Tables

FILES = "https://files.example.org/1/TS/"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A run with two tomograms marked default, and one with none; sizes differ along z."""
    tables = Tables()
    dataset = tables.add(
        "datasets", depositionId=tables.add("depositions"), httpsPrefix=FILES, s3Prefix="s3://x/1/"
    )
    marks = {
        "two": [{}, {"isVisualizationDefault": True}, {"isVisualizationDefault": True}],
        "none": [{}, {"isAuthorSubmitted": True}, {"isPortalStandard": True}],
    }
    for name, several in marks.items():
        run = tables.add("runs", datasetId=dataset, name=name)
        tables.add_annotation(run, shapes={"Point": ["ndjson"]})
        for number, each in enumerate(several, start=1):
            path = f"{FILES}{name}{number}.mrc"
            tables.add(
                "tomograms", runId=run, voxelSpacing=number, sizeZ=number, httpsMrcFile=path, **each
            )
    return tables.write(tmp_path / "pack")


@pytest.mark.parametrize("run", [0, 1])
def test_all_choose_the_same_default_tomogram(
    pack: Path, run: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portal = open_portal(pack)
    (dataset,) = portal.datasets()
    row = sorted(portal.runs(dataset.id), key=lambda row: row.id)[run]
    page = portal.run_page(row.id)
    default = page.default_tomogram
    assert default is not None
    assert default.size_z == 3 == row.size_z

    basket = Basket(source=portal.source.name, annotations=(page.annotations[0].id,))
    basket = basket.with_choices(with_tomogram="default")
    (chosen,) = choose(basket, ask_basket_runs(portal, basket)).runs
    assert [each.id for each in chosen.tomograms] == [default.id]

    index = read_index(portal)
    assert default.id in index.find(Search()).ids("tomograms")

    main(["download", str(pack), "--to", str(tmp_path / "data"), "--run", str(row.id), "--dry-run"])
    assert f"{row.name}3.mrc" in capsys.readouterr().out
    region = ["--region", "0:1,0:1,9:10"]
    main(["download", str(pack), "--to", str(tmp_path / "data"), "--run", str(row.id), *region])
    assert "It has 3 x" in capsys.readouterr().err


def test_rows_of_a_server_make_the_records_of_a_page(demo_pack: Path) -> None:
    portal = open_portal(demo_pack)
    runs = Runs.of_rows(
        ask_rows(portal, run_ids=[9001, 9003]), portal.source.terms, portal.source.name
    )
    assert [*runs.records] == [9001, 9003]
    for run in runs:
        page = portal.run_page(run.run.id)
        for name in run.__struct_fields__:
            assert getattr(run, name) == getattr(page, name)
    tomogram = runs.records[9003].tomograms[0]
    assert tomogram.run is runs.records[9003].run
    assert {row["runId"] for row in runs.rows_of[9003]["tomograms"]} == {9003}


def test_invalid_rows_name_their_table(pack: Path) -> None:
    rows = ask_rows(open_portal(pack), dataset_id=open_portal(pack).datasets()[0].id)
    rows["tomograms"][0]["sizeX"] = 1.5
    with pytest.raises(PortalError, match="in tomograms"):
        Runs.of_rows(rows)


def test_the_richest_shapes_of_each_annotation_are_kept() -> None:
    kinds = {
        1: (ShapeType.POINT, ShapeType.ORIENTED_POINT, ShapeType.SEGMENTATION_MASK),
        2: (ShapeType.POINT, ShapeType.INSTANCE_SEGMENTATION_MASK, ShapeType.SEGMENTATION_MASK),
        3: (ShapeType.SEGMENTATION_MASK, ShapeType.MESH),
    }
    shapes = [
        AnnotationShape(
            id=10 * annotation_id + number, annotation_id=annotation_id, shape_type=kind
        )
        for annotation_id, several in kinds.items()
        for number, kind in enumerate(several)
    ]
    assert [shape.id for shape in richest_shapes(shapes)] == [11, 12, 20, 21, 30, 31]
