"""Serve a pack to a class: students join, get lessons and deliver answers; the teacher has a board.

Everybody may see `/` and the board's empty page. A student's token and the teacher's code come as
the password of HTTP's own authentication; the board's browser has a session cookie instead.
"""

from __future__ import annotations

import asyncio
import base64
import io
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from napari_cryoet.classroom.board import Board
from napari_cryoet.classroom.messages import (
    PATIENCE_S,
    AboutClass,
    Delivery,
    Joined,
    JoinRequest,
    OpenedLesson,
    Position,
    SharedView,
    shown_code,
)
from napari_cryoet.classroom.room import Attempts, Room, Student
from napari_cryoet.demo.rows import MANIFEST as DEMO
from napari_cryoet.exceptions import (
    AnswerError,
    CryoETError,
    NetworkError,
    SaveError,
    require_known,
)
from napari_cryoet.lessons.lesson import Feedback, LessonSource
from napari_cryoet.lessons.text import public_lesson
from napari_cryoet.packs.serve import PackServer, message_of
from napari_cryoet.views.view import View

try:
    import segno
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import BaseRoute, Route
except ImportError as error:
    raise CryoETError(
        "Teaching a class needs starlette, uvicorn and segno.",
        hint="Run: pip install 'napari-cryoet[serve]'",
    ) from error

_BEAT_S: Final = 5.0  # a board is sent again at least so often: students may have left
_PAUSE_S: Final = 0.2  # between two events of a board
_COMPUTED_AT_ONCE: Final = 2  # the rest of the computer streams
_RETRY_AFTER_S: Final = "120"  # longer than clients wait within a request
_COOKIE: Final = "napari-cryoet-class"
_HOW_TO_JOIN: Final = """<ol>
<li>Start napari with the plugin napari-cryoet, and open <em>Plugins › CryoET Explorer</em>.
<li>On its start page, choose <em>Take a lesson</em>, then <em>Join a class…</em>
<li>Type <code>{address}</code>, the code that your teacher shows, and a nickname.
</ol>
<p>Or type in a terminal: <code>napari-cryoet join {address}</code></p>
"""
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
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

    Attributes
    ----------
    join_code, teacher_code
        The students' code and the teacher's, as shown.
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
        self.join_code = shown_code(self.room.file.join_code)
        self.teacher_code = shown_code(self.room.file.teacher_code)
        handlers = _Handlers(self, {source.lesson.key: source for source in lessons})
        serve = partial(
            super().__init__,
            folder,
            host,
            names=names,
            cors=cors,
            routes=handlers.routes(),
            how_to=_HOW_TO_JOIN,
        )
        with ExitStack() as opening:
            opening.callback(self.room.close)
            try:
                serve(port=port or self.room.file.port)
            except NetworkError:
                if port:
                    raise
                serve(port=0)
            opening.pop_all()
        self.room.keep_port(self.port)

    def close(self) -> None:
        """Stop serving; the class can be started again."""
        super().close()
        self.room.close()

    @property
    def join_url(self) -> str:
        """What the QR picture shows: the page that says how to join, and the code."""
        return f"{self.page_url}/#{self.join_code}"

    def qr_picture(self, kind: str, scale: int) -> bytes:
        """The QR picture of `join_url` as "svg" or "png", with so many pixels for each square."""
        picture = io.BytesIO()
        segno.make(self.join_url, micro=False).save(picture, kind=kind, scale=scale)
        return picture.getvalue()

    @property
    def board_url(self) -> str:
        """The teacher's page."""
        return f"{self.page_url}/class/board"

    @property
    def urls(self) -> dict[str, str]:
        """Addresses and codes by name."""
        codes = {"join_code": self.join_code, "teacher_code": self.teacher_code}
        return super().urls | {"board": self.board_url} | codes


class _Handlers:
    """Answers the requests of a class; the coroutines run on the server's loop."""

    def __init__(self, server: ClassServer, lessons: Mapping[str, LessonSource]) -> None:
        self._server = server
        self._room = server.room
        self._lessons = lessons
        self._board = Board(server.room, lessons)
        self._attempts = Attempts()
        self._computing = asyncio.Semaphore(_COMPUTED_AT_ONCE)
        self._changed = asyncio.Event()  # set, and replaced, when students or answers change
        self._shared = SharedView(version=_new_version())
        self._view_changed = asyncio.Event()  # likewise

    def routes(self) -> list[BaseRoute]:
        """The routes of a class."""
        get = ["GET"]
        post = ["POST"]
        return [
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

    def about(self, _request: Request) -> Response:
        """What everybody may know."""
        pack = self._server.pack
        file = self._room.file
        is_demo = pack.manifest.s3_prefix == DEMO.s3_prefix
        origin = "demo" if is_demo else pack.manifest.origin
        about = AboutClass(
            id=file.id,
            name=file.name,
            pack_id=pack.id,
            origin=origin,
            lessons=tuple(self._lessons),
        )
        return _json(about)

    async def join(self, request: Request) -> Response:
        """Let a student in, or in again."""
        wanted = await message_of(request, JoinRequest)
        if not self._room.is_join_code(wanted.code):
            raise self._refused(request)
        student = await run_in_threadpool(self._room.join, wanted)
        self._announce()
        return _json(Joined(nickname=student.nickname))

    def lesson(self, request: Request) -> Response:
        """A lesson without its answers, but with what the student answered before."""
        student = self._student(request)
        key = request.path_params["key"]
        lesson = public_lesson(self._source(key).lesson)
        return _json(OpenedLesson(lesson=lesson, progress=student.progress(key)))

    def file(self, request: Request) -> Response:
        """A picture or shown picks of a lesson."""
        self._student(request)
        source = self._source(request.path_params["key"])
        content = source.read_file(request.path_params["name"])
        headers = {"X-Content-Type-Options": "nosniff"}
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def answer(self, request: Request) -> Response:
        """Grade an answer, and keep it."""
        student = self._student(request)
        delivery = await message_of(request, Delivery)
        async with self._computing:
            feedback = await run_in_threadpool(self._graded, student, delivery)
        self._announce()
        return _json(feedback)

    def _graded(self, student: Student, delivery: Delivery) -> Feedback:
        """The feedback on an answer, which isn't graded again if it is here already."""
        with _told_as_statuses():
            known = self._room.feedback_on(student, delivery)
            if known is not None:
                return known
            source = self._source(delivery.lesson)
            feedback = source.grade(delivery.step, delivery.answer)
            return self._room.keep(student, delivery, feedback, source.lesson.version)

    async def position(self, request: Request) -> Response:
        """Note the step that a student is at."""
        student = self._student(request)
        position = await message_of(request, Position)
        student.move(position)
        self._announce()
        return JSONResponse({})

    async def view(self, request: Request) -> Response:
        """The shared view, once it isn't the one that the student has."""
        self._student(request)
        if request.query_params.get("after") == self._shared.version:
            await _wait(self._view_changed, PATIENCE_S)
        return _json(self._shared)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # the teacher

    async def share(self, request: Request) -> Response:
        """Show a view to all who follow."""
        self._require_teacher(request)
        shared = await message_of(request, SharedView)
        if shared.view:
            View.of_json(shared.view)  # or it is refused
        self._shared = SharedView(view=shared.view, version=_new_version())
        self._view_changed.set()
        self._view_changed = asyncio.Event()
        return JSONResponse({})

    def asset(self, name: str, kind: str) -> Callable[[Request], Response]:
        """A handler for a file of the board's page, which has no secrets."""
        content = (files("napari_cryoet.classroom") / name).read_bytes()
        return lambda _request: Response(content, media_type=kind, headers=_PAGE_HEADERS)

    def begin(self, request: Request) -> Response:
        """Begin a session of the board: its events can't send a password."""
        self._require_teacher(request)
        response = JSONResponse({})
        code = self._room.file.teacher_code
        response.set_cookie(_COOKIE, code, path="/class", httponly=True, samesite="strict")
        return response

    def qr(self, request: Request) -> Response:
        """The QR picture of how to join."""
        self._require_teacher(request)
        picture = self._server.qr_picture("svg", 8)
        return Response(picture, media_type="image/svg+xml", headers=_PAGE_HEADERS)

    async def events(self, request: Request) -> Response:
        """What the board shows, again after each change."""
        self._require_teacher(request)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        stream = self._states()
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def _states(self) -> AsyncIterator[bytes]:
        address = self._server.page_url.removeprefix("http://")
        join = {"address": address, "code": self._server.join_code}
        while True:
            changed = self._changed
            state = await run_in_threadpool(self._board.state)
            yield b"data: " + msgspec.json.encode({"join": join, "state": state}) + b"\n\n"
            await asyncio.sleep(_PAUSE_S)
            await _wait(changed, _BEAT_S)

    async def picks(self, request: Request) -> Response:
        """The picks of all for one task, and what they agree on."""
        self._require_teacher(request)
        keys = request.path_params
        async with self._computing:
            return _json(await run_in_threadpool(self._board.picks, keys["key"], keys["step"]))

    def table(self, request: Request) -> Response:
        """The results as CSV."""
        self._require_teacher(request)
        headers = {"Content-Disposition": 'attachment; filename="results.csv"'}
        content = self._board.table().encode("utf-8-sig")  # as Excel expects it
        return Response(content, media_type="text/csv", headers=headers)

    # who asks

    def _student(self, request: Request) -> Student:
        student = self._room.student_of(_password(request))
        if student is None:
            raise HTTPException(401, "Join the class first.")
        student.notice()
        return student

    def _require_teacher(self, request: Request) -> None:
        """Refuse a request without the teacher's code, as its password or in the board's cookie."""
        code = _password(request) or request.cookies.get(_COOKIE)
        if not code:
            raise HTTPException(401, "Type the teacher's code.")
        if not self._room.is_teacher_code(code):
            raise self._refused(request)

    def _refused(self, request: Request) -> HTTPException:
        """The answer to a wrong code."""
        address = request.client.host if request.client else ""
        if self._attempts.add_wrong(address):
            headers = {"Retry-After": f"{self._attempts.WINDOW_S:.0f}"}
            return HTTPException(429, "Too many wrong codes.", headers)
        return HTTPException(403, "The code is wrong.")

    def _source(self, key: str) -> LessonSource:
        require_known(key, self._lessons, "lesson of this class")
        return self._lessons[key]


@contextmanager
def _told_as_statuses() -> Iterator[None]:
    """Raise errors about an answer as statuses: only after 422 a client doesn't deliver it again."""
    try:
        yield
    except AnswerError as error:
        raise HTTPException(422, str(error)) from error
    except SaveError as error:
        raise HTTPException(507, str(error)) from error
    except CryoETError as error:  # the lesson isn't the student's, or is damaged
        raise HTTPException(503, str(error), {"Retry-After": _RETRY_AFTER_S}) from error


def _new_version() -> str:
    return secrets.token_hex(8)  # no number, so that a restart is a change, too


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _password(request: Request) -> str:
    """The password of HTTP's basic authentication; empty if there is none."""
    text = request.headers.get("Authorization", "").removeprefix("Basic ")
    with suppress(ValueError):
        return base64.b64decode(text).decode().partition(":")[2]
    return ""
