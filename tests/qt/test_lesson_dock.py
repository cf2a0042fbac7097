"""A lesson with every kind of task, played with clicks and keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from napari import Viewer
from napari.utils.notifications import notification_manager
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt, QUrl
from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

from lessons.demo_answers import answers_to
from lessons.fake_lesson import REFERENCE, FakeLesson
from lessons.sample_lesson import view_at, write_lesson
from napari_cryoet import open_portal
from napari_cryoet._qt import launch as launch_module
from napari_cryoet._qt.launch import LaunchOptions
from napari_cryoet._qt.lessons.dock import LessonDock, open_lesson_dock
from napari_cryoet._qt.lessons.stage import LINE, REGION, RIGHT_PICKS, WRONG_PICKS
from napari_cryoet._qt.widgets.dock import BROWSER, open_dock
from napari_cryoet.cli import main
from napari_cryoet.formats.registry import write_picks
from napari_cryoet.lessons.folder import lessons_of
from napari_cryoet.lessons.lesson import (
    Answer,
    Choice,
    ChooseAnswer,
    ChooseTask,
    CompareAnswer,
    CompareTask,
    MeasureAnswer,
    MeasureTask,
    PickAnswer,
    PickTask,
    Result,
    SortAnswer,
    SortTask,
    Step,
)
from napari_cryoet.picks import Picks
from napari_cryoet.views.view import View, ViewedRun
from qt.buttons import button_in
from views.cameras import camera_at

LEFT = Qt.MouseButton.LeftButton
PLAIN = Qt.KeyboardModifier.NoModifier
TITLE = "Ribosomes"  # of the sample
YOURS = "Your picks · Pick"
MIDDLE = (400.0, 1400.0, 1400.0)
SORT = SortTask(picks="crops.ndjson", reference="right.ndjson", tolerance_angstrom=9)
REGION_ZYX = ((200.0, 600.0), (800.0, 1900.0), (800.0, 1900.0))


@pytest.fixture
def view(demo_at_home: Path) -> View:
    return view_at(open_portal(demo_at_home), MIDDLE)


@pytest.fixture
def dock(qtbot: QtBot, viewer_in_window: Viewer, demo_at_home: Path) -> Iterator[LessonDock]:
    viewer_in_window.window.resize(1100, 700)
    dock = open_lesson_dock(viewer_in_window)
    with qtbot.waitActive(dock.window()):
        dock.window().activateWindow()
    yield dock
    viewer_in_window.window.resize(800, 480)


@pytest.fixture
def click_at(qtbot: QtBot, viewer_in_window: Viewer) -> Callable[[float, float], None]:
    """Click on the canvas at y and x in ångström."""
    canvas = viewer_in_window.window._qt_viewer.canvas.native  # napari has no public name for it

    def click(y: float, x: float) -> None:
        camera = viewer_in_window.scene.camera
        down, right = (np.array([y, x]) - camera.center[-2:]) * camera.zoom
        at = QPoint(round(canvas.width() / 2 + right), round(canvas.height() / 2 + down))
        qtbot.mouseMove(canvas, at)
        qtbot.mouseClick(canvas, LEFT, PLAIN, at)

    return click


def names(dock: LessonDock) -> dict[str, bool]:
    return {layer.name: layer.visible for layer in dock.viewer.layers}


def check(qtbot: QtBot, dock: LessonDock, button: QWidget | None = None) -> bool:
    """Click on Check, or on another button that answers; whether the answer was right."""
    with qtbot.waitSignal(dock.player.graded) as graded:
        qtbot.mouseClick(button or dock.player.box.bar.button, LEFT)
    return bool(graded.args[1].is_right)


def go_on(qtbot: QtBot, dock: LessonDock) -> None:
    with qtbot.waitSignal(dock.ready):
        qtbot.keyClick(dock.player.next_button, Qt.Key.Key_PageDown)


def picks_file(folder: Path) -> dict[str, bytes]:
    """Picks with their notes, as a class serves them."""
    points = np.array([[40.0, 90, 90], [40, 120, 90]])
    path = folder / "crops.ndjson"
    write_picks(Picks(points, 10.0), path)
    notes = Path(f"{path}.provenance.json")
    return {"crops.ndjson": path.read_bytes(), "crops.ndjson.provenance.json": notes.read_bytes()}


def test_a_lesson_is_played_with_clicks_and_keys(
    qtbot: QtBot, dock: LessonDock, view: View, click_at, tmp_path: Path, monkeypatch
) -> None:
    pick = PickTask(
        ask="Pick.", object_name="ribosome", tolerance_angstrom=100, region_zyx_angstrom=REGION_ZYX
    )
    choices = (Choice(picture="ice.png"), Choice(text="Carbon", position_zyx_angstrom=MIDDLE))
    Image.new("RGB", (300, 300)).save(tmp_path / "ice.png")
    ice = ChooseTask(choices=choices)
    compare = CompareTask(layers=("A", "B"), causes=("shifted", "sloppy " * 20))
    source = FakeLesson(
        Step(key="look", title="Look", view=view, text="A [pick](!goto=400,900,900)."),
        Step(key="pick", title="Pick", view=view, task=pick, hints=("Round.", "Dark.")),
        Step(key="sort", title="Sort", task=SORT),
        Step(key="choose", title="Choose", text="![Ice](ice.png)", task=ice),
        Step(key="measure", title="Measure", task=MeasureTask(tolerance_angstrom=100)),
        Step(key="compare", title="Compare", task=compare),
    )
    source.files = {**picks_file(tmp_path), "ice.png": (tmp_path / "ice.png").read_bytes()}
    source.right = {
        "sort": SortAnswer(kept=(0,), rejected=(1,)),
        "choose": ChooseAnswer(choice=1),
        "compare": CompareAnswer(layer="B", cause="shifted"),
        "pick": PickAnswer(),
    }
    viewer = dock.viewer
    own = viewer.add_points([MIDDLE], name="my own", units=["angstrom"] * 3)
    with qtbot.waitSignal(dock.ready):
        dock.play(source)
    assert not own.visible
    assert viewer.dims.point[0] == pytest.approx(400, abs=40)
    for href, said in (("!show=Lipids", "Lipids"), ("!goto=there", "there")):
        dock.player.text.anchorClicked.emit(QUrl(href))
        assert said in dock.player.notice.text

    # a step that is left without a click leaves no layer
    go_on(qtbot, dock)
    assert YOURS in names(dock)
    with qtbot.waitSignal(dock.ready):
        dock.player.back()
    assert not {YOURS, REGION} & set(names(dock))

    # pick wrongly: nothing of the reference is there before, and causes have letters
    go_on(qtbot, dock)
    box = dock.player.box
    assert names(dock)[REGION]
    assert not {RIGHT_PICKS, WRONG_PICKS} & set(names(dock))
    for y, x in ((1250, 1300), (1500, 1450)):
        click_at(y, x)
    assert box.count.text() == "2 picks"
    np.testing.assert_allclose(box.positions[:, 1:], [[1250, 1300], [1500, 1450]], atol=20)
    qtbot.mouseClick(box.undo, LEFT)
    assert box.count.text() == "1 pick"

    # the teacher's view comes and goes
    dock.player.pause_step()
    assert REGION not in names(dock)
    assert not names(dock)[YOURS]
    assert not box.isEnabled()
    with qtbot.waitSignal(dock.ready):
        dock.player.open_view()
    assert names(dock)[YOURS]
    assert names(dock)[REGION]
    assert box.bar.button.isEnabled()
    assert dock.player.notice.isHidden()  # the region isn't a layer of the user's own

    qtbot.mouseClick(dock.player.hint, LEFT)
    assert dock.player.hints.toPlainText() == "Round."
    assert not check(qtbot, dock)
    assert "only noise" in dock.player.feedback_text.toPlainText()
    frame = dock.player.feedback
    qtbot.waitUntil(lambda: frame.visibleRegion().boundingRect() == frame.rect())
    wrong = next(layer for layer in viewer.layers if layer.name == WRONG_PICKS)
    right = next(layer for layer in viewer.layers if layer.name == RIGHT_PICKS)
    np.testing.assert_allclose(right.data * right.scale, REFERENCE)
    assert list(wrong.text.values) == ["N"]
    qtbot.mouseClick(dock.player.again, LEFT)
    assert not {RIGHT_PICKS, WRONG_PICKS} & set(names(dock))
    assert not box.nothing.isEnabled()  # beside a pick
    qtbot.mouseClick(box.undo, LEFT)
    assert check(qtbot, dock, box.nothing)

    # sort by keys, and undo
    go_on(qtbot, dock)
    assert YOURS not in names(dock)  # it was empty
    sort = dock.player.box
    assert dock.window().focusWidget() is sort.view
    qtbot.waitUntil(lambda: sort.model.rowCount() > 0 and not sort.feed.n_waiting)
    for key in (Qt.Key.Key_X, Qt.Key.Key_X):
        qtbot.keyClick(sort.view, key)
    qtbot.keyClick(sort.view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert sort.answer() is None
    assert not give(qtbot, dock, click_at, SortAnswer(kept=(1,)))

    # choose a picture, which the text shows too, or a crop
    go_on(qtbot, dock)
    buttons = dock.player.box.choices.buttons()
    qtbot.waitUntil(lambda: not any(button.icon().isNull() for button in buttons))
    qtbot.waitUntil(lambda: dock.player.text.height() > 250)
    assert give(qtbot, dock, click_at, ChooseAnswer(choice=1))

    # measure between two clicks
    go_on(qtbot, dock)
    assert give(qtbot, dock, click_at, MeasureAnswer(length_angstrom=400))
    assert LINE in names(dock)

    # compare
    go_on(qtbot, dock)
    assert LINE not in names(dock)
    assert dock.player.box.minimumSizeHint().width() < 300
    assert give(qtbot, dock, click_at, CompareAnswer(layer="B", cause="shifted"))

    # back to an answered step, then to the end
    with qtbot.waitSignal(dock.ready):
        dock.player.go_to(1)
    assert names(dock)[YOURS]
    assert dock.player.feedback.isVisible()
    dock.player.go_to(6)
    assert "Pick" in dock.player.text.toPlainText()
    monkeypatch.setattr(QInputDialog, "getText", lambda *_args, **_options: (" Ada ", True))
    target = tmp_path / "ada.result.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args, **_options: (target, ""))
    qtbot.mouseClick(dock.player.save, LEFT)
    qtbot.waitUntil(target.exists)
    qtbot.waitUntil(lambda: "Saved" in dock.player.notice.text)
    result = msgspec.json.decode(target.read_bytes(), type=Result)
    assert result.nickname == "Ada"
    scores = [(step.step, step.score) for step in result.steps]
    assert scores[:3] == [("look", None), ("pick", 0), ("sort", 0)]
    assert scores[3:] == [("choose", 1), ("measure", 1), ("compare", 1)]
    dock.choose_lesson()
    assert own.visible
    dock.end_lesson()
    assert [name for name in names(dock) if "Your" not in name] == ["my own"]


def test_nobody_gets_stuck_and_a_presenter_has_keys(
    qtbot: QtBot, dock: LessonDock, tmp_path: Path
) -> None:
    missing = View(runs=(ViewedRun(source="pack", pack_id="lost"),), camera=camera_at(MIDDLE))
    task = CompareTask(layers=("A", "B"))
    pick = PickTask(object_name="ribosome", tolerance_angstrom=100)
    source = FakeLesson(
        Step(key="lost", title="Lost", view=missing, text="Go on."),
        Step(key="compare", title="Compare", task=task),
        Step(key="pick", title="Pick", task=pick),
        Step(key="sort", title="Sort", task=SORT),
    )
    source.files = picks_file(tmp_path)
    source.right = {"compare": CompareAnswer(layer="A")}
    with qtbot.waitSignal(dock.ready):
        dock.play(source)
    assert "pack" in dock.player.notice.text
    canvas = dock.viewer.window._qt_viewer.canvas.native  # napari has no public name for it
    canvas.setFocus()
    for control, key, number in (
        (canvas, Qt.Key.Key_PageDown, 1),
        (dock.player.back_button, Qt.Key.Key_Left, 0),
        (dock.player.next_button, Qt.Key.Key_Right, 1),
    ):
        control.setFocus()
        qtbot.keyClick(control, key)
        assert dock.player.session.number == number

    # without a network, the answer stays and is checked later
    source.is_reachable = False
    box = dock.player.box
    box.layer.setCurrentIndex(0)
    box.why.setFocus()
    qtbot.keyClicks(box.why, "ab")
    qtbot.keyClick(box.why, Qt.Key.Key_Left)  # moves the cursor
    assert dock.player.session.number == 1
    qtbot.mouseClick(box.bar.button, LEFT)
    qtbot.waitUntil(lambda: "reached" in box.bar.message.text())
    source.is_reachable = True
    source.right = {"compare": CompareAnswer(layer="A", explanation="ab")}
    assert check(qtbot, dock)

    # a task on the canvas without a tomogram says what to do
    go_on(qtbot, dock)
    assert "Reset view" in dock.player.box.bar.message.text()

    # what couldn't be fetched is fetched again
    source.is_reachable = False
    go_on(qtbot, dock)
    sort = dock.player.box
    qtbot.waitUntil(lambda: "reached" in dock.player.notice.text)
    source.is_reachable = True
    qtbot.mouseClick(dock.player.notice.action, LEFT)
    qtbot.waitUntil(lambda: sort.model.rowCount() > 0)


def test_lessons_open_from_the_start_page_files_and_the_command_line(
    qtbot: QtBot, viewer_in_window: Viewer, demo_at_home: Path, view: View, monkeypatch
) -> None:
    path = write_lesson(demo_at_home / "lessons" / "first", view) / "lesson.md"
    viewer = viewer_in_window
    browser = open_dock(viewer, BROWSER)
    start = button_in(browser.screens.start, "Take a lesson")
    qtbot.waitUntil(start.isVisible)
    qtbot.mouseClick(start, LEFT)
    dock = open_lesson_dock(viewer)
    qtbot.waitUntil(lambda: len(dock.chooser.buttons) > 0)
    titles = [button.text() for button in dock.chooser.buttons]
    assert TITLE in titles
    launched: list[LaunchOptions] = []
    monkeypatch.setattr(launch_module, "launch", lambda options, **_: launched.append(options) or 0)
    assert main(["open", str(path)]) == 0
    play = launched[0].then
    assert play is not None
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("demo")
    ways: list[Callable[[], object]] = [
        lambda: qtbot.mouseClick(dock.chooser.buttons[titles.index(TITLE)], LEFT),
        lambda: browser.open_link(str(path)),
        lambda: viewer.open(str(path), plugin="napari-cryoet"),
        lambda: browser.screens.search.setText(str(path)),
        lambda: play(viewer),
    ]
    for way in ways:
        with qtbot.waitSignal(dock.ready):
            way()
        assert dock.player.title.text() == TITLE
    browser.open_link(str(path.parent / "other" / "lesson.md"))
    assert "can't be read" in browser.screens.notice.text


def test_a_tilt_series_is_never_beside_a_tomogram(
    qtbot: QtBot, dock: LessonDock, demo_at_home: Path
) -> None:
    """Napari would warn of its degrees beside ångström."""
    with qtbot.waitSignal(dock.ready):
        dock.play(lessons_of(demo_at_home)[0])
    go_on(qtbot, dock)
    assert names(dock) == {"Tilt series": True}
    go_on(qtbot, dock)
    assert "Tilt series" not in names(dock)
    assert names(dock)["Denoised"]
    assert not [each.message for each in notification_manager.records if "units" in each.message]


def test_a_lesson_goes_on_after_its_dock_was_closed(qtbot: QtBot, dock: LessonDock) -> None:
    task = ChooseTask(choices=(Choice(text="Ice"), Choice(text="Carbon")))
    source = FakeLesson(
        Step(key="first", title="First", task=task, hints=("Dark.",)),
        Step(key="second", title="Second", task=task),
    )
    source.right = {"first": ChooseAnswer(choice=1)}
    with qtbot.waitSignal(dock.ready):
        dock.play(source)
    qtbot.mouseClick(dock.player.hint, LEFT)
    dock.player.box.choices.button(1).click()
    assert check(qtbot, dock)
    go_on(qtbot, dock)
    dock.player.box.choices.button(0).click()
    dock.viewer.window.remove_dock_widget(dock)
    again = open_lesson_dock(dock.viewer)
    player = again.player
    with qtbot.waitSignal(again.ready):
        pass
    assert player.session.step.key == "second"
    assert player.box.answer() == ChooseAnswer(choice=0)
    qtbot.mouseClick(player.back_button, LEFT)
    assert player.feedback.isVisible()
    assert player.hints.toPlainText() == "Dark."

    # the list of lessons leads back too
    again.choose_lesson()
    with qtbot.waitSignal(again.ready):
        qtbot.mouseClick(again.back_to_lesson, LEFT)
    assert player.isVisible()
    assert [each.score for each in player.session.result("Ada").steps] == [1, None]


@pytest.mark.slow
@pytest.mark.parametrize("which", range(3))
def test_the_lessons_of_the_demo_are_played_to_the_end(
    qtbot: QtBot, dock: LessonDock, demo_at_home: Path, click_at, which: int
) -> None:
    """Each task is first answered wrongly, then rightly."""
    source = lessons_of(demo_at_home)[which]
    with qtbot.waitSignal(dock.ready):
        dock.play(source)
    session = dock.player.session
    for number, step in enumerate(source.lesson.steps):
        assert session.number == number
        for is_right in (False, True) if step.task is not None else ():
            right, wrong = answers_to(source, step.task)
            answer = right if is_right else wrong
            assert give(qtbot, dock, click_at, answer) == is_right, (step.key, answer)
            if not is_right:
                qtbot.mouseClick(dock.player.again, LEFT)
        if number < len(source.lesson.steps) - 1:
            go_on(qtbot, dock)
    qtbot.keyClick(dock.player.next_button, Qt.Key.Key_PageDown)
    assert session.is_over
    attempts = {each.step: each.attempts for each in session.result("Ada").steps}
    assert attempts == {each.key: 2 * (each.task is not None) for each in source.lesson.steps}


def give(qtbot: QtBot, dock: LessonDock, click_at, answer: Answer) -> bool:
    """Give an answer by clicks and keys, and check it; whether it was right."""
    box = dock.player.box
    match answer:
        case PickAnswer(positions_zyx_angstrom=positions):
            box.points.data = np.empty((0, 3))
            for z, y, x in positions:
                dock.viewer.dims.set_point(0, z)
                click_at(y, x)
        case SortAnswer(kept=kept):
            qtbot.waitUntil(lambda: box.model.rowCount() > 0)
            for cell in range(box.model.rowCount()):
                box.view.go_to(cell)
                qtbot.keyClick(box.view, Qt.Key.Key_K if cell in kept else Qt.Key.Key_X)
        case ChooseAnswer(choice=choice):
            box.choices.button(choice).click()
        case MeasureAnswer(length_angstrom=length):
            _, y, x = dock.viewer.scene.camera.center
            click_at(y, x - length / 2)
            click_at(y, x + length / 2)
        case CompareAnswer(layer=layer, cause=cause):
            box.layer.setCurrentText(layer)
            box.cause.setCurrentText(cause)
    return check(qtbot, dock, box.nothing if answer == PickAnswer() else None)
