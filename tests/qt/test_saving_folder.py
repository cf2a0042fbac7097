"""Several layers saved at once, through napari, in a real viewer."""

import numpy as np
import pytest

from napari_cryoet._qt.files.saving_folder import write_folder
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet.exceptions import ExistsError, SaveError
from napari_cryoet.formats.registry import read_picks
from napari_cryoet.layers.load import load_picks
from napari_cryoet.layers.specs import METADATA_KEY
from napari_cryoet.picks import Picks
from napari_cryoet.volumes import open_volume
from qt.two_picks import ROTATIONS, messages, two_picks


@pytest.fixture
def viewer(viewer_in_hidden_window):
    """With two sets of picks, one of them with arrows."""
    add_layers(viewer_in_hidden_window, load_picks(two_picks(), name="ribosomes"))
    add_layers(viewer_in_hidden_window, load_picks(Picks([[7.0, 8.0, 9.0]], 13.48, scores=[0.5]), name="a/b: *"))
    return viewer_in_hidden_window


def add_tomogram(viewer, volume, name, spacing):
    about = {METADATA_KEY: {"kind": "tomogram"}}
    return viewer.add_image(volume, name=name, scale=(spacing,) * 3, units="angstrom", metadata=about)


def test_several_layers_of_picks_keep_all_that_is_known_of_them(viewer, tmp_path):
    written = viewer.layers.save(str(tmp_path / "all"))  # whichever plugin is asked

    found = read_picks(tmp_path / "all" / "ribosomes.ndjson")
    np.testing.assert_allclose(found.rotations_zyx, ROTATIONS, atol=1e-9)
    assert (found.spacing_angstrom, found.shape_zyx, found.alignment_id) == (10.0, (40, 50, 60), 17)
    assert found.about["authors"] == ["Ada"]
    (other,) = (path for path in written if "ribosomes" not in path)
    assert read_picks(other).spacing_angstrom == 13.48
    assert len(written) == 2
    assert "into the folder all" in messages()


def test_masks_are_saved_with_picks(viewer, tmp_path):
    mask = np.zeros((9, 14, 21), dtype=np.int64)
    mask[4, 6, 8] = 1
    viewer.add_labels(mask, name="vesicles", scale=(13.48,) * 3, units="angstrom")
    viewer.layers.save(str(tmp_path / "all"))

    volume = open_volume(tmp_path / "all" / "vesicles.zarr")
    np.testing.assert_array_equal(volume.read_planes(slice(0, 9)), mask)
    assert read_picks(tmp_path / "all" / "ribosomes.ndjson").alignment_id == 17


def test_all_layers_are_saved_or_none(viewer, tmp_path):
    viewer.add_labels(np.ones((4, 5, 6), int), name="turned", scale=(10,) * 3, units="angstrom", rotate=(0, 0, 30))
    with pytest.raises(SaveError, match="rotated or sheared"):
        viewer.layers.save(str(tmp_path / "all"))
    viewer.layers.remove("turned")
    viewer.add_labels(-np.ones((4, 5, 6), int), name="negative", scale=(10,) * 3, units="angstrom")
    with pytest.raises(SaveError, match="no values below 0"):
        viewer.layers.save(str(tmp_path / "all"))

    assert list(tmp_path.iterdir()) == []


def test_no_folder_that_is_there_is_touched(viewer, tmp_path):
    (tmp_path / "all").mkdir()
    with pytest.raises(ExistsError, match="There is a all already"):
        viewer.layers.save(str(tmp_path / "all"))

    assert list((tmp_path / "all").iterdir()) == []


def test_layers_of_one_name_get_files_of_their_own(viewer, tmp_path):
    layers = [layer.as_layer_data_tuple() for layer in viewer.layers]
    names = [path for path in write_folder(str(tmp_path / "all"), layers * 2) if "ribosomes" in path]

    assert len(set(names)) == 2
    assert [len(read_picks(name)) for name in names] == [2, 2]


def test_layers_that_are_no_picks_are_left_to_napari(viewer_in_hidden_window, tmp_path):
    viewer = viewer_in_hidden_window
    viewer.layers.clear()
    viewer.add_points(np.ones((2, 2)), name="flat")
    viewer.add_points(np.ones((2, 3)), name="deep")
    viewer.layers.save(str(tmp_path / "napari"))
    assert {path.name for path in (tmp_path / "napari").iterdir()} == {"flat.csv", "deep.csv"}

    add_layers(viewer, load_picks(two_picks(), name="ribosomes"))
    viewer.layers.save(str(tmp_path / "all"))
    assert {path.name for path in (tmp_path / "all").iterdir()} == {
        *("flat.csv", "deep.csv"),
        *("ribosomes.ndjson", "ribosomes.ndjson.provenance.json"),
    }


def test_a_tomogram_among_the_layers_isnt_written_and_that_is_said(viewer, tmp_path):
    add_tomogram(viewer, np.zeros((4, 5, 6)), "TS_1", 10)
    written = viewer.layers.save(str(tmp_path / "all"))  # with arrows among them, napari has no writer of its own

    assert {path.rsplit(".", 1)[1] for path in written} == {"ndjson"}
    assert "TS_1 isn't written: only picks and masks are." in messages()
