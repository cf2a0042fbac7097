"""What is to be written into the disk cache: parts to keep, and what is to be forgotten or confirmed."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from napari_cryoet.forks import FreshLock
from napari_cryoet.streaming.disk_index import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_cryoet.streaming.disk_index import Index, PartRow
    from napari_cryoet.streaming.outdated import OutdatedTrees
    from napari_cryoet.streaming.part_files import PartFiles

_INLINE_BYTES = 2**15  # smaller parts stand in the index itself
_FILE_UNIT_BYTES = 4096
_ROW_BYTES = 400


class Tree:
    """A web address below which files are kept: an image, an array, or a single file.

    Attributes
    ----------
    address, shown, digest
        The address, the same for people, and what stands for it in the index.
    number
        Its number in the index, None where nothing is kept of it (yet). It is never used again, neither there nor, for
        another tree, in an index that was begun anew.
    checked_at
        When its server was last asked whether it is still the same, in seconds since 1970.
    drops
        How often what was kept of it was dropped here; what was to be kept before isn't, then.
    """

    def __init__(self, address: str, shown: str, found: tuple[int, float] | None) -> None:
        self.address, self.shown, self.digest = address, shown, digest_of(address)
        self.number: int | None = found[0] if found else None
        self.checked_at: float | None = found[1] if found else None
        self.drops = 0
        self._lock = FreshLock()

    def drop(self) -> None:
        """Know of nothing that is kept, and let nothing be kept that came before."""
        with self._lock:
            self.number = self.checked_at = None
            self.drops += 1

    def number_for(self, drops: int, add: Callable[[], int]) -> int | None:
        """Its number, made by ``add`` if it has none; None for what came before it was dropped last."""
        with self._lock:
            if drops != self.drops:
                return None
            if self.number is None:
                self.number = add()
            return self.number

    def outlive(self, number: int) -> None:
        """As `drop`, if its number is one of an index that is gone: what comes from then on is kept in the new one."""
        with self._lock:
            if self.number == number:
                self.number = None
                self.drops += 1

    def lose(self, number: int) -> None:
        """Forget its number if it is one under which nothing can be kept any more."""
        with self._lock:
            if self.number == number:
                self.number = None


class Task(Protocol):
    """Something to write.

    Attributes
    ----------
    size_bytes
        How much that is.
    is_due
        Whether it has to be done before anything that comes after it: what is to be forgotten must not stand beside it.
    """

    size_bytes: int
    is_due: bool

    def prepare(self, files: PartFiles) -> None:
        """Write files; OSError where that fails."""

    def apply(self, index: Index, now: float) -> list[str]:
        """Write into the index; returns the files that have become useless."""

    def finish(self) -> None:
        """Called once that stands in the index, whatever happens then."""


class _WritesNothing:
    """A task for the index alone."""

    __slots__ = ()

    size_bytes = 0
    is_due = False

    def prepare(self, files: PartFiles) -> None:
        """Nothing to write."""

    def finish(self) -> None:
        """Nothing left to do."""


@dataclass(slots=True)
class KeepPart:
    """A part to keep, unless its tree is dropped more often than ``drops`` says."""

    is_due = False

    tree: Tree
    row: PartRow
    content: bytes
    drops: int
    size_bytes: int = field(init=False)
    made_number: int | None = field(init=False, default=None)  # of the tree, in the transaction that is under way

    def __post_init__(self) -> None:
        self.size_bytes = len(self.content)

    def prepare(self, files: PartFiles) -> None:
        """Put large content into a file."""
        checksum = self.row.sum_with(self.tree.digest, self.content)
        if len(self.content) <= _INLINE_BYTES:
            self.row = self.row._replace(checksum=checksum, content=self.content)
        else:
            self.row = self.row._replace(checksum=checksum, name=files.write(self.content))

    def apply(self, index: Index, now: float) -> list[str]:
        """Keep the part, unless its tree was dropped by somebody meanwhile, or is of an index that is gone."""
        number = self.tree.number_for(self.drops, partial(self._add_tree, index, now))
        if number is None or number != index.number_of(self.tree.digest):
            if number is not None and not index.gave(number):
                self.tree.outlive(number)
            return [self.row.name] if self.row.name else []
        cost = _ROW_BYTES + len(self.content)
        if self.row.name:
            cost = _ROW_BYTES - -len(self.content) // _FILE_UNIT_BYTES * _FILE_UNIT_BYTES
        return index.add_part(number, self.row, cost, now)

    def finish(self) -> None:
        """Nothing left to do."""

    def _add_tree(self, index: Index, now: float) -> int:
        self.made_number = index.add_tree(self.tree.digest, self.tree.shown, now)
        return self.made_number

    def take_back(self, files: PartFiles) -> None:
        """Leave nothing of it: the transaction failed, and the tree's number may be another one's next."""
        if self.row.name:
            files.remove([self.row.name])
        if self.made_number is not None:
            self.tree.lose(self.made_number)


@dataclass(slots=True)
class DropTree(_WritesNothing):
    """A tree that isn't what it was, and what there was of notes that say so."""

    is_due = True

    tree: Tree
    outdated: OutdatedTrees
    notes: list[str]

    def apply(self, index: Index, now: float) -> list[str]:  # noqa: ARG002 - as all tasks
        """Forget it."""
        number = index.number_of(self.tree.digest)
        if number is not None:
            self.tree.lose(number)
        return index.drop_tree(self.tree.digest)

    def finish(self) -> None:
        """What is kept from now on is of what it is."""
        self.outdated.remove(self.notes)


@dataclass(slots=True)
class ConfirmTree(_WritesNothing):
    """A tree that is still what it was, by the number that it had when that was found."""

    number: int
    digest: bytes

    def apply(self, index: Index, now: float) -> list[str]:
        """Note when."""
        index.set_checked(self.number, self.digest, now)
        return []


@dataclass(slots=True)
class DropFile(_WritesNothing):
    """A file of which something was no good."""

    is_due = True

    tree: Tree
    key: str

    def apply(self, index: Index, now: float) -> list[str]:  # noqa: ARG002 - as all tasks
        """Forget its parts."""
        return [] if self.tree.number is None else index.drop_file(self.tree.number, self.key)


@dataclass(slots=True)
class DropPart(_WritesNothing):
    """A part that is damaged."""

    number: int
    checksum: bytes

    def apply(self, index: Index, now: float) -> list[str]:  # noqa: ARG002 - as all tasks
        """Forget it."""
        return index.drop_part(self.number, self.checksum)
