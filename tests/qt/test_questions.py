"""What a person is asked about files that don't say enough, and how long work is stopped."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt.files import questions
from napari_cryoet._qt.files.questions import Answer, ContextDialog
from napari_cryoet._qt.layers.alignment import ShownVolume
from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.picks import Picks
from qt.two_picks import messages, two_picks

PLUGIN = "napari-cryoet"
VOLUMES = [ShownVolume("TS_1", 10.0, (40, 50, 60)), ShownVolume("TS_1 bin", 20.0, (20, 25, 30))]


@pytest.fixture
def picks():
    return two_picks()


class TestTheDialog:
    @pytest.fixture
    def make_dialog(self, qtbot):
        def make(*missing, said="a.star doesn't say.", **more):
            dialog = ContextDialog(said, missing, **more)
            qtbot.addWidget(dialog)
            dialog.show()
            return dialog

        return make

    def test_nothing_is_chosen_beforehand(self, make_dialog):
        dialog = make_dialog("spacing_angstrom", "shape_zyx", volumes=VOLUMES)

        assert dialog.answer == Answer()
        assert not dialog.accept_button.isEnabled()

    def test_an_open_volume_gives_spacing_and_size(self, make_dialog, qtbot):
        dialog = make_dialog("spacing_angstrom", "shape_zyx", volumes=VOLUMES)
        dialog.volume.setFocus()
        qtbot.keyClick(dialog.volume, Qt.Key.Key_Down)
        qtbot.keyClick(dialog.volume, Qt.Key.Key_Down)

        assert dialog.answer == Answer(20.0, (20, 25, 30))
        qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
        assert dialog.result() == ContextDialog.DialogCode.Accepted

    def test_a_volume_that_gives_the_spacing_gives_its_size_too(self, make_dialog):
        dialog = make_dialog("spacing_angstrom", volumes=VOLUMES)
        dialog.volume.setCurrentIndex(1)
        assert dialog.answer == Answer(10.0, (40, 50, 60))
        dialog.spacing.setValue(12.0)
        assert dialog.answer == Answer(12.0)

    def test_numbers_can_be_typed(self, make_dialog, qtbot):
        dialog = make_dialog("shape_zyx")
        for box, size in zip(dialog.sizes_zyx, (1, 2, 3), strict=True):
            box.setValue(size)
        assert not dialog.accept_button.isEnabled()  # a size in voxels of unknown width says nothing

        dialog.spacing.setValue(13.481)
        assert dialog.answer == Answer(13.481, (1, 2, 3))
        assert dialog.accept_button.isEnabled()

    def test_only_what_is_missing_is_asked_for(self, make_dialog):
        dialog = make_dialog("tomogram", choices=["TS_1", "TS_2"], volumes=VOLUMES)

        assert dialog.tomogram.isVisible()
        assert not dialog.spacing.isVisible()
        assert not dialog.accept_button.isEnabled()
        dialog.tomogram.setCurrentText("TS_2")
        assert dialog.answer == Answer(tomogram="TS_2")
        assert dialog.accept_button.isEnabled()


class TestAsking:
    @pytest.fixture
    def viewer(self, viewer_in_window):
        return viewer_in_window

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

        monkeypatch.setattr(questions, "_ask", ask)
        return asked, said

    def test_a_script_isnt_held_up_by_a_question(self, viewer, star, monkeypatch):
        monkeypatch.setattr(questions, "viewer_to_ask_in", lambda: None)  # as in a window that nobody sees
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
        answers[1].append(Answer())
        (points,) = viewer.open(str(tmp_path / "a.star"), plugin=PLUGIN)

        assert str(points.units[0]) == "pixel"
        assert points.data.tolist() == [[1, 2, 3]]


class TestInAWindow:
    @pytest.fixture
    def viewer(self, viewer_in_window, qtbot):
        viewer_in_window.window._qt_window.activateWindow()
        qtbot.waitUntil(lambda: QApplication.activeWindow() is not None)
        return viewer_in_window

    def answer(self, qtbot, kind, act):
        """Do something to the next dialog of a kind, as soon as it is there."""

        def look():
            found = [each for each in QApplication.topLevelWidgets() if isinstance(each, kind) and each.isVisible()]
            if found:
                timer.stop()
                act(found[0])

        timer = QTimer()
        timer.timeout.connect(look)
        timer.start(20)
        return timer

    def test_the_dialog_asks_and_its_answer_is_used(self, viewer, qtbot, tmp_path, picks):
        viewer.add_image(np.zeros((40, 50, 60)), name="TS_1", scale=(10,) * 3, units="angstrom")
        path = write_picks(picks.changed(about={}), tmp_path / "a.star").path
        path.write_text(path.read_text().split("\n", 1)[1])
        asked = []

        def act(dialog):
            asked.append(dialog.message.text())
            dialog.volume.setCurrentIndex(1)
            qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)

        timer = self.answer(qtbot, ContextDialog, act)
        _arrows, points = viewer.open(str(path), plugin=PLUGIN)
        timer.stop()

        assert "doesn't say how large the tomogram is" in asked[0]
        np.testing.assert_allclose(points.data, picks.points_zyx)

    @pytest.mark.parametrize(
        ("name", "content", "why"),
        [
            ("a.picks.csv", "z,y,x\n1,2,3\n", "say what they count"),
            ("a.star", "data_\n\nloop_\n_wrpCoordinateX1\n1\n", "holds no positions of particles"),
            ("a.tbl", "1,2,3\n", "is no Dynamo table"),
        ],
    )
    def test_why_a_file_cant_be_read_is_seen(self, viewer, tmp_path, name, content, why):
        (tmp_path / name).write_text(content)

        with pytest.raises(FormatError, match=why):
            viewer.open(str(tmp_path / name), plugin=PLUGIN)
        assert why in messages()
