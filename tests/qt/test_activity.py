"""Titled tasks in napari's activity dock."""

from __future__ import annotations

import threading

import pytest
from napari.utils.progress import progress

from napari_cryoet._qt.browser.activity import Activity
from napari_cryoet._qt.tasks import Job, Tasks


@pytest.fixture
def activity(tasks: Tasks) -> Activity:
    return Activity(tasks, tasks)


def bars() -> list[str]:
    return [str(bar.desc) for bar in progress._all_instances]


def test_only_titled_tasks_are_shown(qtbot, tasks, activity):
    go = threading.Event()
    tasks.run("quiet", lambda job: go.wait(30), then=lambda _: None)
    assert bars() == []
    tasks.run("open", lambda job: go.wait(30), then=lambda _: None, title="Opening TS_026")
    assert [text.rstrip(": ") for text in bars()] == ["Opening TS_026"]
    go.set()
    qtbot.waitUntil(lambda: bars() == [])


def test_cancel_in_the_activity_dock_stops_the_task(qtbot, tasks, activity):
    stopped = threading.Event()

    def work(job: Job) -> None:
        if job.stop.wait(30):
            stopped.set()

    told = []
    tasks.cancelled.connect(told.append)
    tasks.run("open", work, then=lambda _: None, title="Opening TS_026")
    (bar,) = progress._all_instances
    bar.cancel()
    assert stopped.wait(30)
    assert not tasks.is_running("open")
    assert bars() == []
    bar.cancel()
    assert told == ["open"], "who began it is told, once"
