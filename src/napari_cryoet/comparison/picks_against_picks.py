"""Picks against picks: which are the same, how many are right and how many were found, how far off they are."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.comparison.angles import angular_errors, fold_of
from napari_cryoet.comparison.matching import METHODS, Method, match_points
from napari_cryoet.comparison.scores import Scores, require_beta, scores_of
from napari_cryoet.comparison.sides import name_of_side, plain_side, portal_numbers, require_one_frame
from napari_cryoet.comparison.spread import Spread, spread_of
from napari_cryoet.expecting import expect_number
from napari_cryoet.picks import Picks

#: The columns that matched picks get: the id of the partner in the other set, and how far it is and is turned.
PARTNER_ID = "partner_id"
PARTNER_DISTANCE = "partner_distance_angstrom"
PARTNER_ROTATION = "partner_rotation_degree"
PARTNER_TILT = "partner_tilt_degree"

#: Voxels times a spacing are rounded, here up and there down: what is just as far as the radius is within everywhere.
_ROUNDING: Final = 1 + 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class PicksComparison:
    """A, which is judged, against B, which is the reference.

    Attributes
    ----------
    rows_a, rows_b
        (n,) rows of A and of B that are matched with each other, by rising row of A.
    distances_angstrom
        (n,) between the two.
    rotation_errors_degree, tilt_errors_degree
        (n,) the angle between the two orientations, and between the two z axes; NaN where one of the two has no
        orientation.
    scores
        Counts, precision, recall and F-beta.
    why_no_angles
        Why no pair has an angle; empty where some have.
    notes
        What whoever reads the numbers should know.
    """

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
    kind: str = field(default="picks against picks", init=False)

    @property
    def matched(self) -> Picks:
        """The picks of A that match one of B, with the partner's id, distance and angles in their features."""
        columns = {PARTNER_ID: self.b.ids[self.rows_b], PARTNER_DISTANCE: self.distances_angstrom}
        if not self.why_no_angles:
            columns |= {PARTNER_ROTATION: self.rotation_errors_degree, PARTNER_TILT: self.tilt_errors_degree}
        found = self.a.take(self.rows_a, f"kept those that match {name_of_side(self.b) or 'the reference'} {self._how}")
        return found.changed(features=dict(found.features) | columns)

    @property
    def only_a(self) -> Picks:
        """The picks of A without a partner: false positives."""
        return _others(self.a, self.rows_a, f"kept those not in {name_of_side(self.b) or 'the reference'} {self._how}")

    @property
    def only_b(self) -> Picks:
        """The picks of the reference without a partner: false negatives."""
        return _others(self.b, self.rows_b, f"kept those not in {name_of_side(self.a) or 'the other set'} {self._how}")

    @property
    def distance(self) -> Spread | None:
        """How far matches are apart, in ångström."""
        return spread_of(self.distances_angstrom, "Å", top=self.radius_angstrom)

    @property
    def rotation_error(self) -> Spread | None:
        """How far the orientations of matches are apart."""
        return spread_of(self.rotation_errors_degree[~np.isnan(self.rotation_errors_degree)], "°")

    @property
    def tilt_error(self) -> Spread | None:
        """How far the z axes of matches are apart."""
        return spread_of(self.tilt_errors_degree[~np.isnan(self.tilt_errors_degree)], "°")

    def plain(self) -> dict[str, Any]:
        """All numbers, and where both sets come from, as JSON holds it."""
        scores, spreads = self.scores, {}
        for name in ("distance", "rotation_error", "tilt_error"):
            spread = getattr(self, name)
            spreads[name] = None if spread is None else spread.plain()
        why = dict(scores.why_undefined)
        if spreads["distance"] is None:
            why["distance"] = "No pick matches another."
        if self.why_no_angles:
            why |= {"rotation_error": self.why_no_angles, "tilt_error": self.why_no_angles}
        return {
            "kind": self.kind,
            "reference": "b",
            "a": plain_side(self.a, len(self.a)),
            "b": plain_side(self.b, len(self.b)),
            "radius_angstrom": self.radius_angstrom,
            "method": self.method,
            "symmetry": self.symmetry,
            **scores.plain(),
            **spreads,
            "why_undefined": why,
            "portal": {"a": portal_numbers(self.a), "b": portal_numbers(self.b)},
            "notes": list(self.notes),
        }

    @property
    def _how(self) -> str:
        return f"within {self.radius_angstrom:g} Å ({self.method} matching)"


def compare_picks(
    a: Picks,
    b: Picks,
    *,
    radius_angstrom: float,
    beta: float = 1.0,
    method: Method = "optimal",
    symmetry: str = "C1",
    insist: bool = False,
    progress: Callable[[float], None] = lambda _share: None,
    stop: threading.Event | None = None,
) -> PicksComparison:
    """As `napari_cryoet.compare` does with picks."""
    expect_number(radius_angstrom, "radius_angstrom")
    if not (math.isfinite(radius_angstrom) and radius_angstrom > 0):
        raise ValueError(f"a radius is a positive number of ångström, not {radius_angstrom}")
    if method not in METHODS:
        raise ValueError(f"{method!r} is no way of matching; say {' or '.join(METHODS)}")
    require_beta(beta)
    fold = fold_of(symmetry)
    notes = require_one_frame(a, b, insist=insist)
    matches = match_points(
        a.positions_angstrom_zyx,
        b.positions_angstrom_zyx,
        radius_angstrom * _ROUNDING,
        method,
        progress=progress,
        stop=stop,
    )
    rotation_errors, tilt_errors, why_no_angles = _angles(a, b, matches.rows_a, matches.rows_b, fold)
    return PicksComparison(
        a=a,
        b=b,
        radius_angstrom=float(radius_angstrom),
        method=method,
        symmetry=f"C{fold}",
        rows_a=matches.rows_a,
        rows_b=matches.rows_b,
        distances_angstrom=matches.distances,
        rotation_errors_degree=rotation_errors,
        tilt_errors_degree=tilt_errors,
        scores=scores_of(len(matches), len(a), len(b), beta),
        why_no_angles=why_no_angles,
        notes=(*notes, *_about_duplicates(a, "A"), *_about_duplicates(b, "B")),
    )


def _angles(
    a: Picks, b: Picks, rows_a: NDArray[np.intp], rows_b: NDArray[np.intp], fold: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Rotation and tilt errors of matches, NaN for those without; and why none has any, empty where some have."""
    rotation_errors, tilt_errors = np.full(len(rows_a), np.nan), np.full(len(rows_a), np.nan)
    is_oriented_a, is_oriented_b = a.are_oriented, b.are_oriented
    without = [letter for letter, which in (("A", is_oriented_a), ("B", is_oriented_b)) if not which.any()]
    if without:
        why = f"{' and '.join(without)} {'has' if len(without) == 1 else 'have'} no orientations."
        return rotation_errors, tilt_errors, why
    if len(rows_a) == 0:
        return rotation_errors, tilt_errors, "No pick matches another."
    is_known = is_oriented_a[rows_a] & is_oriented_b[rows_b]
    rotations_a, rotations_b = a.rotations_xyz, b.rotations_xyz
    assert rotations_a is not None and rotations_b is not None  # noqa: S101, PT018 - some are oriented
    rotation_errors[is_known], tilt_errors[is_known] = angular_errors(
        rotations_a[rows_a[is_known]], rotations_b[rows_b[is_known]], fold
    )
    return rotation_errors, tilt_errors, "" if is_known.any() else "No two matched picks both have an orientation."


def _about_duplicates(picks: Picks, letter: str) -> tuple[str, ...]:
    in_order = picks.points_zyx[np.lexsort(picks.points_zyx.T)]
    doubled = int((in_order[1:] == in_order[:-1]).all(axis=1).sum())
    if doubled == 0:
        return ()
    return (f"{doubled:,} of {letter}'s picks lie exactly where another one does; each counts by itself.",)


def _others(picks: Picks, matched_rows: NDArray[np.intp], edit: str) -> Picks:
    is_other = np.ones(len(picks), dtype=bool)
    is_other[matched_rows] = False
    return picks.take(is_other, edit)
