import pytest
from qtpy.QtCore import Qt

from napari_cryoet._qt.files.context_dialog import Answer, ContextDialog
from napari_cryoet._qt.layers.alignment import ShownVolume

VOLUMES = [ShownVolume("TS_1", 10.0, (40, 50, 60)), ShownVolume("TS_1 bin", 20.0, (20, 25, 30))]


@pytest.fixture
def make_dialog(qtbot):
    def make(*missing, said="a.star doesn't say.", **more):
        dialog = ContextDialog(said, missing, **more)
        qtbot.addWidget(dialog)
        dialog.show()
        return dialog

    return make


def test_nothing_is_chosen_beforehand(make_dialog):
    dialog = make_dialog("spacing_angstrom", "shape_zyx", volumes=VOLUMES)

    assert dialog.answer == Answer()
    assert not dialog.accept_button.isEnabled()


def test_an_open_volume_gives_spacing_and_size(make_dialog, qtbot):
    dialog = make_dialog("spacing_angstrom", "shape_zyx", volumes=VOLUMES)
    dialog.volume.setFocus()
    qtbot.keyClick(dialog.volume, Qt.Key.Key_Down)
    qtbot.keyClick(dialog.volume, Qt.Key.Key_Down)

    assert dialog.answer == Answer(20.0, (20, 25, 30))
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    assert dialog.result() == ContextDialog.DialogCode.Accepted


def test_a_volume_that_gives_the_spacing_gives_its_size_too(make_dialog):
    dialog = make_dialog("spacing_angstrom", volumes=VOLUMES)
    dialog.volume.setCurrentIndex(1)
    assert dialog.answer == Answer(10.0, (40, 50, 60))
    dialog.spacing.setValue(12.0)
    assert dialog.answer == Answer(12.0)


def test_numbers_can_be_typed(make_dialog, qtbot):
    dialog = make_dialog("shape_zyx")
    for box, size in zip(dialog.sizes_zyx, (1, 2, 3), strict=True):
        box.setValue(size)
    assert not dialog.accept_button.isEnabled()  # a size in voxels of unknown width says nothing

    dialog.spacing.setValue(13.481)
    assert dialog.answer == Answer(13.481, (1, 2, 3))
    assert dialog.accept_button.isEnabled()


def test_only_what_is_missing_is_asked_for(make_dialog):
    dialog = make_dialog("tomogram", choices=["TS_1", "TS_2"], volumes=VOLUMES)

    assert dialog.tomogram.isVisible()
    assert not dialog.spacing.isVisible()
    assert not dialog.accept_button.isEnabled()
    dialog.tomogram.setCurrentText("TS_2")
    assert dialog.answer == Answer(tomogram="TS_2")
    assert dialog.accept_button.isEnabled()
