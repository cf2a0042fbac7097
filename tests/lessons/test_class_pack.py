"""Class packs: what a class needs, true for the slice, small, and open without a network."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from lessons.sample_lesson import RUN, view_at, write_lesson
from napari_cryoet import open_portal
from napari_cryoet.basket.basket import Basket
from napari_cryoet.exceptions import ExistsError, LeftOutError, NotFoundError, StoppedError
from napari_cryoet.files import size_on_disk
from napari_cryoet.lessons.class_pack import make_class_pack, plan_class_pack, write_class_pack
from napari_cryoet.lessons.folder import lessons_of, open_lesson
from napari_cryoet.packs.pack import open_pack
from napari_cryoet.portal.portal import Portal, ask_rows
from napari_cryoet.task import Task
from napari_cryoet.views.view import (
    ViewedAnnotation,
    ViewedLayer,
    ViewedRun,
    read_view,
)
from napari_cryoet.volumes import open_volume
from packs.pack_check import problems_of

POINTS = (60.0, 200.0, 200.0), (100.0, 400.0, 400.0), (140.0, 300.0, 500.0)
#: What only tells where a file is, or how large: of other formats that aren't packed.
FILES = {"httpsMrcFile", "s3MrcFile", "fileSizeMrc", "fileSizeOmezarr"}


@pytest.fixture
def portal(demo_pack: Path) -> Portal:
    return open_portal(demo_pack)


@pytest.fixture
def lesson_folder(portal: Portal, tmp_path: Path) -> Path:
    return write_lesson(tmp_path / "ribosomes", view_at(portal, POINTS[0]))


def cells_of(rows: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """The cells of all rows, without those about files."""
    return {
        (name, row["id"]): {
            key: value
            for key, value in row.items()
            if key not in FILES and not key.startswith(("https", "s3", "keyPhoto"))
        }
        for name, of_table in rows.items()
        for row in of_table
    }


def test_the_records_of_a_run_are_those_of_its_source(portal: Portal, tmp_path: Path) -> None:
    basket = Basket(source=portal.source.name, runs=(RUN,))
    folder = make_class_pack(portal, tmp_path / "pack", basket)
    there = open_portal(folder)
    before = cells_of(ask_rows(portal, run_ids=[RUN]))
    after = cells_of(ask_rows(there, run_ids=[RUN]))
    # masks are packed in one format
    copies = {
        ("annotationFiles", row["id"])
        for row in open_pack(portal.source.location).tables["annotationFiles"]
        if row["format"] == "mrc"
    }
    assert {key: before[key] for key in before if key not in copies} == after
    catalogue = there.catalogue()
    assert [(row.id, row.run_count) for row in catalogue.rows] == [(90001, 1)]
    assert sum(row.annotation_count for row in catalogue.depositions) == len(
        there.run_page(RUN).annotations
    )
    assert problems_of(open_pack(folder), with_files=True) == ()
    assert (folder / "CITATION.bib").stat().st_size > 0


def test_full_resolution_is_only_around_the_views(portal: Portal, tmp_path: Path) -> None:
    views = [view_at(portal, point) for point in POINTS[:1]]
    folder = make_class_pack(portal, tmp_path / "pack", views=views, around_nm=10)
    (tomogram,) = open_portal(folder).run_page(RUN).tomograms
    original = portal.run_page(RUN).default_tomogram
    here, there = open_volume(tomogram), open_volume(original)
    z, y, x = (round(at / tomogram.voxel_spacing) for at in POINTS[0])
    box = ((z, z + 1), (y - 2, y + 2), (x - 2, x + 2))
    np.testing.assert_array_equal(here.read(0, box), there.read(0, box))
    whole = tuple((0, size) for size in here.levels[1].shape)
    np.testing.assert_array_equal(here.read(1, whole), there.read(1, whole))
    with pytest.raises(LeftOutError):
        here.read_middle()
    assert tomogram.file_size_omezarr == size_on_disk(Path(here.pyramid.url))
    here.close()
    there.close()


def test_a_run_with_three_views_and_a_lesson_is_small(
    portal: Portal, lesson_folder: Path, tmp_path: Path
) -> None:
    views = [view_at(portal, point, "Same title") for point in POINTS]
    basket = Basket(source=portal.source.name, runs=(RUN,))
    path = tmp_path / "pack"
    make_class_pack(portal, path, basket, lessons=[lesson_folder], views=views)
    assert size_on_disk(path) <= 10_000_000
    (packed,) = lessons_of(path)
    assert packed.lesson == open_lesson(lesson_folder).lesson
    assert packed.read_file("cell.png") == b"picture"
    files = sorted((path / "views").iterdir())
    assert {read_view(file).camera.point_zyx_angstrom for file in files} == {*POINTS}


def test_what_a_lesson_asks_for_is_at_full_resolution_and_its_answer_isn_t_told(
    portal: Portal, lesson_folder: Path, tmp_path: Path
) -> None:
    plan = plan_class_pack(portal, lessons=[lesson_folder], around_nm=5)
    (boxes,) = plan.boxes.values()
    tomogram = portal.run_page(RUN).default_tomogram
    assert tomogram is not None
    for region in (
        ((0.0, 100.0), (0.0, 300.0), (0.0, 300.0)),  # of the task, not its picks
        ((50.0, 150.0), (750.0, 850.0), (750.0, 850.0)),  # around the link
        ((70.0, 170.0), (450.0, 550.0), (450.0, 550.0)),  # and that of the hint
    ):
        voxels = np.array(region) / tomogram.voxel_spacing
        assert any(np.allclose(box, voxels, atol=1) for box in boxes)
    assert set(plan.sizes) - {"metadata"} == {
        "tomograms",
        "full resolution around places",
        "lessons",
    }
    assert plan.title == "Ribosomes"
    folder = write_class_pack(plan, tmp_path / "pack")
    assert open_portal(folder).run_page(RUN).annotations == ()
    assert (folder / "lessons/ribosomes/answers/right.ndjson").is_file()
    assert not [path for path in (folder / "files").rglob("*") if "right" in path.name]


def test_what_is_missing_or_may_show_an_answer_is_said(portal: Portal, lesson_folder: Path) -> None:
    annotations = portal.run_page(RUN).annotations
    asked = [each.id for each in annotations if each.object_name == "cytosolic ribosome"]
    text = (lesson_folder / "lesson.md").read_text()
    text = text.replace("object_name: ribosome", "object_name: Cytosolic ribosome")
    (lesson_folder / "lesson.md").write_text(text)
    basket = Basket(source=portal.source.name, runs=(RUN,))
    (remark,) = plan_class_pack(portal, basket, lessons=[lesson_folder]).remarks
    assert f"AN-{asked[0]}" in remark
    assert not plan_class_pack(portal, basket, lessons=[lesson_folder], hide=asked).remarks
    view = view_at(portal, POINTS[0])
    layer = ViewedLayer(kind="annotation", annotation=ViewedAnnotation(path="gone"), name="Gone")
    files = ViewedRun(run_name="my files")
    view = replace(view, runs=(*view.runs, files), layers=(*view.layers, layer))
    (remark,) = plan_class_pack(portal, views=[view]).remarks
    assert "Gone" in remark


def test_a_hidden_annotation_is_nowhere_in_the_pack(portal: Portal, tmp_path: Path) -> None:
    hidden = portal.run_page(RUN).annotations[0]
    basket = Basket(source=portal.source.name, runs=(RUN,))
    folder = make_class_pack(portal, tmp_path / "pack", basket, hide=[hidden.id])
    pack = open_pack(folder)
    assert hidden.id not in [row["id"] for row in pack.tables["annotations"]]
    assert problems_of(pack, with_files=True) == ()
    path = (hidden.https_metadata_path or "").partition("/files/")[2].rpartition("/")[0]
    assert path
    assert not (folder / "files" / path).exists()
    for text in folder.rglob("*.json"):
        assert path not in text.read_text()
    with pytest.raises(NotFoundError, match="AN-7"):
        plan_class_pack(portal, basket, hide=[7])


def test_a_pack_names_no_folder_of_this_computer(portal: Portal, tmp_path: Path) -> None:
    folder = make_class_pack(portal, tmp_path / "pack", views=[view_at(portal, POINTS[0])])
    assert open_pack(folder).id == open_pack(portal.source.location).id
    for path in (folder / "pack.json", *(folder / "tables").iterdir()):
        assert portal.source.location not in path.read_text()


def test_nothing_is_left_after_a_stop_and_nothing_is_replaced(
    portal: Portal, tmp_path: Path
) -> None:
    plan = plan_class_pack(portal, views=[view_at(portal, POINTS[0])])
    task = Task(lambda fraction, _: task.stop() if fraction > 0.5 else None)
    with pytest.raises(StoppedError):
        write_class_pack(plan, tmp_path / "pack", task=task)
    with pytest.raises(StoppedError):  # the task stays stopped
        write_class_pack(plan, tmp_path / "pack.zip", task=task)
    assert list(tmp_path.iterdir()) == []
    for name in ("pack", "pack.zip"):
        write_class_pack(plan, tmp_path / name)
        with pytest.raises(ExistsError):
            write_class_pack(plan, tmp_path / name)
    with zipfile.ZipFile(tmp_path / "pack.zip") as archive:
        files = {path for path in (tmp_path / "pack").rglob("*") if path.is_file()}
        names = {path.relative_to(tmp_path / "pack").as_posix() for path in files}
        assert set(archive.namelist()) == names
