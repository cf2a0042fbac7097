"""The file that a review is kept in, so that decisions survive a crash and are there when the same picks open again.

One file for each thing that is judged, in the user's data folder. A file is replaced in one step, so it is always
whole. What can't be read is set aside under another name, never lost.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from napari_cryoet.exceptions import CryoETError, FormatError
from napari_cryoet.files import data_path
from napari_cryoet.locks import locked
from napari_cryoet.picks import Picks
from napari_cryoet.review.by_id import ById
from napari_cryoet.review.decisions import Decisions, Verdict
from napari_cryoet.review.matching import join, marks_before, match_parts, states_before
from napari_cryoet.review.places import Former, states_of
from napari_cryoet.review.rows import Rows
from napari_cryoet.review.session_lines import MAX_DECISIONS, Saved, lines_of, parse

MAX_BYTES: Final = 512 * 2**20
_LONGEST_WAIT_S: Final = 5.0
_UNREAD: Final = "unread"  # in names of files that weren't understood
_ASIDES_READ: Final = 8
_POLL_S: Final = 0.02  # a review is written in some milliseconds


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged: whatever has the same key is the same thing, in whichever session it is opened.

    Attributes
    ----------
    key
        Names it in the world: an annotation file of the portal, or a file's place.
    name
        For people; it may change.
    former_key
        What it was called by earlier versions; what was decided under that is taken over.
    """

    key: str
    name: str
    former_key: str = ""

    @classmethod
    def of(cls, picks: Picks, *, name: str, path: str | None = None) -> Subject:
        """What picks are.

        Parameters
        ----------
        picks
            Their `about` says which annotation file they come from, if any, and of which tomogram of a file they are.
        name
            Of the layer: all there is to know picks by that were never in a file.
        path
            Of the file that they were read from, where there is one.
        """
        source, file_id = picks.about.get("source_url"), picks.about.get("annotation_file_id")
        if isinstance(source, str) and source and "://" not in source:
            with suppress(OSError, ValueError, RuntimeError):  # what no path can be names nothing but itself
                source = Path(source).resolve()  # the same file, from whichever folder it is named
        if source or file_id is not None:
            key = f"annotation file {file_id} of {source}"
        elif path:
            key = f"file {Path(path).resolve()}"
        else:
            return cls(f"layer {name}", name)
        s3_path = _s3_path(picks.about)
        if file_id is not None and s3_path:  # the same from the portal, a pack in any folder, and one's own server
            return cls(f"annotation file {file_id} of {s3_path}", name, former_key=key)
        tomogram = picks.about.get("tomogram_name") or picks.about.get("tomogram_number")
        if tomogram is None or file_id is not None:
            return cls(key, name)
        return cls(f"{key}, tomogram {tomogram}", name, former_key=key)  # a file of picks may be of several

    @property
    def file_name(self) -> str:
        """A file's name that is its own, and that a person recognises."""
        words = re.sub(r"[^A-Za-z0-9]+", "-", self.key)[-40:].strip("-") or "picks"
        return f"{words}.{hashlib.sha256(self.key.encode(errors='surrogatepass')).hexdigest()[:16]}.review.jsonl"


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a session file gave.

    Attributes
    ----------
    decisions
        Those that fit the picks, without a past to undo.
    elsewhere
        Those about picks that aren't there (now): they stay in the file.
    remark
        What a person should know: how many were resumed, how many fit no pick, what was set aside. Or empty.
    view
        How the picks were looked at, as plain data.
    opened
        The picks as they were when they were opened, and with other places that the file knows of. None without a file.
    marks
        What the file knows that tells picks from others at their places, as in other versions of them, by id.
    """

    decisions: Decisions = field(default_factory=Decisions)
    elsewhere: tuple[Rows, ...] = ()
    remark: str = ""
    view: Mapping[str, Any] = field(default_factory=dict)
    opened: tuple[Picks, ...] | None = None
    marks: ById = field(default_factory=ById)


def _s3_path(about: Mapping[str, Any]) -> str:
    """Where the portal keeps the annotation file of some picks; empty where nobody says it."""
    found: Any = about
    for name in ("records", "annotation_file", "s3_path"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def default_folder() -> Path:
    """Where reviews of this user are kept."""
    return data_path() / "reviews"


@dataclass(frozen=True, slots=True)
class SessionStore:
    """Where reviews are kept.

    Attributes
    ----------
    folder
        By default ``reviews`` in the user's data folder.
    """

    folder: Path = field(default_factory=default_folder)
    _seen: dict[Path, tuple[int, int]] = field(default_factory=dict, repr=False)  # files as we left them
    _taken_over: dict[str, str] = field(default_factory=dict, repr=False)  # by former key, what its file held

    def path_of(self, subject: Subject) -> Path:
        """The file of a review."""
        return self.folder / subject.file_name

    def resume(self, subject: Subject, picks: Picks, opened: Former = None, gone: Picks | None = None) -> Resumed:
        """What was decided about these picks before; nothing where there is no file.

        A file that can't be understood is set aside and said; so is one that was written by a later version.

        Parameters
        ----------
        opened
            The same picks as they were when they were opened, if some were moved since, and as they were meanwhile.
        gone
            Others that are known to have been among them, as copies that were deleted.

        Raises
        ------
        CryoETError
            If there is a file that can neither be read nor set aside.
        """
        path = self.path_of(subject)
        self._look(path)
        remarks: list[str] = []
        found = [_understood(path, subject.key, remarks)]
        self._taken_over.clear()
        self._taken_over.update({} if found[0] is None else found[0].taken_over)
        saved = [each for each in (*found, *self._kept_apart(subject, remarks)) if each is not None]
        if not saved:
            return Resumed(remark=" ".join(remarks))
        decisions, elsewhere = match_parts(saved[0].parts, picks, opened, gone)
        total = _n_decided(saved[0].parts)
        remarks.append(_remark(total, total - _n_decided(elsewhere)))
        n_own = len(decisions.judged_ids)
        for each in saved[1:]:
            decisions, elsewhere = join(
                decisions, elsewhere, decisions.judged_ids, each.parts, picks, opened=opened, gone=gone
            )
        remarks.append(_taken_text(len(decisions.judged_ids) - n_own))
        parts = [rows for each in saved for rows in each.parts]
        states = states_before(parts, picks, next(iter(states_of(opened)), picks))
        marks = marks_before(parts, picks, opened)
        return Resumed(decisions, elsewhere, " ".join(filter(None, remarks)), saved[0].view, states, marks)

    def _kept_apart(self, subject: Subject, remarks: list[str]) -> Iterator[Saved]:
        """What other versions of this program saved, and wasn't taken over yet.

        Earlier ones know the subject by its former key, and set aside what later ones saved.
        """
        apart = {}
        if subject.former_key:
            path = self.path_of(Subject(subject.former_key, ""))
            apart[subject.former_key] = _understood(path, subject.former_key, remarks)
        for aside in sorted(self.folder.glob(f"{subject.file_name}.{_UNREAD}-*"), reverse=True)[:_ASIDES_READ]:
            with suppress(FormatError, OSError):  # it stays where it is
                apart[aside.name] = parse(_read(aside) or "", subject.key)
        for name, saved in apart.items():
            if saved is not None and saved.digest != self._taken_over.get(name):
                self._taken_over[name] = saved.digest
                yield saved

    def others(self, subject: Subject) -> tuple[Rows, ...] | None:
        """What somebody else, as another window, wrote since we read or wrote the file; None where nobody did.

        Raises
        ------
        FormatError
            If it isn't understood: it was set aside.
        """
        path = self.path_of(subject)
        if path not in self._seen or _stamp(path) in {None, self._seen[path]}:
            return None
        try:
            content = _read(path)
            saved = None if content is None else parse(content, subject.key)
        except (FormatError, OSError) as error:
            aside = set_aside(path, "other")
            raise FormatError(f"What another window saved of this review was kept as {aside}.") from error
        if saved is None:
            return None
        self._taken_over.clear()
        self._taken_over.update(saved.taken_over)
        return saved.parts

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else looks at reviews and writes them; where that can't be had for some seconds, all the same.

        The lock lies beside the folder, in which there are only reviews.
        """
        with ExitStack() as stack:
            until = time.monotonic() + _LONGEST_WAIT_S

            def waiting() -> None:
                if time.monotonic() > until:
                    raise TimeoutError

            with suppress(OSError):  # TimeoutError is one; and some network disks know no locks
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.folder.with_name(f"{self.folder.name}.lock"), waiting, poll_s=_POLL_S))
            yield

    def _look(self, path: Path) -> None:
        self._seen[path] = _stamp(path) or (0, 0)

    def save(self, subject: Subject, rows: Iterable[Rows], view: Mapping[str, Any] | None = None) -> Path:
        """Write decisions, in one step.

        Raises
        ------
        CryoETError
            If it can't be written, or couldn't be read again.
        """
        rows = list(rows)
        if sum(map(len, rows)) > MAX_DECISIONS:
            raise CryoETError(f"The review can't be saved: it has more than {MAX_DECISIONS:,} decisions.")
        path = self.path_of(subject)
        fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with fresh.open("w", encoding="utf-8") as file:
                for line in lines_of(subject.key, subject.name, rows, view or {}, self._taken_over):
                    file.write(line)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path)
            self._look(path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
            raise CryoETError(
                f"The review can't be saved: {error.strerror}.",
                hint=f"Once {self.folder} can be written to, judge one more.",
            ) from error
        return path


def set_aside(path: Path, why: str = _UNREAD) -> Path:
    """Give a file another name, so that it isn't overwritten; the new path."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    aside = path.with_name(f"{path.name}.{why}-{stamp}")
    try:
        os.replace(path, aside)
    except OSError as error:
        raise CryoETError(f"The saved review can't be set aside: {error.strerror}.", hint=str(path)) from error
    return aside


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes whenever a file is replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(content) > MAX_BYTES:
        raise FormatError("it is too large.")
    try:
        return content.decode("utf-8-sig")  # some editors put a mark before the text
    except UnicodeDecodeError as error:
        raise FormatError("it is no text.") from error


def _understood(path: Path, key: str, remarks: list[str]) -> Saved | None:
    """What a session file holds; None where there is none, or it is no such file, which is set aside and remarked."""
    try:
        content = _read(path)
        return None if content is None else parse(content, key)
    except FormatError as error:
        aside = set_aside(path)
        remarks.append(f"The saved review can't be read ({error.message}) It was kept as {aside}.")
        return None
    except OSError as error:
        raise CryoETError(f"The saved review can't be read: {error.strerror}.", hint=str(path)) from error


def _taken_text(count: int) -> str:
    if not count:
        return ""
    return f"Took over {count:,} more decision{'s' if count != 1 else ''} that other versions of this program kept."


def _n_decided(parts: Iterable[Rows]) -> int:
    return sum(len(rows) - rows.verdicts.count(Verdict.UNDECIDED) for rows in parts)


def _remark(total: int, found: int) -> str:
    if not total:
        return ""
    resumed = f"Resumed {found:,} decision{'s' if found != 1 else ''} of an earlier review."
    if found == total:
        return resumed
    lost = total - found
    return f"{resumed} {lost:,} more found no pick in its place; kept in the file."
