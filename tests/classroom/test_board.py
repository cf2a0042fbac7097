"""The teacher's board: who is where, scores, the picks of all, and the table; in a real browser nightly."""

from __future__ import annotations

import csv
import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
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
    view_of,
)
from napari_cryoet.classroom.client import TeacherClient

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
STUDENTS = 20
POINTS = [[0, 0, 0], [500, 1000, 1500], [900, 2000, 300]]


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


def test_the_board_shows_the_first_answer_and_where_a_student_is(server):
    token, _ = join(server)
    position = {"lesson": "fake", "step": "choose"}
    assert ask(server, "POST", "/class/position", position, token)[0] == 200
    for choice in (0, 1):
        answer(server, token, {"kind": "choose", "choice": choice}, "choose")
    ask(server, "POST", "/class/position", position | {"step": "nowhere"}, token)
    board = board_of(server, session_of(server))
    (student,) = board["students"]
    (lesson,) = board["lessons"]
    assert (student["step"], student["isPresent"]) == ("choose", True)
    assert lesson["rows"][student["id"]] == {"choose": [0.0, False, 2]}
    assert [step["kind"] for step in lesson["steps"]] == ["", "pick", "choose"]


def test_the_picks_of_all_come_with_their_consensus(server):
    for number, points in enumerate((POINTS, POINTS[:2], [[510, 1000, 1500]])):
        token, _ = join(server, f"S{number}")
        answer(server, token, picked(*points))
    cookie = session_of(server)
    status, _, body = ask(server, "GET", "/class/board/picks/fake/pick", Cookie=cookie)
    found = json.loads(body)
    assert (status, len(found["people"]), len(found["reference"])) == (200, 3, 2)
    assert [votes for _, votes in found["consensus"]] == [3, 2, 1]
    assert 0 < found["agreement"] < 1
    assert ask(server, "GET", "/class/board/picks/fake/choose", Cookie=cookie)[0] == 404


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
        page.check("#reference")
        page.fill("#votes", "2")
        assert page.inner_text("#least") == "2"
        page.set_viewport_size({"width": 390, "height": 800})  # a phone
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        with page.expect_download() as downloading:
            page.click("#csv")
        assert "Ben" in downloading.value.path().read_text(encoding="utf-8-sig")
        assert not problems
        assert hosts == {f"127.0.0.1:{server.port}"}
        browser.close()


def test_the_teachers_shared_view_is_on_the_board(server):
    cookie = session_of(server)
    assert not board_of(server, cookie)["isSharing"]
    TeacherClient(server.page_url, server.teacher_code).share(view_of("pack"))
    assert board_of(server, cookie)["isSharing"]
