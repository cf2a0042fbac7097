"""Who is in a class and what they answered, in memory and on disk: one file for each student and answer."""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
from filelock import FileLock, Timeout
from msgspec import Meta
from msgspec.structs import asdict, replace

from napari_cryoet.classroom.messages import (
    JOIN_CODE_LENGTH,
    PATIENCE_S,
    TEACHER_CODE_LENGTH,
    Delivery,
    JoinRequest,
    Position,
    Uid,
    clean_nickname,
    folder_name,
    new_code,
    typed_code,
)
from napari_cryoet.exceptions import AnswerError, CryoETError, FormatError, SaveError
from napari_cryoet.files import data_path, written_whole
from napari_cryoet.lessons.lesson import Feedback, Key, Nickname, Progress, StepResult
from napari_cryoet.views.view import Text

S = TypeVar("S", bound=msgspec.Struct)

MAX_STUDENTS: Final = 500
#: Of one student, and on disk of all.
MAX_ANSWERS: Final = 300
MAX_CLASS_BYTES: Final = 500 << 20

_AWAY_S: Final = 3 * PATIENCE_S  # students ask for the shared view more often


class ClassFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a class keeps for the next start: its codes, and the port that students know."""

    id: Key
    name: Text
    join_code: str
    teacher_code: str
    port: int = 0


class StudentFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a class keeps of a student; of the token, only its hash."""

    id: Uid
    nickname: Nickname
    token_hash: str
    joined_at: Text = ""


class GivenAnswer(Delivery, frozen=True, kw_only=True):
    """A delivered answer, graded."""

    student: Uid
    nickname: Nickname
    lesson_version: int
    feedback: Feedback
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    received_at: Text = ""
    number: int = 0  # counts the student's answers: clocks may go back


class Student:
    """A student of a class.

    Attributes
    ----------
    given
        All answers by their uid, in the order in which they arrived.
    position
        Where the student is; None before a lesson, and after a restart.
    """

    def __init__(self, file: StudentFile, given: Iterable[GivenAnswer] = ()) -> None:
        self.id = file.id
        self.nickname = file.nickname
        self.given = {answer.uid: answer for answer in given}
        self.position: Position | None = None
        self._entered_s = time.monotonic()
        self._seen_s = -math.inf

    @property
    def is_present(self) -> bool:
        """Whether the student was heard of lately."""
        return time.monotonic() - self._seen_s < _AWAY_S

    def notice(self) -> None:
        """Note that the student was heard of."""
        self._seen_s = time.monotonic()

    def move(self, position: Position) -> None:
        """Note where the student is."""
        if self.position != position:
            self.position = position
            self._entered_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the student has been there."""
        return round(time.monotonic() - self._entered_s, 1)

    def answers(self, lesson: str) -> dict[str, list[GivenAnswer]]:
        """The answers to a lesson by step, in the order in which they arrived; the first counts."""
        by_step: dict[str, list[GivenAnswer]] = {}
        for answer in tuple(self.given.values()):
            if answer.lesson == lesson:
                by_step.setdefault(answer.step, []).append(answer)
        return by_step

    def progress(self, lesson: str) -> Progress | None:
        """Where the student goes on in a lesson; None at its start."""
        given = self.answers(lesson)
        step = next(reversed(given), None)
        if self.position is not None and self.position.lesson == lesson:
            step = self.position.step
        if step is None:
            return None
        return Progress(
            step=step,
            steps=tuple(map(_done_in, given, given.values())),
            feedback={key: answers[-1].feedback for key, answers in given.items()},
        )


class Room:
    """The students of a class and their answers. Methods may be called from any thread.

    Parameters
    ----------
    name
        Of the class; one of the same name goes on where it was.
    folder
        Where to keep the class; by default below the user's data. Only the user may read it.

    Raises
    ------
    CryoETError
        If the class is open already.
    FormatError
        If its codes are damaged.
    SaveError
        If the folder can't be written. A class that was opened before needs no space.
    """

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self.folder = folder or data_path() / "classes" / folder_name(name)
        self._lock = threading.Lock()  # of changes
        self._only_room = _locked_folder(self.folder, name)
        try:
            self.file = self._open_file(name)
        except CryoETError:
            self.close()
            raise
        answers = sorted(
            _read_all(self.folder / "answers", GivenAnswer),
            key=lambda each: (each.number, each.received_at),
        )
        files = _read_all(self.folder / "students", StudentFile)
        self._students: dict[str, Student] = {}  # by the hash of the token
        for file in sorted(files, key=lambda each: each.joined_at):
            own = [answer for answer in answers if answer.student == file.id]
            self._students[file.token_hash] = Student(file, own)
        paths = (self.folder / "answers").glob("*.json")
        self._n_bytes = sum(path.stat().st_size for path in paths)

    def _open_file(self, name: str) -> ClassFile:
        """The codes of a class, new ones if there is none; those that are damaged stay as they are."""
        path = self.folder / "class.json"
        if not path.exists():
            file = ClassFile(
                id=f"class-{secrets.token_hex(8)}",
                name=name,
                join_code=new_code(JOIN_CODE_LENGTH),
                teacher_code=new_code(TEACHER_CODE_LENGTH),
            )
            _write(path, file)
            return file
        known = _read(path, ClassFile)
        if known is None:
            hint = "Restore it. If you delete it, the class gets new codes."
            raise FormatError(f"{path} is damaged.", hint=hint)
        return known

    def close(self) -> None:
        """Let the class be opened again."""
        self._only_room.release()

    def keep_port(self, port: int) -> None:
        """Keep the port for the next start, unless the disk is full."""
        if port != self.file.port:
            self.file = replace(self.file, port=port)
            with suppress(SaveError):
                _write(self.folder / "class.json", self.file)

    def is_join_code(self, text: str) -> bool:
        """Whether a code is that of students."""
        return _is_same(typed_code(text), self.file.join_code)

    def is_teacher_code(self, text: str) -> bool:
        """Whether a code is the teacher's."""
        return _is_same(typed_code(text), self.file.teacher_code)

    @property
    def students(self) -> tuple[Student, ...]:
        """All students, in the order in which they joined."""
        return tuple(self._students.values())

    def student_of(self, token: str) -> Student | None:
        """The student of a token."""
        return self._students.get(_hash(token))

    def join(self, request: JoinRequest) -> Student:
        """Add a student, or find one who returns; CryoETError if the class is full."""
        token_hash = _hash(request.token)
        with self._lock:
            if token_hash in self._students:
                return self._students[token_hash]
            if len(self._students) >= MAX_STUDENTS:
                raise CryoETError(f"The class is full: it has {MAX_STUDENTS} students.")
            file = StudentFile(
                id=secrets.token_hex(16),
                nickname=self._unused(clean_nickname(request.nickname)),
                token_hash=token_hash,
                joined_at=_now(),
            )
            _write(self.folder / "students" / f"{file.id}.json", file)
            self._students[token_hash] = Student(file)
            return self._students[token_hash]

    def _unused(self, nickname: str) -> str:
        taken = {student.nickname.casefold() for student in self.students}
        number = 1
        name = nickname
        while name.casefold() in taken:
            number += 1
            name = f"{nickname[:35]} {number}"
        return name

    def feedback_on(self, student: Student, delivery: Delivery) -> Feedback | None:
        """The feedback on an answer that is here already, else None.

        Raises
        ------
        AnswerError
            If another answer has its uid.
        SaveError
            If the student, or the class, has delivered too much.
        """
        given = student.given.get(delivery.uid)
        if given is None:
            if len(student.given) >= MAX_ANSWERS or self._n_bytes >= MAX_CLASS_BYTES:
                raise SaveError("More answers aren't taken.")
            return None
        for name in Delivery.__struct_fields__:
            if getattr(given, name) != getattr(delivery, name):
                raise AnswerError("Another answer has the same uid.")
        return given.feedback

    def keep(
        self, student: Student, delivery: Delivery, feedback: Feedback, lesson_version: int
    ) -> Feedback:
        """Write an answer, and return its feedback once it would survive a power cut.

        If the answer is here already, this is its first feedback. Raises like `feedback_on`, and SaveError if it
        can't be written.
        """
        with self._lock:
            known = self.feedback_on(student, delivery)
            if known is not None:
                return known
            last = next(reversed(student.given.values()), None)
            answer = GivenAnswer(
                **asdict(delivery),
                student=student.id,
                nickname=student.nickname,
                lesson_version=lesson_version,
                feedback=feedback,
                seconds=student.seconds,
                received_at=_now(),
                number=1 if last is None else last.number + 1,
            )
            path = self.folder / "answers" / f"{student.id}-{delivery.uid}.json"
            self._n_bytes += _write(path, answer)
            student.given[delivery.uid] = answer
            return feedback


class Attempts:
    """Wrong codes by address, in a window of time. Right codes aren't limited: a class shares one address."""

    WINDOW_S: Final = 120.0
    MOST: Final = 30

    def __init__(self) -> None:
        self._since_s = time.monotonic()
        self._wrong: dict[str, int] = {}

    def add_wrong(self, address: str) -> bool:
        """Count a wrong code; whether there are too many from this address."""
        if time.monotonic() - self._since_s > self.WINDOW_S:
            self._since_s = time.monotonic()
            self._wrong = {}
        self._wrong[address] = self._wrong.get(address, 0) + 1
        return self._wrong[address] > self.MOST


def _locked_folder(folder: Path, name: str) -> FileLock:
    """The lock of a class's folder, which another room can't get before it is released."""
    lock = FileLock(folder / "class.lock", timeout=0, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        lock.acquire()
    except Timeout as error:
        hint = "Stop its other server first, or choose another name."
        raise CryoETError(f"The class {name} is being taught already.", hint=hint) from error
    except OSError as error:
        raise SaveError(f"{folder} can't be written: {error.strerror}.") from error
    return lock


def _done_in(step: str, given: list[GivenAnswer]) -> StepResult:
    first = given[0]
    return StepResult(
        step=step,
        answer=first.answer,
        score=first.feedback.score,
        cause=first.feedback.cause,
        attempts=len(given),
        n_hints=given[-1].n_hints,
    )


def _is_same(code: str, right_code: str) -> bool:
    return hmac.compare_digest(code.encode(), right_code.encode())


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _write(path: Path, value: msgspec.Struct) -> int:
    """Write a file whole, and return its size."""
    content = msgspec.json.encode(value)
    with written_whole(path, overwrite=True) as unfinished:
        unfinished.write_bytes(content)
    return len(content)


def _read(path: Path, kind: type[S]) -> S | None:
    """A file's content; None if there is none, or it is damaged."""
    with suppress(OSError, msgspec.MsgspecError, UnicodeError):
        return msgspec.json.decode(path.read_bytes(), type=kind)
    return None


def _read_all(folder: Path, kind: type[S]) -> Iterator[S]:
    for path in folder.glob("[0-9a-f]*.json"):
        value = _read(path, kind)
        if value is not None:
            yield value
