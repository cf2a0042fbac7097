"""A student joins, opens a lesson, delivers answers now or later, and follows the teacher."""

from __future__ import annotations

import threading
import time
from queue import Queue
from unittest.mock import Mock

import pytest

from classroom.classes import make_lesson, served, view_of
from conftest import PATIENCE_MS
from napari_cryoet.classroom.client import ClassClient, TeacherClient, join_class
from napari_cryoet.classroom.messages import class_address
from napari_cryoet.exceptions import (
    AnswerError,
    CryoETError,
    FormatError,
    NetworkError,
    SaveError,
)
from napari_cryoet.lessons.lesson import ChooseAnswer, PickAnswer

PATIENCE_S = PATIENCE_MS / 1000
CHOSEN = ChooseAnswer(choice=1)


@pytest.fixture
def lesson():
    return make_lesson()


@pytest.fixture
def server(tmp_path, lesson):
    with served(tmp_path, lesson) as server:
        yield server


@pytest.fixture
def joined(server, tmp_path):
    return lambda nickname="Anna": ClassClient.join(
        server.page_url, server.join_code, nickname, folder=tmp_path / "kept"
    )


@pytest.mark.parametrize(
    ("typed", "server", "code"),
    [
        ("192.168.1.7:8000", "http://192.168.1.7:8000", ""),
        (" http://192.168.1.7:8000/ \n", "http://192.168.1.7:8000", ""),
        ("192.168.1.7:8000/class/board", "http://192.168.1.7:8000", ""),
        ("HTTP://Lab.Local:81/graphql?a=b", "http://lab.local:81", ""),
        ("<http://lab.local:81/#k7qm-4xda>", "http://lab.local:81", "K7QM4XDA"),
        ("https://me:secret@class.example.org", "https://class.example.org", ""),
        ("[::1]:8000.", "http://[::1]:8000", ""),
    ],
)
def test_the_address_field_forgives(typed, server, code):
    assert class_address(typed) == (server, code)


@pytest.mark.parametrize("typed", ["", "://", "ftp://a:1", "a:port", "http://[", "file:///etc"])
def test_what_is_no_address_is_refused(typed):
    with pytest.raises(FormatError, match="address"):
        class_address(typed)


def test_a_student_gets_the_lesson_without_answers(joined, server):
    student = joined()
    assert (student.name, student.nickname, student.lessons) == ("Monday", "Anna", ("fake",))
    lesson = student.open_lesson("fake")

    look, pick, choose = lesson.lesson.steps
    assert look.view.runs[0].source == f"{server.page_url}/graphql"
    assert (pick.task.reference, pick.task.messages) == (None, {})
    assert (choose.task.right, choose.task.choices[0].message) == (None, "")
    assert lesson.read_file("picks/a.ndjson") == b'{"type":"point"}\n'
    for name in ("answers/truth.ndjson", "../results/class.json"):
        with pytest.raises(FormatError):
            lesson.read_file(name)


ROOM = "napari_cryoet.classroom.room"


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        (f"{ROOM}.written_whole", Mock(side_effect=SaveError("The disk is full."))),
        (f"{ROOM}.MAX_ANSWERS", 0),
        (f"{ROOM}.MAX_CLASS_BYTES", 0),
        ("lessons.fake_lesson.FakeLesson.grade", Mock(side_effect=FormatError("No such step."))),
    ],
)
def test_an_answer_waits_until_the_class_can_take_it(joined, lesson, monkeypatch, part, fault):
    source = joined().open_lesson("fake")
    late = []
    with monkeypatch.context() as patch:
        patch.setattr(part, fault)
        for answer in (CHOSEN, PickAnswer()):
            with pytest.raises(NetworkError, match="kept"):
                source.grade("choose", answer)
        source.student.deliver(lambda *each: late.append(each), print)
        assert (late, source.student.n_undelivered) == ([], 2)
        lesson.answers.clear()
    source.student.deliver(lambda delivery, _: late.append(delivery.answer), print)
    assert (late, source.student.n_undelivered) == ([CHOSEN, PickAnswer()], 0)


def test_an_answer_that_is_refused_for_good_is_told_and_kept(joined, lesson, tmp_path):
    lesson.grade = Mock(side_effect=FormatError("Not now."))
    source = joined().open_lesson("fake")
    for _ in range(2):
        with pytest.raises(NetworkError):
            source.grade("choose", CHOSEN)
    lesson.grade = Mock(side_effect=AnswerError("It contradicts itself."))
    with pytest.raises(AnswerError, match="contradicts"):
        source.grade("choose", CHOSEN)
    told = []
    source.student.deliver(print, told.append)
    kept = sorted(tmp_path.rglob("*.refused"))
    assert [path.name in str(error) for path, error in zip(kept, told, strict=False)] == [True] * 2
    assert (len(kept), source.student.n_undelivered) == (3, 0)


def test_a_student_who_returns_finds_answers_and_step(joined):
    source = joined().open_lesson("fake")
    assert source.progress is None
    for choice, n_hints in ((0, 0), (1, 2)):
        source.grade("choose", ChooseAnswer(choice=choice), n_hints=n_hints)
    source.grade("pick", PickAnswer())
    assert joined().open_lesson("fake").progress.step == "pick", "the step that was answered last"
    progress = joined().open_lesson("fake").progress
    choose, pick = progress.steps
    assert (choose.answer.choice, choose.score) == (0, 0)
    assert progress.feedback["choose"].is_right  # of the last answer
    assert (choose.attempts, choose.n_hints, pick.attempts) == (2, 2, 1)


@pytest.mark.parametrize(
    ("code", "nickname", "wanted", "most", "noun"),
    [
        ("", "Anna", "", 1, "code"),
        ("WRONGCODE", "Anna", "", 1, "code"),
        ("right", " ", "", 1, "nickname"),
        ("right", "Anna", "none", 1, "lesson"),
        ("right", "Anna", "", 0, "full"),
    ],
)
def test_why_a_student_cannot_join_is_told(server, monkeypatch, code, nickname, wanted, most, noun):
    monkeypatch.setattr("napari_cryoet.classroom.room.MAX_STUDENTS", most)
    code = code.replace("right", server.join_code)
    with pytest.raises(CryoETError, match=noun):
        join_class(server.page_url, code, nickname, lesson=wanted)
    assert not server.room.students


def test_a_student_who_returns_is_the_same_and_namesakes_are_not(joined, server, tmp_path):
    assert [joined().nickname, joined("anna ").nickname] == ["Anna", "Anna"]
    other = ClassClient.join(
        f"{server.page_url}/#{server.join_code}", "", "ANNA", folder=tmp_path / "other computer"
    )
    assert other.nickname == "ANNA 2"
    assert len(server.room.students) == 2


def test_answers_given_without_a_network_are_delivered_later(tmp_path):
    lesson = make_lesson()
    with served(tmp_path, lesson) as server:
        student = ClassClient.join(
            server.page_url, server.join_code, "Anna", folder=tmp_path / "kept"
        )
        source = student.open_lesson("fake")
    answers = [PickAnswer(positions_zyx_angstrom=((z, 0, 0),)) for z in (1, 2)]
    for answer in answers:
        with pytest.raises(NetworkError, match="kept"):
            source.grade("pick", answer)
    assert student.n_undelivered == 2

    with served(tmp_path, lesson) as server:  # on the same port
        returned = ClassClient.join(
            server.page_url, server.join_code, "Anna", folder=tmp_path / "kept"
        )
        assert returned.n_undelivered == 2
        delivered = []
        student.deliver(
            lambda delivery, feedback: delivered.append((delivery.answer, feedback.score)), print
        )
        assert delivered == [(answer, 0) for answer in answers]
        assert (student.n_undelivered, [each for _, each in lesson.answers]) == (0, answers)
        assert len(server.room.students[0].answers("fake")["pick"]) == 2


def test_an_answer_on_its_way_is_not_delivered_again(joined, lesson):
    source = joined().open_lesson("fake")
    late = []
    deliver = source.student.deliver
    again = threading.Thread(target=lambda: deliver(lambda *each: late.append(each), print))
    grade = lesson.grade

    def grade_meanwhile(*arguments):
        again.start()
        return grade(*arguments)

    lesson.grade = grade_meanwhile
    source.grade("choose", ChooseAnswer(choice=1))
    again.join()
    assert (late, len(lesson.answers), source.student.n_undelivered) == ([], 1, 0)


def view_at(z):
    return view_of("http://127.0.0.1:9/graphql", z)


def test_those_who_follow_get_the_teachers_view_within_a_second(joined, server):
    seen = Queue()
    teacher = TeacherClient(server.page_url, server.teacher_code)
    following = joined().follow(seen.put, print, print)
    for z in (10.0, 20.0):
        started_s = time.monotonic()
        teacher.share(view_at(z))
        view = seen.get(timeout=PATIENCE_S)
        assert time.monotonic() - started_s < 1
        assert view.camera.center_zyx_angstrom == (z, 0, 0)
        assert view.runs[0].source == f"{server.page_url}/graphql"
    teacher.share(None)
    assert seen.get(timeout=PATIENCE_S) is None
    following.cancel()

    returned = Queue()
    teacher.share(view_at(30.0))
    following = joined().follow(returned.put, print, print)
    assert returned.get(timeout=PATIENCE_S).camera.center_zyx_angstrom == (30.0, 0, 0)
    following.cancel()
    assert seen.empty()


@pytest.mark.slow  # waits for a server that is gone
def test_a_restarted_class_learns_where_students_are_and_shows_nothing_older(tmp_path):
    seen = Queue()
    with served(tmp_path) as server:
        teacher = TeacherClient(server.page_url, server.teacher_code)
        joined = ClassClient.join(
            server.page_url, server.join_code, "Anna", folder=tmp_path / "kept"
        )
        joined.open_lesson("fake").enter("pick")
        following = joined.follow(seen.put, print, print)
        teacher.share(view_at(10.0))
        assert seen.get(timeout=PATIENCE_S) is not None
    assert seen.get(timeout=PATIENCE_S) is None, "the class is gone"
    with served(tmp_path) as server:
        (student,) = server.room.students
        deadline_s = time.monotonic() + PATIENCE_S
        while student.position is None:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert student.position.step == "pick"
        following.cancel()
