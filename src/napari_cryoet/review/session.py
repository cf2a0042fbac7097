"""The file that a review is kept in: JSON lines, only ever appended to, and replayed when the same picks open again.

The first line says what is reviewed. Each line after it is one decision, ``[pick id, verdict, z, y, x, spacing]``, or
how the picks are looked at, ``{"view": {...}}``. Places count voxels, and the spacing is their width in ångström, or
null where nobody knows it. Of two lines about a pick the later one counts, whichever of several windows wrote it.

A line begins, rather than ends, with its line break: so a line that was torn by a kill doesn't spoil the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.files import data_path
from napari_cryoet.picks import Picks
from napari_cryoet.review.decisions import Verdict

_REACH_VOXELS: Final = 0.5
_VERDICTS: Final = {verdict.word: verdict for verdict in Verdict}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged. Whatever has the same key is the same thing, in whichever session it is opened."""

    key: str  # an annotation file of the portal, or the path of a file
    name: str  # for people; it may change

    @classmethod
    def of(cls, picks: Picks, *, name: str, path: str | Path | None = None) -> Subject:
        """What picks are: of the portal, by what they know about that; of a file, by its path; else by their name."""
        about = picks.about
        file_id, source = about.get("annotation_file_id"), about.get("source_url")
        if file_id is not None and (s3_path := _s3_path(about)):  # the same from the portal, a pack, and a server
            return cls(f"annotation file {file_id} of {s3_path}", name)
        if source or file_id is not None:
            key = f"annotation file {file_id} of {_resolved(source)}"
        elif path:
            key = f"file {Path(path).resolve()}"
        else:
            return cls(f"layer {name}", name)
        tomogram = about.get("tomogram_name") or about.get("tomogram_number")
        is_of_one = tomogram is None or file_id is not None
        return cls(key if is_of_one else f"{key}, tomogram {tomogram}", name)

    @property
    def file_name(self) -> str:
        """A name of its own, which a person recognises."""
        words = re.sub(r"[^A-Za-z0-9]+", "-", self.key)[-40:].strip("-") or "picks"
        return f"{words}.{hashlib.sha256(self.key.encode(errors='surrogatepass')).hexdigest()[:16]}.review.jsonl"


def _s3_path(about: Mapping[str, Any]) -> str:
    found: Any = about
    for name in ("records", "annotation_file", "s3_path"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def _resolved(source: Any) -> Any:
    """The same file, from whichever folder it is named."""
    if isinstance(source, str) and source and "://" not in source:
        with suppress(OSError, ValueError, RuntimeError):
            return Path(source).resolve()
    return source


@dataclass(frozen=True, slots=True)
class Decision:
    """A line of a session file: what was decided about a pick, and where the pick was."""

    pick_id: int
    verdict: Verdict
    place_zyx: Sequence[float]
    spacing_angstrom: float | None  # of the voxels that the place counts in

    def line(self) -> str:
        """As it is written."""
        places = [round(each, 4) for each in self.place_zyx]
        return json.dumps([self.pick_id, self.verdict.word, *places, self.spacing_angstrom])


class SessionFile:
    """The file of one review, by default in the folder ``reviews`` of the user's data folder."""

    def __init__(self, subject: Subject, folder: Path | None = None) -> None:
        self._subject = subject
        self.path = (data_path() / "reviews" if folder is None else Path(folder)) / subject.file_name

    def read(self) -> tuple[dict[int, Decision], dict[str, Any]]:
        """The last decision about each pick that is decided, and how the picks were looked at."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return {}, {}
        except OSError as error:
            raise FormatError(f"The saved review can't be read: {error.strerror}.", hint=str(self.path)) from error
        return _replayed(content.decode("utf-8", errors="replace").split("\n"))

    def append(self, what: Iterable[Decision | Mapping[str, Any]]) -> None:
        """Write decisions, or how picks are looked at, behind what is there, onto the disk.

        They may be written again after an error: a line that is there twice counts once.
        """
        header = {"format": "napari-cryoet review", "key": self._subject.key, "name": self._subject.name}
        lines = [each.line() if isinstance(each, Decision) else json.dumps({"view": each}) for each in what]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                start = [""] if file.tell() else [json.dumps(header | {"began_at": f"{datetime.now(UTC):%FT%TZ}"})]
                file.write("\n".join([*start, *lines]).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SaveError(
                f"The review can't be saved: {error.strerror}.",
                hint=f"Once {self.path.parent} can be written to, judge one more.",
            ) from error


def _replayed(lines: list[str]) -> tuple[dict[int, Decision], dict[str, Any]]:
    """What lines say; those that mean nothing, such as one that was torn by a kill, are left out."""
    decisions: dict[int, Decision] = {}
    latest_view: dict[str, Any] = {}
    for line in lines:
        try:
            content = json.loads(line)
        except ValueError:
            continue
        match content:
            case {"view": dict(view)}:
                latest_view = view
            case [int(pick_id), str(word), float(z), float(y), float(x), float() | None as spacing]:
                if word in _VERDICTS:
                    decisions[pick_id] = Decision(pick_id, _VERDICTS[word], (z, y, x), spacing)
    return {pick_id: each for pick_id, each in decisions.items() if each.verdict}, latest_view


def rows_of(decisions: Sequence[Decision], picks: Picks) -> NDArray[np.intp]:
    """Which pick each decision is about, by its row; -1 where there is none.

    An id counts if its pick lies within half a voxel of the saved place. What is left goes to the nearest picks within
    that, each of which takes one decision.
    """
    if not len(decisions) or not len(picks):
        return np.full(len(decisions), -1, dtype=np.intp)
    widths = [(decision.spacing_angstrom, picks.spacing_angstrom) for decision in decisions]
    factors = np.array([own / width if own and width else 1.0 for own, width in widths])
    places = np.array([decision.place_zyx for decision in decisions], dtype=np.float64) * factors[:, None]
    ids = np.array([decision.pick_id for decision in decisions])

    order = np.argsort(picks.ids)
    at = order[np.minimum(np.searchsorted(picks.ids, ids, sorter=order), len(order) - 1)]
    is_near = np.linalg.norm(picks.points_zyx[at] - places, axis=1) <= _REACH_VOXELS
    rows = np.where(is_near & (picks.ids[at] == ids), at, -1)

    unmatched = np.flatnonzero(rows < 0)
    unclaimed = np.setdiff1d(np.arange(len(picks)), rows)
    if len(unmatched) and len(unclaimed):
        for decision, row in _nearest_first(places[unmatched], picks.points_zyx[unclaimed]):
            if rows[unmatched[decision]] < 0 and unclaimed[row] >= 0:
                rows[unmatched[decision]], unclaimed[row] = unclaimed[row], -1
    return rows


def _nearest_first(places: NDArray[np.float64], points: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Which place and which point are within reach of each other, the nearest pairs first."""
    from scipy.spatial import KDTree

    pairs = KDTree(places).sparse_distance_matrix(KDTree(points), _REACH_VOXELS, output_type="ndarray")
    pairs.sort(order=["v", "i", "j"])
    return list(zip(pairs["i"].tolist(), pairs["j"].tolist(), strict=True))
