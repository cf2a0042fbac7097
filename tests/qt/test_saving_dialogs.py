"""What napari's window asks and tells while something is saved or opened."""

import numpy as np
import pytest
from napari.layers import Points
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_cryoet._qt.files.context_dialog import ContextDialog
from napari_cryoet._qt.layers.manager import add_layers
from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.layers.load import load_picks
from napari_cryoet.picks import Picks
from qt.two_picks import messages, two_picks

PLUGIN = "napari-cryoet"


@pytest.fixture
def picks():
    return two_picks()


class TestWhatIsSaidBefore:
    @pytest.fixture
    def layer(self, viewer_in_window, picks):
        layers = add_layers(viewer_in_window, load_picks(picks, name="ribosomes"))
        return next(made for made in layers if isinstance(made, Points))

    @pytest.mark.parametrize(("button", "is_written"), [("Write", True), ("Cancel", False)])
    def test_who_sees_the_window_is_told_before(self, layer, qtbot, tmp_path, button, is_written):
        path = tmp_path / "a.tbl"
        told, done = [], []

        def press():
            box = QApplication.activeModalWidget()
            if box is None:
                return
            timer.stop()
            told.append((box.informativeText(), path.exists()))
            next(each for each in box.buttons() if each.text().replace("&", "") == button).click()

        timer = QTimer()
        timer.timeout.connect(press)
        timer.start(20)
        QTimer.singleShot(0, lambda: done.append(layer.save(str(path), plugin=PLUGIN)))
        qtbot.waitUntil(lambda: bool(done))
        timer.stop()

        ((text, was_there),) = told
        assert "counted from 1" in text
        assert not was_there
        assert path.exists() is is_written


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

    def test_a_button_opens_it_in_voxels(self, viewer, qtbot, tmp_path):
        write_picks(Picks([[1.0, 2.0, 3.0]]), tmp_path / "a.star", format="relion3")

        def act(dialog):
            assert dialog.without_button.text() == "Open in voxels"
            qtbot.mouseClick(dialog.without_button, Qt.MouseButton.LeftButton)

        timer = self.answer(qtbot, ContextDialog, act)
        (points,) = viewer.open(str(tmp_path / "a.star"), plugin=PLUGIN)
        timer.stop()

        assert str(points.units[0]) == "pixel"

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
