"""The demo's lessons: their views exist, and they can be taken to the end, rightly and wrongly."""

from __future__ import annotations

import json

import pytest

from lessons.demo_answers import answers_to, expected_picks, sorted_rightly
from napari_cryoet import compare, open_portal, read_index
from napari_cryoet.demo.write import write_lessons
from napari_cryoet.lessons.folder import lessons_of, open_lesson
from napari_cryoet.lessons.lesson import CompareTask
from napari_cryoet.lessons.markdown import parse_action, to_html
from napari_cryoet.views.finding import file_of, find_layers, find_run

KEYS = ["1-what-is-a-tomogram", "2-finding-ribosomes", "3-can-you-trust-this-annotation"]


@pytest.fixture(scope="module", params=["tiny", "full"])
def lessons(request, tmp_path_factory):
    """The lessons of the demo in both sizes."""
    pack = tmp_path_factory.mktemp("pack")
    write_lessons(pack / "lessons", request.param)
    return lessons_of(pack)


def test_all_three_are_taken_to_the_end_rightly_and_wrongly(lessons):
    assert [each.lesson.key for each in lessons] == KEYS
    kinds = set()
    for folder in lessons:
        for step in folder.lesson.steps:
            if step.task is None:
                continue
            kinds.add(type(step.task))
            answers = answers_to(folder, step.task)
            right, wrong = (folder.grade(step.key, answer) for answer in answers)
            where = folder.lesson.key, step.key
            assert (right.is_right, right.score) == (True, 1), where
            assert not wrong.is_right, where
            assert wrong.cause != "right", where
            assert wrong.text, where
    assert len(kinds) == 5


def test_the_numbers_in_the_texts_are_right(lessons):
    folder = lessons[2]
    truth = folder.read_picks("answers/ribosomes.ndjson")
    scores = {
        name: compare(folder.read_picks(f"picks/{name}.ndjson"), truth, radius_angstrom=120).scores
        for name in "ABC"
    }
    assert scores["A"].true_positives == 0
    assert (scores["B"].true_positives, scores["B"].false_positives) == (22, 0)
    assert scores["C"].true_positives == 13
    assert (scores["C"].precision, scores["C"].recall) == (13 / 20, 13 / 24)
    kept, rejected = sorted_rightly(folder, folder.lesson.step("sort").task)
    assert (len(kept), len(rejected)) == (13, 7)
    ribosomes = lessons[1]
    kept, rejected = sorted_rightly(ribosomes, ribosomes.lesson.step("sort").task)
    assert (len(kept), len(rejected)) == (10, 9)
    assert len(expected_picks(ribosomes, ribosomes.lesson.step("pick").task)) == 8


def test_each_view_shows_what_it_names(demo_pack):
    portal = open_portal(demo_pack)
    n_views = 0
    for folder in lessons_of(demo_pack):
        for step in folder.lesson.steps:
            actions = [parse_action(href) for href in hrefs(step.text, *step.hints)]
            view = step.view
            if view is None:
                assert not actions
                continue
            n_views += 1
            pages = {number: find_run(portal, run) for number, run in enumerate(view.runs)}
            finding = find_layers(view, pages)
            files = [file_of(layer, folder.folder) for layer in view.layers if layer.kind == "file"]
            assert finding.remarks == ()
            assert len(finding.layers) + len(files) == len(view.layers)
            names = {layer.name for layer in view.layers}
            assert {action.layer for action in actions} - {""} <= names
            assert not isinstance(step.task, CompareTask) or {*step.task.layers} <= names
    assert n_views == 17


def hrefs(*texts):
    for text in texts:
        for part in to_html(text).split('href="')[1:]:
            yield part.partition('"')[0]


def test_the_right_picks_are_nowhere_to_be_seen(demo_pack):
    folder = open_lesson(demo_pack / "lessons" / KEYS[1])
    lines = (folder.folder / "answers" / "ribosomes.ndjson").read_text().splitlines()
    truth = json.loads(lines[0])["location"]
    seen = [
        path.read_bytes()
        for place in ("tables", "files")
        for path in (demo_pack / place).rglob("*")
        if path.suffix in {".json", ".ndjson"}
    ]
    assert not any(f"{truth['x']}"[:8].encode() in content for content in seen)
    portal = open_portal(demo_pack)
    page = portal.run_page(9003)
    assert page.annotation_files == ()
    found = read_index(portal).find(objects="ribosome", is_ground_truth=True).run_ids
    assert 9001 in found
    assert 9003 not in found
    assert "lessons" not in " ".join(tomogram.https_omezarr_dir for tomogram in page.tomograms)
