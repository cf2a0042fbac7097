"""Check picks against a volume; the findings have numbers and sentences that explain them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.check.evidence import (
    ALARM_LEVEL,
    FIT_LEVEL,
    CheckVerdict,
    Evidence,
    Judgement,
    judge_densities,
    sigma_needed,
)
from napari_cryoet.check.readings import Reading, duplicates, shifted
from napari_cryoet.exceptions import require_positive
from napari_cryoet.measure.measuring import PicksFrame, diameter_of, grid_for, read_contrast
from napari_cryoet.picks import Picks
from napari_cryoet.provenance import plain_data
from napari_cryoet.records import Tomogram
from napari_cryoet.task import UNWATCHED, Task, shows_progress, stoppable
from napari_cryoet.volumes import (
    LevelGrid,
    Volume,
    are_inside,
    edge_distances,
    open_volume,
)
from napari_cryoet.wording import count_text, nm_text

if TYPE_CHECKING:
    from pandas import DataFrame

#: Minimum thickness of the volume in particles; in a thinner one, noise looks like a fit.
_MIN_THICKNESS: Final = 1.25
#: Ratio of picks at an edge to those expected by chance that counts as odd.
_MANY_AT_EDGE: Final = 2.0
#: Maximum number of much better readings to list.
_MAX_LISTED: Final = 3
_MIN_PICKS: Final = 5
#: Fields of the findings that aren't numbers.
_NOT_NUMBERS: Final = frozenset({"picks", "frame", "judgement"})

#: ``"good"`` supports the picks, ``"odd"`` means that something is, or may be, wrong, ``"note"`` is
#: neutral.
Mark = Literal["good", "note", "odd"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of the findings."""

    topic: Literal["density", "inside", "offset", "duplicates", "edge"]
    text: str
    mark: Mark
    in_brief: str = ""  # a short form for the headline

    @property
    def is_odd(self) -> bool:
        """Whether something is, or may be, wrong."""
        return self.mark == "odd"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Findings:
    """The result of checking picks against a volume.

    Attributes
    ----------
    frame
        The picks in the volume.
    judgement
        The comparison with the density.
    diameter_angstrom, diameter_is_known
        The particle's diameter, and whether it is known or assumed.
    read_angstrom, level
        The voxel size at which the density was judged, and the level that was read.
    outside, edge, duplicates
        Rows of picks outside the volume; inside, but cut by its edge; and closer than a particle to another pick that
        stays.
    n_overlapping
        The number of duplicates if particles were half as wide.
    edge_by_chance
        The fraction of the volume that is as close to an edge.
    """

    picks: Picks
    frame: PicksFrame
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

    def __repr__(self) -> str:
        return f"<Findings: {self.headline}>"

    @property
    def verdict(self) -> CheckVerdict:
        """Whether the picks fit as given, one or several other readings fit much better, or it is unclear."""
        return self.judgement.verdict

    @property
    def suggestion(self) -> Reading | None:
        """The single reading that fits much better, if any."""
        if self.verdict == "better":
            return self.judgement.surely_better[0].reading
        offset = self.judgement.offset
        if offset is not None and offset.is_one_based:
            return shifted(np.rint(offset.voxels_zyx))
        return None

    @property
    def alternatives(self) -> tuple[Reading, ...]:
        """Readings that fit much better and can't be distinguished, best first."""
        return (
            tuple(one.reading for one in self.judgement.surely_better)
            if self.verdict == "several"
            else ()
        )

    def suggested_picks(self) -> Picks:
        """Apply the suggestion to the picks; the result is in the volume's grid.

        Raises
        ------
        ValueError
            If there is no suggestion.
        """
        if self.suggestion is None:
            raise ValueError("no other reading is suggested")
        return self.suggestion.applied_to(self.frame)

    @property
    def headline(self) -> str:
        """The result in one sentence."""
        if not len(self.picks):
            return "There are no picks."
        if self.suggestion is not None:
            return f"The picks fit better if {self.suggestion.words()}."
        if self.alternatives:
            return "The picks fit better another way, but the density doesn't say which."
        if self.verdict == "fits":
            odd = " and ".join(
                statement.in_brief for statement in self.statements if statement.is_odd
            )
            return f"The picks fit the density{f', but {odd}' if odd else '; no flip or shift fits better'}."
        return "The density doesn't say whether the picks fit."

    @property
    def basis(self) -> str:
        """The resolution and particle size that were used, in a sentence."""
        assumed = "" if self.diameter_is_known else " (assumed)"
        size = f"for a particle of {nm_text(self.diameter_angstrom)}{assumed}"
        return f"Judged in voxels of {nm_text(self.read_angstrom)} (level {self.level}), {size}."

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All findings as sentences."""
        return tuple(_statements(self))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what is, or may be, wrong."""
        return tuple(statement.text for statement in self.statements if statement.is_odd)

    @property
    def text(self) -> str:
        """All findings as plain text; problems are marked with an exclamation mark."""
        lines = [f"{'!' if each.is_odd else ' '} {each.text}" for each in self.statements]
        return "\n".join([self.headline, f"  {self.basis}", *lines]) + "\n"

    def to_dataframe(self) -> DataFrame:
        """One row for each pick, and which are outside, cut by the edge or duplicates."""
        frame = self.picks.to_dataframe()
        for name in ("outside", "edge", "duplicates"):
            frame[name] = np.isin(np.arange(len(frame)), getattr(self, name))
        return frame

    def to_dict(self) -> dict[str, Any]:
        """All findings as JSON-compatible data."""
        judgement, suggestion = self.judgement, self.suggestion
        data = {
            "verdict": self.verdict,
            "headline": self.headline,
            "suggestion": None if suggestion is None else _reading_data(suggestion),
            "statements": [
                asdict(statement) | {"is_odd": statement.is_odd} for statement in self.statements
            ],
            "given": _evidence_data(judgement.given),
            "surely_better": [_evidence_data(evidence) for evidence in judgement.surely_better],
            "best": None if judgement.best is None else _evidence_data(judgement.best),
            "n_tried": judgement.n_tried,
            "n_picks": len(self.picks),
            "offset": None if judgement.offset is None else asdict(judgement.offset),
        }
        numbers = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if item.name not in _NOT_NUMBERS
        }
        return dict(plain_data(data | numbers))


@shows_progress
def check_picks(
    picks: Picks,
    volume: Volume | Tomogram | str | Path,
    *,
    diameter_angstrom: float | None = None,
    task: Task = UNWATCHED,
    seed: int = 0,
) -> Findings:
    """Check picks against the volume that they belong to.

    Reads the coarsest level that resolves the particle, once. The same picks, volume and seed give
    the same findings.

    Parameters
    ----------
    picks
        Picks without a voxel spacing are in voxels of the volume.
    volume
        An open volume, a portal tomogram, or the path or URL of an OME-Zarr, zarr or MRC volume.
    diameter_angstrom
        The particle's diameter; by default that of the object that the picks name, else 100 Å.
    task
        Its progress, and Stop.
    seed
        Seed of the random shifts for comparison.

    Raises
    ------
    FormatError
        If it isn't a volume, or its voxel spacing is unknown.
    StreamError
        If it can't be read.
    StoppedError
        If ``task`` is stopped.
    ValueError
        If the diameter is invalid.
    """
    if not isinstance(picks, Picks):
        raise TypeError(f"picks must be a Picks, not {picks!r}; read_picks reads a file")
    if diameter_angstrom is not None:
        require_positive("diameter_angstrom", diameter_angstrom)

    opened = volume if isinstance(volume, Volume) else open_volume(volume, task=task)
    try:
        frame = PicksFrame.of(picks, opened)
        size = (diameter_angstrom, True) if diameter_angstrom else diameter_of(picks.about)
        return stoppable(lambda: _findings(opened, frame, size, seed=seed, task=task), task)
    finally:
        if opened is not volume:
            opened.close()


def _findings(
    volume: Volume,
    frame: PicksFrame,
    size: tuple[float, bool],
    *,
    seed: int,
    task: Task,
) -> Findings:
    diameter, is_known = size
    grid = grid_for(volume, diameter)
    are_in = are_inside(frame.voxels_zyx, frame.shape_zyx)
    if why_not := _obstacle(frame, grid, diameter):
        judgement = Judgement(
            "unclear", Evidence(Reading(), are_in.sum() / max(1, len(are_in))), why_not=why_not
        )
    else:
        contrast = read_contrast(volume, grid, diameter, task=task.part(0.0, 0.9))
        task.step(0.9, "trying other readings")
        judgement = judge_densities(contrast, frame, diameter, seed=seed)
    task.step(0.98, "looking for duplicates")
    near = _duplicates(frame, diameter)
    to_edge = edge_distances(frame.voxels_zyx, frame.shape_zyx, frame.spacing_zyx)
    free_zyx = 1 - diameter / np.multiply(frame.spacing_zyx, frame.shape_zyx)
    findings = Findings(
        picks=frame.picks,
        frame=frame,
        judgement=judgement,
        diameter_angstrom=diameter,
        diameter_is_known=is_known,
        read_angstrom=float(grid.spacing_zyx.max()),
        level=grid.level,
        outside=np.flatnonzero(~are_in),
        edge=np.flatnonzero(are_in & (to_edge < diameter / 2)),
        edge_by_chance=float(1 - np.clip(free_zyx, 0, 1).prod()),
        duplicates=near,
        n_overlapping=len(_duplicates(frame, diameter / 2)) if len(near) else 0,
    )
    task.step(1.0, "done")
    return findings


def _obstacle(frame: PicksFrame, grid: LevelGrid, diameter: float) -> str:
    """Why the picks can't be compared with the density; empty if they can."""
    thickness, width = (
        float(np.min(np.multiply(frame.shape_zyx, frame.spacing_zyx))),
        float(grid.spacing_zyx.max()),
    )
    if len(frame.voxels_zyx) < _MIN_PICKS:
        return f"at least {_MIN_PICKS} picks are needed"
    if thickness < _MIN_THICKNESS * diameter:
        return f"a volume of {nm_text(thickness)} is too thin for a particle of {nm_text(diameter)}"
    if width > diameter:
        return f"voxels of {nm_text(width)} are too wide for a particle of {nm_text(diameter)}"
    return ""


def _duplicates(frame: PicksFrame, nearest: float) -> NDArray[np.intp]:
    if frame.picks.is_cloud:  # points that outline instances are close together by design
        return np.empty(0, np.intp)
    return duplicates(frame.voxels_zyx * frame.spacing_zyx, frame.picks.scores, nearest)


def _statements(findings: Findings) -> Iterator[Statement]:
    n, n_outside = len(findings.picks), len(findings.outside)
    n_near, n_edge = len(findings.duplicates), len(findings.edge)
    if not n:
        yield Statement("inside", "There are no picks.", "odd")
        return
    if n_outside:
        lie = "lies" if n_outside == 1 else "lie"
        text = f"{_counted(n_outside, n)} {lie} outside the volume."
        yield Statement("inside", text, "odd", f"{n_outside:,} {lie} outside the volume")
    else:
        yield Statement("inside", f"All {count_text(n, 'pick')} lie inside the volume.", "good")
    yield _about_density(findings.judgement)
    if offset := findings.judgement.offset:
        lengths = zip("zyx", offset.voxels_zyx, offset.error_zyx, strict=True)
        where = ", ".join(
            reversed([f"{length:+.1f} ± {error:.1f} in {axis}" for axis, length, error in lengths])
        )
        first = "1" if offset.voxels_zyx[0] < 0 else "-1"
        what = (
            f"count voxels from {first} instead of 0"
            if offset.is_one_based
            else "are off their particles"
        )
        text = f"The picks {what}: the density is offset from them by {where} voxels."
        yield Statement("offset", text, "odd", "it is offset from them")
    size = nm_text(findings.diameter_angstrom)
    if n_near:
        half = (
            f" {findings.n_overlapping:,} of them are closer than half of that."
            if findings.n_overlapping
            else ""
        )
        text = f"{_counted(n_near, n)} may be duplicates: they are closer than a particle ({size}) to another.{half}"
        brief = f"{n_near:,} may be duplicates"
        yield Statement("duplicates", text, "odd" if findings.n_overlapping else "note", brief)
    elif n > 1 and not findings.picks.is_cloud:
        yield Statement("duplicates", f"No two picks are closer than a particle ({size}).", "good")
    if n_edge:
        chance = findings.edge_by_chance
        is_odd = n_edge / n > max(
            _MANY_AT_EDGE * chance, chance + 3 * np.sqrt(chance * (1 - chance) / n)
        )
        text = f"The volume's edge cuts {_counted(n_edge, n)}; by chance it would cut {100 * chance:.0f} %."
        yield Statement(
            "edge", text, "odd" if is_odd else "note", f"the volume's edge cuts {n_edge:,}"
        )


def _counted(n: int, of: int) -> str:
    return f"{count_text(n, 'pick')} ({100 * n / of:.1f} %)"


def _about_density(judgement: Judgement) -> Statement:
    given, better = judgement.given, judgement.surely_better
    ways = ", or ".join(
        f"if {one.reading.words()} ({_numbers(one)})" for one in better[:_MAX_LISTED]
    )
    if judgement.verdict == "fits":
        word, times = (
            "darker" if given.effect < 0 else "brighter",
            round(50 * (1 + abs(given.effect))),
        )
        text = f"The picks are {word} than places nearby in {times} of 100 comparisons ({_numbers(given)})."
        return Statement("density", text, "good")
    if judgement.verdict in ("better", "several"):
        more = ", or in yet other ways" if len(better) > _MAX_LISTED else ""
        text = (
            f"The picks fit much better {ways}{more}. As given: {_numbers(given)}. By chance, fewer than "
            f"{100 * ALARM_LEVEL:.0f} of 100 volumes would show this in {judgement.n_tried:,} tries."
        )
        return Statement("density", text, "odd")
    if judgement.why_not:
        why = f"It isn't clear: {judgement.why_not}."
    elif given.share_inside == 0:
        why = "It isn't clear: no pick lies in the volume."
    elif given.noise == 0:
        why = "It isn't clear: nothing in the volume stands out."
    else:
        needed = min(1.0, sigma_needed(1, FIT_LEVEL) * given.noise / given.share_inside)
        others = (
            f"They may fit better {ways}."
            if better
            else "No other way to read them is surely better."
        )
        clear = f"an effect above {needed:.2f} would be clear"
        why = f"The density at the picks is like that nearby ({_numbers(given)}; {clear}). {others}"
    return Statement("density", why, "note")


def _numbers(evidence: Evidence) -> str:
    if evidence.share_inside == 0:
        return "none inside"
    return f"effect {evidence.effect:+.2f}, {evidence.strength:.1f} σ".replace("-", "−")


def _evidence_data(evidence: Evidence) -> dict[str, Any]:
    numbers = {name: getattr(evidence, name) for name in ("share_inside", "effect", "sigma")}
    return {"reading": _reading_data(evidence.reading), **numbers}


def _reading_data(reading: Reading) -> dict[str, Any]:
    numbers = {
        name: getattr(reading, name) for name in ("order_zyx", "flipped_zyx", "factor", "shift_zyx")
    }
    return {"words": reading.words(), **numbers}
