"""What the server of a class and its clients send each other as JSON, codes, and addresses.

::

    GET  /class/about                  AboutClass
    POST /class/join                   JoinRequest -> Joined; 403 for a wrong code
    GET  /class/lessons/KEY            OpenedLesson
    GET  /class/lessons/KEY/files/...  its pictures and shown picks
    POST /class/answers                Delivery -> Feedback; the same one again changes nothing;
                                       422 refuses it for good, after others it may be sent again
    POST /class/position               Position -> {}
    GET  /class/view?after=VERSION     SharedView: at once if its version is another, else after a while
    POST /class/view                   SharedView, from the teacher
    GET  /class/board/picks/KEY/STEP   ClassPicks, for the teacher

All but the first two need the token of `JoinRequest` as the password of the address, those of the
teacher the teacher's code. The board's pages are in `napari_cryoet.classroom.server`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from napari_cryoet.exceptions import FormatError
from napari_cryoet.lessons.lesson import Answer, HintCount, Key, Lesson, Picked, Progress
from napari_cryoet.locations import is_web_address
from napari_cryoet.views.view import MAX_BYTES, Text, Zyx
from napari_cryoet.wording import plain

#: Letters and digits that can't be mistaken for others on a projector.
_CODE_LETTERS: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
#: Too many to guess: 31^8 is 8.5e11.
JOIN_CODE_LENGTH: Final = 8
TEACHER_CODE_LENGTH: Final = 12
MAX_NICKNAME: Final = 40
#: How long the server waits with its answer for a change of the shared view.
PATIENCE_S: Final = 10.0

_MOST_LETTERS: Final = 40  # in the name of a folder: they may have four bytes each
_NOT_LETTERS: Final = re.compile(r"\W+")
_MARKS_IN_A_ROW: Final = re.compile(r"([\u0300-\u036f]{2})[\u0300-\u036f]+")
#: Fillers, joiners and selectors, which count as letters or marks but draw nothing.
_INVISIBLE: Final = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

Token = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{43}$")]
Uid = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


class AboutClass(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody may know of a class.

    Attributes
    ----------
    id
        The same after a restart.
    pack_id, origin
        The served pack, and the portal that its records are from.
    lessons
        The keys of what it offers.
    """

    id: Key
    name: Text
    pack_id: Text = ""
    origin: Text = ""
    lessons: tuple[Key, ...] = ()


class JoinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A student's wish to join; the token is the client's own, so that it can return as the same student."""

    code: Text
    nickname: Text
    token: Token


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """The nickname as others see it."""

    nickname: Text


class OpenedLesson(msgspec.Struct, frozen=True, kw_only=True):
    """A lesson without answers, and what the student did in it before."""

    lesson: Lesson
    progress: Progress | None = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to a task, and how many hints the student saw before.

    ``uid`` tells one that is delivered again from a second attempt.
    """

    uid: Uid
    lesson: Key
    step: Key
    answer: Answer
    n_hints: HintCount = 0


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """The step that a student is at; empty at the end of the lesson."""

    lesson: Key
    step: Annotated[str, Meta(max_length=80)] = ""


class SharedView(msgspec.Struct, frozen=True, kw_only=True):
    """The view that the teacher shares, as JSON text; empty if none. Each has another version."""

    view: Annotated[str, Meta(max_length=MAX_BYTES)] = ""
    version: Text = ""


class PicksOfStudent(msgspec.Struct, frozen=True, kw_only=True):
    """What a student picked."""

    nickname: Text
    positions_zyx_angstrom: Picked


class ClassPicks(msgspec.Struct, frozen=True, kw_only=True):
    """The picks of a class for a task.

    Attributes
    ----------
    object_name
        What is to be picked.
    people
        What each student picked first.
    reference_zyx_angstrom
        The right picks.
    agreed_zyx_angstrom, votes, agreement
        The class's consensus, most votes first, and the mean F1 of all pairs of students.
    """

    object_name: Text
    people: tuple[PicksOfStudent, ...]
    reference_zyx_angstrom: Picked = ()
    agreed_zyx_angstrom: tuple[Zyx, ...] = ()
    votes: tuple[int, ...] = ()
    agreement: float | None = None


# codes, names and addresses


def new_code(length: int) -> str:
    """A random code."""
    return "".join(secrets.choice(_CODE_LETTERS) for _ in range(length))


def shown_code(code: str) -> str:
    """A code in groups of four.

    >>> shown_code("K7QM4XDA")
    'K7QM-4XDA'
    """
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def typed_code(text: str) -> str:
    """A code as somebody typed it: without hyphens and spaces, in upper case."""
    return "".join(filter(str.isalnum, text)).upper()


def clean_nickname(text: str) -> str:
    r"""A nickname on one line, without invisible characters; "Student" if nothing is left.

    >>> clean_nickname(" Anna\u202e  <b>\n")
    'Anna <b>'
    """
    text = plain(_INVISIBLE.sub("", unicodedata.normalize("NFC", text)))
    return _MARKS_IN_A_ROW.sub(r"\1", text)[:MAX_NICKNAME].strip() or "Student"


def folder_name(name: str) -> str:
    """The folder of a class or student: letters of any script, and a hash of the whole name.

    Capitals and spaces make no other name.

    >>> folder_name("Monday 9:30"), folder_name("月曜日")
    ('monday-9-30-2ba1b699e3ae2946', '月曜日-175bb7f22f8f6152')
    """
    name = " ".join(unicodedata.normalize("NFC", name).casefold().split())
    letters = _NOT_LETTERS.sub("-", name)[:_MOST_LETTERS].strip("-")
    digits = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{letters}-{digits}".lstrip("-")


def class_address(text: str) -> tuple[str, str]:
    """The server of a class and the code, if there is one, in an address as typed or pasted.

    Scheme, path and a slash at the end may be missing or too much.

    >>> class_address(" 192.168.1.7:8000/ "), class_address("HTTP://lab.local:8000/class#K7QM-4XDA")
    (('http://192.168.1.7:8000', ''), ('http://lab.local:8000', 'K7QM4XDA'))

    Raises
    ------
    FormatError
        If it is no address.
    """
    typed = "".join(text.split()).strip("<>\"'.,;")
    address = typed if "://" in typed else f"http://{typed.lstrip('/')}"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise _no_address(text) from error
    host = parts.hostname or ""
    if not host.isprintable() or not is_web_address(address):
        raise _no_address(text)
    host = f"[{host}]" if ":" in host else host
    server = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
    return server, typed_code(parts.fragment)


def _no_address(text: str) -> FormatError:
    message = f"{plain(text)!r} isn't the address of a class."
    return FormatError(message, hint="Type it as the board shows it, such as 192.168.1.7:8000.")
