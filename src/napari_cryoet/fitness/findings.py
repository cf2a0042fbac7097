"""What a check of picks found: numbers, and the sentences that say what they mean."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.fitness.evidence import ALARM_LEVEL, FIT_LEVEL, Evidence, sigma_needed
from napari_cryoet.fitness.readings import Frame, Reading
from napari_cryoet.fitness.verdict import Judgement, Verdict
from napari_cryoet.picks import Picks
from napari_cryoet.wording import count_text

#: More picks than this at an edge, against chance, are worth a remark.
_MANY_AT_EDGE = 2.0
#: Of several readings that fit much better, so many are named with their numbers.
_MOST_SHOWN = 3

Mark = Literal["good", "note", "odd"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of the findings.

    Attributes
    ----------
    topic
        What it is about.
    text
        In words, with the numbers.
    mark
        ``"good"``: it speaks for the picks. ``"odd"``: something is, or may be, wrong. ``"note"``: neither, or nobody
        can tell.
    """

    topic: Literal["density", "inside", "offset", "duplicates", "edge"]
    text: str
    mark: Mark

    @property
    def is_odd(self) -> bool:
        """Whether it says that something is, or may be, wrong."""
        return self.mark == "odd"


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What was found about picks in a volume.

    Attributes
    ----------
    picks
        What was checked.
    frame
        Where they are in the volume.
    judgement
        What the density says of them.
    diameter_angstrom
        Of the particle.
    diameter_is_known
        Whether somebody said it; else it is a size that fits many proteins.
    read_angstrom
        The width of the voxels at which the density was judged.
    level
        The level of the pyramid that was read, 0 is the finest.
    outside, edge, duplicates
        Rows of the picks that are outside of the volume; that are inside and cut by its edge; and that are nearer than
        a particle to another pick which can stay.
    n_overlapping
        How many would still be duplicates if particles were half as wide.
    edge_by_chance
        The share of the volume that is as near to an edge.
    """

    picks: Picks
    frame: Frame
    judgement: Judgement
    diameter_angstrom: float
    diameter_is_known: bool
    read_angstrom: float
    level: int
    outside: NDArray[np.intp]
    edge: NDArray[np.intp]
    edge_by_chance: float
    duplicates: NDArray[np.intp]
    n_overlapping: int

    @property
    def verdict(self) -> Verdict:
        """Whether the picks fit as given, another reading or several fit much better, or neither can be told."""
        return self.judgement.verdict

    @property
    def suggestion(self) -> Reading | None:
        """The reading that fits much better, if there is one that can be named; never one of several."""
        best, offset = self.judgement.best, self.judgement.offset
        if self.verdict == "better" and best is not None:
            return best.reading
        if offset is not None and offset.is_one_based:
            z, y, x = (float(round(length)) for length in offset.voxels_zyx)
            return Reading(shift_zyx=(z, y, x))
        return None

    @property
    def alternatives(self) -> tuple[Reading, ...]:
        """Where several readings each fit much better and can't be told apart: these, the best first."""
        if self.verdict != "several":
            return ()
        return tuple(evidence.reading for evidence in self.judgement.surely_better)

    def suggested_picks(self) -> Picks:
        """The picks read as suggested, in the grid of the volume; the ones that were checked don't change.

        Raises
        ------
        ValueError
            If nothing is suggested.
        """
        if self.suggestion is None:
            raise ValueError("no other reading is suggested")
        return self.suggestion.applied_to(self.picks, self.frame)

    @property
    def statements(self) -> tuple[Statement, ...]:
        """Everything that was found, in sentences; what is odd about it is marked."""
        makers = (_about_inside, _about_density, _about_offset, _about_duplicates, _about_edge)
        return tuple(statement for make in makers if (statement := make(self)) is not None)

    @property
    def oddities(self) -> tuple[str, ...]:
        """The sentences about what is, or may be, wrong; none for picks that make sense."""
        return tuple(statement.text for statement in self.statements if statement.is_odd)

    def as_data(self) -> dict[str, Any]:
        """All of it as plain data that JSON can hold."""
        return {
            "verdict": self.verdict,
            "suggestion": None if self.suggestion is None else _reading_data(self.suggestion),
            "statements": [
                {"topic": s.topic, "text": s.text, "mark": s.mark, "is_odd": s.is_odd} for s in self.statements
            ],
            "given": _evidence_data(self.judgement.given),
            "surely_better": [_evidence_data(evidence) for evidence in self.judgement.surely_better],
            "best": None if self.judgement.best is None else _evidence_data(self.judgement.best),
            "n_tried": self.judgement.n_tried,
            "n_picks": len(self.picks),
            "diameter_angstrom": self.diameter_angstrom,
            "diameter_is_known": self.diameter_is_known,
            "read_angstrom": self.read_angstrom,
            "level": self.level,
            "outside": self.outside.tolist(),
            "edge": self.edge.tolist(),
            "edge_by_chance": self.edge_by_chance,
            "duplicates": self.duplicates.tolist(),
            "n_overlapping": self.n_overlapping,
            "offset": None if self.judgement.offset is None else asdict(self.judgement.offset),
        }


def _about_inside(found: Findings) -> Statement | None:
    if len(found.picks) == 0:
        return Statement("inside", "There are no picks.", "odd")
    n_outside = len(found.outside)
    if not n_outside:
        one = len(found.picks) == 1
        words = "The only pick lies" if one else f"All {len(found.picks):,} picks lie"
        return Statement("inside", f"{words} inside the volume.", "good")
    shown = f"{n_outside:,} of {count_text(len(found.picks), 'pick')} ({_percent(n_outside / len(found.picks))})"
    return Statement("inside", f"{shown} {'lies' if n_outside == 1 else 'lie'} outside the volume.", "odd")


def _about_density(found: Findings) -> Statement | None:
    if len(found.picks) == 0:
        return None
    judgement = found.judgement
    if judgement.verdict == "fits":
        return Statement("density", f"They sit on density that stands out: {_comparison(judgement.given)}.", "good")
    if judgement.verdict == "better" and judgement.best is not None:
        best, n_tried = judgement.best, f"{judgement.n_tried:,}"
        return Statement(
            "density",
            f"They fit much better if {best.reading.words()}: {_comparison(best)}, against {_numbers(judgement.given)} "
            f"as they are. Of {n_tried} other readings and places tried, chance would bring up one like this in fewer "
            f"than {ALARM_LEVEL * 100:.0f} of 100 volumes.",
            "odd",
        )
    if judgement.verdict == "several":
        return Statement("density", _about_several(judgement), "odd")
    return Statement("density", f"Can't tell whether they fit: {_why_unclear(found)}{_which_size(found)}", "note")


def _about_several(judgement: Judgement) -> str:
    """Which readings each fit much better, those that fit best with their numbers."""
    shown = judgement.surely_better[:_MOST_SHOWN]
    ways = [f"if {evidence.reading.words()} ({_numbers(evidence)})" for evidence in shown]
    if len(judgement.surely_better) > len(shown):
        ways.append("in yet other ways")
    return (
        f"They fit much better another way, but the density can't tell which: {', or '.join(ways)}, against "
        f"{_numbers(judgement.given)} as they are. Of {judgement.n_tried:,} other readings and places tried, chance "
        f"would bring up one like these in fewer than {ALARM_LEVEL * 100:.0f} of 100 volumes."
    )


def _why_unclear(found: Findings) -> str:
    given, n_tried = found.judgement.given, found.judgement.n_tried
    if found.judgement.why_not:
        return f"{found.judgement.why_not}."
    if given.noise == 0 and given.share_inside > 0:
        return "nothing in this volume stands out."
    others = f", and {_none_of(found.judgement)}" if n_tried else ""
    if given.share_inside == 0:
        return f"none of them is in the volume{others}."
    needed = min(1.0, sigma_needed(1, FIT_LEVEL) * given.noise / given.share_inside)
    return (
        f"the density at them is like that of places nearby ({_numbers(given)}){others}. "
        f"So many picks in such a volume show effects above {needed:.2f}."
    )


def _none_of(judgement: Judgement) -> str:
    tried = f"of {judgement.n_tried:,} other readings and places"
    if not judgement.surely_better:
        return f"none {tried} is sure to be better"
    one = judgement.surely_better[0]
    return f"{tried} one fits better ({one.reading.words()}: {_numbers(one)}), but others may as well"


def _which_size(found: Findings) -> str:
    if found.diameter_is_known:
        return ""
    told = f" Nobody said how large the particle is; {_size(found)} was taken."
    return f"{told} Its true diameter may tell more." if found.verdict == "unclear" else told


def _size(found: Findings) -> str:
    return nanometres(found.diameter_angstrom)


def nanometres(angstrom: float) -> str:
    """A length in nm, to three digits."""
    length = angstrom / 10
    return f"{length:.3g} nm" if length < 999.5 else f"{length:,.0f} nm"


def _about_offset(found: Findings) -> Statement | None:
    offset = found.judgement.offset
    if offset is None:
        return None
    parts = [
        f"{length:+.1f} ± {error:.1f} in {axis}"
        for axis, length, error in zip("zyx", offset.voxels_zyx, offset.error_zyx, strict=True)
    ]
    where = f"the density lies beside them by {', '.join(reversed(parts))} voxels"
    if offset.is_one_based:
        direction = "1" if offset.voxels_zyx[0] < 0 else "-1"
        return Statement("offset", f"They seem to count voxels from {direction} and not from 0: {where}.", "odd")
    return Statement("offset", f"They are off their particles: {where}.", "odd")


def _about_duplicates(found: Findings) -> Statement | None:
    if found.picks.is_cloud or len(found.picks) < 2:
        return None  # points that outline instances are meant to lie close
    n_near, size = len(found.duplicates), _size(found)
    share = _percent(n_near / max(len(found.picks), 1))
    if not n_near:
        return Statement("duplicates", f"No two are closer than a particle ({size}).", "good")
    half = f", {found.n_overlapping:,} of them closer than half of one" if found.n_overlapping else ""
    verb = "is" if n_near == 1 else "are"
    assumed = "" if found.verdict == "unclear" else _which_size(found)  # which says so itself
    return Statement(
        "duplicates",
        f"{count_text(n_near, 'pick')} ({share}) {verb} closer than a particle ({size}) to "
        f"another that could stay{half}.{assumed}",
        "odd" if found.n_overlapping else "note",
    )


def _about_edge(found: Findings) -> Statement | None:
    n_edge = len(found.edge)
    if not n_edge:
        return None
    share = n_edge / len(found.picks)
    verb = "is" if n_edge == 1 else "are"
    text = f"{count_text(n_edge, 'pick')} ({_percent(share)}) {verb} cut by the volume's edge"
    error = np.sqrt(found.edge_by_chance * (1 - found.edge_by_chance) / len(found.picks))
    is_odd = share > max(_MANY_AT_EDGE * found.edge_by_chance, found.edge_by_chance + 3 * error)
    return Statement(
        "edge", f"{text}; by chance it would be {_percent(found.edge_by_chance)}.", "odd" if is_odd else "note"
    )


def _comparison(evidence: Evidence) -> str:
    word = "darker" if evidence.effect < 0 else "brighter"
    times = round(50 * (1 + abs(evidence.effect)))
    return f"in {times} of 100 comparisons a pick is {word} than places near it ({_numbers(evidence)})"


def _numbers(evidence: Evidence) -> str:
    if evidence.share_inside == 0:
        return "none inside"
    effect = f"{evidence.effect:+.2f}".replace("-", "−")
    return f"effect {effect}, {abs(evidence.sigma):.1f} σ"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0095 or share == 0 else f"{100 * share:.1f} %"


def _evidence_data(evidence: Evidence) -> dict[str, Any]:
    return {
        "reading": _reading_data(evidence.reading),
        "share_inside": evidence.share_inside,
        "effect": evidence.effect,
        "sigma": evidence.sigma,
    }


def _reading_data(reading: Reading) -> dict[str, Any]:
    return {
        "words": reading.words(),
        "order_zyx": list(reading.order_zyx),
        "flipped_zyx": list(reading.flipped_zyx),
        "factor": reading.factor,
        "shift_zyx": list(reading.shift_zyx),
    }
