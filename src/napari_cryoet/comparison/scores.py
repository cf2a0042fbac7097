"""How good a set is against a reference: counts, precision, recall, F-beta; what is undefined is None and says why."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_cryoet.expecting import expect_number


@dataclass(frozen=True, slots=True)
class Scores:
    """What comes of so many matches.

    Attributes
    ----------
    true_positives, false_positives, false_negatives
        Of A found in B; of A but not of B; of B but not of A. B is the reference.
    beta
        How many times as important recall is as precision; 4 is what the CZII challenge (2024) took.
    precision, recall, f_beta
        From 0 to 1; None where there is nothing to divide by.
    why_undefined
        For each of these that is None, the reason.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    beta: float
    precision: float | None
    recall: float | None
    f_beta: float | None
    why_undefined: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The numbers, as JSON holds them."""
        return {
            "true_positives": self.true_positives,
            "false_positives": self.false_positives,
            "false_negatives": self.false_negatives,
            "precision": self.precision,
            "recall": self.recall,
            "beta": self.beta,
            "f_beta": self.f_beta,
        }


def scores_of(n_matched: int, n_a: int, n_b: int, beta: float = 1.0, *, noun: str = "picks") -> Scores:
    """Scores of A, of which ``n_matched`` of ``n_a`` match one of the ``n_b`` of the reference B.

    F-beta is van Rijsbergen's ``(1 + beta²) P R / (beta² P + R)``, written with counts, so that it is defined whenever
    either set holds anything.

    Raises
    ------
    ValueError
        If ``beta`` isn't a positive number.
    """
    require_beta(beta)
    weight = beta**2
    lost, missed = n_a - n_matched, n_b - n_matched
    why = {}
    if n_a == 0:
        why["precision"] = f"A holds no {noun}, so there is none that could be right."
    if n_b == 0:
        why["recall"] = f"B, the reference, holds no {noun}, so there is none to be found."
    if n_a == n_b == 0:
        why["f_beta"] = f"Neither A nor B holds any {noun}."
    return Scores(
        true_positives=n_matched,
        false_positives=lost,
        false_negatives=missed,
        beta=beta,
        precision=n_matched / n_a if n_a else None,
        recall=n_matched / n_b if n_b else None,
        f_beta=(1 + weight) * n_matched / ((1 + weight) * n_matched + weight * missed + lost) if n_a or n_b else None,
        why_undefined=why,
    )


def require_beta(beta: float) -> float:
    """The same number, or a ValueError if it can't be a beta."""
    expect_number(beta, "beta")
    if not (math.isfinite(beta) and 0 < beta <= 1e6):
        raise ValueError(f"beta is a positive number, not {beta}")
    return beta
