"""Save as… and open again, through napari, in a real viewer."""

import numpy as np
import pytest
from napari.layers import Labels, Points, Vectors

from napari_cryoet._qt.files import asking
from napari_cryoet._qt.files.context_dialog import Answer
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet.exceptions import MissingContextError, SaveError
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.formats.registry import read_picks, write_picks
from napari_cryoet.layers.load import load_annotation, load_picks
from napari_cryoet.picks import Picks
from napari_cryoet.volumes import open_volume
from qt.two_picks import ROTATIONS, messages, two_picks

PLUGIN = "napari-cryoet"


@pytest.fixture
def viewer(viewer_in_hidden_window):
    return viewer_in_hidden_window


@pytest.fixture
def picks():
    return two_picks()


@pytest.fixture
def layer(viewer, picks):
    points = [made for made in add_layers(viewer, load_picks(picks, name="ribosomes")) if isinstance(made, Points)]
    return points[0]


@pytest.mark.parametrize("name", ["a.ndjson", "a.star", "a.tbl", "a.parquet"])
def test_points_are_saved_with_all_that_is_known_of_them_and_open_again(viewer, layer, picks, tmp_path, name):
    layer.data = np.add(layer.data, [0.5, 0.0, 0.0])
    assert str(tmp_path / name) in layer.save(str(tmp_path / name), plugin=PLUGIN)

    viewer.layers.clear()
    opened = viewer.open(str(tmp_path / name), plugin=PLUGIN)
    (points,) = [made for made in opened if isinstance(made, Points)]
    found = read_picks(tmp_path / name)
    np.testing.assert_allclose(points.data, np.add(picks.points_zyx, [0.5, 0, 0]))
    np.testing.assert_allclose(found.rotations_zyx, ROTATIONS, atol=1e-9)
    assert points.scale.tolist() == [10.0] * 3
    assert found.about["authors"] == ["Ada"]
    assert found.alignment_id == 17


def test_points_that_are_selected_with_their_arrows_keep_their_rotations(viewer, layer, tmp_path):
    viewer.layers.selection = set(viewer.layers)
    assert any(isinstance(made, Vectors) for made in viewer.layers.selection)

    assert str(tmp_path / "a.star") in viewer.layers.save(str(tmp_path / "a.star"), selected=True)
    np.testing.assert_allclose(read_picks(tmp_path / "a.star").rotations_zyx, ROTATIONS, atol=1e-9)

    viewer.add_vectors(np.ones((2, 2, 3)), name="flow")
    with pytest.raises(SaveError, match="flow are no picks' arrows"):
        viewer.layers.save(str(tmp_path / "b.star"))
    assert not (tmp_path / "b.star").exists()


def test_what_a_format_cant_hold_is_told_in_words(layer, tmp_path):
    layer.features["by"] = ["me", "you"]
    layer.save(str(tmp_path / "a.tbl"), plugin=PLUGIN)

    assert "Wrote 2 picks to a.tbl (Dynamo table)." in messages()
    assert "A table has no column for by" in messages()


def test_anybodys_points_are_saved_too(viewer, tmp_path):
    points = viewer.add_points(np.ones((2, 3)), scale=(1, 1, 1), units="nm")
    points.save(str(tmp_path / "a.star"), plugin=PLUGIN)

    assert read_picks(tmp_path / "a.star").spacing_angstrom == 10.0


@pytest.mark.parametrize("name", ["a.star", "a.csv"])
def test_anybodys_scores_are_scores(viewer, tmp_path, name):
    features = {"score": [0.25, 0.5]}
    points = viewer.add_points(np.ones((2, 3)), scale=(1, 1, 1), units="nm", features=features)
    points.save(str(tmp_path / name), plugin=PLUGIN)

    assert read_picks(tmp_path / name).scores.tolist() == [0.25, 0.5]


@pytest.mark.parametrize("name", ["mask.zarr", "mask.mrc"])
def test_labels_are_saved_as_a_mask(viewer, tmp_path, name):
    mask = np.zeros((9, 14, 21), dtype=np.int64)
    mask[4, 6, 8] = 700
    labels = viewer.add_labels(mask, scale=(13.48,) * 3, units="angstrom")
    labels.save(str(tmp_path / name), plugin=PLUGIN)
    volume = open_volume(tmp_path / name)

    np.testing.assert_array_equal(volume.read_planes(slice(0, 9)), mask)
    np.testing.assert_allclose(volume.spacing_angstrom, [13.48] * 3, rtol=1e-6)


def test_a_streaming_mask_is_saved_in_full_resolution_without_its_padding(viewer, tmp_path):
    mask = np.zeros((9, 15, 21), np.int8)
    mask[4:6, 6:9, 8:20] = 1
    write_pyramid(tmp_path / "source.zarr", mask, 13.48, "mask")
    (labels,) = add_layers(viewer, load_annotation(tmp_path / "source.zarr"))
    assert isinstance(labels, Labels)
    labels.save(str(tmp_path / "copy.mrc"), plugin=PLUGIN)

    np.testing.assert_array_equal(open_volume(tmp_path / "copy.mrc").read_planes(slice(0, 9)), mask)


@pytest.mark.parametrize("scale", [(-13.48,) * 3, (13.48, -13.48, 13.48)])
def test_a_mask_that_is_flipped_in_the_viewer_is_refused(viewer, tmp_path, scale):
    labels = viewer.add_labels(np.ones((4, 4, 4), np.uint8), scale=scale, units="angstrom")
    with pytest.raises(SaveError, match="flipped"):
        labels.save(str(tmp_path / "mask.mrc"), plugin=PLUGIN)
    assert not list(tmp_path.iterdir())


class TestAsking:
    @pytest.fixture
    def star(self, tmp_path, picks):
        path = write_picks(picks.changed(about={}), tmp_path / "a.star").path
        text = path.read_text()
        path.write_text(text[text.index("\n") :])  # without our comment it says no size
        return path

    @pytest.fixture
    def answers(self, monkeypatch):
        """What a person would say, instead of a dialog; gives what was asked."""
        asked, said = [], []

        def ask(message, missing, choices, otherwise=""):
            asked.append((message, tuple(missing), choices))
            return said.pop(0)

        monkeypatch.setattr(asking, "_ask", ask)
        return asked, said

    def test_a_script_isnt_held_up_by_a_question(self, viewer, star):
        with pytest.raises(MissingContextError, match="how large the tomogram is"):
            viewer.open(str(star), plugin=PLUGIN)

    def test_what_a_person_says_places_the_picks(self, viewer, star, answers):
        asked, said = answers
        said.append(Answer(5.0, (80, 100, 120)))
        _arrows, points = viewer.open(str(star), plugin=PLUGIN)

        assert asked[0][1] == ("spacing_angstrom", "shape_zyx")
        np.testing.assert_allclose(points.data, [[2, 4, 6], [8, 10, 12]])
        assert points.scale.tolist() == [5.0] * 3

    def test_picks_in_voxels_open_in_voxels_if_nobody_knows_more(self, viewer, tmp_path, answers):
        write_picks(Picks([[1.0, 2.0, 3.0]]), tmp_path / "a.star", format="relion3")
        answers[1].append(None)
        (points,) = viewer.open(str(tmp_path / "a.star"), plugin=PLUGIN)

        assert str(points.units[0]) == "pixel"
        assert points.data.tolist() == [[1, 2, 3]]
