"""Picks against picks: which match, how many are right, how many were found, and how far off they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.comparison.match import (
    Matches,
    Method,
    Scores,
    Settings,
    Spread,
    angular_errors,
    match_pairs,
    nm_text,
    pairs_within,
    scores_of,
    share_text,
    spread_of,
    stoppable,
)
from napari_cryoet.comparison.sides import Comparison, Figure, figures_of_scores, name_of_side
from napari_cryoet.picks import Picks

#: Voxels times a spacing are rounded, so a distance of exactly the radius needs some slack.
_SLACK: Final = 1 + 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class PicksComparison(Comparison):
    """A, which is judged, against B, the reference.

    Attributes
    ----------
    rows_a, rows_b
        (n,) rows of A and of B that match, by rising row of A.
    distances_angstrom
        (n,) between the two.
    rotation_errors_degree, tilt_errors_degree
        (n,) angle between the two orientations, and between their z axes; NaN where one has no orientation.
    why_no_angles
        Why no pair has an angle; empty if some have.
    notes
        What to know when you read the numbers.
    """

    kind: ClassVar[str] = "picks against picks"
    a: Picks
    b: Picks
    radius_angstrom: float
    method: Method
    symmetry: str
    rows_a: NDArray[np.intp]
    rows_b: NDArray[np.intp]
    distances_angstrom: NDArray[np.float64]
    rotation_errors_degree: NDArray[np.float64]
    tilt_errors_degree: NDArray[np.float64]
    scores: Scores
    why_no_angles: str = ""
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The outcome in one plain sentence."""
        precision, recall = self.scores.precision, self.scores.recall
        if precision is None or recall is None:
            return " ".join(self.scores.why_undefined.values())
        within, back = nm_text(self.radius_angstrom), f"{share_text(recall)} of B has one in A"
        return f"{share_text(precision)} of A has a partner in B within {within}, and {back}."

    @property
    def setting(self) -> str:
        """How they were compared, in words."""
        symmetry = "" if self.symmetry == "C1" else f", symmetry {self.symmetry}"
        return f"the reference: {self.method} one-to-one matching within {nm_text(self.radius_angstrom)}{symmetry}"

    def figures(self) -> list[Figure]:
        """All numbers, most important first."""
        return [
            Figure("radius_angstrom", "", self.radius_angstrom),
            Figure("method", "", self.method),
            Figure("symmetry", "", self.symmetry),
            Figure("", "picks of A", len(self.a)),
            Figure("", "picks of B", len(self.b)),
            *figures_of_scores(self.scores),
            Figure("distance", "distance", self.distance, "No picks match."),
            Figure("rotation_error", "rotation error", self.rotation_error, self.why_no_angles),
            Figure("tilt_error", "z-axis tilt error", self.tilt_error, self.why_no_angles),
        ]

    @property
    def matched(self) -> Picks:
        """The picks of A that match, with the partner's id, distance and angles in their features."""
        columns: dict[str, NDArray[Any]] = {
            "partner_id": self.b.ids[self.rows_b],
            "partner_distance_angstrom": self.distances_angstrom,
        }
        if not self.why_no_angles:
            columns["partner_rotation_degree"] = self.rotation_errors_degree
            columns["partner_tilt_degree"] = self.tilt_errors_degree
        found = self.a.take(self.rows_a, f"kept those that match {name_of_side(self.b) or 'B'} {self._how}")
        return found.changed(features=dict(found.features) | columns)

    @property
    def only_a(self) -> Picks:
        """The picks of A without a partner: false positives."""
        return self._others(self.a, self.rows_a, name_of_side(self.b) or "B")

    @property
    def only_b(self) -> Picks:
        """The picks of B without a partner: false negatives."""
        return self._others(self.b, self.rows_b, name_of_side(self.a) or "A")

    @property
    def distance(self) -> Spread | None:
        """Distances of matches, in ångström."""
        return spread_of(self.distances_angstrom, "Å", top=self.radius_angstrom)

    @property
    def rotation_error(self) -> Spread | None:
        """Angles between the orientations of matches."""
        return spread_of(self.rotation_errors_degree, "°")

    @property
    def tilt_error(self) -> Spread | None:
        """Angles between the z axes of matches."""
        return spread_of(self.tilt_errors_degree, "°")

    @property
    def _how(self) -> str:
        return f"within {nm_text(self.radius_angstrom)} ({self.method} matching)"

    def _others(self, picks: Picks, matched_rows: NDArray[np.intp], reference: str) -> Picks:
        is_other = np.ones(len(picks), dtype=bool)
        is_other[matched_rows] = False
        return picks.take(is_other, f"kept those not in {reference} {self._how}")


def compare_picks(a: Picks, b: Picks, settings: Settings, notes: tuple[str, ...]) -> PicksComparison:
    """As `napari_cryoet.compare` with picks."""
    points_a, points_b, stop = a.positions_angstrom_zyx, b.positions_angstrom_zyx, settings.stop
    pairs = stoppable(lambda: pairs_within(points_a, points_b, settings.radius_angstrom * _SLACK), stop)
    matches = match_pairs(pairs, settings.method, progress=settings.progress, stop=stop)
    rotation_errors, tilt_errors, why_no_angles = _angles(a, b, matches, settings.fold)
    return PicksComparison(
        a=a,
        b=b,
        radius_angstrom=settings.radius_angstrom,
        method=settings.method,
        symmetry=f"C{settings.fold}",
        rows_a=matches.rows_a,
        rows_b=matches.rows_b,
        distances_angstrom=matches.costs,
        rotation_errors_degree=rotation_errors,
        tilt_errors_degree=tilt_errors,
        scores=scores_of(len(matches), len(a), len(b), settings.beta),
        why_no_angles=why_no_angles,
        notes=(*notes, *_duplicates(a, "A"), *_duplicates(b, "B")),
    )


def _angles(a: Picks, b: Picks, matches: Matches, fold: int) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Rotation and tilt errors of matches, NaN for those without, and why none has any."""
    rotation_errors, tilt_errors = np.full(len(matches), np.nan), np.full(len(matches), np.nan)
    rotations_a, rotations_b = a.rotations_xyz, b.rotations_xyz
    without = [letter for letter, picks in (("A", a), ("B", b)) if not picks.are_oriented.any()]
    if without or rotations_a is None or rotations_b is None:
        return rotation_errors, tilt_errors, f"There are no orientations in {' and '.join(without)}."
    is_known = a.are_oriented[matches.rows_a] & b.are_oriented[matches.rows_b]
    if not is_known.any():
        return rotation_errors, tilt_errors, "No two matched picks both have an orientation."
    pairs = matches.take(is_known)
    rotation_errors[is_known], tilt_errors[is_known] = angular_errors(
        rotations_a[pairs.rows_a], rotations_b[pairs.rows_b], fold
    )
    return rotation_errors, tilt_errors, ""


def _duplicates(picks: Picks, letter: str) -> tuple[str, ...]:
    in_order = picks.points_zyx[np.lexsort(picks.points_zyx.T)]
    count = int((in_order[1:] == in_order[:-1]).all(axis=1).sum())
    return (f"{count:,} picks of {letter} are exact duplicates; each counts by itself.",) if count else ()
