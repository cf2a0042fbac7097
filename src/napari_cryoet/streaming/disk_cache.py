"""The disk cache of network reads: bounded in bytes, least recently used evicted first, shared by processes.

An *image* is an address that was opened. A *part* is a range of a file below it with the ETag of
its server, or the fact that the file doesn't exist. All parts are in one SQLite database. A
checksum covers a part's bytes and its row; parts that don't match are never used. A damaged
database is deleted and created again.

One thread writes in the background, many parts per transaction. The folder, the size limit and how
long an image counts as current come from the environment, the settings or defaults.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple
from weakref import WeakSet

import xxhash

from napari_cryoet.files import cache_path
from napari_cryoet.settings import Settings
from napari_cryoet.streaming.piece import Piece

OWN_FOLDER: Final = "napari-cryoet-parts"  # within the user's folder, where nothing else is touched
LIMIT_VARIABLE: Final = "NAPARI_CRYOET_CACHE_LIMIT"
FOLDER_VARIABLE: Final = "NAPARI_CRYOET_CACHE_DIR"
ASK_AGAIN_VARIABLE: Final = "NAPARI_CRYOET_CACHE_ASK_AGAIN"

_INDEX_NAME, _SCHEMA_VERSION = "index.sqlite3", 3
_SCHEMA = (
    "CREATE TABLE images (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB UNIQUE, checked_at REAL)",
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, image INTEGER, key TEXT, start INTEGER, stop INTEGER, etag TEXT, "
    "modified TEXT, total INTEGER, stored_at REAL, checksum BLOB, cost INTEGER, used_at REAL)",
    # separate, because using a part rewrites its row
    "CREATE TABLE contents (part INTEGER PRIMARY KEY, content BLOB)",
    "CREATE INDEX parts_by_place ON parts (image, key, start)",
    "CREATE INDEX parts_by_use ON parts (used_at, cost)",
    "CREATE TRIGGER part_deleted AFTER DELETE ON parts BEGIN DELETE FROM contents WHERE part = old.id; END",
    f"PRAGMA user_version = {_SCHEMA_VERSION}",
)
_PRAGMAS = (
    "page_size = 32768",
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = NORMAL",
)
_COLUMNS = "id, key, start, stop, etag, modified, total, stored_at, checksum"
_SIZE = "SELECT coalesce(sum(cost), 0) FROM parts"
_WHOLE_FILE = 2**62  # the stop of a missing file

_LARGEST_PART_BYTES = 64 * 2**20
_PART_COST_BYTES = 400  # in addition to its content
_QUEUE_BYTES, _BATCH_BYTES = 64 * 2**20, 16 * 2**20
_KEEP_FREE_BYTES = 2**30
_GATHER_S, _BUSY_S, _EXIT_FLUSH_S = 0.25, 5.0, 3.0
_PAUSE_S = 30.0  # after a failed write

_LARGEST_BYTES, _FREE_FRACTION = 10 * 10**9, 0.1
_ASK_AGAIN_AFTER_S = 3600.0
_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_TIMES = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86400}


@dataclass(slots=True)
class CachedImage:
    """An address in the cache: its row id, and when its server last confirmed it; both None if it has no parts.

    Parts of a dropped image are neither found nor stored.
    """

    digest: bytes
    number: int | None = None
    checked_at: float | None = None
    is_dropped: bool = False


@dataclass(frozen=True, slots=True)
class CachedPart:
    """A cached range of a file, and when it was stored (seconds since 1970).

    No piece if the file doesn't exist.
    """

    piece: Piece | None
    stored_at: float


class DiskCache:
    """The cache in one folder. All methods may be called from any thread; only `clear` and `shrink` raise OSError.

    Folder and limit come from the settings by default. At least ``keep_free_bytes`` of the disk
    stay free.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        limit_bytes: int | None = None,
        *,
        keep_free_bytes: int = _KEEP_FREE_BYTES,
    ) -> None:
        self._folder = Path(folder or cache_folder()).absolute() / OWN_FOLDER
        self._limit_bytes, self._keep_free_bytes = limit_bytes, keep_free_bytes
        self._lock, self._pid = threading.Lock(), os.getpid()
        self._reader: sqlite3.Connection | None = None
        self._writer = _Writer(self._write)
        _caches.add(self)

    @property
    def limit_bytes(self) -> int:
        """The limit of all parts on disk."""
        return limit_bytes() if self._limit_bytes is None else self._limit_bytes

    @property
    def size_bytes(self) -> int:
        """The size of all parts on disk."""
        rows = self._query(_SIZE)
        return int(rows[0][0]) if rows else 0

    def image(self, address: str) -> CachedImage:
        """The image of an address."""
        digest = xxhash.xxh3_128_digest(
            address.encode()
        )  # addresses may hold secrets, so only their hash is stored
        rows = self._query("SELECT id, checked_at FROM images WHERE digest = ?", digest)
        return CachedImage(digest, *rows[0]) if rows else CachedImage(digest)

    def find(
        self, image: CachedImage, key: str, start: int = 0, length: int | None = None
    ) -> CachedPart | None:
        """A range of a file, as in `ByteSource.read`; None unless all of it is cached."""
        if image.number is None or image.is_dropped:
            return None
        total = None
        if start < 0 or length is None:
            known = self._rows("image = ? AND key = ? LIMIT 1", image.number, key)
            total = known[0].total if known else None
            if not known or (total is None and known[0].etag is not None):
                return None
        first = max(0, (total or 0) + start) if start < 0 else start
        stop = max(first, total or 0) if length is None else first + length
        rows = self._rows(
            "image = ? AND key = ? AND start > ? AND start <= ? AND stop >= ? ORDER BY start",
            *(image.number, key, first - _LARGEST_PART_BYTES - 1, stop, first),
        )
        if not rows:
            return None
        head = rows[0]
        if head.etag is None:
            return None if self._content(image, head) is None else CachedPart(None, head.stored_at)
        stop = stop if head.total is None else min(stop, head.total)
        content = self._joined(image, [row for row in rows if row.etag == head.etag], first, stop)
        return (
            None
            if content is None
            else CachedPart(Piece(content, head.etag, head.total, head.modified), head.stored_at)
        )

    def spans(self, image: CachedImage) -> dict[str, list[tuple[int, int]]]:
        """Start and stop of all cached parts of an image, by file."""
        spans: dict[str, list[tuple[int, int]]] = {}
        for row in self._rows("image = ?", image.number):
            spans.setdefault(row.key, []).append((row.start, row.stop))
        return spans

    def first_document(self, image: CachedImage) -> tuple[str, Piece] | None:
        """The cached file nearest to the image's root: its key and first bytes."""
        depth = "length(key) - length(replace(key, '/', ''))"
        rows = self._rows(
            f"image = ? AND etag NOT NULL AND start = 0 ORDER BY {depth}, key LIMIT 1", image.number
        )
        part = self.find(image, rows[0].key, 0, rows[0].stop) if rows else None
        return (rows[0].key, part.piece) if part is not None and part.piece is not None else None

    def put(self, image: CachedImage, key: str, start: int, piece: Piece | None) -> None:
        """Store a part in the background, if there is space: a piece at ``start``, or None for a missing file."""
        row = _Row(0, key, start, _WHOLE_FILE, None, None, None, time.time(), b"")
        content = b""
        if piece is not None:
            content = piece.content
            if piece.etag is None or not (content or piece.total_bytes == 0):
                return
            stop, total = start + len(content), piece.total_bytes
            row = row._replace(stop=stop, etag=piece.etag, modified=piece.modified, total=total)
        if len(content) > _LARGEST_PART_BYTES:
            return

        def store(sql: sqlite3.Connection) -> None:
            if len(content) <= self.limit_bytes // 2:  # looked up here: that reads files
                _store(sql, image, row, content)

        self._enqueue(store, len(content))

    def confirm(self, image: CachedImage) -> CachedImage:
        """Record that the server has just confirmed the image; returns it."""
        image.checked_at = time.time()
        values = image.checked_at, image.number
        self._enqueue(
            lambda sql: sql.execute("UPDATE images SET checked_at = ? WHERE id = ?", values)
        )
        return image

    def forget(self, image: CachedImage, key: str) -> None:
        """Delete all parts of a file."""
        self._enqueue(
            lambda sql: sql.execute(
                "DELETE FROM parts WHERE image = ? AND key = ?", (image.number, key)
            )
        )

    def drop(self, image: CachedImage) -> CachedImage:
        """Delete all parts of an image that changed on its server. Returns a fresh image."""
        image.is_dropped = True

        def forget(sql: sqlite3.Connection) -> None:
            sql.execute(
                "DELETE FROM parts WHERE image IN (SELECT id FROM images WHERE digest = ?)",
                (image.digest,),
            )
            sql.execute("DELETE FROM images WHERE digest = ?", (image.digest,))

        self._enqueue(forget)
        return CachedImage(image.digest)

    def flush(self, timeout_s: float = _EXIT_FLUSH_S) -> bool:
        """Wait until the queue is written; False after ``timeout_s`` or if writing failed."""
        return self._pid != os.getpid() or self._writer.flush(timeout_s)

    def close(self) -> None:
        """Write the queue and close the database; it opens again at the next use."""
        self.flush()
        self._disconnect()

    def clear(self) -> None:
        """Delete everything, for other processes too; OSError if that fails."""
        self.shrink(0)

    def shrink(self, limit_bytes: int) -> None:
        """Delete the least recently used parts until the rest fits; OSError if that fails."""
        self.close()
        if not self._folder.exists():
            return
        is_alone = False
        try:
            with contextlib.closing(self._open_index()) as sql:
                with _transaction(sql):
                    _evict(sql, limit_bytes)
                sql.executescript(
                    "PRAGMA incremental_vacuum"
                )  # Python 3.11 runs only a step of `execute`
                if limit_bytes == 0:  # fails while another process has it open
                    is_alone = sql.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete"
        except sqlite3.Error as error:
            is_alone = _is_damage(error)
            if not is_alone and "locked" not in str(error):
                raise OSError(f"{self._folder} can't be changed ({error})") from error
        if is_alone:
            shutil.rmtree(self._folder)

    # Reading

    def _joined(self, image: CachedImage, rows: list[_Row], start: int, stop: int) -> bytes | None:
        """Join parts of one version into the bytes ``start`` to ``stop``.

        None if any are missing.
        """
        chunks, position = [], start
        while position < stop:
            best = max(
                (row for row in rows if row.start <= position),
                key=lambda row: row.stop,
                default=None,
            )
            if (
                best is None
                or best.stop <= position
                or (content := self._content(image, best)) is None
            ):
                return None
            end = min(best.stop, stop)
            is_all = (position, end) == (best.start, best.stop)
            chunks.append(content if is_all else content[position - best.start : end - best.start])
            self._touch(best.id)
            position = end
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _touch(self, part: int) -> None:
        values = time.time(), part
        self._enqueue(lambda sql: sql.execute("UPDATE parts SET used_at = ? WHERE id = ?", values))

    def _content(self, image: CachedImage, row: _Row) -> bytes | None:
        """The bytes of a part if its checksum matches; else the part is deleted."""
        found = self._query("SELECT content FROM contents WHERE part = ?", row.id)
        content = found[0][0] if found else None
        if isinstance(content, bytes) and row.checksum_with(image.digest, content) == row.checksum:
            return content
        self._enqueue(lambda sql: sql.execute("DELETE FROM parts WHERE id = ?", (row.id,)))
        return None

    def _rows(self, where: str, *values: Any) -> list[_Row]:
        rows = self._query(f"SELECT {_COLUMNS} FROM parts WHERE {where}", *values)  # noqa: S608 - constants of this module
        return [_Row(*row) for row in rows if all(map(isinstance, row, _TYPES))]

    def _query(self, query: str, *values: Any) -> list[Any]:
        """Query the database; an empty list if that fails."""
        if self._pid != os.getpid():  # a forked process must not use its parent's connection
            return []
        try:
            with self._lock:
                if self._reader is None and (path := self._folder / _INDEX_NAME).exists():
                    address = f"{path.as_uri()}?mode=rw"
                    self._reader = sqlite3.connect(address, uri=True, check_same_thread=False)
                    self._reader.execute("PRAGMA query_only = ON")
                return (
                    self._reader.execute(query, values).fetchall()
                    if self._reader is not None
                    else []
                )
        except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
            self._disconnect()
            if _is_damage(error):
                self._enqueue(_report_damage)
            return []

    def _disconnect(self) -> None:
        """Close the reading connection."""
        if self._pid == os.getpid():
            with self._lock:
                reader, self._reader = self._reader, None
                if reader is not None:
                    reader.close()

    # Writing, on the writer's thread

    def _enqueue(self, job: _Job, size_bytes: int = 0) -> None:
        if self._pid == os.getpid():
            self._writer.add(job, size_bytes)

    def _write(self, jobs: list[_Job]) -> None:
        """Run jobs in one transaction; sqlite3.Error or OSError if writing fails."""
        try:
            with contextlib.closing(self._open_index()) as sql:
                with _transaction(sql):
                    for job in jobs:
                        job(sql)
                    free_bytes = shutil.disk_usage(self._folder).free - self._keep_free_bytes
                    _evict(
                        sql,
                        max(
                            0, min(self.limit_bytes, sql.execute(_SIZE).fetchone()[0] + free_bytes)
                        ),
                    )
                sql.executescript("PRAGMA incremental_vacuum(1000)")
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if _is_damage(error):
                self._disconnect()
                self._discard_damaged()
            raise

    def _open_index(self) -> sqlite3.Connection:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sql = sqlite3.connect(self._folder / _INDEX_NAME, isolation_level=None, timeout=_BUSY_S)
        try:
            for pragma in _PRAGMAS:
                sql.execute(f"PRAGMA {pragma}").fetchall()
            if _version(sql) == 0:
                with _transaction(sql):
                    for statement in (
                        _SCHEMA if _version(sql) == 0 else ()
                    ):  # else another process created them
                        sql.execute(statement)
            if _version(sql) != _SCHEMA_VERSION:
                _report_damage(sql)
        except BaseException:
            sql.close()
            raise
        return sql

    def _discard_damaged(self) -> None:
        """Rename a damaged cache, for all processes at once, and delete it."""
        with contextlib.suppress(OSError):
            self._folder.rename(
                self._folder.with_name(f"{OWN_FOLDER}.broken-{secrets.token_hex(4)}")
            )
        for broken in self._folder.parent.glob(f"{OWN_FOLDER}.broken-*"):
            shutil.rmtree(broken, ignore_errors=True)


class _Row(NamedTuple):
    """A row of the table of parts; don't trust it before comparing its checksum."""

    id: int
    key: str
    start: int
    stop: int
    etag: str | None
    modified: str | None
    total: int | None
    stored_at: float
    checksum: bytes

    def checksum_with(self, digest: bytes, content: bytes) -> bytes:
        """The checksum of this row with ``content``, for the image with this ``digest``."""
        checksum = xxhash.xxh3_128(repr((digest, *self[1:8])).encode())
        checksum.update(content)
        return checksum.digest()


_TYPES = (int, str, int, int, str | None, str | None, int | None, float, bytes)
_Job = Callable[[sqlite3.Connection], object]


def _store(sql: sqlite3.Connection, image: CachedImage, row: _Row, content: bytes) -> None:
    """Store a part, unless its image was dropped meanwhile, here or by another process."""
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
        sql.execute("DELETE FROM parts WHERE image = ?", (number,))  # of the previous version
    within = "image = ? AND key = ? AND start BETWEEN ? AND ? AND stop <= ?"
    delete = f"DELETE FROM parts WHERE {within}"  # noqa: S608
    sql.execute(delete, (number, row.key, row.start, row.stop, row.stop))
    checksum, cost = row.checksum_with(image.digest, content), _PART_COST_BYTES + len(content)
    insert = "INSERT INTO parts VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    part = sql.execute(insert, (number, *row[1:8], checksum, cost, row.stored_at)).lastrowid
    sql.execute("INSERT OR REPLACE INTO contents VALUES (?, ?)", (part, content))


class _Writer:
    """A thread that runs jobs in batches, and ends when there are none."""

    def __init__(self, write: Callable[[list[_Job]], None]) -> None:
        self._write, self._state = write, threading.Condition()
        self._jobs: list[_Job] = []
        self._queued_bytes, self._paused_until = 0, 0.0
        self._is_running = self._is_urgent = False

    def add(self, job: _Job, size_bytes: int) -> None:
        """Queue a job, unless the queue is full or a write failed recently."""
        with self._state:
            if (
                time.monotonic() < self._paused_until
                or self._queued_bytes + size_bytes > _QUEUE_BYTES
            ):
                return
            self._jobs.append(job)
            self._queued_bytes += size_bytes
            self._state.notify_all()
            if not self._is_running:
                with contextlib.suppress(RuntimeError):  # no thread available, or Python is exiting
                    threading.Thread(
                        target=self._serve, name="napari-cryoet-disk", daemon=True
                    ).start()
                    self._is_running = True

    def flush(self, timeout_s: float) -> bool:
        """Wait until the queue is empty; False after ``timeout_s`` or if a write failed."""
        with self._state:
            self._is_urgent = True
            self._state.notify_all()
            is_done = self._state.wait_for(lambda: not self._is_running, timeout_s)
            return is_done and time.monotonic() >= self._paused_until

    def _serve(self) -> None:
        while jobs := self._take():
            try:
                self._write(jobs)
            except Exception:  # noqa: BLE001 - the cache is optional, so a failed write is no error
                with self._state:
                    self._paused_until = time.monotonic() + _PAUSE_S
                    self._jobs, self._queued_bytes = [], 0

    def _take(self) -> list[_Job]:
        """Wait briefly for more jobs and take them all; an empty list ends the thread."""
        with self._state:
            self._state.wait_for(
                lambda: self._is_urgent or self._queued_bytes > _BATCH_BYTES, _GATHER_S
            )
            jobs, self._jobs, self._queued_bytes = self._jobs, [], 0
            if not jobs:
                self._is_running = self._is_urgent = False
                self._state.notify_all()
            return jobs


_caches: WeakSet[DiskCache] = WeakSet()


@atexit.register
def _flush_at_exit() -> None:
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
    """Delete the least recently used parts until the rest fits."""
    surplus = sql.execute(_SIZE).fetchone()[0] - limit_bytes
    if surplus > 0:
        oldest = sql.execute("SELECT id, cost FROM parts ORDER BY used_at").fetchall()
        for part, cost in oldest:
            if surplus > 0:
                sql.execute("DELETE FROM parts WHERE id = ?", (part,))
                surplus -= cost


def _version(sql: sqlite3.Connection) -> int:
    return int(sql.execute("PRAGMA user_version").fetchone()[0])


def _is_damage(error: Exception) -> bool:
    """Whether the database is damaged; busy, full and read-only are OperationalErrors."""
    return not isinstance(error, sqlite3.OperationalError)


def _report_damage(_sql: sqlite3.Connection) -> None:
    raise sqlite3.DatabaseError("the database is damaged or has another version")


def shared_disk_cache() -> DiskCache | None:
    """The disk cache of this process; None if it is turned off."""
    cache = _cache_in(cache_folder())
    return cache if cache.limit_bytes > 0 else None


@lru_cache(maxsize=1)
def _cache_in(folder: Path) -> DiskCache:
    return DiskCache(folder)


# Settings


def cache_folder() -> Path:
    """The folder of the disk cache."""
    path = os.environ.get(FOLDER_VARIABLE)
    return Path(os.path.expanduser(path)).absolute() if path else cache_path() / "pixels"


def limit_bytes() -> int:
    """The size limit of the disk cache; 0 turns it off.

    It comes from the environment, else the setting, else it is 10 GB or a tenth of the free disk,
    whichever is less.
    """
    if (chosen := named_limit_bytes()) is not None:
        return chosen
    folder = cache_folder()
    existing = next(
        (parent for parent in (folder, *folder.parents) if os.path.exists(parent)), folder
    )
    try:
        return int(min(_LARGEST_BYTES, _FREE_FRACTION * shutil.disk_usage(existing).free))
    except OSError:
        return 0


def named_limit_bytes() -> int | None:
    """The limit from the environment, else from `choose_limit`; None if neither is set."""
    if (limit := environment_limit_bytes()) is not None:
        return limit
    return Settings().disk_cache_limit_bytes


def environment_limit_bytes() -> int | None:
    """The limit from the environment; None if it is unset or not a size."""
    with contextlib.suppress(ValueError):
        return parse_size(os.environ.get(LIMIT_VARIABLE, ""))
    return None


def choose_limit(size_bytes: int | None) -> None:
    """Set the limit, for running processes too; None restores the default.

    SaveError if it can't be saved.
    """
    Settings().save("disk_cache_limit_bytes", size_bytes)


def ask_again_after_s() -> float:
    """Seconds before a cached image is checked with its server again."""
    seconds = _amount(os.environ.get(ASK_AGAIN_VARIABLE, ""), _TIMES)
    return _ASK_AGAIN_AFTER_S if seconds is None else seconds


def parse_size(text: str) -> int:
    """A size in bytes from text; ValueError if it isn't one.

    Examples
    --------
    >>> parse_size("5 GB"), parse_size("1.5mb"), parse_size("0"), parse_size("off")
    (5000000000, 1500000, 0, 0)
    """
    size = 0.0 if text.strip().lower() == "off" else _amount(text, _SIZES)
    if size is None:
        raise ValueError(f"{text!r} is not a size; sizes look like 5GB, 500MB, 0 or off")
    return int(size)


def _amount(text: str, units: dict[str, int]) -> float | None:
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?)\s*([a-z]*)", text.strip().lower(), re.ASCII)
    return float(match[1]) * units[match[2]] if match and match[2] in units else None
