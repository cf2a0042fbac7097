"""A window that closes over decisions that can't be saved asks before, and loses none without a word."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from napari.layers import Points
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QFileDialog, QMainWindow, QMessageBox

from napari_cryoet._qt import closing
from napari_cryoet._qt.question import Question
from napari_cryoet._qt.review_dock import ReviewDock
from napari_cryoet.review import Review, SessionStore, Verdict

POINTS = np.array([[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]])


@pytest.fixture
def store(tmp_path):
    return SessionStore(tmp_path / "reviews")


@pytest.fixture
def viewer(viewer_model):
    viewer_model.add_layer(Points(POINTS, name="picks", scale=(10.0,) * 3, units=("angstrom",) * 3))
    return viewer_model


@pytest.fixture
def open_dock(qtbot, viewer, store):
    docks = []

    def open_dock(window):
        dock, holder = ReviewDock(viewer, store=store), QDockWidget()
        holder.setWidget(dock)
        window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, holder)
        holder.show()
        docks.append(dock)
        return dock

    yield open_dock
    for dock in docks:
        dock.close_down()


@pytest.fixture
def window(qtbot):
    window = QMainWindow()
    qtbot.addWidget(window, before_close_func=lambda window: window.hide())
    with qtbot.waitExposed(window):
        window.show()
    return window


@pytest.fixture
def dock(open_dock, window, store):
    """Something was judged, and reviews can't be written any more: a file is in the way of their folder."""
    dock = open_dock(window)
    store.folder.write_text("in the way")
    dock.sheet.go_to(1)
    dock.judge(Verdict.REJECTED)
    return dock


@pytest.fixture
def asked(monkeypatch):
    """What was asked; each question is answered by the button of the next text in `answers`."""

    class Asked(list):
        answers: list[str]

    asked = Asked()

    def answer(question):
        asked.append(f"{question.text()} {question.informativeText()}")
        wanted = asked.answers.pop(0)
        next(button for button in question.buttons() if button.text().replace("&", "") == wanted).click()

    monkeypatch.setattr(Question, "exec", answer)
    return asked


def close(qtbot, window):
    """As a person does, from the window's event loop; whether it is closed then."""
    done = []
    QTimer.singleShot(0, lambda: done.append(window.close()))
    qtbot.waitUntil(lambda: bool(done))
    return done[0]


def test_a_window_asks_before_it_closes_over_decisions_that_can_not_be_saved(qtbot, window, dock, asked, store):
    asked.answers = ["Cancel"]
    assert not close(qtbot, window)
    assert window.isVisible()
    assert asked[0].startswith("The review can't be saved: File exists. If the window closes, 1 decision about")
    assert "1 decision about “picks” would be lost" in asked[0]
    assert str(store.folder) in asked[0].replace("\N{ZERO WIDTH SPACE}", "")
    assert dock.review.verdict(1) is Verdict.REJECTED

    asked.answers = ["Close and lose them"]
    assert close(qtbot, window)
    assert len(asked) == 2


def test_decisions_are_saved_elsewhere_and_go_on_where_reviews_are_kept(
    qtbot, window, dock, asked, tmp_path, monkeypatch, viewer
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / dock.review.subject.file_name).write_text("of somebody else")
    (tmp_path / "other").mkdir()
    folders, told = [elsewhere, tmp_path / "other"], []
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_args: str(folders.pop(0)))
    monkeypatch.setattr(QMessageBox, "warning", lambda _parent, _title, text: told.append(text))
    asked.answers = ["Save elsewhere…", "Save elsewhere…"]

    assert close(qtbot, window)
    assert "There is a file" in told[0]
    assert (elsewhere / dock.review.subject.file_name).read_text() == "of somebody else"
    again = Review(dock.review.picks, dock.review.subject, SessionStore(tmp_path / "other"))
    assert again.verdict(1) is Verdict.REJECTED


def test_nobody_is_asked_once_all_can_be_saved(qtbot, window, dock, asked, store):
    store.folder.unlink()

    assert close(qtbot, window)
    assert not asked
    assert Review(dock.review.picks, dock.review.subject, SessionStore(store.folder)).counts.rejected == 1


def test_a_script_is_told_where_decisions_are_kept_and_is_asked_nothing(
    window, dock, asked, caplog, tmp_path, monkeypatch
):
    monkeypatch.setattr(closing.tempfile, "mkdtemp", lambda prefix: str(tmp_path / "rescued"))
    with caplog.at_level(logging.WARNING, logger=closing.__name__):
        assert window.close()

    assert not asked
    assert str(tmp_path / "rescued") in caplog.text
    again = Review(dock.review.picks, dock.review.subject, SessionStore(tmp_path / "rescued"))
    assert again.counts.rejected == 1


def test_what_a_dock_leaves_unsaved_is_said_and_the_next_dock_takes_it_up(
    qtbot, window, dock, open_dock, viewer, store, asked
):
    from napari.utils.notifications import notification_manager

    before = len(notification_manager.records)
    dock.setParent(None)  # as napari closes docks
    assert "1 decision about “picks” can't be saved now" in notification_manager.records[before].message
    asked.answers = ["Cancel"]
    assert not close(qtbot, window)

    again = open_dock(window)
    assert again.review.verdict(1) is Verdict.REJECTED
    again.sheet.go_to(0)
    again.judge(Verdict.KEPT)
    again.review.save()
    qtbot.waitUntil(lambda: "can't be saved" in again.notice.text)
    review = again.review
    store.folder.unlink()
    again.close_down()
    assert not closing.unsaved_in(viewer)
    assert Review(review.picks, review.subject, SessionStore(store.folder)).counts.judged == 2


def test_a_guard_that_python_has_cleared_already_lets_qt_end_its_window(qtbot, viewer):
    window = QMainWindow()
    qtbot.addWidget(window)
    guard = closing.CloseGuard(window, viewer)
    vars(guard).clear()

    assert not guard.eventFilter(window, QEvent(QEvent.Type.Hide))
