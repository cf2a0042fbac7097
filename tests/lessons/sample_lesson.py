"""Tasks of all kinds, and a lesson about the demo's first run with a view, a task and a picture."""

from __future__ import annotations

import json
from pathlib import Path

from napari_cryoet.lessons.lesson import (
    Choice,
    ChooseTask,
    CompareTask,
    LessonTask,
    MeasureTask,
    PickTask,
    SortTask,
)
from napari_cryoet.portal.portal import Portal
from napari_cryoet.portal.provenance import path_of
from napari_cryoet.views.view import View, ViewedLayer, ViewedRun, ViewedTomogram, Words
from views.cameras import camera_at

RUN = 9001
TASK = """\
kind: pick
ask: Pick them.
object_name: ribosome
tolerance_angstrom: 100
region_zyx_angstrom: [[0, 100], [0, 300], [0, 300]]
reference: answers/right.ndjson
"""


MESSAGES = {"right": "Yes: it is.", "wrong object": "Not this one.\n\nLook *again*."}
#: A task of each kind, with all that the editor has no field for.
TASKS: tuple[LessonTask, ...] = (
    PickTask(
        object_name="ribosome",
        tolerance_angstrom=120,
        region_zyx_angstrom=((0, 100), (0, 200.5), (0, 300)),
        reference="answers/ribosomes.ndjson",
        others={"fatty acid synthase": "answers/fas.ndjson"},
        messages=MESSAGES,
    ),
    SortTask(picks="picks/A.ndjson", reference="answers/A.ndjson", tolerance_angstrom=80),
    ChooseTask(
        ask="Two lines,\nwhich stay.",
        choices=(
            Choice(text="no", message="Why?"),
            Choice(position_zyx_angstrom=(1, 2, 3.5)),
            Choice(text="no", picture="cell.png"),
        ),
        right=1,
    ),
    MeasureTask(tolerance_angstrom=20.123, right_angstrom=251.234, explanation="25 nm: a ribosome"),
    CompareTask(
        layers=("A", "B"),
        causes=("shifted", "flipped"),
        right="B",
        right_cause="flipped",
        pass_score=0.9,
    ),
)


def view_at(portal: Portal, point: tuple[float, float, float], title: str = "") -> View:
    """A view of the default tomogram of the demo's first run, centred on a point."""
    page = portal.run_page(RUN)
    assert page.default_tomogram is not None
    run = ViewedRun(source="demo", dataset_id=page.run.dataset_id, run_name=page.run.name)
    tomogram = ViewedTomogram(path=path_of(page.default_tomogram))
    return View(
        runs=(run,),
        layers=(ViewedLayer(kind="tomogram", tomogram=tomogram),),
        camera=camera_at(point),
        words=Words(title=title),
    )


def write_lesson(folder: Path, view: View) -> Path:
    """Write the lesson into a new folder."""
    (folder / "answers").mkdir(parents=True)
    (folder / "cell.png").write_bytes(b"picture")
    (folder / "answers" / "right.ndjson").write_text("{}\n")
    text = [
        "---\ntitle: Ribosomes\npack: demo\n---\n## Look\n",
        "Go [there](!goto=100,800,800). ![A cell](cell.png)\n\n",
        f"```view\n{json.dumps(view.to_dict())}\n```\n\n```task\n{TASK}```\n\n",
        "```hint\nLook [here](!highlight=120,500,500).\n```\n",
    ]
    (folder / "lesson.md").write_text("".join(text))
    return folder
