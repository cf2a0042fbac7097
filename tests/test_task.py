"""`Task`: progress and Stop in one object."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from napari_cryoet import StoppedError, Task
from napari_cryoet.task import UNWATCHED, shows_progress


def test_parts_report_their_share_and_stop_with_the_whole():
    steps = []
    task = Task(lambda *step: steps.append(step))
    part = task.part(0.5, 1.0)
    part.step(0.5, "half of the second half")
    task.part(0.5, 1.0, "copying").step_bytes(3_000_000, 4_000_000)

    assert steps == [(0.75, "half of the second half"), (0.875, "copying: 3 MB of 4 MB")]
    task.stop()
    assert part.is_stopped
    for stopped in (part.check, lambda: task.wait(30), lambda: part.step(1)):
        with pytest.raises(StoppedError):
            stopped()
    assert len(steps) == 2


def test_a_notebook_shows_a_bar_unless_a_task_is_given(monkeypatch, capsys):
    @shows_progress
    def work(task: Task = UNWATCHED) -> Task:
        task.step(0.5, "reading")
        return task

    assert work() is UNWATCHED
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    own = Task()
    assert work(task=own) is own
    assert capsys.readouterr().err == ""
    assert work() is not UNWATCHED
    assert "reading" in capsys.readouterr().err
