"""Lessons in folders: what may be read of them, and results as files."""

from __future__ import annotations

import os
from unittest.mock import Mock

import msgspec
import pytest

from lessons.fake_lesson import FakeLesson
from napari_cryoet.exceptions import FormatError, NetworkError, SaveError
from napari_cryoet.lessons.folder import (
    MAX_SHOWN_BYTES,
    fetch_files,
    lessons_of,
    open_lesson,
    write_result,
)
from napari_cryoet.lessons.lesson import (
    MAX_LESSON_BYTES,
    PickAnswer,
    Result,
    StepResult,
)

TEXT = "---\ntitle: A lesson\n---\n\n## Look\n"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pack" / "lessons" / "My lesson"
    (folder / "answers").mkdir(parents=True)
    (folder / "picks").mkdir()
    (folder / "lesson.md").write_text(TEXT)
    (folder / "picks" / "a.ndjson").write_text("")
    for name in ("a.ndjson", "a.ndjson.provenance.json"):
        (folder / "answers" / name).write_text("secret")
    (tmp_path / "pack" / "outside.png").write_text("outside")
    return folder


def test_open_from_the_folder_or_its_text(folder):
    for path in (folder, str(folder), folder / "lesson.md"):
        lesson = open_lesson(path).lesson
        assert (lesson.key, lesson.title) == ("my-lesson", "A lesson")


def test_lessons_of_a_pack_are_listed_without_damaged_ones(folder):
    pack = folder.parent.parent
    (folder.parent / "0-damaged").mkdir()
    (folder.parent / "0-damaged" / "lesson.md").write_text("no header")

    assert [each.lesson.key for each in lessons_of(pack)] == ["my-lesson"]
    assert lessons_of(folder) == ()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (MAX_LESSON_BYTES + 1), None])
def test_a_damaged_folder_is_refused(folder, content):
    path = folder / "lesson.md"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(FormatError):
        open_lesson(folder)


def test_only_shown_files_are_read(folder):
    lesson = open_lesson(folder)
    (folder / "huge.png").write_bytes(b"")
    os.truncate(folder / "huge.png", MAX_SHOWN_BYTES + 1)
    links = {"link.png": "answers/a.ndjson", "out.png": "../../outside.png", "open": "answers"}
    for name, target in links.items():
        (folder / name).symlink_to(target)

    assert lesson.read_file("picks/a.ndjson") == b""
    for name in (
        "lesson.md",
        "answers/a.ndjson",
        "answers/a.ndjson.provenance.json",
        "picks/../answers/a.ndjson",
        "../../outside.png",
        str(folder.parent.parent / "outside.png"),
        "missing.png",
        "picks",
        "",
        "huge.png",
        "open/a.ndjson",
        *links,
    ):
        with pytest.raises(FormatError):
            lesson.read_file(name)


def test_files_of_a_class_are_written_and_stay_in_their_folder(folder, tmp_path):
    lost = Mock(folder=None)
    lost.read_file.side_effect = [b"here", NetworkError("Gone.")]
    with pytest.raises(NetworkError):
        fetch_files(lost, ["picks/a.ndjson"], tmp_path)
    source = FakeLesson()
    source.files = {"picks/a.ndjson": b"here", "picks/a.ndjson.provenance.json": b"notes"}
    assert fetch_files(source, ["picks/a.ndjson"], tmp_path).read_file("picks/a.ndjson") == b"here"
    assert (tmp_path / "picks/a.ndjson.provenance.json").read_bytes() == b"notes"
    for name in ("../a", "/etc/passwd", ""):
        with pytest.raises(FormatError):
            fetch_files(source, [name], tmp_path)
    assert fetch_files(open_lesson(folder), ["missing"], tmp_path).folder == folder


def test_a_result_is_written_and_replaced(tmp_path):
    answer = PickAnswer(positions_zyx_angstrom=((1.0, 2.0, 3.5),))
    step = StepResult(step="look", answer=answer, score=0.5, cause="missed", attempts=2)
    result = Result(nickname="Ada", lesson="a-lesson", steps=(step,))
    for _ in range(2):
        path = write_result(result, tmp_path / "new" / "ada.json")

    assert msgspec.json.decode(path.read_bytes(), type=Result) == result
    with pytest.raises(SaveError):
        write_result(result, path / "below")
