"""A class in the window: a lesson of a class is played, and the teacher's view is followed and shared."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from napari import Viewer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt

from lessons.fake_lesson import FakeLesson
from napari_cryoet import open_portal
from napari_cryoet._qt.lessons.dock import open_lesson_dock
from napari_cryoet._qt.lessons.following import FollowSwitch, ShareSwitch
from napari_cryoet._qt.lessons.joining import JoinDialog
from napari_cryoet._qt.views.capture import view_of
from napari_cryoet._qt.views.restore import BROWSER
from napari_cryoet._qt.widgets.dock import open_dock
from napari_cryoet.classroom.client import ClassClient, TeacherClient, join_class
from napari_cryoet.classroom.server import ClassServer
from napari_cryoet.exceptions import NetworkError
from napari_cryoet.lessons.lesson import Choice, ChooseAnswer, ChooseTask, Step
from napari_cryoet.portal.provenance import path_of
from napari_cryoet.views.view import Camera, View, ViewedLayer, ViewedRun, ViewedTomogram

CHOICES = (Choice(text="A"), Choice(text="B"))


def view_of_demo(pack: Path, z: float) -> View:
    """A plane of the tomogram of the demo's first run."""
    tomogram = open_portal(pack).run_page(9001).default_tomogram
    assert tomogram is not None
    at = (z, 1400.0, 1400.0)
    camera = Camera(point_zyx_angstrom=at, center_zyx_angstrom=at, field_angstrom=(2800, 2800))
    viewed = ViewedTomogram(path=path_of(tomogram), id=tomogram.id)
    run = ViewedRun(source="demo", dataset_id=90001, run_name="DEMO_001", run_id=9001)
    return View(runs=(run,), layers=(ViewedLayer(kind="tomogram", tomogram=viewed),), camera=camera)


@pytest.fixture
def server(demo_pack: Path, tmp_path: Path) -> Iterator[ClassServer]:
    steps = (
        Step(key="look", title="Look", view=view_of_demo(demo_pack, 400)),
        Step(key="choose", title="Choose", task=ChooseTask(choices=CHOICES)),
    )
    lesson = FakeLesson(*steps)
    lesson.right = {"choose": ChooseAnswer(choice=1)}
    with ClassServer(demo_pack, "Monday", [lesson], results=tmp_path / "results") as server:
        yield server


def test_a_student_plays_the_lesson_and_follows_the_teacher_or_not(
    qtbot: QtBot, viewer_in_window: Viewer, server: ClassServer, demo_pack: Path, user_folder: Path
) -> None:
    lesson = join_class(server.page_url, server.join_code, "Anna")
    dock = open_lesson_dock(viewer_in_window)
    dock.play_class(lesson)
    switch = dock.class_switch
    assert isinstance(switch, FollowSwitch)
    with qtbot.waitSignal(dock.ready):
        pass
    assert switch.isHidden()
    assert view_of(viewer_in_window).runs[0].source == lesson.portal

    teacher = TeacherClient(server.page_url, server.teacher_code)
    restorer = open_dock(viewer_in_window, BROWSER).restorer
    with qtbot.waitSignal(restorer.opened):
        teacher.share(view_of_demo(demo_pack, 800))
    assert view_of(viewer_in_window).camera.point_zyx_angstrom[0] == pytest.approx(800, abs=20)

    switch.setChecked(False)
    teacher.share(view_of_demo(demo_pack, 200))
    qtbot.waitUntil(lambda: switch.shared.camera.point_zyx_angstrom[0] == 200)
    assert view_of(viewer_in_window).camera.point_zyx_angstrom[0] == pytest.approx(800, abs=20)
    with qtbot.waitSignal(restorer.opened):
        switch.setChecked(True)
    assert view_of(viewer_in_window).camera.point_zyx_angstrom[0] == pytest.approx(200, abs=20)

    dock.player.next()
    choose = dock.player.session.source.grade("choose", ChooseAnswer(choice=1))
    assert choose.is_right
    (student,) = server.room.students
    qtbot.waitUntil(lambda: server.room.position_of(student).step == "choose")


def test_a_class_is_joined_from_the_list_of_lessons(
    qtbot: QtBot, viewer_in_window: Viewer, server: ClassServer, demo_at_home: Path
) -> None:
    dock = open_lesson_dock(viewer_in_window)
    qtbot.mouseClick(dock.chooser.join, Qt.MouseButton.LeftButton)
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
    changed = threading.Event()

    def on_view(view: View | None) -> None:
        seen.append(view)
        changed.set()

    student = join_class(server.page_url, server.join_code, "Anna").student
    following = student.follow(on_view)
    dock = open_lesson_dock(viewer_in_window)
    dock.play_class(join_class(server.page_url, server.teacher_code, ""))
    switch = dock.class_switch
    assert isinstance(switch, ShareSwitch)
    viewer_in_window.add_image(np.zeros((8, 8, 8)))
    switch.setChecked(True)
    qtbot.waitUntil(changed.is_set)
    viewer_in_window.dims.set_point(0, 5)
    qtbot.waitUntil(lambda: seen[-1] is not None and len(seen) > 1)
    switch.setChecked(False)
    qtbot.waitUntil(lambda: seen[-1] is None)
    following.cancel()


def test_a_class_is_started_from_the_window(
    qtbot: QtBot, viewer_in_window: Viewer, demo_at_home: Path, tmp_path: Path
) -> None:
    dock = open_lesson_dock(viewer_in_window)
    qtbot.mouseClick(dock.chooser.teach, Qt.MouseButton.LeftButton)
    dialog = dock.teaching
    with qtbot.waitSignal(dialog.started):
        qtbot.mouseClick(dialog.bar.button, Qt.MouseButton.LeftButton)
    server = dialog.server
    assert server is not None
    assert server.join_code in dialog.how.text()
    assert server.page_url.startswith("http://127.0.0.1:"), "nobody else can join unless asked"
    assert not dialog.qr.pixmap().isNull()
    assert isinstance(dock.class_switch, ShareSwitch)
    ClassClient.join(server.page_url, server.join_code, "Anna", folder=tmp_path)
    dialog.end()
    with pytest.raises(NetworkError):
        ClassClient.join(server.page_url, server.join_code, "Ben", folder=tmp_path)
