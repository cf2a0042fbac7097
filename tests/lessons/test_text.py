"""Lessons as text: read and written alike, damaged and hostile ones refused, and rendered safely."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lessons.sample_lesson import TASKS
from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.lessons.lesson import (
    MAX_LESSON_BYTES,
    ChooseTask,
    Lesson,
    MeasureTask,
    Step,
)
from napari_cryoet.lessons.markdown import Action, parse_action, to_html
from napari_cryoet.lessons.text import lesson_text, public_lesson, read_lesson_text
from napari_cryoet.views.view import View, ViewedLayer, ViewedRun
from views.cameras import camera_at

HEADER = "---\ntitle: A lesson\n---\n"
VIEW = View(
    runs=(ViewedRun(source="demo", dataset_id=90001, run_name="DEMO_003"),),
    layers=(ViewedLayer(kind="file", file="picks/A.ndjson", name="A"),),
    camera=camera_at((350.5, 800, 700), (1700, 1500)),
)
LESSON = Lesson(
    key="a-lesson",
    title="Finding: #ribosomes",
    description="Two lines,\nand 'quotes'.",
    version=3,
    pack="demo",
    steps=tuple(
        Step(
            key=f"step-{number}",
            title=f"Step {number}",
            text="Look at [this](!goto=1,2,3).\n\n```python\n## no step\n```\n\n### Smaller",
            view=VIEW if number % 2 else None,
            task=task,
            hints=("a hint", "with code:\n\n```\nx\n```")[: number % 3],
        )
        for number, task in enumerate((None, *TASKS))
    ),
)


def test_a_lesson_is_read_as_it_was_written():
    text = lesson_text(LESSON)

    assert "position_zyx_angstrom: [1, 2, 3.5]" in text
    assert read_lesson_text(text, "other") == LESSON
    assert read_lesson_text(text.replace("\n", "\r\n"), "other") == LESSON


def test_a_handwritten_lesson():
    text = HEADER + (
        "\n## What is *this*?\n\nA [link](https://example.org).\n\n"
        '```view\n{"camera": {"point_zyx_angstrom": [1, 2, 3], "center_zyx_angstrom": [1, 2, 3],'
        ' "field_angstrom": [9, 9]}}\n```\n\nMore.\n\n'
        "```task\nkind: measure\nask: How wide?\ntolerance_angstrom: 20\n```\n"
        f"\n```hint\nWide.\n```\n\n## Next {{#end}}\n\n```view\n{VIEW.link()}\n```\n"
    )
    lesson = read_lesson_text(text, "key-of-folder")

    assert (lesson.key, lesson.title) == ("key-of-folder", "A lesson")
    assert [step.key for step in lesson.steps] == ["what-is-this", "end"]
    first, second = lesson.steps
    assert first.text.startswith("A [link]")
    assert first.text.endswith("More.")
    assert first.view is not None
    assert first.view.camera.field_angstrom == (9, 9)
    assert first.task == MeasureTask(ask="How wide?", tolerance_angstrom=20)
    assert first.hints == ("Wide.",)
    assert second.view == VIEW


@given(st.text(max_size=300), st.text(max_size=60), st.text(max_size=300))
def test_any_words_are_written_exactly_or_not_at_all(text, title, hint):
    step = Step(
        key="a",
        title=title,
        text=text,
        hints=(hint,),
        task=ChooseTask(ask=text, choices=TASKS[2].choices),
    )
    lesson = Lesson(key="k", title=title, description=hint, steps=(step,))
    try:
        written = lesson_text(lesson)
    except SaveError:
        return
    again = read_lesson_text(written, "k")
    assert again.title == lesson.title
    assert again.description == lesson.description
    assert again.steps[0].title == title
    assert again.steps[0].task == step.task
    assert again.steps[0].text.split("\n") == _without_empty_ends(text)


def _without_empty_ends(text):
    lines = text.split("\n")
    while len(lines) > 1 and not lines[0].strip(" \t"):
        del lines[0]
    return "\n".join(lines).rstrip().split("\n")


@pytest.mark.parametrize("text", ["## another step", "```\nopen", "```hint\nno\n```"])
def test_words_that_would_be_read_as_something_else_are_refused(text):
    steps = (Step(key="a", title="Look", text=text), Step(key="b", title="Next"))
    with pytest.raises(SaveError, match="'Look'"):
        lesson_text(Lesson(key="k", title="t", steps=steps))


ANSWER_SHOWN = replace(VIEW, layers=(ViewedLayer(kind="file", file="answers/A.ndjson"),))
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
DAMAGED = [
    ("no header", "header"),
    ("---\ntitle: 1\n---\n", "title"),
    ("---\ntitle: a\ntilte: b\n---\n", "tilte"),
    ("---\ntitle: a\nsteps: []\n---\n", "steps"),
    (f"---\ntitle: a\n{LAUGHS}---\n", "anchor"),
    ("---\ntitle: !!python/object/apply:os.system [ls]\n---\n", "header"),
    (f"---\ntitle: a\nminutes: {'9' * 5000}\n---\n", "header"),
    (f"---\ntitle: {'[' * 5000}\n---\n", "header"),
    (f"---\ntitle: a\ndescription: {'x ' * 60_000}\n---\n", "characters"),
    (f"{HEADER}hello\n", "step"),
    (f"{HEADER}## A\n\n## A\n", "'a'"),
    (f"{HEADER}## A {{#../x}}\n", "'A'"),
    (f"{HEADER}## A\n```task\nkind: pick\n  x: [\n```\n", "line 7"),
    (f"{HEADER}## A\n\n```task\nkind: fly\n```\n", "line 6"),
    (f"{HEADER}## A\n\n```task\nkind: chose\n```\n", "choose"),
    (f"{HEADER}## A\n```view\nhttps://example.org\n```\n", "view"),
    (f"{HEADER}## A\n```hint\na\n```\n```view\n{{}}\n```\n", "line 8"),
    (f"{HEADER}## A\n```view\n{VIEW.link()}\n```\n```view\n{VIEW.link()}\n```\n", "only one"),
    (f"{HEADER}## A\n{'x' * 30_000}\n", "20000"),
    (HEADER + "".join(f"## A{number}\n" for number in range(200)), "100"),
    (HEADER + "x" * (MAX_LESSON_BYTES + 1), "larger"),
    (
        f"{HEADER}## A\n```task\nkind: pick\nobject_name: a\ntolerance_angstrom: 1\nreference: picks/a.ndjson\n```\n",
        "answers/",
    ),
    (
        f"{HEADER}## A\n```task\nkind: sort\npicks: answers/a.csv\nreference: answers/a.csv\n"
        "tolerance_angstrom: 1\n```\n",
        "picks",
    ),
    (
        f"{HEADER}## A\n```view\n{ANSWER_SHOWN.link()}\n```\n",
        "hidden",
    ),
]


def test_damaged_and_hostile_lessons_are_refused():
    for text, word in DAMAGED:
        with pytest.raises(FormatError, match=word):
            read_lesson_text(text, "key")


def test_deep_and_long_texts_take_no_time():
    start = time.perf_counter()
    for text in (">" * 19_000, "[a](b" * 3_800, "*a_ " * 4_900, "`" * 19_000, "![" * 9_000):
        step = Step(key="a", title="a", text=text)
        read_lesson_text(lesson_text(Lesson(key="k", title="t", steps=(step,))), "k")
        to_html(text)
    assert time.perf_counter() - start < 10


def test_a_class_gets_no_answers():
    text = msgspec.json.encode(public_lesson(LESSON)).decode()

    for secret in (
        "ribosomes.ndjson",
        "fas.ndjson",
        "answers/A",
        "fatty",
        "Why?",
        "again",
        "25 nm",
    ):
        assert secret not in text
    public = msgspec.json.decode(text)["steps"]
    for number, secret in ((3, "right"), (4, "right_angstrom"), (5, "right"), (5, "right_cause")):
        assert secret not in public[number]["task"]
    assert [step.text for step in public_lesson(LESSON).steps] == [
        step.text for step in LESSON.steps
    ]


# Markdown


def test_html_is_shown_as_text_and_only_safe_links_and_pictures_remain():
    html = to_html(
        "<script>x</script> <img src=a.png> [a](javascript:alert(1)) [b](file:///etc/passwd) "
        "[c](data:text/html,x) ![d](https://example.org/track.png) ![e](../../x.png) ![f](/x.png)\n\n"
        '[go](!goto=1,2,3) [show](!show=A%20b) <https://example.org> ![a "cell"](pictures/cell.png)\n\n'
        "| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    assert "<script" not in html
    assert html.count("<img") == 1
    assert '<img src="pictures/cell.png" alt="a &quot;cell&quot;">' in html
    assert html.count("href=") == 3
    assert 'href="!goto=1,2,3"' in html
    assert 'href="!show=A%20b"' in html
    assert "<table>" in html


def test_actions():
    assert parse_action("https://example.org") is None
    assert parse_action("!goto=1,2.5,-3") == Action("goto", (1, 2.5, -3))
    assert parse_action("!highlight=1,2,3") == Action("highlight", (1, 2, 3))
    assert parse_action("!highlight=my%20picks") == Action("highlight", layer="my picks")
    assert parse_action("!show=1,2,3") == Action("show", layer="1,2,3")
    for damaged in (
        "!",
        "!goto=",
        "!goto=1,2",
        "!goto=nan,1,2",
        "!goto=1e99,1,2",
        "!run=rm",
        "!show",
    ):
        with pytest.raises(FormatError):
            parse_action(damaged)
