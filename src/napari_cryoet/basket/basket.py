"""Baskets: selections to download, as small TOML files to read, edit and share."""

from __future__ import annotations

import hashlib
import re
import textwrap
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec.structs import replace

from napari_cryoet.discovery.matches import ListKind, Matches
from napari_cryoet.discovery.search import kinds_asked
from napari_cryoet.exceptions import CryoETError, FormatError, require_known
from napari_cryoet.files import data_path, locked, written_whole
from napari_cryoet.locations import PathOrUrl, path_to_read, path_to_write, without_password
from napari_cryoet.portal.portal import Source
from napari_cryoet.records import Id

if TYPE_CHECKING:
    from pandas import DataFrame

    from napari_cryoet.tables.database import Row

RecordKind = Literal[
    "datasets", "runs", "tomograms", "annotations", "annotation_shapes", "tilt_series"
]
"""A kind of record that can be ticked: whole datasets, whole runs, or parts of runs."""
Part = Literal["tomograms", "annotations", "tilt series", "frames", "metadata"]
"""A category of files; "metadata" are pictures and small files that describe others."""
SplitName = Literal["train", "validation", "test"]
SearchDict = dict[str, Any]
"""A search as plain data, see `Search.to_dict`."""

KINDS: Final[tuple[RecordKind, ...]] = get_args(RecordKind)
PARTS: Final[tuple[Part, ...]] = get_args(Part)
SPLIT_NAMES: Final[tuple[SplitName, ...]] = get_args(SplitName)

#: Prefixes of ids, as the portal shows them.
PREFIXES: Final[Mapping[str, RecordKind]] = {
    "DS": "datasets",
    "RN": "runs",
    "TM": "tomograms",
    "AN": "annotations",
    "TS": "tilt_series",
}
_ID: Final = re.compile(
    r"\b(DS|RN|TM|AN|TS)-(\d{1,10})\b|(?<![\w.-])(\d{1,10})(?![\w.-])", re.IGNORECASE
)
_LINE_CHARACTERS: Final = 100
_LOCK_TIMEOUT_S: Final = 10.0
_HEADER: Final = """\
# A basket of napari-cryoet: what to download. Fetch it with: napari-cryoet download THIS_FILE --to FOLDER
# You can edit it: ids are numbers, or as the portal shows them, such as "AN-9003".
"""


class _Section(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Base of the file's sections: unknown keys are errors."""


class Choices(_Section, frozen=True):
    """How the ticked records are downloaded.

    Attributes
    ----------
    volume_format
        The format of tomograms, masks and tilt series; the other one if it isn't offered.
    level
        The finest level to download of a tomogram's OME-Zarr; 0 for all levels.
    shapes
        "richest": an annotation's oriented points rather than its plain ones, and its instance mask rather than its
        segmentation mask. "all": all of its shapes.
    with_tomogram
        Adds a tomogram to each run with ticked annotations and no ticked tomogram: one of this processing, such as
        "denoised", or the "default" one. Empty for annotations alone.
    metadata
        Whether to download the files that describe annotations and alignments.
    leave_out
        Parts to leave out of whole runs and datasets, such as "frames".
    """

    volume_format: Literal["zarr", "mrc"] = "zarr"
    level: Annotated[int, msgspec.Meta(ge=0)] = 0
    shapes: Literal["richest", "all"] = "richest"
    with_tomogram: str = ""
    metadata: bool = True
    leave_out: tuple[Part, ...] = ()


class Split(_Section, frozen=True):
    """The training, validation and test runs, with the percentages and the seed of the split.

    Attributes
    ----------
    by_dataset
        Whether all runs of a dataset are in the same part.
    """

    seed: int = 0
    shares: tuple[float, float, float] = (80, 10, 10)
    by_dataset: bool = False
    train: tuple[Id, ...] = ()
    validation: tuple[Id, ...] = ()
    test: tuple[Id, ...] = ()

    def __post_init__(self) -> None:
        """ValueError for a run in two parts."""
        parts = self.of_runs
        for name in SPLIT_NAMES:
            for run_id in getattr(self, name):
                if parts[run_id] != name:
                    raise ValueError(f"RN-{run_id} is in {name} and in {parts[run_id]}")

    @property
    def of_runs(self) -> dict[int, SplitName]:
        """Split names by run id."""
        return {run_id: name for name in SPLIT_NAMES for run_id in getattr(self, name)}

    def drawn(self, dataset_id: int, run_name: str) -> SplitName:
        """The part that the seed gives a run, whatever other runs there are."""
        unit = f"{dataset_id}" if self.by_dataset else f"{dataset_id}/{run_name}"
        digest = hashlib.sha256(f"{self.seed}/{unit}".encode()).digest()
        drawn = int.from_bytes(digest[:6]) / 2**48 * sum(self.shares)
        ends = zip(SPLIT_NAMES, accumulate(self.shares), strict=True)
        return next(name for name, end in ends if drawn < end)


class Lock(_Section, frozen=True):
    """The files of a basket on one day, by their path in a download's folder.

    Attributes
    ----------
    files
        The record, size and date of each file, as text.
    sha256
        Checksums, as far as they were known; of an OME-Zarr, that of the list of its files' checksums.
    """

    date: str = ""
    files: dict[str, str] = {}
    sha256: dict[str, str] = {}


class SavedSearch(_Section, frozen=True):
    """A search whose matches were added; repeated later, it finds new ones."""

    search: SearchDict
    adds: ListKind = "annotations"  # the kind of its matches


class Basket(_Section, frozen=True):
    """A selection of records from one source.

    Attributes
    ----------
    source
        "live", "demo", a server's URL or a pack's folder, as for `open_portal`. Ids of one source name other
        records in another one.
    catalogue_date
        The date of the catalogue that the records were picked from, such as "2026-11-30".
    datasets, runs
        Ids of whole datasets and runs, with all their files.
    annotations
        Ids; `choices` selects their shapes.
    annotation_shapes
        Ids of single annotation shapes, whatever `choices` selects.
    lock
        The files that a download should find again; a download and an export list what differs.
    ground_truth
        Ids of annotations that were ground truth when they were ticked.
    seen
        Last modification dates by kind and id, when the records were ticked. Unticked records stay, so that they don't
        count as new.
    """

    name: str = ""
    source: str = "live"
    catalogue_date: str = ""
    datasets: tuple[Id, ...] = ()
    runs: tuple[Id, ...] = ()
    tomograms: tuple[Id, ...] = ()
    annotations: tuple[Id, ...] = ()
    annotation_shapes: tuple[Id, ...] = ()
    tilt_series: tuple[Id, ...] = ()
    choices: Choices = Choices()
    split: Split | None = None
    searches: tuple[SavedSearch, ...] = ()
    lock: Lock | None = None
    ground_truth: tuple[Id, ...] = ()
    seen: dict[RecordKind, dict[int, str]] = {}

    def __repr__(self) -> str:
        ticked = [f"{len(self.ids(kind)):,} {kind.replace('_', ' ')}" for kind in KINDS]
        counts = ", ".join(each for each in ticked if not each.startswith("0 "))
        return f"<Basket {self.name!r} of {without_password(self.source)}: {counts or 'empty'}>"

    def to_dataframe(self) -> DataFrame:
        """A table with a row for each ticked record: its kind, its id, and when it was last modified if known."""
        import pandas as pd

        rows = [
            (kind, each, self.seen.get(kind, {}).get(each, ""))
            for kind in KINDS
            for each in self.ids(kind)
        ]
        return pd.DataFrame(rows, columns=["kind", "id", "modified"])

    @property
    def is_empty(self) -> bool:
        """Whether nothing is ticked."""
        return not any(self.ids(kind) for kind in KINDS)

    def require_source(self, source: Source) -> None:
        """Raise `CryoETError` unless the ids are those of this source, or of what it was downloaded from."""
        if not source.has_records_of(self.source):
            message = (
                f"The basket has records of {without_password(self.source)}, not of {source.name}."
            )
            raise CryoETError(
                message, hint="Name that source in a new basket, or open the basket's."
            )

    def ids(self, kind: RecordKind) -> tuple[int, ...]:
        """The ticked ids of a kind, in the order of ticking."""
        ids: tuple[int, ...] = getattr(self, kind)
        return ids

    def with_ids(
        self,
        kind: RecordKind,
        ids: Iterable[int],
        *,
        modified: Mapping[int, str] | None = None,
        ground_truth: Iterable[int] = (),
    ) -> Basket:
        """Tick records.

        ``modified`` are their last modification dates, as the portal spells them, and
        ``ground_truth`` the annotations among them that are ground truth. A date that is known of a
        ticked record stays, so that its changes are still noticed.
        """
        require_known(kind, KINDS, "kind of record")
        new = dict.fromkeys(ids)
        before = {*self.ids(kind)}
        seen = self.seen.get(kind, {})
        ticked = tuple(dict.fromkeys([*self.ids(kind), *new]))
        dates = seen | {
            each: _day(date)
            for each, date in (modified or {}).items()
            if each in new and not (each in before and seen.get(each))
        }
        return replace(
            self,
            **{kind: ticked},
            seen=self.seen | ({kind: dates} if dates else {}),
            ground_truth=tuple(dict.fromkeys([*self.ground_truth, *ground_truth])),
        )

    def with_rows(self, kind: RecordKind, rows: Collection[Row]) -> Basket:
        """Tick the records of rows, with their dates and ground truth."""
        dates = {row["id"]: row.get("lastModifiedDate") or "" for row in rows}
        truth = [row["id"] for row in rows if row.get("groundTruthStatus")]
        return self.with_ids(kind, dates, modified=dates, ground_truth=truth)

    def add(self, matches: Matches, *kinds: ListKind) -> Basket:
        """Tick all matches of a search, and save the search in the basket.

        Parameters
        ----------
        kinds
            What to tick: "annotations" (the matching ones, or all annotations of the matching runs),
            "tomograms" (one matching tomogram of each run), whole "runs" or whole "datasets". By
            default, what the search has conditions on.
        """
        index = matches.index
        self.require_source(index.source)
        basket = self
        for kind in kinds or kinds_asked(matches.search):
            ids = matches.ids(kind)
            basket = basket.with_ids(kind, ids).with_rows(kind, index.rows(kind, ids))
            basket = basket.with_search(matches.search.to_dict(), kind)
        return replace(basket, catalogue_date=index.as_of.date().isoformat())

    def without_ids(self, kind: RecordKind, ids: Iterable[int]) -> Basket:
        """Untick records."""
        unticked = set(ids)
        return replace(
            self, **{kind: tuple(each for each in self.ids(kind) if each not in unticked)}
        )

    def with_choices(self, **choices: Any) -> Basket:
        """Change some of the `choices`."""
        return replace(self, choices=replace(self.choices, **choices))

    def with_split(self, split: Split | None) -> Basket:
        """Record a split, or remove it."""
        return replace(self, split=split)

    def with_search(self, search: SearchDict, adds: ListKind = "annotations") -> Basket:
        """Save a search whose matches were added; the same search is saved once."""
        saved = SavedSearch(search=search, adds=adds)
        return replace(self, searches=(*(each for each in self.searches if each != saved), saved))

    def renamed(self, name: str) -> Basket:
        """Change the name."""
        return replace(self, name=name)

    def emptied(self) -> Basket:
        """An empty basket with the same source and choices."""
        return Basket(source=self.source, choices=self.choices)


def ids_in(text: str, kind: RecordKind = "annotations") -> dict[RecordKind, list[int]]:
    """The ids in a pasted text by kind: ids such as ``AN-9003``, and bare numbers as ids of ``kind``.

    >>> ids_in("RN-506, AN-9003 and 9004")
    {'runs': [506], 'annotations': [9003, 9004]}
    """
    ids: dict[RecordKind, list[int]] = {}
    for match in _ID.finditer(text):
        prefix, number, bare = match.groups()
        ids.setdefault(PREFIXES[prefix.upper()] if prefix else kind, []).append(int(number or bare))
    return ids


# the file


def read_basket(path: PathOrUrl) -> Basket:
    """Read a basket; FormatError names the invalid line or key."""
    path = path_to_read(path)
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FormatError(f"{path.name} can't be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} isn't TOML: {error}.", hint="Correct that line.") from error
    try:
        return msgspec.convert(
            {key: _read_value(key, value) for key, value in plain.items()}, Basket
        )
    except (ValueError, RecursionError) as error:
        reason = (
            str(error)
            .replace("Object contains unknown field", "it has the unknown key")
            .rstrip(".")
        )
        raise FormatError(
            f"{path.name} can't be used: {reason}.", hint="Correct or remove that key."
        ) from error


def write_basket(basket: Basket, path: PathOrUrl, *, overwrite: bool = True) -> None:
    """Write a basket atomically; SaveError if writing fails."""
    with written_whole(path_to_write(path), overwrite=overwrite) as unfinished:
        unfinished.write_text(basket_text(basket), encoding="utf-8")


def basket_text(basket: Basket) -> str:
    """The basket as TOML."""
    import tomli_w

    plain = msgspec.to_builtins(basket) | {"source": without_password(basket.source)}
    if basket.seen:
        plain["seen"] = {kind: _by_date(dates) for kind, dates in basket.seen.items()}
    head = {key: plain.pop(key) for key in ("name", "source") if key in plain}
    return _HEADER + re.sub(r"\[\n(?: +[\d.]+,\n)+ *\]", _wrapped, tomli_w.dumps(head | plain))


def _wrapped(values: re.Match[str]) -> str:
    """An array with several values per line, which keeps the file readable."""
    lines = textwrap.wrap(" ".join(values[0].split())[1:-1].strip().rstrip(","), _LINE_CHARACTERS)
    return (
        f"[{lines[0]}]"
        if len(lines) == 1
        else "\n".join(["[", *(f"    {line}" for line in lines), "]"])
    )


def _by_date(dates: Mapping[int, str]) -> dict[str, list[int]]:
    """Ids by date, since many records share one."""
    ids: dict[str, list[int]] = {}
    for record_id, date in dates.items():
        ids.setdefault(date, []).append(record_id)
    return ids


def _read_value(key: str, value: Any) -> Any:
    """Convert a value of the file: ids may be texts such as "AN-9003", and dates have lists of ids."""
    if key in KINDS and isinstance(value, list):
        kind: RecordKind = key
        return [
            *dict.fromkeys(_number(kind, each) if isinstance(each, str) else each for each in value)
        ]
    if key == "seen" and isinstance(value, dict):
        by_kind = msgspec.convert(value, dict[str, dict[str, list[int]]])
        return {
            kind: {each: date for date, ids in dates.items() for each in ids}
            for kind, dates in by_kind.items()
        }
    return value


def _number(kind: RecordKind, text: str) -> int:
    ids = ids_in(text, kind)
    if ids.keys() != {kind} or len(ids[kind]) != 1:
        raise ValueError(f"{text!r} in {kind} isn't an id of that kind")
    return ids[kind][0]


def _day(date: str) -> str:
    """A date without midnight in UTC, since the portal's dates are days."""
    return re.sub(r"T00:00:00(\.0+)?(Z|\+00:00)?$", "", date)


# the current baskets


class BasketStore:
    """Reads and changes the current baskets; changes are written to disk immediately.

    Methods raise FormatError if a file was edited and has become invalid, and SaveError if writing
    fails.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or data_path() / "baskets"

    def path(self, source: str) -> Path:
        """The path of a source's basket, whether or not it exists."""
        source = without_password(source)
        digits = hashlib.sha256(source.encode()).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9]+", "-", re.sub(r"^\w+://", "", source)).strip("-")[-40:]
        return self.folder / f"{name}-{digits}.toml"

    def current(self, source: str) -> Basket:
        """The basket of a source, as `Source.name` names it; empty if there is none."""
        path = self.path(source)
        return replace(read_basket(path), source=source) if path.exists() else Basket(source=source)

    def change(self, source: str, change: Callable[[Basket], Basket]) -> Basket:
        """Change the basket on disk, which another window may have changed, and return the new one."""
        path = self.path(source)
        with locked(path, _LOCK_TIMEOUT_S):
            before = self.current(source)
            after = replace(change(before), source=source)
            if after != before:
                write_basket(after, path)
            return after
