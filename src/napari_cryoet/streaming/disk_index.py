"""The index of the disk cache, one SQLite database: which bytes of which files are kept, and where.

Nothing in it is believed before its checksum was seen to fit: `PartRow` holds what a row says, which may be anything
where a disk has failed. Nobody but SQLite may open the file of a database in use: a process that closes a file gives
up all its locks on it, so that others change or remove what is in use (https://sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import xxhash

from napari_cryoet.streaming.tree_numbers import are_of_one_index, new_beginning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SCHEMA_VERSION = 1
MAX_PART_BYTES = 64 * 2**20
WHOLE_FILE = 2**62  # where a missing file "ends"

_SCHEMA = (
    "CREATE TABLE trees (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB UNIQUE, address TEXT, checked_at REAL)",
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, tree INTEGER, key TEXT, version TEXT, start INTEGER, stop INTEGER, "
    "total INTEGER, is_absent INTEGER, stored_at INTEGER, checksum BLOB, name TEXT, content BLOB, cost INTEGER, "
    "used_at REAL)",
    "CREATE INDEX parts_by_place ON parts (tree, key, start)",
    "CREATE INDEX parts_by_use ON parts (used_at, cost)",
    "CREATE TABLE sweeps (swept_at REAL)",
)
_COLUMNS = "id, key, version, start, stop, total, is_absent, stored_at, checksum, name, content"
_TYPES = (int, str, str, int, int, int | None, int, int, bytes, str | None, bytes | None)
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_EVICTED_AT_ONCE, _UNUSED_PAGES = 200, 64
_WAL_BYTES = 2**24
_FORGOTTEN_AFTER_S = 7 * 86_400.0
_COST = f"max(0, min(CAST(cost AS INTEGER), {2 * MAX_PART_BYTES}))"  # what a damaged database says is bounded, too


class PartRow(NamedTuple):
    """A part as the index tells it: of the right types, but not necessarily true.

    Attributes
    ----------
    key, version
        The file within its tree, and the version of it that the server named, empty if it named none.
    start, stop
        Which bytes.
    total
        Size of the whole file, None where unknown.
    is_absent
        1 where the server has no such file.
    stored_at
        When it came, in seconds since 1970.
    checksum
        Of all of the above and the content.
    name, content
        The file that holds the content, or the content itself where it is small.
    """

    id: int
    key: str
    version: str
    start: int
    stop: int
    total: int | None
    is_absent: int
    stored_at: int
    checksum: bytes
    name: str | None
    content: bytes | None

    def sum_with(self, digest: bytes, content: bytes) -> bytes:
        """The checksum that belongs to this row in the tree of that digest, with that content."""
        fields = (digest, self.key, self.version, self.start, self.stop, self.total, self.is_absent, self.stored_at)
        total = xxhash.xxh3_128(repr(fields).encode())
        total.update(content)
        return total.digest()


class IndexDamagedError(sqlite3.DatabaseError):
    """The database holds something else than it should."""


#: What a connection raises; the second where the words of an error message come from a damaged database.
IndexErrors = (sqlite3.Error, UnicodeDecodeError)


def is_damage(error: Exception, *, may_lack_tables: bool = False) -> bool:
    """Whether the database itself is damaged, rather than busy, out of space or out of reach.

    Parameters
    ----------
    error
        One of `IndexErrors`.
    may_lack_tables
        Whether somebody may be just making the database.
    """
    if isinstance(error, IndexDamagedError | UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in _DAMAGED or (code == sqlite3.SQLITE_ERROR and not may_lack_tables)


def is_refused_by_itself(error: Exception, path: Path) -> bool:
    """Whether SQLite only reads a database, for good, as the database itself says that it can't be written."""
    if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_READONLY or not os.access(path, os.W_OK):
        return False
    with suppress(OSError), path.open("rb") as file:  # nobody can write it, so locks on it are of no use
        return not set(file.read(20)[18:]) <= {1, 2}  # how it is to be written and read
    return False


def is_busy(error: Exception) -> bool:
    """Whether another process has the database to itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def digest_of(address: str) -> bytes:
    """What a tree is known by: addresses may hold secrets, and are not written down."""
    return xxhash.xxh3_128_digest(address.encode())


def _text(content: bytes) -> str:
    """Text of the database; where it is damaged, the checksum will tell."""
    return content.decode("utf-8", "replace")


class Index:
    """One connection to the database; used by one thread at a time.

    Parameters
    ----------
    path
        The database.
    may_write
        Whether to make the database where there is none.
    timeout_s
        How long to wait for other processes.

    Raises
    ------
    sqlite3.Error, UnicodeDecodeError
        By all methods, for whatever goes wrong.
    """

    def __init__(self, path: Path, *, may_write: bool, timeout_s: float) -> None:
        self._path = path
        self._identity = self._identify()  # before: if it is begun anew meanwhile, that is noticed by the next question
        address = f"{path.absolute().as_uri()}?mode={'rwc' if may_write else 'rw'}"
        self._sql = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=timeout_s)
        self._closing = weakref.finalize(self, self._sql.close)  # also of who drops it, on whichever thread that is
        self._closing.atexit = False  # other threads may be reading then
        try:
            self._set_up(may_write)
            self._identity = self._identity or self._identify()
        except IndexErrors:
            self.close()
            raise

    def _set_up(self, may_write: bool) -> None:
        self._sql.text_factory = _text
        self._sql.execute("PRAGMA secure_delete = OFF")
        if not may_write:
            self._sql.execute("PRAGMA query_only = ON")
            return
        self._sql.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._sql.execute("PRAGMA journal_mode = WAL")  # stays with another mode where the file system can't do it
        self._sql.execute("PRAGMA synchronous = NORMAL")
        self._sql.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        if self._version() == 0:
            with self.transaction():
                if self._version() == 0:  # no other process was faster
                    for statement in _SCHEMA:
                        self._sql.execute(statement)
                    self._count_anew()
                    self._sql.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        made = {sql for (sql,) in self._sql.execute("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")}
        if self._version() != SCHEMA_VERSION or made != set(_SCHEMA):
            raise IndexDamagedError("the database is of another version")

    def _count_anew(self) -> None:
        """Let trees from now on have numbers that none had before, here or elsewhere."""
        self._sql.execute("DELETE FROM sqlite_sequence")
        self._sql.execute("INSERT INTO sqlite_sequence VALUES ('trees', ?)", (new_beginning(),))

    def _version(self) -> int:
        return int(self._value("PRAGMA user_version"))

    def is_same_file(self) -> bool:
        """Whether the database that is open here is still the one at its path."""
        return self._identity is not None and self._identity == self._identify()

    def _identify(self) -> tuple[int, int] | None:
        with suppress(OSError):
            about = self._path.stat()
            return about.st_dev, about.st_ino
        return None

    def close(self) -> None:
        """Give the database up."""
        self._closing.detach()
        self._sql.close()

    def find_tree(self, digest: bytes) -> tuple[int, float] | None:
        """Number of a tree and when its server was last asked about it."""
        row = self._sql.execute("SELECT id, checked_at FROM trees WHERE digest = ?", (digest,)).fetchone()
        return row if row and isinstance(row[0], int) and isinstance(row[1], float) else None

    def number_of(self, digest: bytes) -> int | None:
        """Number of a tree, None where there is none."""
        row = self._sql.execute("SELECT id FROM trees WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else int(row[0])

    def any_part(self, tree: int, key: str) -> PartRow | None:
        """Some part of a file."""
        return self._part("WHERE tree = ? AND key = ? LIMIT 1", tree, key)

    def top_part(self, tree: int) -> PartRow | None:
        """A part of the file that lies nearest to the tree's root."""
        slashes = "length(key) - length(replace(key, '/', ''))"
        return self._part(f"WHERE tree = ? AND is_absent = 0 ORDER BY {slashes}, key, start LIMIT 1", tree)

    def overlapping(self, tree: int, key: str, start: int, stop: int) -> list[PartRow]:
        """The parts of a file that hold some of its bytes ``start`` to ``stop``, in order of position."""
        return self._parts(
            "WHERE tree = ? AND key = ? AND start > ? AND start < ? AND stop > ? ORDER BY start, stop DESC",
            *(tree, key, start - MAX_PART_BYTES - 1, stop, start),
        )

    def _part(self, where: str, *values: Any) -> PartRow | None:
        return next(iter(self._parts(where, *values)), None)

    def _parts(self, where: str, *values: Any) -> list[PartRow]:
        rows = self._sql.execute(f"SELECT {_COLUMNS} FROM parts {where}", values)  # noqa: S608 - our own words
        return [PartRow(*row) for row in rows.fetchall() if all(map(isinstance, row, _TYPES))]

    def cost_bytes(self) -> int:
        """What all parts take on disk."""
        return int(self._value(f"SELECT coalesce(sum({_COST}), 0) FROM parts"))  # noqa: S608 - our own words

    def count_trees(self) -> int:
        """How many trees have parts here."""
        return int(self._value("SELECT count(DISTINCT tree) FROM parts"))

    def _value(self, query: str, *values: Any) -> Any:
        return self._sql.execute(query, values).fetchone()[0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is written within."""
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._sql.execute("COMMIT")
        except BaseException:
            if self._sql.in_transaction:
                self._sql.execute("ROLLBACK")
            raise

    def add_tree(self, digest: bytes, address: str, now: float) -> int:
        """Number of a tree, made if there is none."""
        self._sql.execute(
            "INSERT OR IGNORE INTO trees (digest, address, checked_at) VALUES (?, ?, ?)", (digest, address, now)
        )
        return int(self._value("SELECT id FROM trees WHERE digest = ?", digest))

    def gave(self, tree: int) -> bool:
        """Whether a tree has its number from here, and since all was forgotten last."""
        return are_of_one_index(tree, int(self._value("SELECT coalesce(max(seq), 0) FROM sqlite_sequence")))

    def set_checked(self, tree: int, digest: bytes, now: float) -> None:
        """Note that a tree's server was asked, and had nothing new."""
        self._sql.execute("UPDATE trees SET checked_at = ? WHERE id = ? AND digest = ?", (now, tree, digest))

    def add_part(self, tree: int, row: PartRow, cost: int, now: float) -> list[str]:
        """Keep a part.

        Where other parts of the file are of another version the tree has changed, and all else of it goes; parts that
        the new one contains go too.

        Returns
        -------
        list of str
            The files that have become useless.
        """
        has_other_version = self._value(
            "SELECT count(*) FROM parts WHERE tree = ? AND key = ? AND (version != ? OR is_absent != ? OR total != ?)",
            *(tree, row.key, row.version, row.is_absent, row.total),
        )
        if has_other_version:
            useless = self._delete("tree = ?", tree)
        else:
            useless = self._delete(
                "tree = ? AND key = ? AND start BETWEEN ? AND ? AND stop <= ?",
                *(tree, row.key, row.start, row.stop, row.stop),
            )
        values = (tree, *row[1:], cost, now)
        self._sql.execute(
            f"INSERT INTO parts (tree, {_COLUMNS.removeprefix('id, ')}, cost, used_at) "  # noqa: S608 - our own words
            f"VALUES ({', '.join('?' * len(values))})",
            values,
        )
        return useless

    def drop_tree(self, digest: bytes) -> list[str]:
        """Forget a tree and its parts; the files that have become useless."""
        useless = self._delete("tree IN (SELECT id FROM trees WHERE digest = ?)", digest)
        self._sql.execute("DELETE FROM trees WHERE digest = ?", (digest,))
        return useless

    def drop_file(self, tree: int, key: str) -> list[str]:
        """Forget all parts of a file; the files that have become useless."""
        return self._delete("tree = ? AND key = ?", tree, key)

    def drop_part(self, part: int, checksum: bytes) -> list[str]:
        """Forget a part; the file that has become useless."""
        return self._delete("id = ? AND checksum IS ?", part, checksum)

    def drop_all(self) -> None:
        """Forget everything, and give the space back."""
        with self.transaction():
            for table in ("trees", "parts", "sweeps"):
                self._sql.execute(f"DELETE FROM {table}")  # noqa: S608 - our own words
            self._count_anew()  # what is open goes on in what is as good as a new index
        self.give_space_back()
        self._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def is_alone(self) -> bool:
        """Whether nobody else has the database open: else it can't be made one without a journal beside it."""
        try:
            return str(self._value("PRAGMA journal_mode = DELETE")) != "wal"
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            return False

    def touch(self, parts: Iterable[int], now: float) -> None:
        """Note that parts were used; none counts as used later than now, if the clock was set back."""
        self._sql.execute("UPDATE parts SET used_at = ? WHERE used_at > ?", (now, now))
        self._sql.executemany("UPDATE parts SET used_at = ? WHERE id = ?", ((now, part) for part in parts))

    def evict(self, limit_bytes: int) -> list[str]:
        """Forget what was unused longest until the rest fits; the files that have become useless."""
        useless: list[str] = []
        surplus = self.cost_bytes() - limit_bytes
        while surplus > 0:
            oldest = self._sql.execute(
                f"SELECT id, {_COST} FROM parts ORDER BY used_at, cost LIMIT ?",  # noqa: S608 - our own words
                (_EVICTED_AT_ONCE,),
            ).fetchall()
            if not oldest:
                break
            for part, cost in oldest:
                if surplus <= 0:
                    break
                useless += self._delete("id = ?", part)
                surplus -= cost
        return useless

    def _delete(self, where: str, *values: Any) -> list[str]:
        names = self._sql.execute(f"SELECT name FROM parts WHERE {where} AND name IS NOT NULL", values)  # noqa: S608 - our own words
        useless = [name for (name,) in names.fetchall()]
        self._sql.execute(f"DELETE FROM parts WHERE {where}", values)  # noqa: S608 - our own words
        return useless

    def give_space_back(self) -> None:
        """Return the database's unused pages to the disk, where there are many."""
        if int(self._value("PRAGMA freelist_count")) > _UNUSED_PAGES:
            self._sql.executescript("PRAGMA incremental_vacuum")  # `execute` would stop after one page

    def swept_at(self) -> float:
        """When the folder was last compared with the index; 0 for never."""
        return float(self._value("SELECT coalesce(max(CAST(swept_at AS REAL)), 0) FROM sweeps"))

    def names(self) -> dict[str, int]:
        """All files that hold parts, with the numbers of these parts."""
        return dict(self._sql.execute("SELECT name, id FROM parts WHERE name IS NOT NULL").fetchall())

    def finish_sweep(self, missing: Iterable[int], now: float) -> None:
        """Forget parts whose files are gone, and trees of which nothing was kept for long."""
        self._sql.executemany("DELETE FROM parts WHERE id = ?", ((part,) for part in missing))
        self._sql.execute(
            "DELETE FROM trees WHERE checked_at < ? AND id NOT IN (SELECT tree FROM parts)", (now - _FORGOTTEN_AFTER_S,)
        )
        self._sql.execute("DELETE FROM sweeps")
        self._sql.execute("INSERT INTO sweeps VALUES (?)", (now,))

    def check(self) -> None:
        """Look the whole database through; raises where it is damaged."""
        answer = self._value("PRAGMA quick_check(1)")
        if answer != "ok":
            raise IndexDamagedError(f"the database is damaged: {answer}")
