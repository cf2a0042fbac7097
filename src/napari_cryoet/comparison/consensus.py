"""Consensus: which picks how many people made, and how well the people agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet._version import __version__
from napari_cryoet.comparison.comparing import compare, require_one_frame
from napari_cryoet.comparison.match import pairs_within
from napari_cryoet.comparison.report import name_of_side, share_text
from napari_cryoet.exceptions import ComparisonError, require_positive
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import Provenance, plain_data
from napari_cryoet.task import UNWATCHED, Task, shows_progress
from napari_cryoet.wording import count_text, nm_text

#: Columns of the consensus: how many people made a pick, and the mean distance of their picks from it.
VOTES: Final = "votes"
SCATTER: Final = "scatter_angstrom"
#: The row of a person who didn't make a pick.
NO_PICK: Final = -1

_STEPS: Final = 10_000  # pairs between two looks at the task


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Consensus:
    """What several people picked in one volume.

    Attributes
    ----------
    names
        The people, by the names of their picks, else by number.
    radius_angstrom
        The largest distance of a person's pick from the consensus.
    picks
        Every pick that anybody made, at the mean of their positions, most votes first. Their features have
        the number of votes and the scatter in ångström.
    members
        int64 (n, people), the row of each person's pick, `NO_PICK` if there is none.
    f_scores
        (people, people), F1 of each pair; NaN if both are empty.
    """

    names: tuple[str, ...]
    radius_angstrom: float
    picks: Picks
    members: NDArray[np.int64]
    f_scores: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"<Consensus: {self.headline}>"

    @property
    def agreement(self) -> float | None:
        """The mean F1 of all pairs of people; None if nobody picked anything.

        Kappa needs to know how many places everybody left out, which picks don't tell. As that number grows,
        kappa becomes this mean (Hripcsak and Rothschild 2005, doi:10.1197/jamia.M1733).
        """
        scores = self.f_scores[np.triu_indices(len(self.names), 1)]
        known = scores[np.isfinite(scores)]
        return float(known.mean()) if len(known) else None

    @property
    def n_by_votes(self) -> NDArray[np.int64]:
        """(people + 1,) number of picks that exactly so many people made."""
        return np.bincount(self.picks.features[VOTES], minlength=len(self.names) + 1)

    @property
    def majority(self) -> int:
        """The least number of people that is more than half."""
        return len(self.names) // 2 + 1

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        agreed = count_text(len(self.at_least(self.majority)), "pick")
        if self.agreement is None:
            return "Nobody picked anything."
        people = f"at least {self.majority} of {len(self.names)} people"
        return (
            f"{agreed} by {people}; agreement {share_text(self.agreement)} (mean F1 of all pairs)."
        )

    @property
    def text(self) -> str:
        """The result, and how many picks have how many votes, as plain text."""
        within = nm_text(self.radius_angstrom)
        lines = [self.headline, f"Picks of different people within {within} count as one.", ""]
        counts = self.n_by_votes
        people = len(self.names)
        lines += [f"{counts[votes]:>7,}  by {votes} of {people}" for votes in range(people, 0, -1)]
        return "\n".join(lines) + "\n"

    def at_least(self, min_votes: int) -> Picks:
        """The picks that at least so many people made."""
        are_kept = self.picks.features[VOTES] >= min_votes
        return self.picks.take(are_kept, f"kept those of at least {min_votes} people")

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-compatible data."""
        report = {
            "headline": self.headline,
            "people": self.names,
            "radius_angstrom": self.radius_angstrom,
            "agreement": self.agreement,
            "f_scores": self.f_scores,
            "positions_zyx_angstrom": self.picks.positions_angstrom_zyx,
            "votes": self.picks.features[VOTES],
            "members": self.members,
            "software": f"napari-cryoet {__version__}",
        }
        return dict(plain_data(report))


@shows_progress
def consensus(
    picks: Sequence[Picks], radius_angstrom: float, *, task: Task = UNWATCHED
) -> Consensus:
    """Combine the picks of several people: how many made each, where it is on average, how well they agree.

    The nearest picks of different people are joined first. A person counts once for each pick, and all
    joined picks lie within the radius of their mean. The order of the people doesn't matter.

    Parameters
    ----------
    picks
        The picks of each person, in the same volume; voxel spacings may differ.
    radius_angstrom
        Half the particle's diameter is a common choice.
    task
        Its progress, and Stop.

    Raises
    ------
    ComparisonError
        If there are fewer than two people, or positions don't match.
    StoppedError
        If ``task`` is stopped.
    ValueError
        If the radius isn't positive.
    """
    require_positive("radius_angstrom", radius_angstrom)
    people = list(picks)
    if len(people) < 2:
        raise ComparisonError("A consensus needs the picks of at least two people.")
    for one, other in combinations(people, 2):
        require_one_frame(one, other, insist=False)
    positions = np.concatenate([each.positions_angstrom_zyx for each in people])
    sizes = [len(each) for each in people]
    owners = np.repeat(np.arange(len(people)), sizes)
    rows = np.concatenate([np.arange(size) for size in sizes])
    # of equally near pairs, the first in the volume is joined first, whatever the order of the people
    in_volume = np.lexsort(positions.T[::-1])
    positions = positions[in_volume]
    owners = owners[in_volume]
    rows = rows[in_volume]
    groups = _groups(positions, owners, radius_angstrom, task.part(0, 0.5))
    f_scores = _f_scores(people, radius_angstrom, task.part(0.5, 1))

    members = np.full((len(groups), len(people)), NO_PICK, np.int64)
    means = np.empty((len(groups), 3))
    scatter = np.empty(len(groups))
    for number, group in enumerate(groups):
        members[number, owners[group]] = rows[group]
        means[number] = positions[group].mean(axis=0)
        scatter[number] = np.linalg.norm(positions[group] - means[number], axis=1).mean()
    votes = (members != NO_PICK).sum(axis=1)
    order = np.lexsort((*means.T[::-1], -votes))
    spacing = people[0].spacing_angstrom or 1.0
    return Consensus(
        names=tuple(name_of_side(each) or f"{number}" for number, each in enumerate(people, 1)),
        radius_angstrom=float(radius_angstrom),
        picks=Picks(
            means[order] / spacing,
            spacing,
            features={VOTES: votes[order], SCATTER: scatter[order]},
            shape_zyx=people[0].shape_zyx,
            alignment_id=people[0].alignment_id,
            about=_about(people),
        ),
        members=members[order],
        f_scores=f_scores,
    )


def _f_scores(people: list[Picks], radius_angstrom: float, task: Task) -> NDArray[np.float64]:
    scores = np.ones((len(people), len(people)))
    pairs = list(combinations(range(len(people)), 2))
    for number, (one, other) in enumerate(pairs):
        task.step(number / len(pairs), "comparing")
        found = compare(people[one], people[other], radius_angstrom=radius_angstrom)
        f1 = found.figures["f_beta"]
        scores[one, other] = scores[other, one] = np.nan if f1 is None else f1
    return scores


def _groups(
    positions: NDArray[np.float64], owners: NDArray[np.intp], radius: float, task: Task
) -> list[list[int]]:
    """Rows of picks that are one, each of other people, all within the radius of their mean."""
    from scipy.cluster.hierarchy import DisjointSet

    pairs = pairs_within(positions, positions, radius)
    pairs = pairs.take(pairs.rows_a < pairs.rows_b)
    groups = DisjointSet(range(len(positions)))
    for number, pair in enumerate(np.lexsort((pairs.rows_b, pairs.rows_a, pairs.costs))):
        if number % _STEPS == 0:
            task.step(number / len(pairs), "joining")
        a = int(pairs.rows_a[pair])
        b = int(pairs.rows_b[pair])
        joined = [*groups.subset(a), *groups.subset(b)]
        if len({*owners[joined]}) < len(joined):
            continue  # two picks of one person, or the same group
        offsets = positions[joined] - positions[joined].mean(axis=0)
        if np.linalg.norm(offsets, axis=1).max() <= radius:
            groups.merge(a, b)
    return [sorted(group) for group in groups.subsets()]


def _about(people: list[Picks]) -> Provenance:
    """What all agree on: the run and the object."""
    known: dict[str, Any] = {}
    for name in ("source", "dataset_id", "run_id", "run_name", "object_id", "object_name"):
        values = {getattr(each.about, name) for each in people}
        if len(values) == 1:
            known |= {name: values.pop()}
    software = f"napari-cryoet {__version__}"
    name = f"consensus of {len(people)}"
    return Provenance(kind="annotation", shown_name=name, software=software, **known)
