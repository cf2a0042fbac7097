"""A small class for tests: a pack without data, a lesson in memory, and raw requests."""

from __future__ import annotations

import base64
import http.client
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lessons.fake_lesson import FakeLesson
from napari_cryoet.classroom.server import ClassServer
from napari_cryoet.lessons.lesson import Choice, ChooseAnswer, ChooseTask, PickTask, Step
from napari_cryoet.packs.pack import PackManifest, write_pack
from napari_cryoet.views.view import View, ViewedRun
from views.cameras import camera_at

HTTPS = "https://files.example.org/"
#: The text of a lesson with one question, whose right answer is B.
LESSON = """---
title: A lesson
---

## Choose

```task
kind: choose
choices: [{text: A}, {text: B}]
right: 1
```
"""


def view_of(source: str, z: float = 0.0) -> View:
    """A view of a run at a plane."""
    run = ViewedRun(source=source, run_name="TS_1")
    return View(runs=(run,), camera=camera_at((z, 0.0, 0.0)))


CHOICES = (Choice(text="A", message="No: look again."), Choice(text="B"))
TASKS = (
    Step(
        key="pick",
        title="Pick",
        task=PickTask(
            object_name="ribosome",
            tolerance_angstrom=100,
            reference="answers/truth.ndjson",
            messages={"missed": "You missed some."},
        ),
    ),
    Step(key="choose", title="Choose", task=ChooseTask(choices=CHOICES, right=1)),
)


def make_pack(folder: Path) -> Path:
    """An empty pack."""
    manifest = PackManifest(
        id="pack-1", title="Mine", https_prefix=HTTPS, s3_prefix="s3://bucket/", origin="demo"
    )
    return write_pack(folder, manifest, {}).folder


def make_lesson(view: View | None = None) -> FakeLesson:
    """A lesson with a step to look, to pick, and to choose."""
    look = Step(key="look", title="Look", text="A tomogram.", view=view or view_of("pack"))
    lesson = FakeLesson(look, *TASKS)
    lesson.right = {"choose": ChooseAnswer(choice=1)}
    lesson.files = {"picks/a.ndjson": b'{"type":"point"}\n'}
    return lesson


@contextmanager
def served(folder: Path, lesson: FakeLesson | None = None, **options: Any) -> Iterator[ClassServer]:
    """A class whose results are below the folder; again of the same folder, it goes on."""
    if not (folder / "pack").exists():
        make_pack(folder / "pack")
    lessons = [lesson or make_lesson()]
    options = {"results": folder / "results"} | options
    with ClassServer(folder / "pack", "Monday", lessons, **options) as server:
        yield server


def ask(
    server: ClassServer,
    method: str,
    path: str,
    message: Any = None,
    password: str = "",
    **headers: str,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body of the reply to a raw request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    body = None
    if message is not None:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        sent = {"Content-Type": "application/json"} | sent
    if password:
        sent["Authorization"] = f"Basic {base64.b64encode(f'class:{password}'.encode()).decode()}"
    try:
        connection.request(method, path, body, sent)
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


def join(server: ClassServer, nickname: str = "Anna", **changes: Any) -> tuple[str, str]:
    """Join by a raw request; the token and the nickname that the server gave."""
    token = secrets.token_urlsafe(32)
    request = {"code": server.join_code, "nickname": nickname, "token": token} | changes
    status, _, body = ask(server, "POST", "/class/join", request)
    assert status == 200, body
    return request["token"], json.loads(body)["nickname"]


def delivery(answer: Any, step: str = "pick", **changes: Any) -> dict[str, Any]:
    """The message that delivers an answer."""
    return {
        "uid": secrets.token_hex(16),
        "lesson": "fake",
        "step": step,
        "answer": answer,
    } | changes


def session_of(server: ClassServer) -> str:
    """The cookie of a board that was opened with the teacher's code."""
    path = "/class/board/session"
    status, headers, _ = ask(server, "POST", path, password=server.teacher_code)
    assert status == 200
    return headers["Set-Cookie"].partition(";")[0]


def board_of(server: ClassServer, cookie: str) -> dict[str, Any]:
    """The state in the first event of a board."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("GET", "/class/board/events", headers={"Cookie": cookie})
        reply = connection.getresponse()
        assert reply.status == 200
        line = reply.readline()
    finally:
        connection.close()
    event: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
    return event["state"]
