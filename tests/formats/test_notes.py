"""What an export says of itself counts if it can be meant, and only for the file that it was written for."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from napari_cryoet import read_picks, write_picks
from napari_cryoet.exceptions import SaveError
from napari_cryoet.formats.notes import path_beside, read_beside, source_of_download, written_with_notes
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import citation

ODD = [
    {"columns": [1]},
    {"star_names": 5, "star_encoded": 7},
    {"edits": "abc"},
    {"edits": [None]},
    {"source": [1]},
    {"dynamo_tag_offset": True},
    {"voxel_spacing_angstrom": -1},
    {"voxel_spacing_angstrom": "10"},
    {"shape_zyx": [0, -1, 2]},
    {"shape_zyx": [10**30, 1, 1]},
    {"alignment_id": "x"},
    5,
]
TEXTS = {
    "a.csv": "z_voxel,y_voxel,x_voxel,a\n1,2,3,4\n",
    "a.ndjson": '{"type": "point", "location": {"x": 3, "y": 2, "z": 1}}\n',
    "a.tbl": " ".join(["7", *["0"] * 22, "4", "3", "2", *["0"] * 9]) + "\n",
    "a.star": "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n3 2 1\n",
}


def with_notes(folder, name, notes):
    path = folder / name
    match path.suffix:
        case ".star":
            path.write_text(f"# napari-cryoet {json.dumps(notes)}\n{TEXTS[name]}")
        case ".parquet":
            table = pa.table({"z_voxel": [1.0], "y_voxel": [2.0], "x_voxel": [3.0]})
            pq.write_table(table.replace_schema_metadata({b"napari_cryoet": json.dumps(notes).encode()}), path)
        case _:
            path.write_text(TEXTS[name])
            if isinstance(notes, dict):
                notes = notes | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            (folder / f"{name}.provenance.json").write_text(json.dumps(notes))
    return path


@pytest.mark.parametrize("notes", ODD, ids=str)
@pytest.mark.parametrize("name", ["a.parquet", *TEXTS])
def test_notes_of_another_kind_than_we_write_are_as_good_as_none(tmp_path, name, notes):
    found = read_picks(with_notes(tmp_path, name, notes))

    assert found.points_zyx.tolist() == [[1, 2, 3]]
    assert (found.spacing_angstrom, found.shape_zyx, found.alignment_id, found.edits) == (None, None, None, ())


@pytest.mark.parametrize("odd", [5, "x", [], ["x", 5], {"annotation": 5}])
def test_picks_can_be_used_whatever_their_source_says(tmp_path, odd):
    keys = ["authors", "dois", "edits", "object_name", "run_name", "records", "relion", "origin_zyx_angstrom"]
    picks = read_picks(
        with_notes(tmp_path, "a.csv", {"source": dict.fromkeys(keys, odd), "voxel_spacing_angstrom": 10})
    )

    assert picks.spacing_angstrom == 10
    for suffix in (".star", ".ndjson", ".tbl", ".json"):
        assert len(read_picks(write_picks(picks, tmp_path / f"b{suffix}").path)) == 1


def test_what_a_source_says_comes_back(tmp_path):
    source = {"licence": None, "authors": ["Ada"], "run_id": 5, "when": np.datetime64("2026-01-02"), "n": np.int64(3)}
    about = read_picks(write_picks(Picks([[1, 2, 3]], 10.0, about=source), tmp_path / "a.csv").path).about

    assert {key: about[key] for key in ("licence", "authors", "run_id")} == {
        "licence": None,
        "authors": ["Ada"],
        "run_id": 5,
    }
    assert about["n"] == 3
    assert "Ada" in citation(about)


def test_a_file_and_its_notes_are_written_together_or_not_at_all(tmp_path):
    path = tmp_path / "a.csv"

    def fail():
        with written_with_notes(path, {}) as unfinished:
            unfinished.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())
    with written_with_notes(path, {"edits": ["x"]}) as unfinished:
        unfinished.write_text("whole")
    assert read_beside(path).edits == ("x",)
    path.write_text("changed")
    assert read_beside(path) is None


def test_replacing_a_file_replaces_its_notes(tmp_path):
    picks = Picks([[1, 2, 3]], 10.0, about={"authors": ["Ada"]})
    path = write_picks(picks, tmp_path / "a.csv").path
    write_picks(picks.changed(about={}), path, overwrite=True)

    assert "authors" not in read_picks(path).about
    path_beside(path).write_text("mine")
    with pytest.raises(SaveError, match="provenance"):
        write_picks(picks, path, overwrite=True)


def test_a_downloaded_file_says_where_it_comes_from(tmp_path):
    path = tmp_path / "run" / "a.ndjson"
    path.parent.mkdir()
    path.write_text(TEXTS["a.ndjson"])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    source = {"authors": ["Ada"], "alignment_id": 17, "warnings": ["of the source"]}
    items = {
        "items": [{"path": "run/a.ndjson", "source": source}],
        "files": [{"path": "run/a.ndjson", "sha256": digest}],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(items))

    picks = read_picks(path)
    assert (picks.about["authors"], picks.alignment_id, picks.edits) == (["Ada"], 17, ())
    path.write_text(TEXTS["a.ndjson"] * 2)
    assert read_picks(path).edits == ("changed since its download",)
    assert source_of_download(tmp_path / "other") == {}
