"""Answers on disk: what was seen before can be seen again without network, with the date it is from.

An entry is one JSON file, named after the hash of what was asked. Writing is atomic, so several programs can share
the folder; a damaged entry is as good as none; the longest unused go first when the folder outgrows its bound. A
folder that can't be read or written means no cache, and no failure.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MAX_CACHE_BYTES = 200_000_000

_VERSION = 1
_STALE_TEMPORARY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The data of one answer and when it came."""

    data: dict[str, Any]
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked of whom."""

    source: str
    query: str
    variables: dict[str, Any]

    @property
    def key(self) -> str:
        """The same for the same question, in every session."""
        text = json.dumps([_VERSION, self.source, self.query, self.variables], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def query_hash(self) -> str:
        """Tells versions of a query apart."""
        return hashlib.sha256(self.query.encode()).hexdigest()


class AnswerCache:
    """Keeps answers in a folder.

    Parameters
    ----------
    folder
        Made when the first answer is kept.
    max_bytes
        How large all entries together may get.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_CACHE_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def get(self, question: Question) -> Answer | None:
        """The kept answer, or None where there is none that can be trusted."""
        path = self._path(question)
        try:
            if path.stat().st_size > self._max_bytes:
                return None
            content = json.loads(path.read_bytes())
            answer = _checked(content, question)
        except (OSError, ValueError, RecursionError):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used now: the last to go
        return answer

    def put(self, question: Question, answer: Answer) -> None:
        """Keep an answer, if the disk lets us."""
        body = json.dumps(answer.data, separators=(",", ":"))
        content = json.dumps(
            {
                "version": _VERSION,
                "source": question.source,
                "queryHash": question.query_hash,
                "variables": question.variables,
                "fetchedAt": answer.fetched_at.isoformat(),
                "sha256": _digest(body),
                "data": body,
            }
        ).encode()
        if len(content) > self._max_bytes:
            return
        temporary = self._folder / f"{uuid.uuid4().hex}.tmp"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_bytes(content)
            temporary.replace(self._path(question))
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        self._shrink()

    def forget(self, question: Question) -> None:
        """Drop an answer that turned out to be unusable."""
        with contextlib.suppress(OSError):
            self._path(question).unlink(missing_ok=True)

    def _path(self, question: Question) -> Path:
        return self._folder / f"{question.key}.json"

    def _shrink(self) -> None:
        """Remove what was unused longest until the rest fits, and what writers that were killed left behind."""
        with contextlib.suppress(OSError):
            entries = []
            for path in self._folder.iterdir():
                with contextlib.suppress(OSError):
                    status = path.stat()
                    entries.append((status.st_mtime, status.st_size, path))
            total = 0
            for used_at, size, path in sorted(entries, reverse=True):
                is_temporary = path.suffix == ".tmp"
                total += 0 if is_temporary else size
                is_old = used_at < time.time() - _STALE_TEMPORARY_S
                if path.suffix in {".json", ".tmp"} and (is_old if is_temporary else total > self._max_bytes):
                    with contextlib.suppress(OSError):
                        path.unlink(missing_ok=True)


def _checked(content: Any, question: Question) -> Answer:
    """The answer in an entry; ValueError unless it is whole and answers just this question."""
    if not isinstance(content, dict) or not isinstance(content.get("data"), str):
        raise ValueError("not an entry")
    asked = (content.get("version"), content.get("source"), content.get("queryHash"), content.get("variables"))
    if asked != (_VERSION, question.source, question.query_hash, question.variables):
        raise ValueError("an entry of another question")
    if content.get("sha256") != _digest(content["data"]):
        raise ValueError("damaged")
    data = json.loads(content["data"])
    fetched_at = datetime.fromisoformat(str(content.get("fetchedAt")))
    if not isinstance(data, dict) or fetched_at.tzinfo is None:
        raise ValueError("not an answer")
    return Answer(data, fetched_at.astimezone(UTC))


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()
