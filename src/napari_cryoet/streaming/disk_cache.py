"""What came over the network, kept on disk: bounded in bytes, least recently used out first, shared by processes.

An *image* is an address that was opened. A *part* is some bytes of a file below it, with the ETag that its server
named, or the fact that there is no such file. Small parts are in an SQLite database, larger ones in a file each that
the database names. A checksum covers the bytes and all that the row says of them: what doesn't fit is never used.

One thread writes behind, many things in one transaction. A file is whole before a row names it, and is deleted after
none does. What a killed process leaves behind is swept up once a day; a damaged database is deleted and begun anew.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakSet

import xxhash

from napari_cryoet.streaming import disk_settings
from napari_cryoet.streaming.sources import Piece

OWN_FOLDER = "napari-cryoet-parts"  # in the folder that somebody named: nothing else there is touched

_INDEX_NAME, _SCHEMA_VERSION = "index.sqlite3", 2
_SCHEMA = (
    "CREATE TABLE images (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB UNIQUE, checked_at REAL)",
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, image INTEGER, key TEXT, start INTEGER, stop INTEGER, etag TEXT, "
    "modified TEXT, total INTEGER, stored_at REAL, checksum BLOB, name TEXT, content BLOB, cost INTEGER, used_at REAL)",
    "CREATE INDEX parts_by_place ON parts (image, key, start)",
    "CREATE INDEX parts_by_use ON parts (used_at)",
    "CREATE TABLE useless (name TEXT)",  # files to delete
    "CREATE TRIGGER part_deleted AFTER DELETE ON parts WHEN old.name NOT NULL "
    "BEGIN INSERT INTO useless VALUES (old.name); END",
    "CREATE TABLE sweeps (swept_at REAL)",
    f"PRAGMA user_version = {_SCHEMA_VERSION}",
)
_COLUMNS = "id, key, start, stop, etag, modified, total, stored_at, checksum, name, content"
_SIZE = "SELECT coalesce(sum(cost), 0) FROM parts"
_FILE_NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)
_WHOLE_FILE = 2**62  # where a missing file "ends"

_LARGEST_PART_BYTES = 64 * 2**20
_INLINE_BYTES, _ROW_BYTES, _FILE_UNIT_BYTES = 2**15, 400, 4096
_QUEUE_BYTES, _BATCH_BYTES = 64 * 2**20, 16 * 2**20
_KEEP_FREE_BYTES = 2**30
_GATHER_S, _IDLE_S, _BUSY_S, _EXIT_FLUSH_S = 0.25, 1.0, 5.0, 3.0
_PAUSE_S = 30.0  # after the disk refused
_SWEEP_EVERY_S, _YOUNG_S = 86_400.0, 3600.0


@dataclass(slots=True)
class Image:
    """What is known of an address: its number here, and when its server last had what is kept; None where nothing is.

    Where it is dropped, nothing of it is found or kept any more.
    """

    digest: bytes
    number: int | None = None
    checked_at: float | None = None
    is_dropped: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a file and when they came, in seconds since 1970; no piece where there was no such file."""

    piece: Piece | None
    stored_at: float


class DiskCache:
    """Parts of files on disk. All methods may be called from any thread; `clear` and `shrink` alone raise OSError.

    Parameters
    ----------
    folder
        Where; by default as settings say.
    limit_bytes
        What all parts may take on disk; by default as settings say, which may change later.
    keep_free_bytes
        How much of the disk is left to others, whatever the limit.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        limit_bytes: int | None = None,
        *,
        keep_free_bytes: int = _KEEP_FREE_BYTES,
    ) -> None:
        self._folder = Path(folder or disk_settings.cache_folder()).absolute() / OWN_FOLDER
        self._limit_bytes, self._keep_free_bytes = limit_bytes, keep_free_bytes
        self._lock, self._pid = threading.Lock(), os.getpid()
        self._reader: sqlite3.Connection | None = None
        self._writer = _Writer(self._write)
        _caches.add(self)

    @property
    def limit_bytes(self) -> int:
        """What all parts may take on disk."""
        named = self._limit_bytes if self._limit_bytes is not None else disk_settings.named_limit_bytes()
        return self._default_limit_bytes if named is None else named

    @cached_property
    def _default_limit_bytes(self) -> int:
        return disk_settings.default_limit_bytes(self._folder, self._value(_SIZE))

    def image(self, address: str) -> Image:
        """What is kept of an address."""
        digest = xxhash.xxh3_128_digest(address.encode())  # addresses may hold secrets, and are not written down
        rows = self._ask("SELECT id, checked_at FROM images WHERE digest = ?", digest)
        return Image(digest, *rows[0]) if rows else Image(digest)

    def find(self, image: Image, key: str, start: int = 0, length: int | None = None) -> Part | None:
        """Some bytes of a file, by position as for `Source.read`, if all of them are kept."""
        if image.number is None or image.is_dropped:
            return None
        total = None
        if start < 0 or length is None:
            known = self._rows("image = ? AND key = ? LIMIT 1", image.number, key)
            total = known[0].total if known else None
            if not known or (total is None and known[0].etag is not None):
                return None
        first, stop = _span(start, length, total)
        rows = self._rows(
            "image = ? AND key = ? AND start > ? AND start <= ? AND stop >= ? ORDER BY start",
            *(image.number, key, first - _LARGEST_PART_BYTES - 1, stop, first),
        )
        if not rows:
            return None
        head = rows[0]
        if head.etag is None:
            return None if self._content(image, head) is None else Part(None, head.stored_at)
        stop = stop if head.total is None else min(stop, head.total)
        content = self._joined(image, [row for row in rows if row.etag == head.etag], first, stop)
        return None if content is None else Part(Piece(content, *head[4:7:2], head.modified), head.stored_at)

    def first_document(self, image: Image) -> tuple[str, Piece] | None:
        """The kept file that is nearest to the image's root: its name and first bytes."""
        depth = "length(key) - length(replace(key, '/', ''))"
        rows = self._rows(f"image = ? AND etag NOT NULL AND start = 0 ORDER BY {depth}, key LIMIT 1", image.number)
        part = self.find(image, rows[0].key, 0, rows[0].stop) if rows else None
        return (rows[0].key, part.piece) if part is not None and part.piece is not None else None

    def put(self, image: Image, key: str, start: int, piece: Piece | None) -> None:
        """Keep a part later, if there is time and space: a piece that begins at ``start``, or None for no such file."""
        content, etag, modified, total, stop = b"", None, None, None, _WHOLE_FILE
        if piece is not None:
            content, etag, modified, total = piece.content, piece.etag, piece.modified, piece.total_bytes
            stop = start + len(content)
            if etag is None or not (content or total == 0):
                return
        if len(content) <= min(_LARGEST_PART_BYTES, self.limit_bytes // 2):
            row = _Row(0, key, start, stop, etag, modified, total, time.time(), b"", None, content)
            self._later(lambda sql: self._keep(sql, image, row, content), len(content))

    def confirm(self, image: Image) -> Image:
        """Note that the server has what is kept, as of now; returns the image."""
        image.checked_at = time.time()
        values = image.checked_at, image.number
        self._later(lambda sql: sql.execute("UPDATE images SET checked_at = ? WHERE id = ?", values))
        return image

    def forget(self, image: Image, key: str) -> None:
        """Forget all that is kept of a file."""
        self._later(lambda sql: sql.execute("DELETE FROM parts WHERE image = ? AND key = ?", (image.number, key)))

    def drop(self, image: Image) -> Image:
        """Forget all that is kept of an image: its server has something else by now. Returns the image anew."""
        image.is_dropped = True

        def forget(sql: sqlite3.Connection) -> None:
            sql.execute("DELETE FROM parts WHERE image IN (SELECT id FROM images WHERE digest = ?)", (image.digest,))
            sql.execute("DELETE FROM images WHERE digest = ?", (image.digest,))

        self._later(forget)
        return Image(image.digest)

    @property
    def size_bytes(self) -> int:
        """What all parts take on disk."""
        return self._value(_SIZE)

    @property
    def fault(self) -> str:
        """Why nothing can be kept just now; empty where it can."""
        return self._writer.fault

    def flush(self, timeout_s: float = _EXIT_FLUSH_S) -> bool:
        """Wait until all that waits is written; False if that takes too long, or can't be done."""
        return self._pid != os.getpid() or self._writer.flush(timeout_s)

    def close(self) -> None:
        """Write what waits, and give the database up until something is asked for again."""
        self.flush()
        self._leave()

    def clear(self) -> None:
        """Delete all that is kept, also for processes that have it open; OSError where that can't be done."""
        self.shrink(0)

    def shrink(self, limit_bytes: int) -> None:
        """Delete what was unused longest until the rest fits; OSError where that can't be done."""
        self.close()
        if not self._folder.exists():
            return
        is_alone = False
        try:
            with contextlib.closing(self._open_index()) as sql:
                with _transaction(sql):
                    _evict(sql, limit_bytes)
                self._remove_useless(sql)
                sql.execute("PRAGMA incremental_vacuum").fetchall()
                if limit_bytes == 0:  # which fails where another process has it open
                    is_alone = sql.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete"
        except sqlite3.Error as error:
            is_alone = _is_damage(error)
            if not is_alone and "locked" not in str(error):
                raise OSError(f"{self._folder} can't be changed ({error})") from error
        if is_alone:
            shutil.rmtree(self._folder)

    # Reading

    def _joined(self, image: Image, rows: list[_Row], start: int, stop: int) -> bytes | None:
        """The bytes ``start`` to ``stop`` out of parts of one version; None where some are missing."""
        chunks, position = [], start
        while position < stop:
            best = max((row for row in rows if row.start <= position), key=lambda row: row.stop, default=None)
            if best is None or best.stop <= position or (content := self._content(image, best)) is None:
                return None
            end = min(best.stop, stop)
            is_all = (position, end) == (best.start, best.stop)
            chunks.append(content if is_all else content[position - best.start : end - best.start])
            self._writer.touch(best.id)
            position = end
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _content(self, image: Image, row: _Row) -> bytes | None:
        """The bytes of a part, if they are what was kept; else it is forgotten."""
        content = row.content
        if row.name is not None and _FILE_NAME.fullmatch(row.name):
            with contextlib.suppress(OSError):
                content = self._path(row.name).read_bytes()
        if content is not None and row.sum_with(image.digest, content) == row.checksum:
            return content
        self._later(lambda sql: sql.execute("DELETE FROM parts WHERE id = ?", (row.id,)))
        return None

    def _rows(self, where: str, *values: Any) -> list[_Row]:
        rows = self._ask(f"SELECT {_COLUMNS} FROM parts WHERE {where}", *values)  # noqa: S608 - our own words
        return [_Row(*row) for row in rows if all(map(isinstance, row, _TYPES))]

    def _value(self, query: str) -> int:
        rows = self._ask(query)
        return int(rows[0][0]) if rows else 0

    def _ask(self, query: str, *values: Any) -> list[Any]:
        """Ask the database; an empty list where it can't be asked."""
        if self._pid != os.getpid():  # a forked process must not use the connection of its parent
            return []
        try:
            with self._lock:
                if self._reader is None and (path := self._folder / _INDEX_NAME).exists():
                    address = f"{path.as_uri()}?mode=rw"
                    self._reader = sqlite3.connect(address, uri=True, check_same_thread=False)
                    self._reader.execute("PRAGMA query_only = ON")
                return self._reader.execute(query, values).fetchall() if self._reader is not None else []
        except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
            self._leave()
            if _is_damage(error):
                self._later(_report_damage)
            return []

    def _leave(self) -> None:
        """Close the database for reading."""
        if self._pid == os.getpid():
            with self._lock:
                reader, self._reader = self._reader, None
                if reader is not None:
                    reader.close()

    # Writing, on the writer's thread

    def _later(self, job: _Job, size_bytes: int = 0) -> None:
        if self._pid == os.getpid():
            self._writer.add(job, size_bytes)

    def _write(self, jobs: list[_Job], touched: set[int]) -> None:
        """Do some jobs, all or none; sqlite3.Error or OSError where the disk refuses."""
        try:
            with contextlib.closing(self._open_index()) as sql:
                self._sweep(sql)
                with _transaction(sql):
                    now = time.time()
                    sql.execute("UPDATE parts SET used_at = ? WHERE used_at > ?", (now, now))  # a clock was set back
                    sql.executemany("UPDATE parts SET used_at = ? WHERE id = ?", ((now, part) for part in touched))
                    for job in jobs:
                        job(sql)
                    free_bytes = shutil.disk_usage(self._folder).free - self._keep_free_bytes
                    _evict(sql, max(0, min(self.limit_bytes, sql.execute(_SIZE).fetchone()[0] + free_bytes)))
                self._remove_useless(sql)
                sql.execute("PRAGMA incremental_vacuum(1000)").fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if _is_damage(error):
                self._leave()
                self._begin_anew()
            raise

    def _keep(self, sql: sqlite3.Connection, image: Image, row: _Row, content: bytes) -> None:
        """Keep a part, unless its image was dropped since it was opened, here or by another process."""
        if image.number is None and not image.is_dropped:
            values = image.digest, row.stored_at
            sql.execute("INSERT OR IGNORE INTO images (digest, checked_at) VALUES (?, ?)", values)
        found = sql.execute("SELECT id FROM images WHERE digest = ?", (image.digest,)).fetchone()
        if found is None or image.is_dropped or image.number not in {None, found[0]}:
            image.is_dropped = True
            return
        image.number = number = found[0]
        others = "SELECT 1 FROM parts WHERE image = ? AND key = ? AND (etag IS NOT ? OR total IS NOT ?)"
        if sql.execute(others, (number, row.key, row.etag, row.total)).fetchone():
            sql.execute("DELETE FROM parts WHERE image = ?", (number,))  # of what the server had before
        within = "image = ? AND key = ? AND start BETWEEN ? AND ? AND stop <= ?"
        sql.execute(f"DELETE FROM parts WHERE {within}", (number, row.key, row.start, row.stop, row.stop))  # noqa: S608
        row = row._replace(checksum=row.sum_with(image.digest, content))
        cost = _ROW_BYTES + len(content)
        if len(content) > _INLINE_BYTES:
            row = row._replace(name=self._write_file(content), content=None)
            cost = _ROW_BYTES - -len(content) // _FILE_UNIT_BYTES * _FILE_UNIT_BYTES
        sql.execute(f"INSERT INTO parts VALUES (NULL{', ?' * 13})", (number, *row[1:], cost, row.stored_at))  # noqa: S608

    def _write_file(self, content: bytes) -> str:
        name = secrets.token_hex(16)
        path = self._path(name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            path.write_bytes(content)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return name

    def _open_index(self) -> sqlite3.Connection:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sql = sqlite3.connect(self._folder / _INDEX_NAME, isolation_level=None, timeout=_BUSY_S)
        try:
            for pragma in ("auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = NORMAL"):
                sql.execute(f"PRAGMA {pragma}").fetchall()
            if _version(sql) == 0:
                with _transaction(sql):
                    for statement in _SCHEMA if _version(sql) == 0 else ():  # else another process was faster
                        sql.execute(statement)
            if _version(sql) != _SCHEMA_VERSION:
                _report_damage(sql)
        except BaseException:
            sql.close()
            raise
        return sql

    def _remove_useless(self, sql: sqlite3.Connection) -> None:
        for (name,) in sql.execute("SELECT name FROM useless").fetchall():
            if _FILE_NAME.fullmatch(name):
                with contextlib.suppress(OSError):  # Windows keeps files that are being read; they go with a sweep
                    self._path(name).unlink(missing_ok=True)
        sql.execute("DELETE FROM useless")

    def _sweep(self, sql: sqlite3.Connection) -> None:
        """Once a day, delete files that no row names, and rows whose files are gone."""
        swept_at = sql.execute("SELECT coalesce(max(swept_at), 0) FROM sweeps").fetchone()[0]
        if 0 <= time.time() - swept_at < _SWEEP_EVERY_S:
            return
        missing = dict(sql.execute("SELECT name, id FROM parts WHERE name NOT NULL").fetchall())
        for path in self._folder.glob("??/*"):
            if missing.pop(path.name, None) is None:
                with contextlib.suppress(OSError):
                    if path.stat().st_mtime < time.time() - _YOUNG_S:  # else it may just be written
                        path.unlink()
        with _transaction(sql):
            sql.executemany("DELETE FROM parts WHERE id = ?", ((part,) for part in missing.values()))
            sql.execute("DELETE FROM images WHERE id NOT IN (SELECT image FROM parts)")
            sql.execute("DELETE FROM sweeps")
            sql.execute("INSERT INTO sweeps VALUES (?)", (time.time(),))

    def _begin_anew(self) -> None:
        """Move a cache that is of no use out of the way, at once for all processes, and delete it."""
        with contextlib.suppress(OSError):
            self._folder.rename(self._folder.with_name(f"{OWN_FOLDER}.broken-{secrets.token_hex(4)}"))
        for broken in self._folder.parent.glob(f"{OWN_FOLDER}.broken-*"):
            shutil.rmtree(broken, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name


class _Row(NamedTuple):
    """A part as the database tells it; not to be believed before its checksum was seen to fit."""

    id: int
    key: str
    start: int
    stop: int
    etag: str | None
    modified: str | None
    total: int | None
    stored_at: float
    checksum: bytes
    name: str | None
    content: bytes | None

    def sum_with(self, digest: bytes, content: bytes) -> bytes:
        """The checksum that belongs to this row of the image of that digest, with that content."""
        checksum = xxhash.xxh3_128(repr((digest, *self[1:8])).encode())
        checksum.update(content)
        return checksum.digest()


_TYPES = (int, str, int, int, str | None, str | None, int | None, float, bytes, str | None, bytes | None)
_Job = Callable[[sqlite3.Connection], object]


class _Writer:
    """A thread that does jobs, many at once. It waits a moment for more to come, and ends when there are none."""

    def __init__(self, write: Callable[[list[_Job], set[int]], None]) -> None:
        self.fault = ""  # why nothing can be written just now
        self._write, self._state = write, threading.Condition()
        self._jobs: deque[tuple[int, _Job]] = deque()
        self._touched: set[int] = set()
        self._queued_bytes, self._paused_until = 0, 0.0
        self._is_running = self._is_urgent = False

    def add(self, job: _Job, size_bytes: int) -> None:
        """Have something done, unless too much waits already or the disk refused lately."""
        with self._state:
            if time.monotonic() >= self._paused_until and self._queued_bytes + size_bytes <= _QUEUE_BYTES:
                self._jobs.append((size_bytes, job))
                self._queued_bytes += size_bytes
                self._call_thread()

    def touch(self, part: int) -> None:
        """Note that a part was used."""
        with self._state:
            self._touched.add(part)
            self._call_thread()

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is left to do; False if that takes too long, or the disk refuses."""
        with self._state:
            self._is_urgent = True
            self._state.notify_all()
            return self._state.wait_for(lambda: not self._is_running, timeout_s) and not self.fault

    def _call_thread(self) -> None:
        if self._is_running:
            self._state.notify_all()
            return
        with contextlib.suppress(RuntimeError):  # the system has no thread to give, or Python is ending
            threading.Thread(target=self._serve, name="napari-cryoet-disk", daemon=True).start()
            self._is_running, self._is_urgent = True, False

    def _serve(self) -> None:
        while (taken := self._take()) is not None:
            try:
                self._write(*taken)
                self.fault = ""
            except Exception as error:  # noqa: BLE001 - a cache that can't be written is no reason to fail
                with self._state:
                    self.fault, self._paused_until = str(error), time.monotonic() + _PAUSE_S
                    self._jobs.clear()
                    self._queued_bytes = 0

    def _take(self) -> tuple[list[_Job], set[int]] | None:
        """The next jobs, and which parts were used; None where there is nothing for a while, which ends the thread."""
        with self._state:
            if not self._state.wait_for(lambda: self._jobs or self._touched or self._is_urgent, _IDLE_S):
                self._is_urgent = True
            self._state.wait_for(lambda: self._is_urgent or self._queued_bytes > _BATCH_BYTES, _GATHER_S)
            jobs, size_bytes = [], 0
            while self._jobs and size_bytes < _BATCH_BYTES:
                jobs.append(self._jobs[0][1])
                size_bytes += self._jobs.popleft()[0]
            self._queued_bytes -= size_bytes
            touched, self._touched = self._touched, set()
            if jobs or touched:
                return jobs, touched
            self._is_running = False
            self._state.notify_all()
            return None


_caches: WeakSet[DiskCache] = WeakSet()


@atexit.register
def _write_what_waits() -> None:
    for cache in list(_caches):
        cache.flush()


@contextlib.contextmanager
def _transaction(sql: sqlite3.Connection) -> Iterator[None]:
    sql.execute("BEGIN IMMEDIATE")
    try:
        yield
        sql.execute("COMMIT")
    except BaseException:
        if sql.in_transaction:
            sql.execute("ROLLBACK")
        raise


def _evict(sql: sqlite3.Connection, limit_bytes: int) -> None:
    """Forget what was unused longest until the rest fits."""
    surplus = sql.execute(_SIZE).fetchone()[0] - limit_bytes
    while surplus > 0:
        oldest = sql.execute("SELECT id, cost FROM parts ORDER BY used_at LIMIT 100").fetchall()
        for part, cost in oldest:
            if surplus > 0:
                sql.execute("DELETE FROM parts WHERE id = ?", (part,))
                surplus -= cost
        if not oldest:
            break


def _span(start: int, length: int | None, total: int | None) -> tuple[int, int]:
    """The bytes that are asked for, by position in a file."""
    first = max(0, (total or 0) + start) if start < 0 else start
    return first, max(first, total or 0) if length is None else first + length


def _version(sql: sqlite3.Connection) -> int:
    return int(sql.execute("PRAGMA user_version").fetchone()[0])


def _is_damage(error: Exception) -> bool:
    """Whether the database itself is damaged; what is busy, full or refused is an OperationalError."""
    return not isinstance(error, sqlite3.OperationalError)


def _report_damage(_sql: sqlite3.Connection) -> None:
    raise sqlite3.DatabaseError("the database is damaged, or of another version")


def shared_disk_cache() -> DiskCache | None:
    """The disk cache that all parts of this process share; None where it is turned off."""
    cache = _cache_in(disk_settings.cache_folder())
    return cache if cache.limit_bytes > 0 else None


@lru_cache(maxsize=1)
def _cache_in(folder: Path) -> DiskCache:
    return DiskCache(folder)
