"""Keyed background tasks."""

from __future__ import annotations

import getpass
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from napari.utils.progress import progress
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication, QProgressDialog, QPushButton, QWidget

from napari_cryoet._qt.tasks import Job, UnexpectedError, wait_for
from napari_cryoet._qt.widgets.start_bar import StartBar
from napari_cryoet.exceptions import CryoETError, NetworkError, StoppedError


def test_a_newer_task_replaces_an_older_one_with_the_same_key(tasks, qtbot):
    answers, saw_stop = [], threading.Event()

    def older(job: Job) -> str:
        with pytest.raises(StoppedError):
            job.wait(30)
        saw_stop.set()
        return "older"

    tasks.run("page", older, then=answers.append)
    with qtbot.waitSignal(tasks.finished):
        tasks.run("page", lambda job: "newer", then=answers.append)
    assert saw_stop.wait(30)
    QApplication.processEvents()
    assert answers == ["newer"]


def test_an_unexpected_error_is_logged_and_reported_without_private_data(tasks, qtbot, caplog):
    path = Path.home() / "unpublished.mrc"
    url = "https://me:secret@files.org/a.zarr?token=secret"
    user = getpass.getuser()

    def fail(_job):
        raise ZeroDivisionError(f"{path} and {url} and /media/{user}/disk")

    with qtbot.waitSignal(tasks.unhandled) as failed:
        tasks.run("search", fail, then=lambda _answer: None)
    (error,) = failed.args
    assert isinstance(error, UnexpectedError)
    assert "search" in caplog.text
    for expected in ("napari 0.", "Python 3.", "test_tasks.py", "ZeroDivisionError: ~"):
        assert expected in error.report
    assert "https://files.org/a.zarr?… and /media/USER/disk" in error.report
    for private in (str(Path.home()), "secret", "me:"):
        assert private not in error.report


def test_a_report_can_be_copied_beside_an_unexpected_error(tasks, qtbot):
    bar = StartBar(tasks, "search", "Search", "Search for it")
    qtbot.addWidget(bar)
    bar.show_error(UnexpectedError("a traceback"))
    assert bar.report.isVisibleTo(bar)
    bar.report.click()
    assert "a traceback" in QApplication.clipboard().text()
    bar.show_error(CryoETError("The server is away."))
    assert not bar.report.isVisibleTo(bar)


def test_stop_ends_a_task_at_once_and_drops_its_result(tasks, qtbot):
    answers, errors, woke_up = [], [], threading.Event()

    def work(job: Job) -> None:
        try:
            job.wait(30)
        finally:
            woke_up.set()

    tasks.run("page", work, then=answers.append, failed=errors.append)
    assert tasks.is_running("page")
    with qtbot.waitSignal(tasks.finished):
        tasks.stop("page")
    assert not tasks.is_running("page")
    assert woke_up.wait(30)
    QApplication.processEvents()
    assert (answers, errors) == ([], [])


@pytest.mark.parametrize("error", [NetworkError("No network."), StoppedError()])
def test_our_own_errors_are_passed_to_failed(tasks, qtbot, error):
    def work(job: Job) -> None:
        raise error

    errors = []
    with qtbot.waitSignal(tasks.finished):
        tasks.run("page", work, then=lambda _: pytest.fail("no answer"), failed=errors.append)
    assert errors == [error]


class ShownWindows(QObject):
    """Records all windows that are shown, however briefly."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[QObject] = []

    def eventFilter(self, shown: QObject, event: QEvent) -> bool:  # noqa: N802
        if event.type() == QEvent.Type.Show and isinstance(shown, QWidget) and shown.isWindow():
            self.seen.append(shown)
        return False


def test_only_a_long_titled_task_shows_a_progress_bar_and_no_window(
    viewer_in_hidden_window, tasks, qtbot
):
    bars, release, windows = progress._all_instances, threading.Event(), ShownWindows()
    QApplication.instance().installEventFilter(windows)

    def work(job: Job) -> None:
        job.step(0.25)
        release.wait(30)

    tasks.run("quick", lambda _job: None, then=lambda _: None, title="Looking")
    tasks.run("quiet", lambda _job: release.wait(30), then=lambda _: None)
    tasks.run("open", work, then=lambda _: None, title="Opening TS_026")
    qtbot.waitUntil(lambda: len(bars) == 1)
    assert [bar.desc for bar in bars] == ["Opening TS_026"]
    release.set()
    qtbot.waitUntil(lambda: not bars)
    QApplication.instance().removeEventFilter(windows)
    assert windows.seen == []


def test_wait_for_can_be_stopped(qtbot):
    parent = QWidget()
    qtbot.addWidget(parent)
    parent.show()

    def press_stop():
        dialog = parent.findChild(QProgressDialog)
        if dialog is not None and dialog.isVisible():
            values.append(dialog.value())
            qtbot.mouseClick(dialog.findChild(QPushButton), Qt.MouseButton.LeftButton)

    def work(job: Job) -> None:
        job.step(0.25)
        job.wait(3)  # the dialog shows sooner

    values: list[int] = []
    timer = QTimer(interval=50)
    timer.timeout.connect(press_stop)
    timer.start()
    with pytest.raises(StoppedError):
        wait_for(work, title="Writing mask.mrc", parent=parent)
    timer.stop()
    assert values == [250]


def test_partial_results_arrive_first_and_on_the_gui_thread(tasks, qtbot):
    arrived = []

    def work(job: Job) -> str:
        for part in ("one", "two"):
            job.hand_over(part)
        return "three"

    def record(part: str) -> None:
        arrived.append((part, threading.current_thread() is threading.main_thread()))

    with qtbot.waitSignal(tasks.finished):
        tasks.run("page", work, then=record, part=record)
    qtbot.waitUntil(lambda: len(arrived) == 3)
    assert arrived == [("one", True), ("two", True), ("three", True)]


@pytest.mark.slow
def test_an_endless_task_does_not_keep_the_interpreter_alive():
    script = """
import time
from qtpy.QtCore import QCoreApplication, QTimer
from napari_cryoet._qt.tasks import Tasks
app = QCoreApplication([])
tasks = Tasks()
tasks.run("page", lambda job: time.sleep(600), then=print)
QTimer.singleShot(50, app.quit)
app.exec()
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
