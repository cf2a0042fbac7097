import pytest

from napari_cryoet.packs.check import problems_of
from napari_cryoet.packs.pack import write_pack
from packs.served_files import served_pack
from packs.small_pack import HTTPS, MANIFEST, row, small_tables


def test_a_good_pack_has_no_problems(tmp_path):
    assert problems_of(write_pack(tmp_path, MANIFEST, small_tables())) == ()


def test_a_good_pack_has_all_its_files(tmp_path):
    assert problems_of(served_pack(tmp_path), with_files=True) == ()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"colour": "red"}, "has colour, which the schema doesn't have"),
        ({"name": None}, "lacks name, which every row must have"),
        ({"name": 5}, "should have text in name"),
        ({"datasetId": 99}, "has datasetId 99, but datasets has no such row"),
        ({"httpsPrefix": HTTPS + "../x"}, "leads out of its files"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(tmp_path, cells, words):
    tables = small_tables() | {"annotations": [], "tomograms": [], "tomogramVoxelSpacings": [], "annotationShapes": []}
    tables["runs"] = [row("runs", id=7, datasetId=10) | cells]
    (problem,) = problems_of(write_pack(tmp_path, MANIFEST, tables))
    assert words in problem


def test_a_word_that_the_schema_does_not_have_is_said(tmp_path):
    tables = {"annotationShapes": [row("annotationShapes", id=1, shapeType="Hologram")]}
    (problem,) = problems_of(write_pack(tmp_path, MANIFEST, tables))
    assert "'Hologram' in shapeType" in problem


def test_a_missing_file_is_said_if_files_are_checked(tmp_path):
    pack = write_pack(tmp_path, MANIFEST, {"depositions": [row("depositions", id=1, keyPhotoUrl=HTTPS + "1/a b.png")]})
    assert problems_of(pack) == ()
    (problem,) = problems_of(pack, with_files=True)
    assert "1/a b.png in keyPhotoUrl, but the pack has no such file" in problem


def test_a_damaged_table_does_not_hide_the_others(tmp_path):
    pack = write_pack(tmp_path, MANIFEST, {"runs": [row("runs", id=7, datasetId=1) | {"name": None}]})
    (tmp_path / "tables" / "datasets.json").write_text("{")
    problems = problems_of(pack)
    assert len(problems) == 2
    assert any("datasets.json isn't valid JSON" in problem for problem in problems)


def test_no_more_problems_are_listed_than_a_person_reads(tmp_path):
    runs = [row("runs", id=number, datasetId=1) for number in range(500)]
    assert len(problems_of(write_pack(tmp_path, MANIFEST, {"runs": runs}))) == 100
