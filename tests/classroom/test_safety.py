"""What a class refuses: wrong codes, large results, hostile names, half-open clients, strangers."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack

import numpy as np
import pytest

from classroom.classes import (
    ask,
    board_of,
    delivery,
    join,
    make_lesson,
    make_pack,
    served,
    session_of,
)
from napari_cryoet import Picks, write_picks
from napari_cryoet.classroom.messages import clean_nickname
from napari_cryoet.classroom.room import Attempts
from napari_cryoet.classroom.server import ClassServer
from napari_cryoet.lessons.folder import lessons_of

PICK_LESSON = """---
title: A lesson
---

## Pick

```task
kind: pick
object_name: ribosome
tolerance_angstrom: 50
reference: answers/truth.ndjson
messages: {missed: secret}
explanation: secret
```
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A class that attacks can't stop: all tests share it."""
    with served(tmp_path_factory.mktemp("class"), make_lesson()) as server:
        yield server


CHOSEN = {"kind": "choose", "choice": 1}


def test_a_thousand_wrong_codes_are_refused_and_the_right_one_still_works(server):
    wrong = {"code": "WRONGCODE", "nickname": "Eve", "token": "x" * 43}
    statuses = [ask(server, "POST", "/class/join", wrong)[0] for _ in range(1000)]
    assert statuses[: Attempts.MOST] == [403] * Attempts.MOST
    assert set(statuses[Attempts.MOST :]) == {429}
    status, headers, _ = ask(server, "POST", "/class/board/session", password=server.join_code)
    assert (status, headers["Retry-After"]) == (429, "120")
    join(server, "a student behind the same address")
    session_of(server)


def test_a_result_of_100_mb_is_refused_before_it_is_read(server):
    token, _ = join(server)
    body = b" " * (2 << 20)
    status, _, _ = ask(server, "POST", "/class/answers", body, token, Content_Length=str(100 << 20))
    assert status == 413


@pytest.mark.parametrize(
    "changes",
    [
        {"answer": {"kind": "pick", "positions_zyx_angstrom": [[0, 0, 0]] * 5001}},
        {"answer": {"kind": "pick", "positions_zyx_angstrom": [[1e300, 0, 0]]}},
        {"answer": {"kind": "pick", "positions_zyx_angstrom": [["a", 0, 0]]}},
        {"answer": {"kind": "shell", "command": "ls"}},
        {"answer": CHOSEN | {"choice": 99}},
        {"answer": CHOSEN | {"unknown": 1}},
        {"uid": "../../x"},
        {"lesson": "../fake"},
    ],
)
def test_invalid_answers_and_names_of_files_are_refused(server, changes):
    token, _ = join(server)
    message = delivery(CHOSEN, "choose") | changes
    assert ask(server, "POST", "/class/answers", message, token)[0] == 400


def test_json_that_is_nested_or_no_json_is_refused(server):
    for body in (b"[" * 100_000, b"\xff", b"", b'{"code": 1}'):
        assert ask(server, "POST", "/class/join", body)[0] == 400


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("\u202eAnna\u200b\x00\n", "Anna"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("  \t ", "Student"),
        ("\u3164\u2800\ufe0f\u115f", "Student"),
        ("x" * 300, "x" * 40),
        ("Z" + "\u0334" * 30, "Z\u0334\u0334"),
        ("=HYPERLINK(1)", "=HYPERLINK(1)"),
    ],
)
def test_nicknames_are_cleaned(typed, shown):
    assert clean_nickname(typed) == shown


def test_hostile_nicknames_are_unique_text_on_the_board(server):
    names = [join(server, "=HYPERLINK(1)\u202e")[1] for _ in range(2)]
    assert names == ["=HYPERLINK(1)", "=HYPERLINK(1) 2"]
    students = board_of(server, session_of(server))["students"]
    assert set(names) < {student["nickname"] for student in students}


@pytest.mark.parametrize(
    "path",
    [
        "/class/board/events",
        "/class/board/qr.svg",
        "/class/board/results.csv",
        "/class/board/picks/fake/pick",
        "/class/lessons/fake",
        "/class/lessons/fake/files/picks/a.ndjson",
        "/class/view",
    ],
)
def test_strangers_get_nothing(server, path):
    token, _ = join(server)
    refused = {401, 403, 429} if "board" in path else {401}
    for password, cookie in (("", ""), ("x" * 43, "x"), ("ü", "ü"), ("", "ü")):
        headers = {"Cookie": f"napari-cryoet-class={cookie}".encode().decode("latin-1")}
        assert ask(server, "GET", path, password=password, **headers)[0] in refused
    assert ask(server, "GET", path, Authorization="Basic %")[0] in refused
    if "board" in path:
        assert ask(server, "GET", path, password=token)[0] in refused


def test_students_do_not_share_views_and_the_teachers_are_views(server):
    token, _ = join(server)
    shared = {"view": "{}"}
    assert ask(server, "POST", "/class/view", shared, token)[0] in {403, 429}
    for view in ("[]", "{" * 1000, "x" * 70_000, '{"version": 1, "camera": "no"}'):
        assert ask(server, "POST", "/class/view", {"view": view}, server.teacher_code)[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/class/join", 405),
        ("DELETE", "/class/answers", 405),
        ("GET", "/class/join", 405),
        ("GET", "/class/", 404),
        ("GET", "/class/board/../room.py", 404),
        ("GET", "/class/class.json", 404),
        ("GET", "/lessons/fake/answers/truth.ndjson", 404),
    ],
)
def test_other_methods_and_paths_are_refused(server, method, path, status):
    assert ask(server, method, path)[0] == status


def test_the_reference_of_a_real_lesson_never_leaves_the_server(tmp_path):
    pack = make_pack(tmp_path / "pack")
    folder = pack / "lessons" / "one"
    for name in ("answers", "Answers", "picks"):  # the first two are one on some systems
        (folder / name).mkdir(parents=True, exist_ok=True)
        picks = Picks(np.ones((1, 3)), 10.0)
        write_picks(picks, folder / name / "truth.ndjson", overwrite=True)
    (folder / "lesson.md").write_text(PICK_LESSON)
    with ClassServer(pack, "Monday", lessons_of(pack), results=tmp_path / "results") as server:
        token, _ = join(server)
        status, _, body = ask(server, "GET", "/class/lessons/one", password=token)
        assert (status, b"truth" in body, b"secret" in body) == (200, False, False)
        files = "/class/lessons/one/files"
        assert ask(server, "GET", f"{files}/picks/truth.ndjson", password=token)[0] == 200
        for path in (
            f"{files}/answers/truth.ndjson",
            f"{files}/Answers/truth.ndjson",
            f"{files}/answers/truth.ndjson.provenance.json",
            f"{files}/picks/../answers/truth.ndjson",
            f"{files}/picks/%2e%2e/answers/truth.ndjson",
            f"{files}/lesson.md",
            f"{files}//etc/passwd",
            f"{files}/..%2f..%2fpack.json",
            "/files/lessons/one/answers/truth.ndjson",
            "/files/../lessons/one/lesson.md",
            "/s3/bucket/lessons/one/lesson.md",
        ):
            assert ask(server, "GET", path, password=token)[0] == 404, path
        answer = {"kind": "pick", "positions_zyx_angstrom": [[10, 10, 10]]}
        message = delivery(answer, "pick", lesson="one")
        status, _, body = ask(server, "POST", "/class/answers", message, token)
        assert (status, json.loads(body)["score"]) == (200, 1)


def test_other_hosts_are_refused(server):
    for path in ("/class/about", "/class/board", "/class/join"):
        assert ask(server, "GET", path, Host="evil.example")[0] == 400


def test_the_board_is_a_page_of_its_own_without_foreign_or_inline_code(server):
    for path in ("/class/board", "/class/board.js", "/class/board.css"):
        status, headers, body = ask(server, "GET", path)
        policy = headers["Content-Security-Policy"]
        assert (status, "default-src 'none'" in policy, "unsafe" in policy) == (200, True, False)
        assert b"http:" not in body
        assert b"https:" not in body
        assert b"innerHTML" not in body
        assert server.join_code.encode() not in body
    path = "/class/board/session"
    _, headers, _ = ask(server, "POST", path, password=server.teacher_code)
    assert {"HttpOnly", "Path=/class", "SameSite=strict"} <= set(headers["Set-Cookie"].split("; "))


def test_half_open_and_slow_clients_do_not_stop_the_class(server):
    token, _ = join(server)
    head = (
        b"POST /class/join HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 100\r\n"
    )
    with ExitStack() as stack:
        for sent in (b"", b"GET /class", head + b"\r\n{") * 40:
            address = ("127.0.0.1", server.port)
            stack.enter_context(socket.create_connection(address, timeout=20)).sendall(sent)
        message = delivery(CHOSEN, "choose")
        assert ask(server, "POST", "/class/answers", message, token)[0] == 200
        assert join(server, "late")[1].startswith("late")


def test_an_answer_is_graded_once_and_a_student_gives_a_limited_number(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cryoet.classroom.room.MAX_ANSWERS", 1)
    lesson = make_lesson()
    with served(tmp_path, lesson) as server:
        token, _ = join(server)
        first = delivery(CHOSEN, "choose")
        other = first | {"step": "pick", "answer": {"kind": "pick"}}
        statuses = [
            ask(server, "POST", "/class/answers", message, token)[0]
            for message in (first, first, other, delivery(CHOSEN, "choose"))
        ]
        (student,) = server.room.students
    assert statuses == [200, 200, 422, 507]
    assert ([*student.given], len(lesson.answers)) == ([first["uid"]], 1)
