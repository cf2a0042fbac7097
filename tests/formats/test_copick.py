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
    return {"location": {"x": 10.0, "y": 20.0, "z": 35.0}, "transformation_": np.eye(4).tolist()} | more


def written(folder, *points, name="picks.json", **more):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(FILE | {"points": list(points)} | more))
    return path


@pytest.mark.parametrize(
    "more", [{"instance_id": 0, "score": 1.0}, {"instance_id": None, "score": None}, {"score": float("nan")}]
)
def test_what_copick_writes_by_default_means_nothing(tmp_path, more):
    found = read_picks(written(tmp_path, point(**more), point(**more)))

    assert found.rotations_zyx is found.instance_ids is found.scores is None


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
def test_what_is_wrong_is_named(tmp_path, points, noun):
    with pytest.raises(FormatError, match=noun):
        read_picks(written(tmp_path, *points))


def test_other_json_files_are_none_of_copicks(tmp_path):
    (tmp_path / "a.json").write_text('{"points": []}')

    assert detect_format(tmp_path / "a.json") is None
    with pytest.raises(FormatError, match="angstrom"):
        read_picks(written(tmp_path, point(), unit="pixel"))


class TestAProject:
    FOLDER = "ExperimentRuns/TS_7/Picks"

    def test_goes_by_the_names_of_its_folders_and_files(self, tmp_path):
        path = written(tmp_path, point(), name=f"{self.FOLDER}/grace_1_proteasome.json")
        about = read_picks(path).about

        assert [about[key] for key in ("run_name", "user_id", "session_id", "object_name")] == [
            *("TS_7", "grace", "1", "proteasome")
        ]

    def test_gets_files_that_it_finds_with_hidden_notes(self, tmp_path):
        picks = Picks([[1, 2, 3]], 10.0, about={"user_id": "ada", "object_name": "ribosome"})
        made = write_picks(picks, tmp_path / self.FOLDER / "grace_1_proteasome.json")
        document = json.loads(made.path.read_text())

        assert [document[key] for key in ("run_name", "user_id", "session_id", "pickable_object_name")] == [
            *("TS_7", "grace", "1", "proteasome")
        ]
        assert made.provenance_path.name.startswith(".")

    def test_gets_no_file_that_it_wouldnt_find(self, tmp_path):
        with pytest.raises(SaveError, match="USER_SESSION_OBJECT"):
            write_picks(Picks([[1, 2, 3]], 10.0), tmp_path / self.FOLDER / "ribosome.json")
