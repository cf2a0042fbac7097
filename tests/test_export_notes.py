"""What an export says of itself can be anything by the time that it is read."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from napari_cryoet import check_picks, compare, load_annotation, load_picks, open_annotation, pick_files, report_text
from napari_cryoet.comparison.layers import comparison_layers
from napari_cryoet.mask_files import write_mask
from napari_cryoet.pick_files import read_picks, write_picks
from napari_cryoet.provenance import citation
from napari_cryoet.review import Subject
from napari_cryoet.volumes import open_volume

ODD = [
    {"columns": [1]},
    {"columns": 5},
    {"columns": {"a": [1]}},
    {"empty_columns": 5},
    {"empty_columns": [1]},
    {"star_names": 5, "star_encoded": 7},
    {"star_names": [1], "star_encoded": {"a": 1}},
    {"edits": "abc"},
    {"edits": [None]},
    {"source": [1]},
    {"dynamo_tag_offset": 10**30},
    {"dynamo_tag_offset": True},
    {"voxel_spacing_angstrom": True},
    {"voxel_spacing_angstrom": -1},
    {"voxel_spacing_angstrom": "10"},
    {"shape_zyx": [0, -1, 2]},
    {"shape_zyx": [True, 1, 2]},
    {"shape_zyx": [10**30, 1, 1]},
    {"alignment_id": True},
    {"alignment_id": 10**30},
]
SOURCE_KEYS = [
    *("source_url", "portal_url", "licence", "dataset_title", "deposition_title", "shape_type", "object_id"),
    *("object_name", "run_name", "tomogram_name", "user_id", "session_id", "authors", "dois", "edits", "warnings"),
    *("run_id", "alignment_id", "annotation_id", "annotation_file_id", "dataset_id", "records"),
    *("confidence_precision_percent", "confidence_recall_percent", "voxel_spacing_angstrom", "origin_zyx_angstrom"),
    *("relion", "tomogram_number", "shown_name", "review", "fit"),
]
STAR = "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n_rlnA\n_rlnB\n3 2 1 4 5\n"
TEXTS = {
    "a.csv": "z_voxel,y_voxel,x_voxel,a\n1,2,3,4\n",
    "a.ndjson": '{"type": "point", "location": {"x": 3, "y": 2, "z": 1}}\n',
    "a.tbl": " ".join(["7", *["0"] * 22, "4", "3", "2", *["0"] * 9]) + "\n",
    "a.json": json.dumps(
        {"pickable_object_name": "a", "user_id": "a", "session_id": "0", "voxel_spacing": 1}
        | {"points": [{"location": {"x": 3, "y": 2, "z": 1}}]}
    ),
}


def with_notes(folder, name, notes):
    path = folder / name
    match path.suffix:
        case ".star":
            path.write_text(f"# napari-cryoet {json.dumps(notes)}\n{STAR}")
        case ".parquet":
            table = pa.table({"z_voxel": [1.0], "y_voxel": [2.0], "x_voxel": [3.0]})
            pq.write_table(table.replace_schema_metadata({b"napari_cryoet": json.dumps(notes).encode()}), path)
        case _:
            path.write_text(TEXTS[name])
            notes = notes | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            (folder / f"{name}.provenance.json").write_text(json.dumps(notes))
    return path


@pytest.mark.parametrize("notes", ODD, ids=str)
@pytest.mark.parametrize("name", ["a.star", "a.parquet", *TEXTS])
def test_notes_of_another_kind_than_we_write_are_as_good_as_none(tmp_path, name, notes):
    found = read_picks(with_notes(tmp_path, name, {"count": 1} | notes))

    assert found.points_zyx.tolist() == [[1, 2, 3]]
    assert found.spacing_angstrom == (1.0 if name == "a.json" else None)
    assert (found.shape_zyx, found.alignment_id, found.edits) == (None, None, ())
    assert found.ids.tolist() == ([7] if name == "a.tbl" else [0])


@pytest.mark.parametrize("name", ["a.star", "a.parquet", *TEXTS])
def test_what_was_left_out_of_notes_is_told(tmp_path, name):
    notes = {"count": 1, "edits": ["cleaned", 5], "alignment_id": 17.5, "written_by": None}
    path = with_notes(tmp_path, name, notes | {"source": {"authors": "Grace", "run_id": None}})

    found = read_picks(path)

    assert found.edits == ("cleaned",)
    assert found.about["warnings"][-1].endswith("was left out: edits, alignment_id, source.authors.")
    assert "left_out" not in found.about


@pytest.mark.parametrize("spelled", [17, 17.0, "17", "AL-17", " al-17 "])
@pytest.mark.parametrize("name", ["a.star", "a.parquet", *TEXTS])
def test_an_alignment_counts_however_it_is_spelled(tmp_path, name, spelled):
    found = read_picks(with_notes(tmp_path, name, {"count": 1, "alignment_id": spelled}))

    assert found.alignment_id == 17
    assert not any("left out" in said for said in found.about.get("warnings", ()))


@pytest.mark.parametrize("name", ["a.mrc", "a.zarr"])
def test_what_was_left_out_of_the_notes_of_a_mask_is_told(tmp_path, name):
    path = write_mask(np.ones((3, 3, 3), bool), tmp_path / name, spacing_angstrom=10, alignment_id=17).path
    file = tmp_path / "a.mrc.provenance.json" if name == "a.mrc" else path / ".zattrs"
    known = json.loads(file.read_text())
    notes = known if name == "a.mrc" else known["napari_cryoet"]
    notes |= {"alignment_id": "of last week", "edits": ["painted", 5]}
    file.write_text(json.dumps(known))

    for about in (open_annotation(path).about, load_annotation(path)[0].options["metadata"]["napari_cryoet"]):
        assert about["edits"] == ["painted"]
        assert about["warnings"][-1].endswith("was left out: alignment_id, edits.")


def test_a_column_that_would_take_anothers_name_keeps_its_own(tmp_path):
    found = read_picks(with_notes(tmp_path, "a.star", {"count": 1, "star_names": {"rlnA": "rlnB"}}))

    assert {name: column.tolist() for name, column in found.features.items()} == {"rlnA": [4], "rlnB": [5]}


@pytest.mark.parametrize("odd", [5, 1.5, True, "", "x", [], ["x", 5], [[]], {}, {"annotation": 5}, {"annotation": {}}])
def test_whatever_a_source_says_of_itself_its_picks_can_be_used(tmp_path, odd):
    path = with_notes(tmp_path, "a.csv", {"source": dict.fromkeys(SOURCE_KEYS, odd), "voxel_spacing_angstrom": 10})

    picks = read_picks(path)

    assert picks.points_zyx.tolist() == [[1, 2, 3]]
    assert load_picks(picks, name="a")
    assert isinstance(citation(picks.about), str)
    assert isinstance(Subject.of(picks, name="a").file_name, str)
    found = compare(picks, picks, radius_angstrom=5)
    assert "matched" in report_text(found)
    assert comparison_layers(found)
    assert check_picks(
        picks, open_volume(write_mask(np.ones((9, 9, 9), bool), tmp_path / "m.mrc", spacing_angstrom=10).path)
    )
    for number, name in enumerate(pick_files.FORMATS):
        whole = picks.changed(shape_zyx=(9, 9, 9))
        write_picks(whole, tmp_path / f"{number}{pick_files.SUFFIXES[name]}", format=name)
    mask = tmp_path / "m.zarr"
    write_mask(np.ones((9, 9, 9), bool), mask, spacing_angstrom=10, about=picks.about)
    assert load_annotation(mask)
    assert "inside" in report_text(compare(picks, open_annotation(mask), insist=True))


def test_what_a_source_says_comes_back_even_where_it_says_that_nothing_is_known(tmp_path):
    source = {"licence": None, "authors": ["Ada"], "run_id": 5, "records": {"run": {"id": 5}, "dataset": None}}
    about = read_picks(with_notes(tmp_path, "a.csv", {"source": source})).about

    assert {key: about[key] for key in source} == source
