"""Compare picks with picks: matches, precision and recall, distances and angles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.comparison.match import (
    MatchMethod,
    Pairs,
    angular_errors,
    match_pairs,
    pairs_within,
)
from napari_cryoet.comparison.report import (
    Comparison,
    Region,
    Scores,
    Spread,
    name_of_side,
    picks_within,
    scores_of,
    share_text,
    spread_of,
)
from napari_cryoet.picks import Picks
from napari_cryoet.task import Task
from napari_cryoet.wording import nm_text

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class PicksComparison(Comparison):
    """Picks A evaluated against the reference picks B.

    Attributes
    ----------
    rows_a, rows_b
        (n,) matching rows of A and B, sorted by row of A.
    distances_angstrom
        (n,) distance of each match.
    rotation_errors_degree, tilt_errors_degree
        (n,) angle between the two orientations, and between their z axes; NaN if one has no orientation.
    scores
        Counts, precision, recall and F-beta.
    distance, rotation_error, tilt_error
        Statistics of distances and angles; None if there are none.
    """

    kind: ClassVar[str] = "picks against picks"
    a: Picks
    b: Picks
    radius_angstrom: float
    method: MatchMethod
    symmetry: str
    rows_a: NDArray[np.intp]
    rows_b: NDArray[np.intp]
    distances_angstrom: NDArray[np.float64]
    rotation_errors_degree: NDArray[np.float64]
    tilt_errors_degree: NDArray[np.float64]
    scores: Scores
    distance: Spread | None
    rotation_error: Spread | None
    tilt_error: Spread | None

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        if self.scores.precision is None or self.scores.recall is None:
            return " ".join(
                f"{letter} is empty."
                for letter, side in (("A", self.a), ("B", self.b))
                if not len(side)
            )
        of_a, of_b = share_text(self.scores.precision), share_text(self.scores.recall)
        return f"{of_a} of A has a partner in B {self._within}, and {of_b} of B has one in A."

    @property
    def matched(self) -> Picks:
        """Matching picks of A; their features have the partner's id, distance and angles."""
        columns: dict[str, NDArray[Any]] = {
            "partner_id": self.b.ids[self.rows_b],
            "partner_distance_angstrom": self.distances_angstrom,
        }
        if self.rotation_error is not None:
            columns["partner_rotation_degree"] = self.rotation_errors_degree
            columns["partner_tilt_degree"] = self.tilt_errors_degree
        matched = self.a.take(
            self.rows_a, f"kept those {self._within} of one of {name_of_side(self.b) or 'B'}"
        )
        return matched.changed(features=dict(matched.features) | columns)

    @property
    def only_a(self) -> Picks:
        """Picks of A without a partner: false positives."""
        return _without(self.a, self.rows_a, f"{name_of_side(self.b) or 'B'} {self._within}")

    @property
    def only_b(self) -> Picks:
        """Picks of B without a partner: false negatives."""
        return _without(self.b, self.rows_b, f"{name_of_side(self.a) or 'A'} {self._within}")

    def to_dataframe(self) -> DataFrame:
        """One row for each match, then for each pick without a partner, whose other columns are missing."""
        import pandas as pd

        matches = {
            "a_id": pd.array(self.a.ids[self.rows_a], dtype="Int64"),
            "b_id": pd.array(self.b.ids[self.rows_b], dtype="Int64"),
            "distance_angstrom": self.distances_angstrom,
            "rotation_error_degree": self.rotation_errors_degree,
            "tilt_error_degree": self.tilt_errors_degree,
        }
        only_a = pd.DataFrame({"a_id": pd.array(self.only_a.ids, dtype="Int64")})
        only_b = pd.DataFrame({"b_id": pd.array(self.only_b.ids, dtype="Int64")})
        return pd.concat([pd.DataFrame(matches), only_a, only_b], ignore_index=True)

    @property
    def _within(self) -> str:
        return f"within {nm_text(self.radius_angstrom)}"


def _without(picks: Picks, matched_rows: NDArray[np.intp], where: str) -> Picks:
    rows = np.delete(np.arange(len(picks)), matched_rows)
    return picks.take(rows, f"kept those without a match in {where}")


def compare_picks(
    a: Picks,
    b: Picks,
    *,
    radius_angstrom: float,
    beta: float,
    method: MatchMethod,
    fold: int,
    region: Region,
    task: Task,
    warnings: Sequence[str],
) -> PicksComparison:
    """Implementation of `napari_cryoet.compare` for picks."""
    a = picks_within(a, region)
    b = picks_within(b, region)
    pairs = pairs_within(a.positions_angstrom_zyx, b.positions_angstrom_zyx, radius_angstrom)
    matches = match_pairs(pairs, method, task)
    rotation_errors, tilt_errors = _angles(a, b, matches, fold)
    return PicksComparison(
        a=a,
        b=b,
        radius_angstrom=radius_angstrom,
        method=method,
        symmetry=f"C{fold}",
        rows_a=matches.rows_a,
        rows_b=matches.rows_b,
        distances_angstrom=matches.costs,
        rotation_errors_degree=rotation_errors,
        tilt_errors_degree=tilt_errors,
        scores=scores_of(len(matches), len(a), len(b), beta),
        distance=spread_of(matches.costs, "Å", top=radius_angstrom),
        rotation_error=spread_of(rotation_errors, "°"),
        tilt_error=spread_of(tilt_errors, "°"),
        warnings=tuple(warnings),
    )


def _angles(a: Picks, b: Picks, matches: Pairs, fold: int) -> NDArray[np.float64]:
    """Rotation and tilt errors of matches, NaN where unknown."""
    errors = np.full((2, len(matches)), np.nan)
    are_known = a.are_oriented[matches.rows_a] & b.are_oriented[matches.rows_b]
    if are_known.any() and a.rotations_xyz is not None and b.rotations_xyz is not None:
        pairs = matches.take(are_known)
        errors[:, are_known] = angular_errors(
            a.rotations_xyz[pairs.rows_a], b.rotations_xyz[pairs.rows_b], fold
        )
    return errors
