"""The teacher's board: who is where, scores, the picks of all, and the table; in a real browser nightly."""

from __future__ import annotations

import csv
import io
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest

from classroom.classes import (
    ask,
    board_of,
    delivery,
    join,
    make_lesson,
    served,
    session_of,
)
from lessons.fake_lesson import REFERENCE
from napari_cryoet.classroom.board import Board
from napari_cryoet.classroom.messages import Delivery, JoinRequest, Position
from napari_cryoet.classroom.room import Room
from napari_cryoet.exceptions import CryoETError, FormatError, SaveError
from napari_cryoet.lessons.lesson import ChooseAnswer, PickAnswer

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
STUDENTS = 20
POINTS = ((0.0, 0.0, 0.0), (500.0, 1000.0, 1500.0), (900.0, 2000.0, 300.0))


@pytest.fixture
def server(tmp_path):
    with served(tmp_path, make_lesson()) as server:
        yield server


def answer(server, token, answer, step="pick"):
    status, _, body = ask(server, "POST", "/class/answers", delivery(answer, step), token)
    assert status == 200, body


def picked(*points):
    return {"kind": "pick", "positions_zyx_angstrom": points}


def table_of(server, cookie):
    body = ask(server, "GET", "/class/board/results.csv", Cookie=cookie)[2]
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))


def test_twenty_students_answer_at_once_and_are_all_in_the_table(server):
    def take_part(number):
        token, nickname = join(server, f"S{number}")
        answer(server, token, {"kind": "choose", "choice": number % 2}, "choose")
        return nickname

    with ThreadPoolExecutor(STUDENTS) as pool:
        names = list(pool.map(take_part, range(STUDENTS)))
    cookie = session_of(server)
    rows = {row["nickname"]: row["score"] for row in table_of(server, cookie)}
    assert rows == {name: f"{number % 2:.3f}" for number, name in enumerate(names)}
    board = board_of(server, cookie)
    assert {student["nickname"] for student in board["students"]} == set(names)
    scores = [row["choose"] for row in board["lessons"][0]["rows"].values()]
    assert sorted(scores) == [[0, False, 1]] * 10 + [[1, True, 1]] * 10


@pytest.fixture
def room(tmp_path):
    with closing(Room("Monday", tmp_path / "room")) as room:
        yield room


@pytest.fixture
def board(room):
    return Board(room, {"fake": make_lesson()})


def enter(room, nickname="Anna"):
    code = room.file.join_code
    return room.join(JoinRequest(code=code, nickname=nickname, token=secrets.token_urlsafe(32)))


def deliver(room, student, step, answer, n_hints=0):
    feedback = make_lesson().grade(step, answer)
    uid = secrets.token_hex(16)
    sent = Delivery(uid=uid, lesson="fake", step=step, answer=answer, n_hints=n_hints)
    room.keep(student, sent, feedback, 1)


def test_each_name_is_a_class_of_its_own(user_folder):
    names = ("月曜日", "火曜日", "Понедельник", "class", "a" * 40 + "1", "a" * 40 + "2", "?", "")
    rooms = [Room(name) for name in names]
    assert len({room.file.join_code for room in rooms}) == len(names)
    assert "月曜日" in rooms[0].folder.name
    rooms[3].close()
    assert Room(" Class").file == rooms[3].file


def test_a_class_is_opened_once_and_its_codes_are_not_replaced(room):
    with pytest.raises(CryoETError, match="already"):
        Room("Monday", room.folder)
    room.close()
    path = room.folder / "class.json"
    path.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(FormatError, match="damaged"):
            Room("Monday", room.folder)


def test_only_a_new_class_needs_space_on_the_disk(room, monkeypatch, tmp_path):
    room.close()
    full = Mock(side_effect=SaveError("The disk is full."))
    monkeypatch.setattr("napari_cryoet.classroom.room.written_whole", full)
    again = Room("Monday", room.folder)
    again.keep_port(1234)
    assert again.file.join_code == room.file.join_code
    with pytest.raises(SaveError):
        Room("Tuesday", tmp_path / "new")


def test_the_board_shows_the_first_answer_and_where_a_student_is(room, board):
    student = enter(room)
    student.move(Position(lesson="fake", step="choose"))
    for choice in (0, 1):
        deliver(room, student, "choose", ChooseAnswer(choice=choice))
    state = board.state()
    (lesson,) = state.lessons
    assert state.students[0].position.step == "choose"
    assert not state.students[0].is_present, "nothing was heard of the student"
    assert lesson.rows[student.id] == {"choose": (0.0, False, 2)}
    assert [step.kind for step in lesson.steps] == ["", "pick", "choose"]


def test_the_first_answer_stays_the_first_after_the_clock_went_back(room, monkeypatch):
    student = enter(room)
    times = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (12, 10)]
    clock = Mock(now=Mock(side_effect=times))
    monkeypatch.setattr("napari_cryoet.classroom.room.datetime", clock)
    for choice in (0, 1):
        deliver(room, student, "choose", ChooseAnswer(choice=choice))
    room.close()
    (student,) = Room("Monday", room.folder).students
    answers = student.answers("fake")["choose"]
    assert [each.answer.choice for each in answers] == [0, 1]


def test_the_table_tells_how_many_hints_were_taken_and_has_no_formula(room, board):
    names = {"=1+1": "'=1+1", "\uff1d1+1": "'\uff1d1+1", "a;=1+1": "a;'=1+1", "Anna": "Anna"}
    for name in names:
        deliver(room, enter(room, name), "choose", ChooseAnswer(choice=1), n_hints=2)
    table = board.table()
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["nickname"] for row in rows] == [*names.values()]
    assert {(row["right"], row["hints"]) for row in rows} == {("yes", "2")}
    assert '"Anna"' in table, "a comma or a semicolon in a cell starts no other"


def test_the_picks_of_all_come_with_their_consensus(room, board):
    assert board.picks("fake", "pick").people == ()
    for number, points in enumerate((POINTS, POINTS[:2], ((510, 1000, 1500),), ())):
        student = enter(room, f"S{number}")
        deliver(room, student, "pick", PickAnswer(positions_zyx_angstrom=points))
    found = board.picks("fake", "pick")
    assert [len(each.positions_zyx_angstrom) for each in found.people] == [3, 2, 1, 0]
    assert found.reference_zyx_angstrom == REFERENCE
    assert found.votes == (3, 2, 1)
    assert found.agreed_zyx_angstrom[1:] == (POINTS[0], POINTS[2])
    assert 0 < found.agreement < 1
    for keys in (("fake", "choose"), ("fake", "nowhere"), ("other", "pick")):
        with pytest.raises(CryoETError):
            board.picks(*keys)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_board_works_in_a_real_browser(server):
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    hostile = "<img src=x onerror=alert(1)>"
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        hosts = set()
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(server.board_url)
        page.fill("#code", "wrong")
        page.click("button")
        api.expect(page.locator("#refused")).to_contain_text("wrong")
        page.fill("#code", server.teacher_code.lower().replace("-", " "))
        page.click("button")
        api.expect(page.locator("#join-code")).to_have_text(server.join_code)
        page.wait_for_function("() => document.getElementById('qr').naturalWidth > 100")

        assert page.is_visible("#nobody")
        assert not page.is_visible("#picks")
        tokens = [join(server, name)[0] for name in (hostile, "Ben", "Carla")]
        for number, token in enumerate(tokens):
            ask(server, "POST", "/class/position", {"lesson": "fake", "step": "pick"}, token)
            answer(server, token, picked(*POINTS[number:]))
        api.expect(page.locator("#students td.wrong")).to_have_count(3)
        assert page.inner_text("#students td") == hostile
        assert page.inner_text("#students td:nth-child(2)") == "2 of 3"
        api.expect(page.locator("#people")).to_have_text("3")
        is_drawn = "document.getElementById('picks').getContext('2d').getImageData(0, 0, 1000, 700).data.some(Boolean)"
        assert page.evaluate(is_drawn)
        assert page.inner_text("#names").split("\n") == [hostile, "Ben", "Carla"]
        page.check("#reference")
        page.fill("#votes", "3")
        assert page.inner_text("#least") == "3"
        page.set_viewport_size({"width": 390, "height": 800})  # a phone
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        with page.expect_download() as downloading:
            page.click("#csv")
        assert "Ben" in downloading.value.path().read_text(encoding="utf-8-sig")
        assert not problems
        assert hosts == {f"127.0.0.1:{server.port}"}
        browser.close()
