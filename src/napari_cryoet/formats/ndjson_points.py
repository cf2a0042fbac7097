"""The points of one portal file as a value: in the file's own order and x, y, z, made of picks and made into picks.

What is x, y, z in the file becomes z, y, x here. How such a file is written is in `napari_cryoet.formats.ndjson`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.formats.exchange import are_endless, rounded_scores
from napari_cryoet.picks import NO_INSTANCE, Picks

POINT: Final = "point"
ORIENTED_POINT: Final = "orientedPoint"
INSTANCE_POINT: Final = "instancePoint"
#: The column that says how good a point is, where a file has it.
SCORE: Final = "score"
#: The column of our own exports that says which pick a line is, where that isn't the line's number.
PICK_ID: Final = "pick_id"


def warnings_of_scores(features: Mapping[str, NDArray[Any]]) -> list[str]:
    """What to tell of the scores among the columns of a file, where they are kept with fewer digits than it has."""
    scores = features.get(SCORE)
    return [] if scores is None or scores.dtype.kind != "i" else rounded_scores(scores)  # texts stay as they are


@dataclass(frozen=True, slots=True)
class SkippedLine:
    """A line that is valid JSON but no point that we know; ``number`` counts from 1."""

    number: int
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """The points of one file, in the order of its lines.

    Attributes
    ----------
    points_xyz
        float64 (n, 3), voxel indices in the file's own grid; whole numbers are voxel centres.
    kinds
        For each point, which kind of line it was: ``"point"``, ``"orientedPoint"`` or ``"instancePoint"``; an
        ``instancePoint`` whose id is null or -1 is a ``"point"``.
    rotations_xyz
        float64 (n, 3, 3), columns are the particle's axes; NaN for points without. None where no point has one.
    instance_ids
        int64 (n,), `NO_INSTANCE` for points without. None where no point has one.
    features
        Any further column of numbers, texts or truth values, by name: NaN or "" where a line lacks it.
    skipped
        Lines of an unknown kind.
    warnings
        What a reader should be told, in words.
    """

    points_xyz: NDArray[np.float64]
    kinds: tuple[str, ...]
    rotations_xyz: NDArray[np.float64] | None = None
    instance_ids: NDArray[np.int64] | None = None
    features: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    skipped: tuple[SkippedLine, ...] = ()
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.points_xyz)

    @property
    def points_zyx(self) -> NDArray[np.float64]:
        """The same voxel indices as arrays have them: z, y, x."""
        return np.ascontiguousarray(self.points_xyz[:, ::-1])

    @property
    def rotations_zyx(self) -> NDArray[np.float64] | None:
        """The same rotations acting on z, y, x vectors: rows and columns reversed."""
        return None if self.rotations_xyz is None else np.ascontiguousarray(self.rotations_xyz[:, ::-1, ::-1])

    @classmethod
    def from_zyx(
        cls,
        points_zyx: NDArray[np.float64],
        *,
        rotations_zyx: NDArray[np.float64] | None = None,
        instance_ids: NDArray[np.int64] | None = None,
        features: Mapping[str, NDArray[Any]] | None = None,
    ) -> Points:
        """Points from voxel indices in z, y, x: oriented where rotations are given, else of instances where ids are."""
        count = len(points_zyx)
        kinds = [ORIENTED_POINT if rotations_zyx is not None else POINT] * count
        if rotations_zyx is None and instance_ids is not None:
            kinds = [POINT if instance == NO_INSTANCE else INSTANCE_POINT for instance in instance_ids]
        return cls(
            points_xyz=np.ascontiguousarray(np.asarray(points_zyx, dtype=np.float64).reshape(count, 3)[:, ::-1]),
            kinds=tuple(kinds),
            rotations_xyz=None
            if rotations_zyx is None
            else np.asarray(rotations_zyx, np.float64)[:, ::-1, ::-1].copy(),
            instance_ids=None if instance_ids is None else np.asarray(instance_ids, dtype=np.int64),
            features=dict(features or {}),
        )

    @classmethod
    def from_picks(cls, picks: Picks) -> Points:
        """The points of a file that holds picks: each oriented, of an instance, or plain, by what is known of it."""
        nothing = np.zeros(len(picks), dtype=bool)
        rotations, instances = picks.rotations_zyx, picks.instance_ids
        is_oriented = nothing if rotations is None else ~np.isnan(rotations).any(axis=(1, 2))
        is_instance = nothing if instances is None else instances != NO_INSTANCE
        kinds = np.where(is_oriented, ORIENTED_POINT, np.where(is_instance, INSTANCE_POINT, POINT))
        scores = {} if picks.scores is None else {SCORE: picks.scores}
        return cls(
            points_xyz=picks.points_xyz,
            kinds=tuple(kinds.tolist()),
            rotations_xyz=picks.rotations_xyz,
            instance_ids=picks.instance_ids,
            features=scores | dict(picks.features),
        )

    def to_picks(
        self,
        spacing_angstrom: float | None = None,
        *,
        alignment_id: int | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> Picks:
        """What the file says, as picks; their ids count its points from 0, or are those of our own export."""
        features = dict(self.features)
        ids = features.pop(PICK_ID) if self._has_ids else np.arange(len(self))
        scores = features.pop(SCORE) if SCORE in features and features[SCORE].dtype.kind in "if" else None
        return Picks(
            self.points_zyx,
            spacing_angstrom,
            rotations_zyx=self.rotations_zyx,
            instance_ids=self.instance_ids,
            scores=scores,
            features=features,
            ids=ids,
            alignment_id=alignment_id,
            about=about or {},
        )

    @property
    def _has_ids(self) -> bool:
        """Whether a column says which pick each line is: whole numbers, each once."""
        column = self.features.get(PICK_ID)
        return (
            column is not None
            and column.dtype.kind == "i"
            and len(np.unique(column)) == len(column)
            and not are_endless(column)
        )
