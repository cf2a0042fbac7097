"""copick's files: positions, transformations, ignored defaults, and names in a project."""

import json

import numpy as np
import pytest

from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.formats.registry import detect_format, read_picks, write_picks
from napari_cryoet.picks import Picks

FILE = {
    "pickable_object_name": "ribosome",
    "user_id": "ada",
    "session_id": "3",
    "run_name": "TS_1",
    "voxel_spacing": 10.0,
    "unit": "angstrom",
    "trust_orientation": True,
}


def point(**more):
    return {
        "location": {"x": 10.0, "y": 20.0, "z": 35.0},
        "transformation_": np.eye(4).tolist(),
    } | more


def write_file(folder, *points, name="picks.json", **more):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(FILE | {"points": list(points)} | more))
    return path


@pytest.mark.parametrize(
    "more",
    [
        {"instance_id": 0, "score": 1.0},
        {"instance_id": None, "score": None},
        {"score": float("nan")},
    ],
)
def test_copicks_default_values_are_ignored(tmp_path, more):
    picks = read_picks(write_file(tmp_path, point(**more), point(**more)))

    assert picks.rotations_zyx is picks.instance_ids is picks.scores is None


@pytest.mark.parametrize(
    ("points", "noun"),
    [
        ([3], "points"),
        ([{"transformation_": None}], "location"),
        ([point(location={"x": 1, "y": 2})], "z"),
        ([point(transformation_=[[1, 0], [0, 1]])], "transformation_"),
        ([point(transformation_=np.ones((4, 4)).tolist())], "transformation_"),
        ([point(score="high")], "score"),
        ([point(instance_id=3.7)], "instance_id"),
        ([point(location={"x": 1, "y": 2, "z": float("inf")})], "finite"),
    ],
)
def test_invalid_files_are_refused_with_the_reason(tmp_path, points, noun):
    with pytest.raises(FormatError, match=noun):
        read_picks(write_file(tmp_path, *points))


def test_other_json_files_and_units_are_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"points": []}')

    assert detect_format(tmp_path / "a.json") is None
    with pytest.raises(FormatError, match="angstrom"):
        read_picks(write_file(tmp_path, point(), unit="pixel"))


class TestProject:
    FOLDER = "ExperimentRuns/TS_7/Picks"

    def test_path_names_override_the_file_contents(self, tmp_path):
        path = write_file(tmp_path, point(), name=f"{self.FOLDER}/grace_1_proteasome.json")
        about = read_picks(path).about.to_dict()

        assert [about[key] for key in ("run_name", "user_id", "session_id", "object_name")] == [
            *("TS_7", "grace", "1", "proteasome")
        ]

    def test_written_files_follow_its_naming_with_hidden_notes(self, tmp_path):
        picks = Picks([[1, 2, 3]], 10.0, about={"user_id": "ada", "object_name": "ribosome"})
        written = write_picks(picks, tmp_path / self.FOLDER / "grace_1_proteasome.json")
        document = json.loads(written.path.read_text())

        assert [
            document[key] for key in ("run_name", "user_id", "session_id", "pickable_object_name")
        ] == [*("TS_7", "grace", "1", "proteasome")]
        assert written.provenance_path.name.startswith(".")

    def test_invalid_file_names_are_refused(self, tmp_path):
        with pytest.raises(SaveError, match="USER_SESSION_OBJECT"):
            write_picks(Picks([[1, 2, 3]], 10.0), tmp_path / self.FOLDER / "ribosome.json")
