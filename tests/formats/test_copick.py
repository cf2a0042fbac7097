import json
from pathlib import Path

import numpy as np
import pytest

from napari_cryoet.exceptions import FormatError, MissingContextError, SaveError
from napari_cryoet.pick_files import read_picks, write_picks
from napari_cryoet.pick_formats import detect_format, losses
from napari_cryoet.picks import Picks

Z_TO_X = [[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
IDENTITY = np.eye(4).tolist()


def picks_file(folder, *points, **more):
    """A file as copick's own model dumps it."""
    document = {
        "pickable_object_name": "ribosome",
        "user_id": "ada",
        "session_id": "17",
        "run_name": "TS_1",
        "voxel_spacing": 10.0,
        "unit": "angstrom",
        "points": list(points),
        "trust_orientation": True,
    } | more
    path = folder / "ada_17_ribosome.json"
    path.write_text(json.dumps(document))
    return path


def point(x=100.0, y=200.0, z=300.0, transformation=IDENTITY, instance_id=0, score=1.0):
    location = {"x": x, "y": y, "z": z}
    return {"location": location, "transformation_": transformation, "instance_id": instance_id, "score": score}


def test_positions_are_in_angstrom_and_matrices_active(tmp_path):
    found = read_picks(picks_file(tmp_path, point(transformation=Z_TO_X, instance_id=3, score=0.5)))

    assert found.points_zyx.tolist() == [[30, 20, 10]]
    assert found.particle_axes_zyx(2).tolist() == [[0, 0, 1]]
    assert (found.instance_ids.tolist(), found.scores.tolist()) == ([3], [0.5])
    assert found.about["object_name"] == "ribosome"
    assert (found.about["user_id"], found.about["session_id"], found.about["run_name"]) == ("ada", "17", "TS_1")


def test_the_matrixs_last_column_moves_the_point(tmp_path):
    moved = [[1.0, 0, 0, 5.0], [0, 1.0, 0, 0], [0, 0, 1.0, -10.0], [0, 0, 0, 1.0]]

    assert read_picks(picks_file(tmp_path, point(transformation=moved))).points_zyx.tolist() == [[29, 20, 10.5]]


def test_scores_that_copick_writes_though_json_has_no_such_numbers_are_read(tmp_path):
    found = read_picks(picks_file(tmp_path, point(score=float("nan")), point(score=float("inf")), point(score=0.5)))

    np.testing.assert_array_equal(found.scores, [np.nan, np.inf, 0.5])


def test_a_last_row_that_was_rounded_is_one_as_it_is_to_copick(tmp_path):
    rounded = [*Z_TO_X[:3], [0.0, 1e-17, 0.0, 1.0]]

    assert read_picks(picks_file(tmp_path, point(transformation=rounded))).particle_axes_zyx(2).tolist() == [[0, 0, 1]]


def test_copicks_defaults_are_nothing(tmp_path):
    found = read_picks(picks_file(tmp_path, point(), point()))

    assert found.rotations_zyx is None
    assert found.instance_ids is None
    assert found.scores is None


def test_orientations_that_copick_doesnt_trust_are_none(tmp_path):
    assert read_picks(picks_file(tmp_path, point(transformation=Z_TO_X), trust_orientation=False)).rotations_zyx is None


def test_a_spacing_that_nobody_says_is_asked_for(tmp_path):
    path = picks_file(tmp_path, point(), voxel_spacing=None)

    with pytest.raises(MissingContextError) as raised:
        read_picks(path)
    assert raised.value.missing == ("spacing_angstrom",)
    assert read_picks(path, spacing_angstrom=20.0).points_zyx.tolist() == [[15, 10, 5]]


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ({"points": [point(x="far")]}, "point 1 can't be used"),
        ({"points": [point(), {}]}, "point 2 can't be used"),
        ({"points": [point(transformation=[[1.0]])]}, "4 x 4"),
        ({"points": "many"}, "aren't a list"),
        ({"unit": "pixel"}, "counts in 'pixel'"),
    ],
)
def test_damage_is_told_in_words(tmp_path, damage, why):
    with pytest.raises(FormatError, match=why):
        read_picks(picks_file(tmp_path, **damage))


def test_in_a_project_the_files_name_says_whose_picks_of_what_they_are(tmp_path):
    path = tmp_path / "ExperimentRuns" / "TS_1" / "Picks" / "ada-l_3_beta-amylase.json"
    write_picks(Picks([[1.0, 2.0, 3.0]], 10.0, about={"object_name": "something else"}), path)
    document = json.loads(path.read_text())
    assert [document[key] for key in ("run_name", "user_id", "session_id", "pickable_object_name")] == [
        "TS_1",
        "ada-l",
        "3",
        "beta-amylase",
    ]
    assert document["trust_orientation"] is False
    assert document["points"][0] == {
        "location": {"x": 30.0, "y": 20.0, "z": 10.0},
        "transformation_": IDENTITY,
        "instance_id": None,
        "score": None,
    }


def test_in_a_project_the_folders_say_the_run_from_wherever_one_is(tmp_path, monkeypatch):
    path = tmp_path / "ExperimentRuns" / "TS_1" / "Picks" / "ada_3_ribosome.json"
    path.parent.mkdir(parents=True)
    document = {"pickable_object_name": "ribosome", "user_id": "ada", "session_id": "3", "points": []}
    path.write_text(json.dumps(document | {"voxel_spacing": 10, "run_name": None}))  # as copick may leave it
    monkeypatch.chdir(path.parent)

    assert read_picks(path.name).about["run_name"] == "TS_1"
    write_picks(Picks([[1.0, 2.0, 3.0]], 10.0, about={"run_name": "other"}), "ada_4_ribosome.json")
    assert json.loads((path.parent / "ada_4_ribosome.json").read_text())["run_name"] == "TS_1"
    assert read_picks("ada_4_ribosome.json").about["run_name"] == "other"  # what was exported is known better


def test_a_file_that_got_another_name_in_a_project_is_of_whom_its_name_says(tmp_path):
    folder = tmp_path / "ExperimentRuns" / "TS_1" / "Picks"
    folder.mkdir(parents=True)
    path = picks_file(folder, point()).rename(folder / "bob_2_ribosome.json")

    about = read_picks(path).about
    assert [about[key] for key in ("user_id", "session_id", "object_name")] == ["bob", "2", "ribosome"]
    assert about["warnings"][0].endswith("and copick lists them by it; the file itself says ada, 17.")
    assert "warnings" not in read_picks(picks_file(folder, point())).about


def test_names_that_are_null_are_unknown(tmp_path):
    about = read_picks(picks_file(tmp_path, point(), pickable_object_name=None, user_id=None, session_id=None)).about

    assert not {"object_name", "user_id", "session_id"} & about.keys()


def test_what_else_points_hold_is_left_out_and_told(tmp_path):
    (said,) = read_picks(picks_file(tmp_path, point() | {"size": 3}, point())).about["warnings"]

    assert said == "What copick's points don't have was left out: size."


def test_what_else_a_file_and_its_places_hold_is_left_out_and_told(tmp_path):
    far = {"location": {"x": 1, "y": 2, "z": 3, "xy": 4}}
    of_file, of_points = read_picks(picks_file(tmp_path, point() | far, checked=True)).about["warnings"]

    assert of_file == "What copick's files don't have was left out: checked."
    assert of_points == "What copick's points don't have was left out: location.xy."


def test_what_is_null_is_not_told_as_left_out(tmp_path):
    nothing = {"location": {"x": 1, "y": 2, "z": 3, "w": None}, "size": None}
    assert read_picks(picks_file(tmp_path, point() | nothing, checked=None)).about.get("warnings", []) == []


def test_a_name_that_stands_in_an_object_twice_is_refused(tmp_path):
    path = picks_file(tmp_path, point())
    path.write_text(path.read_text().replace('"points"', '"points": [], "points"'))
    with pytest.raises(FormatError, match="it has 'points' twice"):
        read_picks(path)


def test_outside_a_project_what_is_known_of_the_picks_says_it(tmp_path):
    path = write_picks(
        Picks([[1.0, 2.0, 3.0]], 10.0, about={"object_name": "VLP", "run_name": "r"}), tmp_path / "a.json"
    )
    document = json.loads(path.path.read_text())

    assert [document[key] for key in ("run_name", "user_id", "session_id", "pickable_object_name")] == [
        "r",
        "napari-cryoet",
        "0",
        "VLP",
    ]


def seen_by_copick(folder):
    """The object of each set of picks that copick lists in a folder (``_query_overlay_picks``)."""
    names = [path.name.replace(".json", "") for path in folder.glob("*.json")]
    return [name.split("_")[2] for name in names if not name.startswith(".")]


def test_in_a_project_copick_lists_the_picks_and_nothing_else(tmp_path):
    path = tmp_path / "ExperimentRuns" / "TS_1" / "Picks" / "ada_3_ribosome.json"
    made = write_picks(Picks([[1.0, 2.0, 3.0]], 10.0, alignment_id=17, about={"authors": ["Ada"]}), path)

    assert seen_by_copick(path.parent) == ["ribosome"]
    assert made.provenance_path.name == ".ada_3_ribosome.json.provenance.json"
    again = read_picks(path)
    assert (again.alignment_id, again.about["authors"]) == (17, ["Ada"])
    write_picks(again, path, overwrite=True)
    assert {each.name for each in path.parent.iterdir()} == {path.name, made.provenance_path.name}


def test_where_picks_come_from_is_read_under_either_name_and_not_left_beside_a_new_file(tmp_path):
    path = tmp_path / "ExperimentRuns" / "TS_1" / "Picks" / "ada_3_ribosome.json"
    made = write_picks(Picks([[1.0, 2.0, 3.0]], 10.0, alignment_id=17), path)
    visible = made.provenance_path.rename(path.with_name("ada_3_ribosome.json.provenance.json"))  # as it once was

    again = read_picks(path)
    assert again.alignment_id == 17
    write_picks(again, path, overwrite=True)
    assert not visible.exists()
    assert seen_by_copick(path.parent) == ["ribosome"]
    for moved in (path, made.provenance_path):
        moved.rename(tmp_path / moved.name)
    assert read_picks(tmp_path / path.name).alignment_id == 17


@pytest.mark.parametrize(
    "name", ["mine.json", "ada_3_beta_amylase.json", "ada_3_a b.json", ".ada_3_ribosome.json", "_3_a.json"]
)
def test_in_a_project_a_name_that_copick_wouldnt_find_is_refused(tmp_path, name):
    path = tmp_path / "ExperimentRuns" / "TS_1" / "Picks" / name

    with pytest.raises(SaveError, match="USER_SESSION_OBJECT"):
        write_picks(Picks([[1.0, 2.0, 3.0]], 10.0), path)
    assert list(path.parent.iterdir()) == []


def test_outside_a_project_a_name_with_underscores_means_nothing(tmp_path):
    made = write_picks(Picks([[1.0, 2.0, 3.0]], 10.0, about={"object_name": "VLP"}), tmp_path / "my_kept_picks.json")

    assert json.loads(made.path.read_text())["user_id"] == "napari-cryoet"


def test_foreign_json_isnt_ours(tmp_path, project_folder):
    (tmp_path / "config.json").write_text('{"name": "x", "user_id": "ada", "pickable_objects": []}')

    assert detect_format(tmp_path / "config.json") is None
    assert detect_format(picks_file(tmp_path)) == "copick"
    assert detect_format(Path(write_picks(Picks([]), tmp_path / "a.csv").provenance_path)) is None


def test_what_copick_cant_hold_is_said_before():
    picks = Picks([[1.0, 2.0, 3.0]], 4.5, ids=[4], features={"by": np.array(["me"])}, about={"authors": ["Ada"]})
    said = " ".join(losses(picks, "copick"))

    assert "own ids" in said
    assert "no by" in said
    assert ".provenance.json" in said


@pytest.mark.parametrize("instance_id", [3.7, True, 2**63, -(2**63) - 1])
def test_an_instance_that_is_no_number_of_ours_is_refused_and_not_rounded(tmp_path, instance_id):
    with pytest.raises(FormatError, match="point 1 can't be used"):
        read_picks(picks_file(tmp_path, point(instance_id=instance_id)))


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"scores": [1.0, 1.0]}, "All scores are 1"),
        ({"scores": [np.inf, 0.5]}, "infinite scores"),
        ({"instance_ids": [0, 0]}, "All instance ids are 0"),
    ],
)
def test_values_that_copick_has_for_nothing_are_said_before(columns, why):
    assert any(why in said for said in losses(Picks([[1, 2, 3], [4, 5, 6]], 10.0, **columns), "copick"))


def test_a_width_that_is_no_number_is_asked_for(tmp_path):
    with pytest.raises(MissingContextError, match="how wide a voxel is"):
        read_picks(picks_file(tmp_path, point(), voxel_spacing=10**400))
