"""Questions about files with missing information."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt.files.questions import (
    ContextAnswer,
    ContextDialog,
    known_answer,
)
from napari_cryoet._qt.layers.placement import ShownVolume
from napari_cryoet._qt.widgets.controls import viewer_to_ask_in
from napari_cryoet.exceptions import FormatError, MissingContextError
from napari_cryoet.formats.registry import write_picks
from qt.two_picks import messages, two_picks

PLUGIN = "napari-cryoet"
VOLUMES = [ShownVolume("TS_1", 10.0, (40, 50, 60)), ShownVolume("TS_1 bin", 20.0, (20, 25, 30))]


class TestContextDialog:
    @pytest.fixture
    def make_dialog(self, qtbot):
        def make(*missing, **more):
            dialog = ContextDialog("a.star doesn't say.", missing, **more)
            qtbot.addWidget(dialog)
            dialog.show()
            return dialog

        return make

    def test_choosing_an_open_volume_sets_spacing_and_size(self, make_dialog, qtbot):
        dialog = make_dialog("spacing_angstrom", "shape_zyx", volumes=VOLUMES)
        assert dialog.answer == ContextAnswer()
        dialog.volume.setFocus()
        qtbot.keyClick(dialog.volume, Qt.Key.Key_Down)
        qtbot.keyClick(dialog.volume, Qt.Key.Key_Down)
        assert dialog.answer == ContextAnswer(20.0, (20, 25, 30))

    def test_enter_takes_the_named_or_the_active_volume(self, make_dialog, qtbot):
        for tomograms, active, expected in (
            (("TS_1 bin",), "TS_1", 20.0),
            (("TS_9",), "TS_1", 10.0),
            ((), "picks", 20.0),
            (("TS_1", "TS_1 bin"), "TS_1 bin", 20.0),
        ):
            dialog = make_dialog("spacing_angstrom", volumes=VOLUMES)
            dialog.prefer(tomograms, active)
            qtbot.keyClick(dialog, Qt.Key.Key_Return)
            assert dialog.result()
            assert dialog.answer.spacing_angstrom == expected

    def test_numbers_can_be_typed(self, make_dialog):
        dialog = make_dialog("shape_zyx")
        for box, size in zip((*dialog.sizes_zyx, dialog.spacing), (1, 2, 3, 13.481), strict=True):
            box.setValue(size)
        assert dialog.answer == ContextAnswer(13.481, (1, 2, 3))

    def test_only_missing_fields_are_shown(self, make_dialog):
        dialog = make_dialog("tomogram", choices=["TS_1", "TS_2"], volumes=VOLUMES)
        assert not dialog.spacing.isVisible()
        dialog.tomogram.setCurrentText("TS_2")

        assert dialog.answer == ContextAnswer(tomogram="TS_2")


class TestKnownAnswer:
    FILE = Path("mine", "a.tbl")

    def answer(self, *tomograms, volumes=VOLUMES[:1], missing=("shape_zyx",)):
        return known_answer(
            MissingContextError("", missing=missing, choices=tomograms), volumes, self.FILE
        )

    def test_a_volume_with_the_tomograms_name_gives_its_grid(self):
        assert self.answer("TS_1") == ContextAnswer(10.0, (40, 50, 60))
        assert self.answer("TS") is None, "a part of the name"
        for name, is_same in (("rec_TS_1", True), ("TS_1_10.00Apx", True), ("TS_1_2", False)):
            volume = VOLUMES[0]._replace(name=name)
            assert (self.answer("TS_1", volumes=[volume]) is not None) == is_same
        assert self.answer("1") is None, "a number"
        of_run = VOLUMES[0]._replace(name="TS_2", run_name="TS_1")
        assert self.answer("TS_1", volumes=[of_run]) is not None
        assert self.answer("TS_2", volumes=[of_run]) is None
        several = [*VOLUMES[:1], VOLUMES[1]._replace(name="TS_1")]
        assert self.answer("TS_1", volumes=several) is None, "they have different grids"

    def test_a_file_without_names_belongs_to_volumes_of_its_folder(self):
        here = VOLUMES[0]._replace(path="mine/b.mrc")
        rounded = here._replace(spacing_angstrom=10.0001, name="other")
        elsewhere = VOLUMES[1]._replace(path="other/c.mrc")
        assert self.answer(volumes=[here, rounded, elsewhere]) == ContextAnswer(10.0, (40, 50, 60))
        assert self.answer(volumes=[elsewhere]) is None
        assert self.answer("TS_2", volumes=[here]) is None

    def test_of_several_tomograms_the_open_one_is_taken(self):
        missing = ("tomogram",)
        assert self.answer("TS_1", "TS_2", missing=missing) == ContextAnswer(tomogram="TS_1")
        assert self.answer("TS_2", "TS_3", missing=missing) is None


class TestDialogInWindow:
    @pytest.fixture
    def viewer(self, viewer_in_window, qtbot):
        viewer_in_window.window._qt_window.activateWindow()
        qtbot.waitUntil(lambda: viewer_to_ask_in() is not None)
        return viewer_in_window

    @pytest.fixture
    def star(self, tmp_path):
        path = write_picks(two_picks().changed(about={}), tmp_path / "a.star").path
        path.write_text(path.read_text().split("\n", 1)[1])  # our comment contains the size
        return path

    def test_the_answer_is_used_to_read_the_file(self, viewer, qtbot, star):
        viewer.add_image(np.zeros((40, 50, 60)), name="mine", scale=(10,) * 3, units="angstrom")
        asked = []

        def answer():
            dialog = QApplication.activeModalWidget()
            if isinstance(dialog, ContextDialog):
                asked.append(dialog.message.text())
                qtbot.keyClick(dialog, Qt.Key.Key_Return)

        timer = QTimer(interval=20)
        timer.timeout.connect(answer)
        timer.start()
        _arrows, points = viewer.open(str(star), plugin=PLUGIN)
        timer.stop()

        assert "how large the tomogram is" in asked[0]
        np.testing.assert_allclose(points.data, two_picks().points_zyx)

    def test_no_dialog_opens_for_a_script(self, viewer, star, monkeypatch):
        # as without a visible window
        monkeypatch.setattr("napari.viewer.current_viewer", lambda: None)
        with pytest.raises(MissingContextError, match="tomogram"):
            viewer.open(str(star), plugin=PLUGIN)

    def test_a_read_error_is_shown(self, viewer, tmp_path):
        (tmp_path / "a.tbl").write_text("1,2,3\n")
        with pytest.raises(FormatError, match="Dynamo"):
            viewer.open(str(tmp_path / "a.tbl"), plugin=PLUGIN)
        assert "Dynamo" in messages()
