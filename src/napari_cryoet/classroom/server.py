"""Serve a pack to a class: students join, get lessons and deliver answers; the teacher has a board.

Everybody may see `/` and the board's empty page. A student's token and the teacher's code come as
the password of HTTP's own authentication; the board's browser has a session cookie instead.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import csv
import hashlib
import hmac
import io
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from napari_cryoet.classroom.messages import (
    PATIENCE_S,
    AboutClass,
    Delivery,
    Joined,
    JoinRequest,
    LessonTitle,
    Position,
    SharedView,
    shown_code,
)
from napari_cryoet.classroom.room import Attempts, FullError, Room, Student
from napari_cryoet.comparison.consensus import VOTES, consensus
from napari_cryoet.demo.rows import MANIFEST as DEMO
from napari_cryoet.exceptions import ComparisonError, CryoETError, FormatError, NetworkError
from napari_cryoet.lessons.lesson import LessonSource, PickAnswer, PickTask, Step
from napari_cryoet.lessons.text import public_lesson
from napari_cryoet.packs.serve import PackServer, page_of
from napari_cryoet.picks import Picks
from napari_cryoet.views.view import View

try:
    import segno
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import BaseRoute, Route
except ImportError as error:
    raise CryoETError(
        "Teaching a class needs starlette, uvicorn and segno.",
        hint="Run: pip install 'napari-cryoet[serve]'",
    ) from error

T = TypeVar("T", bound=msgspec.Struct)

#: An answer has at most 5,000 picks.
MAX_BODY_BYTES: Final = 1 << 20
MAX_BOARDS: Final = 8

_BODY_S: Final = 20.0
_BEAT_S: Final = 15.0  # a board is sent again at least so often: students may have left
_PAUSE_S: Final = 0.2  # between two events of a board
_GRADED_AT_ONCE: Final = 2  # the rest of the computer streams
_COOKIE: Final = "napari-cryoet-class"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class ClassServer(PackServer):
    """Serves a pack to a class until `close`; also a context manager.

    Parameters
    ----------
    name
        Of the class. A class of the same name goes on where it was: students, answers, codes, and the port if
        it is free.
    lessons
        What students can open.
    results
        The folder of students and answers; by default below the user's data.
    """

    def __init__(
        self,
        folder: Path | str,
        name: str,
        lessons: Sequence[LessonSource],
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        names: Sequence[str] = (),
        cors: Sequence[str] = (),
        results: Path | None = None,
    ) -> None:
        self.room = Room(name, results)
        handlers = _Handlers(self, {source.lesson.key: source for source in lessons})
        serve = partial(
            super().__init__, folder, host, names=names, cors=cors, routes=handlers.routes()
        )
        try:
            serve(port=port or self.room.file.port)
        except NetworkError:
            if port:
                raise
            serve(port=0)
        self.room.save(self.port)

    @property
    def join_url(self) -> str:
        """What the QR picture shows: the page that says how to join, and the code."""
        return f"{self.page_url}/#{self.join_code}"

    @property
    def board_url(self) -> str:
        """The teacher's page."""
        return f"{self.page_url}/class/board"

    @property
    def join_code(self) -> str:
        """The students' code, as shown."""
        return shown_code(self.room.file.join_code)

    @property
    def teacher_code(self) -> str:
        """The teacher's code, as shown."""
        return shown_code(self.room.file.teacher_code)

    @property
    def urls(self) -> dict[str, str]:
        """Addresses and codes by name."""
        codes = {"join_code": self.join_code, "teacher_code": self.teacher_code}
        return super().urls | {"board": self.board_url} | codes


class _Change:
    """A number that counts changes, and lets coroutines of one loop wait for the next."""

    def __init__(self) -> None:
        self.number = secrets.randbelow(1 << 30)  # so that a restart is a change, too
        self._waiting: dict[object, asyncio.Event] = {}

    def announce(self) -> None:
        """Count a change, and wake those who wait."""
        self.number += 1
        for waiting in self._waiting.values():
            waiting.set()

    async def wait(self, timeout_s: float, who: object) -> None:
        """Wait for a change, but no longer than the timeout; ends an earlier wait of the same one."""
        if who in self._waiting:
            self._waiting[who].set()
        waiting = self._waiting[who] = asyncio.Event()
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(waiting.wait(), timeout_s)
        finally:
            if self._waiting.get(who) is waiting:
                del self._waiting[who]


class _Handlers:
    """Answers the requests of a class; all run on the server's loop."""

    def __init__(self, server: ClassServer, lessons: Mapping[str, LessonSource]) -> None:
        self._server = server
        self._room = server.room
        self._lessons = lessons
        self._attempts = Attempts()
        self._grading = asyncio.Semaphore(_GRADED_AT_ONCE)
        self._graded_now: set[str] = set()  # students
        self._comparing = asyncio.Semaphore(1)
        self._changed = _Change()  # of students and answers
        self._shared = SharedView()
        self._view_changed = _Change()
        self._n_boards = 0
        session = hmac.new(self._room.file.teacher_code.encode(), b"board", hashlib.sha256)
        self._session = session.hexdigest()

    def routes(self) -> list[BaseRoute]:
        """The routes of a class."""
        get = ["GET"]
        post = ["POST"]
        return [
            Route("/", self.page, methods=get),
            Route("/class/about", self.about, methods=get),
            Route("/class/join", self.join, methods=post),
            Route("/class/lessons/{key}", self.lesson, methods=get),
            Route("/class/lessons/{key}/files/{name:path}", self.file, methods=get),
            Route("/class/answers", self.answer, methods=post),
            Route("/class/position", self.position, methods=post),
            Route("/class/view", self.view, methods=get),
            Route("/class/view", self.share, methods=post),
            Route("/class/board", self.asset("board.html", "text/html"), methods=get),
            Route("/class/board.js", self.asset("board.js", "text/javascript"), methods=get),
            Route("/class/board.css", self.asset("board.css", "text/css"), methods=get),
            Route("/class/board/session", self.begin, methods=post),
            Route("/class/board/qr.svg", self.qr, methods=get),
            Route("/class/board/events", self.events, methods=get),
            Route("/class/board/picks/{key}/{step}", self.picks, methods=get),
            Route("/class/board/results.csv", self.table, methods=get),
        ]

    # students

    def page(self, request: Request) -> Response:
        """How to join, for those who type the address in a browser."""
        return page_of(self._server.pack, self._server.page_url, request, _HOW_TO_JOIN)

    def about(self, _request: Request) -> Response:
        """What everybody may know."""
        pack = self._server.pack
        file = self._room.file
        is_demo = pack.manifest.s3_prefix == DEMO.s3_prefix
        origin = "demo" if is_demo else pack.manifest.origin
        return _json(AboutClass(id=file.id, name=file.name, pack_id=pack.id, origin=origin))

    async def join(self, request: Request) -> Response:
        """Let a student in, or in again."""
        wanted = await _body(request, JoinRequest)
        if not self._room.is_join_code(wanted.code):
            raise self._refused(request)
        try:
            student = await run_in_threadpool(self._room.join, wanted)
        except FullError as error:
            raise HTTPException(409, str(error)) from error
        self._changed.announce()
        titles = [
            LessonTitle(
                key=key,
                title=source.lesson.title,
                minutes=source.lesson.minutes,
                language=source.lesson.language,
            )
            for key, source in self._lessons.items()
        ]
        return _json(Joined(nickname=student.nickname, lessons=tuple(titles)))

    def lesson(self, request: Request) -> Response:
        """A lesson without its answers."""
        self._student(request)
        return _json(public_lesson(self._source(request.path_params["key"]).lesson))

    def file(self, request: Request) -> Response:
        """A picture or shown picks of a lesson."""
        self._student(request)
        source = self._source(request.path_params["key"])
        try:
            content = source.read_file(request.path_params["name"])
        except CryoETError as error:
            raise HTTPException(404) from error
        headers = {"X-Content-Type-Options": "nosniff"}
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def answer(self, request: Request) -> Response:
        """Grade an answer, and keep it."""
        student = self._student(request)
        delivery = await _body(request, Delivery)
        source = self._source(delivery.lesson)
        if student.id in self._graded_now:
            raise HTTPException(429, "One answer at a time.", {"Retry-After": "1"})
        self._graded_now.add(student.id)
        try:
            async with self._grading:
                feedback = await run_in_threadpool(self._graded, source, student, delivery)
        finally:
            self._graded_now.discard(student.id)
        self._changed.announce()
        return _json(feedback)

    def _graded(self, source: LessonSource, student: Student, delivery: Delivery) -> msgspec.Struct:
        try:
            self._room.require_space(student, delivery.uid)
            feedback = source.grade(delivery.step, delivery.answer)
            self._room.keep(student, delivery, feedback, source.lesson.version)
        except (FormatError, FullError) as error:
            raise HTTPException(422, str(error)) from error
        return feedback

    async def position(self, request: Request) -> Response:
        """Note the step that a student is at."""
        student = self._student(request)
        position = await _body(request, Position)
        source = self._source(position.lesson)
        if position.step in {"", *(step.key for step in source.lesson.steps)}:
            self._room.move(student, position)
            self._changed.announce()
        return JSONResponse({})

    async def view(self, request: Request) -> Response:
        """The shared view, once it isn't the one that the student has; one request a student waits."""
        student = self._student(request)
        self._changed.announce()
        if request.query_params.get("after") == str(self._view_changed.number):
            await self._view_changed.wait(PATIENCE_S, student.id)
        return _json(SharedView(view=self._shared.view, number=self._view_changed.number))

    # the teacher

    async def share(self, request: Request) -> Response:
        """Show a view to all who follow."""
        if not self._room.is_teacher_code(_password(request)):
            raise self._refused(request)
        shared = await _body(request, SharedView)
        try:
            text = shared.view and View.of_json(shared.view).to_json().decode()
        except CryoETError as error:
            raise HTTPException(422, str(error)) from error
        self._shared = SharedView(view=text)
        self._view_changed.announce()
        return JSONResponse({})

    def asset(self, name: str, kind: str) -> Callable[[Request], Response]:
        """A handler for a file of the board's page, which has no secrets."""
        content = (files("napari_cryoet.classroom") / name).read_bytes()
        return lambda _request: Response(content, media_type=kind, headers=_PAGE_HEADERS)

    async def begin(self, request: Request) -> Response:
        """Begin a session of the board, with the teacher's code."""
        wanted = await _body(request, _Code)
        if not self._room.is_teacher_code(wanted.code):
            raise self._refused(request)
        response = JSONResponse({})
        response.set_cookie(_COOKIE, self._session, path="/class", httponly=True, samesite="strict")
        return response

    def qr(self, request: Request) -> Response:
        """The QR picture of how to join."""
        self._require_teacher(request)
        picture = io.BytesIO()
        segno.make(self._server.join_url, micro=False).save(picture, kind="svg", scale=8)
        return Response(picture.getvalue(), media_type="image/svg+xml", headers=_PAGE_HEADERS)

    async def events(self, request: Request) -> Response:
        """What the board shows, again after each change."""
        self._require_teacher(request)
        if self._n_boards >= MAX_BOARDS:
            raise HTTPException(429, "There are too many boards.")
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        stream = self._boards()
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def _boards(self) -> AsyncIterator[bytes]:
        self._n_boards += 1
        try:
            while True:
                number = self._changed.number
                board = await run_in_threadpool(self._board)
                yield b"data: " + msgspec.json.encode(board) + b"\n\n"
                await asyncio.sleep(_PAUSE_S)
                if self._changed.number == number:
                    await self._changed.wait(_BEAT_S, object())
        finally:
            self._n_boards -= 1

    def _board(self) -> dict[str, Any]:
        """Everything that the board shows but the picks."""
        students = self._room.students
        lessons = []
        for key, source in self._lessons.items():
            rows = {}
            for student in students:
                given = self._room.answers(student, key)
                rows[student.id] = {
                    step: [round(answers[0].score, 3), answers[0].is_right, len(answers)]
                    for step, answers in given.items()
                }
            steps = [_step_of(step) for step in source.lesson.steps]
            lessons.append({"key": key, "title": source.lesson.title, "steps": steps, "rows": rows})
        people = []
        for student in students:
            at = self._room.position_of(student)
            here = {} if at is None else {"lesson": at.lesson, "step": at.step}
            name = {"id": student.id, "nickname": student.nickname}
            people.append(name | here | {"isPresent": self._room.is_present(student)})
        return {
            "name": self._room.file.name,
            "address": self._server.page_url.removeprefix("http://"),
            "code": self._server.join_code,
            "students": people,
            "lessons": lessons,
            "isSharing": bool(self._shared.view),
        }

    async def picks(self, request: Request) -> Response:
        """The picks of all for one task, and what they agree on."""
        self._require_teacher(request)
        source = self._source(request.path_params["key"])
        async with self._comparing:
            found = await run_in_threadpool(self._picks_of, source, request.path_params["step"])
        return _json(found)

    def _picks_of(self, source: LessonSource, step_key: str) -> dict[str, Any]:
        tasks = {step.key: step.task for step in source.lesson.steps}
        task = tasks.get(step_key)
        if not isinstance(task, PickTask):
            raise HTTPException(404)
        people = []
        reference: Sequence[Any] = ()
        for student in self._room.students:
            given = self._room.answers(student, source.lesson.key).get(step_key, [])
            if given and isinstance(given[0].answer, PickAnswer):
                people.append((student.nickname, given[0].answer.positions_zyx_angstrom))
        if people:
            last = PickAnswer(positions_zyx_angstrom=people[-1][1])
            reference = source.grade(step_key, last).reference_zyx_angstrom
        found: dict[str, Any] = {
            "people": [{"nickname": name, "positions": points} for name, points in people],
            "reference": reference,
            "consensus": [],
        }
        if len(people) > 1:
            all_picks = [Picks(np.array(points).reshape(-1, 3), 1.0) for _, points in people]
            with suppress(ComparisonError):  # thousands of picks in one place
                agreed = consensus(all_picks, task.tolerance_angstrom)
                votes = agreed.picks.features[VOTES].tolist()
                pairs = zip(agreed.picks.points_zyx.tolist(), votes, strict=True)
                found |= {"consensus": list(pairs), "agreement": agreed.agreement}
        return found

    def table(self, request: Request) -> Response:
        """The first answer of each student to each task, as CSV."""
        self._require_teacher(request)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(
            ["nickname", "lesson", "step", "score", "right", "cause", "attempts", "seconds", "time"]
        )
        for student in self._room.students:
            for key, source in self._lessons.items():
                given = self._room.answers(student, key)
                for step in source.lesson.steps:
                    if step.key in given:
                        first = given[step.key][0]
                        names = [student.nickname, source.lesson.title, step.title]
                        right = "yes" if first.is_right else "no"
                        values = [f"{first.score:.3f}", right, first.cause, len(given[step.key])]
                        times = [first.seconds, first.received_at]
                        writer.writerow([*map(_as_text, names), *values, *times])
        headers = {"Content-Disposition": 'attachment; filename="results.csv"'}
        content = text.getvalue().encode("utf-8-sig")  # as Excel expects it
        return Response(content, media_type="text/csv", headers=headers)

    # who asks

    def _student(self, request: Request) -> Student:
        student = self._room.student_of(_password(request))
        if student is None:
            raise HTTPException(401, "Join the class first.")
        return student

    def _require_teacher(self, request: Request) -> None:
        cookie = request.cookies.get(_COOKIE, "")
        if not hmac.compare_digest(cookie.encode(), self._session.encode()):
            raise HTTPException(401, "The board needs the teacher's code.")

    def _refused(self, request: Request) -> HTTPException:
        """The answer to a wrong code."""
        address = request.client.host if request.client else ""
        if self._attempts.add_wrong(address):
            headers = {"Retry-After": f"{self._attempts.WINDOW_S:.0f}"}
            return HTTPException(429, "Too many wrong codes.", headers)
        return HTTPException(403, "The code is wrong.")

    def _source(self, key: str) -> LessonSource:
        if key not in self._lessons:
            raise HTTPException(404)
        return self._lessons[key]


class _Code(msgspec.Struct):
    code: str


_HOW_TO_JOIN: Final = """<ol>
<li>Start napari with the plugin napari-cryoet, and open <em>Plugins › CryoET Explorer</em>.
<li>On its start page, choose <em>Take a lesson</em>, then <em>Join a class…</em>
<li>Type <code>{address}</code>, the code that your teacher shows, and a nickname.
</ol>
<p>Or type in a terminal: <code>napari-cryoet join {address}</code></p>
"""


def _step_of(step: Step) -> dict[str, str]:
    kind = "" if step.task is None else type(step.task).__struct_config__.tag
    return {"key": step.key, "title": step.title, "kind": str(kind)}


def _as_text(text: str) -> str:
    """A cell that spreadsheets don't take for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _password(request: Request) -> str:
    """The password of HTTP's basic authentication; empty if there is none."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(text, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeError):
        return ""


async def _body(request: Request, kind: type[T]) -> T:
    """A request's message; refused before it is read if it says that it is too large."""
    announced = request.headers.get("Content-Length", "0")
    too_large = HTTPException(413, f"A request may have at most {MAX_BODY_BYTES} bytes.")
    if not announced.isdigit() or int(announced) > MAX_BODY_BYTES:
        raise too_large
    if request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
        raise HTTPException(415, "A request is JSON.")
    content = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in request.stream():
                content += part
                if len(content) > MAX_BODY_BYTES:
                    raise too_large
        return msgspec.json.decode(bytes(content), type=kind)
    except (TimeoutError, ClientDisconnect) as error:
        raise HTTPException(408) from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise HTTPException(422, f"This can't be understood: {error}.") from error
