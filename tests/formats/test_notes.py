"""Notes of an export are used if they are valid and their checksum matches the file."""

import hashlib
import json

import pytest

from napari_cryoet import read_picks, write_picks
from napari_cryoet.formats.notes import path_beside, read_beside, written_with_notes
from napari_cryoet.picks import Picks

INVALID = [
    {"edits": "abc"},
    {"edits": [None]},
    {"source": [1]},
    {"voxel_spacing_angstrom": -1},
    {"shape_zyx": [0, -1, 2]},
    {"shape_zyx": [10**30, 1, 1]},
    {"alignment_id": "x"},
    5,
]
POINT = '{"type": "point", "location": {"x": 3, "y": 2, "z": 1}}\n'


@pytest.mark.parametrize("notes", INVALID, ids=str)
def test_invalid_notes_are_ignored(tmp_path, notes):
    path = tmp_path / "a.ndjson"
    path.write_text(POINT)
    if isinstance(notes, dict):
        notes = notes | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    path_beside(path).write_text(json.dumps(notes))
    picks = read_picks(path)

    assert picks.points_zyx.tolist() == [[1, 2, 3]]
    assert (picks.spacing_angstrom, picks.shape_zyx, picks.alignment_id, picks.edits) == (
        None,
        None,
        None,
        (),
    )


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

    assert not read_picks(path).about.authors


def test_provenance_of_downloads_comes_from_the_manifest(tmp_path):
    path = tmp_path / "run" / "a.ndjson"
    path.parent.mkdir()
    path.write_text(POINT)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    source = {"authors": ["Ada"], "alignment_id": 17, "warnings": ["of the source"]}
    items = {
        "items": [{"path": "run/a.ndjson", "source": source}],
        "files": [{"path": "run/a.ndjson", "sha256": digest}],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(items))

    picks = read_picks(path)
    assert (picks.about.authors, picks.alignment_id, picks.edits) == (("Ada",), 17, ())
    path.write_text(POINT * 2)
    assert read_picks(path).edits == ("changed since its download",)
