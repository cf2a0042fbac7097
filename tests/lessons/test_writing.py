"""Write lessons: edits of a draft, and the files that are saved."""

import numpy as np
import pytest
from msgspec.structs import replace

from napari_cryoet.exceptions import ExistsError, FormatError, SaveError
from napari_cryoet.lessons.lesson import PickTask
from napari_cryoet.lessons.writing import Draft, region_of_screen
from napari_cryoet.picks import Picks
from napari_cryoet.views.view import View, ViewedAnnotation, ViewedLayer, ViewedRun
from views.cameras import camera_at

POSITIONS = ((100.0, 200.0, 300.0), (150.0, 260.0, 310.0))
CAMERA = camera_at((400, 200, 1000), (600, 800))
EXTENT = ((0.0, 800.0), (0.0, 3000.0), (0.0, 2800.0))


@pytest.fixture
def draft():
    """A draft with three steps, of which the second has a task."""
    draft = Draft()
    draft.change(title="Ribosomes, quickly", minutes=5)
    for number in range(3):
        draft.add_step(None, number - 1)
    picks = Picks(np.array(POSITIONS) / 10, 10.0, shape_zyx=(80, 300, 280))
    reference = draft.add_picks(1, picks, is_hidden=True)
    task = PickTask(object_name="ribosome", tolerance_angstrom=100, reference=reference)
    draft.change_step(1, text="Pick them.", task=task, hints=("Dark.",))
    return draft


def test_steps_are_moved_and_removed_and_keep_their_keys(draft):
    keys = [step.key for step in draft.steps]
    assert len(set(keys)) == 3
    draft.move_step(1, 0)
    draft.change_step(0, title="Another title")
    assert [step.key for step in draft.steps] == [keys[1], keys[0], keys[2]]
    draft.remove_step(1)
    number = draft.add_step(None, after=0)
    assert number == 1
    assert len({step.key for step in draft.steps}) == 3
    assert draft.steps[0].task is not None


def test_another_folder_is_left_alone(draft, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ExistsError, match="empty"):
        draft.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_nothing_is_written_of_a_lesson_that_could_not_be_read(draft, tmp_path):
    draft.change_step(0, text="## A heading\n\nwould be a step of its own")
    with pytest.raises(SaveError, match="something else"):
        draft.save(tmp_path / "lesson")
    assert not (tmp_path / "lesson").exists()
    assert draft.is_changed


def test_steps_lack_the_layer_of_the_right_picks_as_long_as_a_task_has_them(draft):
    layer = ViewedLayer(kind="annotation", annotation=ViewedAnnotation(path="run/ribosome.ndjson"))
    run = ViewedRun(source="demo", dataset_id=90001, run_name="DEMO_001")
    draft.change_step(0, view=View(runs=(run,), layers=(layer,), camera=CAMERA))
    assert draft.trial().lesson.steps[0].view.layers == (layer,)
    draft.recognise(np.array(POSITIONS) + 20, layer.path)
    assert draft.trial().lesson.steps[0].view.layers == (layer,)
    draft.recognise(np.array(POSITIONS), layer.path)
    assert draft.trial().lesson.steps[0].view.layers == ()
    draft.change_step(1, task=None)
    assert draft.trial().lesson.steps[0].view.layers == (layer,)


@pytest.mark.parametrize("thickness", [0, 100])
def test_the_region_is_what_the_screen_shows_within_the_tomogram(thickness):
    through = (350, 450) if thickness else (0, 800)
    assert region_of_screen(CAMERA, EXTENT, thickness) == (through, (0, 500), (600, 1400))
    across = camera_at((400, 1000, 1000), (200, 800), order=(1, 0, 2))
    turned = region_of_screen(across, EXTENT, thickness)
    assert turned == ((300, 500), (950, 1050) if thickness else (0, 3000), (600, 1400))
    beside = replace(CAMERA, center_zyx_angstrom=(0, 200, 4000))
    with pytest.raises(FormatError, match="tomogram"):
        region_of_screen(beside, EXTENT, thickness)
