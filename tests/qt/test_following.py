"""A class in the window: a lesson of a class is played, and the teacher's view is followed and shared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from napari import Viewer
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from classroom.classes import make_lesson
from lessons.fake_lesson import FakeLesson
from lessons.sample_lesson import view_at
from napari_cryoet import open_portal, read_picks, write_picks
from napari_cryoet._qt.lessons.classroom import CLASS_PICKS, FollowBar, JoinDialog, ShareBar
from napari_cryoet._qt.lessons.dock import open_lesson_dock
from napari_cryoet._qt.picks.layer_picks import picks_of
from napari_cryoet._qt.views.capture import view_of
from napari_cryoet._qt.views.restore import restorer_of
from napari_cryoet._qt.widgets.dock import BROWSER, open_dock
from napari_cryoet.classroom.client import ClassClient, TeacherClient, join_class
from napari_cryoet.classroom.messages import Delivery
from napari_cryoet.classroom.server import ClassServer
from napari_cryoet.exceptions import NetworkError
from napari_cryoet.lessons.lesson import ChooseAnswer, PickAnswer
from napari_cryoet.views.view import View, ViewedAnnotation, ViewedLayer

A = (400.0, 1000.0, 1000.0)
B = (500.0, 1400.0, 900.0)


def view_of_demo(pack: Path, z: float) -> View:
    """A plane of the tomogram of the demo's first run."""
    return view_at(open_portal(pack), (z, 1400.0, 1400.0))


@pytest.fixture
def lesson(demo_pack: Path) -> FakeLesson:
    return make_lesson(view_of_demo(demo_pack, 400))


@pytest.fixture
def server(lesson: FakeLesson, demo_pack: Path, tmp_path: Path) -> Iterator[ClassServer]:
    with ClassServer(demo_pack, "Monday", [lesson], results=tmp_path / "results") as server:
        yield server


def test_a_student_plays_the_lesson_and_follows_the_teacher_or_not(
    qtbot: QtBot, viewer_in_window: Viewer, server: ClassServer, demo_pack: Path, user_folder: Path
) -> None:
    lesson = join_class(server.page_url, server.join_code, "Anna")
    dock = open_lesson_dock(viewer_in_window)
    dock.play_class(lesson)
    bar = dock.class_bar
    assert isinstance(bar, FollowBar)
    assert bar.name.text() == "Monday, as Anna"
    switch = bar.switch
    with qtbot.waitSignal(dock.ready):
        pass
    assert switch.isHidden()
    assert view_of(viewer_in_window).runs[0].source == lesson.portal

    teacher = TeacherClient(server.page_url, server.teacher_code)
    restorer = restorer_of(open_dock(viewer_in_window, BROWSER))
    notification_manager.records.clear()
    view = view_of_demo(demo_pack, 800)
    lacking = ViewedLayer(kind="annotation", annotation=ViewedAnnotation(path="none.ndjson"))
    with qtbot.waitSignal(restorer.opened) as opened:
        teacher.share(replace(view, layers=(*view.layers, lacking)))
    assert opened.args[1], "the pack has no such annotation"
    assert not notification_manager.records, "not told with each move of the teacher"
    assert plane_of(viewer_in_window) == pytest.approx(800, abs=20)

    with qtbot.waitSignal(dock.ready):
        switch.setChecked(False)
    assert plane_of(viewer_in_window) == pytest.approx(400, abs=20), "that of the step"
    teacher.share(view_of_demo(demo_pack, 200))
    qtbot.waitUntil(lambda: bar.shared.camera.point_zyx_angstrom[0] == 200)
    assert plane_of(viewer_in_window) == pytest.approx(400, abs=20)
    with qtbot.waitSignal(restorer.opened):
        switch.setChecked(True)
    assert plane_of(viewer_in_window) == pytest.approx(200, abs=20)
    with qtbot.waitSignal(dock.ready):
        teacher.share(None)
    assert plane_of(viewer_in_window) == pytest.approx(400, abs=20)

    dock.player.go_to(2)
    (student,) = server.room.students
    qtbot.waitUntil(lambda: student.position.step == "choose")
    answer = ChooseAnswer(choice=1)
    late = Delivery(uid="0" * 32, lesson="fake", step="choose", answer=answer)
    bar.delivered.emit(late, lesson.grade("choose", answer))
    assert dock.player.feedback.isVisible(), "an answer was delivered later"
    assert dock.player.session.feedback("choose").is_right

    dock.choose_lesson()
    qtbot.waitUntil(lambda: len(dock.chooser.buttons) == 1)
    assert dock.chooser.buttons[0].text() == "A fake lesson", "that of the class"
    qtbot.mouseClick(dock.chooser.buttons[0], Qt.MouseButton.LeftButton)
    assert dock.player.session.step.key == "choose", "it goes on there"
    assert dock.class_bar is bar


def plane_of(viewer: Viewer) -> float:
    return view_of(viewer).camera.point_zyx_angstrom[0]


def test_a_class_is_joined_from_the_list_of_lessons(
    qtbot: QtBot, viewer_in_window: Viewer, server: ClassServer, demo_at_home: Path
) -> None:
    dock = open_lesson_dock(viewer_in_window)
    qtbot.mouseClick(dock.join, Qt.MouseButton.LeftButton)
    dialog = dock.findChild(JoinDialog)
    qtbot.keyClicks(dialog.address, server.page_url.removeprefix("http://") + "/")
    qtbot.keyClicks(dialog.code, "wrong")
    qtbot.keyClicks(dialog.nickname, "Anna")
    qtbot.mouseClick(dialog.bar.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "code" in dialog.bar.message.text())
    dialog.code.clear()
    qtbot.keyClicks(dialog.code, server.join_code.lower())
    with qtbot.waitSignal(dock.ready):
        qtbot.keyClick(dialog.code, Qt.Key.Key_Return)
    assert [student.nickname for student in server.room.students] == ["Anna"]


def test_the_teacher_shares_what_the_window_shows(
    qtbot: QtBot, viewer_in_window: Viewer, server: ClassServer, user_folder: Path
) -> None:
    seen: list[View | None] = []
    student = join_class(server.page_url, server.join_code, "Anna").student
    following = student.follow(seen.append, print, print)
    dock = open_lesson_dock(viewer_in_window)
    dock.play_class(join_class(server.page_url, server.teacher_code, ""))
    bar = dock.class_bar
    assert isinstance(bar, ShareBar)
    switch = bar.switch
    viewer_in_window.add_image(np.zeros((8, 8, 8)))
    switch.setChecked(True)
    qtbot.waitUntil(lambda: bool(seen))
    viewer_in_window.dims.set_point(0, 5)
    qtbot.waitUntil(lambda: seen[-1] is not None and len(seen) > 1)
    switch.setChecked(False)
    qtbot.waitUntil(lambda: seen[-1] is None)
    following.cancel()


def test_the_teacher_gets_the_picks_of_the_class_as_a_layer(
    qtbot: QtBot,
    viewer_in_window: Viewer,
    server: ClassServer,
    lesson: FakeLesson,
    tmp_path: Path,
    demo_at_home: Path,
) -> None:
    for number, positions in enumerate([[A, B], [A], []]):
        joined = join_class(server.page_url, server.join_code, f"S{number}")
        joined.grade("pick", PickAnswer(positions_zyx_angstrom=tuple(positions)))
    dock = open_lesson_dock(viewer_in_window)
    dock.play_class(join_class(server.page_url, server.teacher_code, ""))
    bar = dock.class_bar
    dock.play(lesson)
    with qtbot.waitSignal(dock.ready):
        pass
    assert bar.picks.isHidden(), "nothing is picked in this step"
    dock.player.next()
    qtbot.waitUntil(bar.picks.isVisible)
    before = list(viewer_in_window.layers)
    active = viewer_in_window.layers.selection.active
    for _ in range(2):  # the second layer takes the place of the first
        with qtbot.waitSignal(viewer_in_window.layers.events.inserted):
            qtbot.mouseClick(bar.picks, Qt.MouseButton.LeftButton)
    (layer,) = (each for each in viewer_in_window.layers if each not in before)
    assert layer.name == CLASS_PICKS
    assert viewer_in_window.layers.selection.active is active, "the layer of the task"
    assert list(layer.features["votes"]) == [2, 1]
    assert list(layer.text.values) == ["2", "1"]
    saved = read_picks(write_picks(picks_of(layer), tmp_path / "class.csv").path)
    np.testing.assert_allclose(saved.positions_angstrom_zyx, [A, B], atol=1e-6)
    assert [each.kind for each in view_of(viewer_in_window).layers] == ["tomogram"]

    seen: list[View | None] = []
    following = joined.student.follow(seen.append, print, print)
    for shown in before:
        shown.visible = False
    bar.switch.setChecked(True)
    qtbot.waitUntil(lambda: bool(seen))
    following.cancel()
    assert seen[0] is not None
    assert seen[0].layers == (), "hidden layers aren't shared"


def test_a_class_is_started_from_the_window(
    qtbot: QtBot, viewer_in_window: Viewer, demo_at_home: Path, tmp_path: Path
) -> None:
    dock = open_lesson_dock(viewer_in_window)
    qtbot.mouseClick(dock.teach, Qt.MouseButton.LeftButton)
    dialog = dock.teaching
    with qtbot.waitSignal(dialog.started):
        qtbot.mouseClick(dialog.bar.button, Qt.MouseButton.LeftButton)
    server = dialog.server
    assert server is not None
    assert server.join_code in dialog.how.text()
    assert server.page_url.startswith("http://127.0.0.1:"), "nobody else can join unless asked"
    assert not dialog.qr.pixmap().isNull()
    assert isinstance(dock.class_bar, ShareBar)
    ClassClient.join(server.page_url, server.join_code, "Anna", folder=tmp_path)
    assert dialog.served.text() == "those of the demo"
    assert not dialog.bar.isVisible()
    dialog.close()
    dock.teach_class()
    assert dialog.server is server, "the class goes on"
    qtbot.mouseClick(dialog.stop, Qt.MouseButton.LeftButton)
    assert dock.class_bar is None
    assert dialog.bar.isVisible()
    with pytest.raises(NetworkError):
        ClassClient.join(server.page_url, server.join_code, "Ben", folder=tmp_path)
