"""Join a class, open its lessons, deliver answers now or later, and follow the teacher's view."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
from msgspec.structs import replace

from napari_cryoet.classroom.messages import (
    TEACHER_CODE_LENGTH,
    AboutClass,
    ClassPicks,
    Delivery,
    Joined,
    JoinRequest,
    OpenedLesson,
    Position,
    SharedView,
    class_address,
    folder_name,
    typed_code,
)
from napari_cryoet.exceptions import (
    AnswerError,
    CryoETError,
    FormatError,
    NetworkError,
    require_known,
)
from napari_cryoet.files import data_path, replace_file, written_whole
from napari_cryoet.lessons.lesson import Answer, Feedback, Lesson, Progress
from napari_cryoet.locations import host_of, without_login
from napari_cryoet.network import client
from napari_cryoet.network.hosts import is_this_computer
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.views.view import View

T = TypeVar("T")
OnFeedback: TypeAlias = Callable[[Delivery, Feedback], object]
OnRefused: TypeAlias = Callable[[AnswerError], object]

_MAX_BYTES: Final = 20 << 20  # of what a class sends
_TELL: Final = "Tell your teacher."
_PAUSE_S: Final = 2.0  # before asking again a server that couldn't be reached


def join_class(
    address: str, code: str, nickname: str, *, lesson: str = "", task: Task = UNWATCHED
) -> ClassLesson | ClassClient | TeacherClient:
    """Join a class and open its only lesson, or the one of a key.

    A student of several lessons gets no lesson yet. With the teacher's code, this is the teacher.
    Raises like `ClassClient.join`.
    """
    if len(typed_code(code) or class_address(address)[1]) == TEACHER_CODE_LENGTH:
        teacher = TeacherClient(address, code)
        teacher.share(None, task)  # which checks the code
        return teacher
    student = ClassClient.join(address, code, nickname, lesson=lesson, task=task)
    if not lesson and len(student.lessons) > 1:
        return student
    return student.open_lesson(lesson or student.lessons[0], task)


class ClassClient:
    """A student's place in a class, made by `ClassClient.join`.

    Attributes
    ----------
    name, nickname
        Of the class, and of the student as others see it.
    lessons
        The keys of what can be opened.
    portal
        What `open_portal` takes to open the class's pack.
    url
        The server's address with the student's login.
    """

    def __init__(
        self, server: str, about: AboutClass, joined: Joined, token: str, folder: Path
    ) -> None:
        self.name = about.name
        self.nickname = joined.nickname
        self.lessons = about.lessons
        self.portal = f"{server}/graphql"
        self.url = _with_login(server, token)
        self._about = about
        self._outbox = folder / "outbox"
        self._delivering = threading.Lock()
        self._position: Position | None = None

    @classmethod
    def join(
        cls,
        address: str,
        code: str,
        nickname: str,
        *,
        lesson: str = "",
        folder: Path | None = None,
        task: Task = UNWATCHED,
    ) -> ClassClient:
        """Join a class, or return to it: the same nickname on this computer is the same student.

        Parameters
        ----------
        address
            As the board shows it, with or without scheme and path; it may bring the code along.
        folder
            Where to keep answers until they are delivered; by default below the user's data.

        Raises
        ------
        FormatError
            If the address isn't one.
        CryoETError
            If the code is wrong, the class is full, or has no such lesson.
        NetworkError
            If there is no class.
        """
        server, code_in_address = class_address(address)
        code = typed_code(code) or code_in_address
        if not code:
            raise CryoETError("The code is missing.", hint="Your teacher's board shows it.")
        if not nickname.strip():
            raise CryoETError("A nickname is missing.", hint="Choose one that others may see.")
        about = client.run(_get(f"{server}/class/about", AboutClass), task)
        if not about.lessons:
            raise CryoETError(f"The class {about.name} has no lesson.")
        require_known(lesson or about.lessons[0], about.lessons, "lesson of this class")
        kept = (folder or data_path() / "joined") / f"{about.id}-{folder_name(nickname)}"
        token = _token(kept / "token")
        request = JoinRequest(code=code, nickname=nickname[:300], token=token)
        joined = client.run(_post(f"{server}/class/join", request, Joined), task)
        return cls(server, about, joined, token, kept)

    @property
    def host(self) -> str:
        """The server's host and port, for messages."""
        return host_of(self.portal)

    @property
    def n_undelivered(self) -> int:
        """How many answers wait for the server."""
        return len(list(self._outbox.glob("*.json")))

    def open_lesson(self, key: str, task: Task = UNWATCHED) -> ClassLesson:
        """A lesson of the class, by its key in `lessons`; NetworkError if the class can't be reached."""
        url = f"{self.url}/class/lessons/{quote(key)}"
        opened = client.run(_get(url, OpenedLesson), task)
        lesson = opened.lesson
        steps = []
        for step in lesson.steps:
            view = None if step.view is None else self.view_here(step.view)
            steps.append(replace(step, view=view))
        return ClassLesson(self, replace(lesson, steps=tuple(steps)), opened.progress)

    def view_here(self, view: View) -> View:
        """A view of the class with this server as the source of the served pack."""
        runs = []
        for run in view.runs:
            is_same_pack = bool(run.pack_id) and run.pack_id == self._about.pack_id
            is_same_source = bool(run.source) and run.source in {"pack", self._about.origin}
            host = urlsplit(run.source).hostname or ""  # of the teacher's window, if any
            is_here = is_same_pack or is_same_source or is_this_computer(host)
            runs.append(replace(run, source=self.portal) if is_here else run)
        return replace(view, runs=tuple(runs))

    # answers

    def answer(self, delivery: Delivery, task: Task = UNWATCHED) -> Feedback:
        """Deliver an answer and get its feedback; see `LessonSource.grade`.

        If the class can't take the answer now, it is kept and delivered later. AnswerError if it never will; then
        it is kept in a file that the error names.
        """
        last = max(self._outbox.glob("[0-9]*.*"), default=None)
        number = 1 if last is None else int(last.name.partition("-")[0]) + 1
        path = self._outbox / f"{number:020}-{delivery.uid}.json"
        with written_whole(path) as unfinished:
            unfinished.write_bytes(msgspec.json.encode(delivery))
        try:
            with self._delivering:
                return self._deliver(path, delivery, task)
        except NetworkError as error:
            hint = "Your answer is kept, and delivered once it can be."
            raise NetworkError(error.message, hint=hint, url=error.url) from error

    def deliver(
        self, on_feedback: OnFeedback, on_refused: OnRefused, task: Task = UNWATCHED
    ) -> None:
        """Deliver answers that were kept, oldest first; NetworkError if the class can't be reached.

        Those that it can't take now are kept, with later ones of the same step: the first one counts.
        """
        waiting = set()
        for path in sorted(self._outbox.glob("[0-9]*.json")):
            # it may be damaged, or was just being delivered
            with self._delivering, suppress(msgspec.MsgspecError, FileNotFoundError):
                delivery = msgspec.json.decode(path.read_bytes(), type=Delivery)
                place = (delivery.lesson, delivery.step)
                if place in waiting:
                    continue
                try:
                    on_feedback(delivery, self._deliver(path, delivery, task))
                except AnswerError as error:
                    on_refused(error)
                except NetworkError as error:
                    if error.status is None:
                        raise
                    waiting.add(place)

    def _deliver(self, path: Path, delivery: Delivery, task: Task) -> Feedback:
        """Deliver a kept answer, whose file stays until the server has it; another name says that it is refused."""
        try:
            feedback = client.run(_post(f"{self.url}/class/answers", delivery, Feedback), task)
        except AnswerError as error:
            refused = path.replace(path.with_suffix(".refused"))
            message = f"Your answer to the step {delivery.step!r} is refused. {error.message}"
            raise AnswerError(message, hint=f"It is kept in {refused}.") from error
        path.unlink(missing_ok=True)
        return feedback

    def enter(self, position: Position) -> None:
        """Tell the class where the student is, if it can be told."""
        self._position = position
        client.submit(_post(f"{self.url}/class/position", position, dict))

    # the teacher's view

    def follow(
        self,
        on_view: Callable[[View | None], object],
        on_feedback: OnFeedback,
        on_refused: OnRefused,
    ) -> Future[None]:
        """Follow the teacher until the result is cancelled; calls come from other threads.

        Parameters
        ----------
        on_view
            Called with each view that the teacher shares, and with None once there is none any
            more, or the class can't be reached.
        on_feedback
            Called with each kept answer that could be delivered meanwhile, and its feedback.
        on_refused
            Called with an error for each kept answer that the class will never take.
        """
        return client.submit(self._follow(on_view, on_feedback, on_refused))

    async def _follow(
        self,
        on_view: Callable[[View | None], object],
        on_feedback: OnFeedback,
        on_refused: OnRefused,
    ) -> None:
        shown = SharedView()
        while True:
            try:
                url = f"{self.url}/class/view?after={shown.version}"
                shared = await _get(url, SharedView)
            except CryoETError:
                if shown.view:
                    on_view(None)
                shown = SharedView()
                await asyncio.sleep(_PAUSE_S)
                continue
            if self._position is not None and not shown.version:
                self.enter(self._position)  # the server may have been started again
            if shared.view != shown.view:
                with suppress(FormatError):
                    view = View.of_json(shared.view) if shared.view else None
                    on_view(view and self.view_here(view))
            shown = shared
            if self.n_undelivered:
                with suppress(CryoETError):
                    await asyncio.to_thread(self.deliver, on_feedback, on_refused)


class ClassLesson:
    """A lesson of a class, whose server grades answers; a `LessonSource`."""

    def __init__(self, student: ClassClient, lesson: Lesson, progress: Progress | None) -> None:
        self.student = student
        self.lesson = lesson
        #: What the student did in it before.
        self.progress = progress
        #: What `open_portal` takes to open the class's pack.
        self.portal = student.portal

    def read_file(self, name: str) -> bytes:
        """A picture or shown picks of the lesson; see `LessonSource.read_file`."""
        key = quote(self.lesson.key)
        url = f"{self.student.url}/class/lessons/{key}/files/{quote(name)}"
        response = client.fetch(url, limit_bytes=_MAX_BYTES)
        if response is None:
            raise FormatError(f"The lesson has no file {name!r}.")
        return response.body

    def grade(
        self, step_key: str, answer: Answer, task: Task = UNWATCHED, *, n_hints: int = 0
    ) -> Feedback:
        """Deliver an answer and get its feedback; see `ClassClient.answer`."""
        uid = secrets.token_hex(16)
        key = self.lesson.key
        delivery = Delivery(uid=uid, lesson=key, step=step_key, answer=answer, n_hints=n_hints)
        return self.student.answer(delivery, task)

    def enter(self, step_key: str) -> None:
        """Tell the class which step the learner is at; empty at the summary."""
        self.student.enter(Position(lesson=self.lesson.key, step=step_key))


class TeacherClient:
    """Shares the teacher's view with a class."""

    def __init__(self, address: str, code: str) -> None:
        server, code_in_address = class_address(address)
        #: What `open_portal` takes to open the class's pack.
        self.portal = f"{server}/graphql"
        self._url = _with_login(server, typed_code(code) or code_in_address)

    def share(self, view: View | None, task: Task = UNWATCHED) -> None:
        """Show a view to all who follow, or no longer with None.

        Raises CryoETError if the code is wrong, NetworkError if the class can't be reached.
        """
        text = "" if view is None else msgspec.json.encode(view.to_dict()).decode()
        client.run(_post(f"{self._url}/class/view", SharedView(view=text), dict), task)

    def picks(self, lesson: str, step: str, task: Task = UNWATCHED) -> ClassPicks:
        """Everybody's picks for a task, by the keys of lesson and step.

        Raises NetworkError if the class has no such task, or can't be reached.
        """
        url = f"{self._url}/class/board/picks/{quote(lesson)}/{quote(step)}"
        return client.run(_get(url, ClassPicks), task)


# requests


def _with_login(server: str, password: str) -> str:
    """An address with a password, which requests send to this server only, and messages leave out."""
    return server.replace("://", f"://class:{password}@", 1)


async def _get(url: str, kind: type[T]) -> T:
    try:
        response = await client.get(url, limit_bytes=_MAX_BYTES)
    except NetworkError as error:
        raise _explained(error) from error
    if response is None:
        raise _no_class(url)
    return _decoded(response.body, kind, url)


async def _post(url: str, message: msgspec.Struct, kind: type[T]) -> T:
    payload = msgspec.to_builtins(message)
    try:
        response = await client.post_json(url, payload, limit_bytes=_MAX_BYTES)
    except NetworkError as error:
        raise _explained(error) from error
    if response.status != 200:
        text = response.body.decode(errors="replace")[:300]
        if response.status == 422:
            raise AnswerError(text)
        raise NetworkError(text, url=without_login(url), status=response.status)
    return _decoded(response.body, kind, url)


def _explained(error: NetworkError) -> CryoETError:
    """What a status of a class's server means, or that there is none."""
    match error.status:
        case None:
            hint = "Both computers must be in one network."
            return NetworkError(error.message, hint=hint, url=error.url)
        case 401:
            hint = "Join it again; answers that it hasn't got are kept."
            return CryoETError("The class doesn't know you any more.", hint=hint)
        case 403:
            return CryoETError("The code is wrong.", hint="Type the one that the board shows.")
        case 404 | 405:
            return _no_class(error.url)
        case 503 | 507:
            message = "The class can't take this now."
            return NetworkError(message, hint=_TELL, url=error.url, status=error.status)
    return error


def _decoded(body: bytes, kind: type[T], url: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _no_class(url) from error


def _no_class(url: str) -> NetworkError:
    return NetworkError(f"There is no class at {host_of(url)}.", hint="Check the address.")


# what a student keeps


def _token(path: Path) -> str:
    """The token that says on this computer who the student is; new if there is none."""
    if not path.exists():
        replace_file(path, secrets.token_urlsafe(32).encode())
        path.chmod(0o600)
    return path.read_text(encoding="ascii")
