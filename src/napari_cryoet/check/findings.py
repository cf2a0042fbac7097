"""Check picks against a volume: numbers, and the sentences that say what they mean."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.appearance.diameters import DEFAULT_DIAMETER_ANGSTROM, known_diameter
from napari_cryoet.check.contrast import Grid, Progress, grid_for, is_resolvable, read_contrast
from napari_cryoet.check.evidence import (
    ALARM_LEVEL,
    FIT_LEVEL,
    MIN_PICKS,
    Evidence,
    Judgement,
    Verdict,
    judge_densities,
    sigma_needed,
    undecided,
)
from napari_cryoet.check.readings import FARTHEST, Frame, Reading, are_inside, at_edge, duplicates
from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.common import spacing_in_layout
from napari_cryoet.picks import Picks
from napari_cryoet.records import Tomogram
from napari_cryoet.volumes import Volume, name_of, open_volume
from napari_cryoet.wording import count_text

#: In a volume thinner than so many particles, all that is near a pick is the particle: noise looks like a fit.
_THINNEST: Final = 1.25
#: So many times as many picks at an edge as by chance are odd.
_MANY_AT_EDGE: Final = 2.0
#: Of several readings that fit much better, so many are named.
_MOST_NAMED: Final = 3
_MOST_WORDS: Final = 4  # of an object's name in a file's name

Mark = Literal["good", "note", "odd"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One sentence of the findings.

    Attributes
    ----------
    mark
        ``"good"``: it speaks for the picks. ``"odd"``: something is, or may be, wrong. ``"note"``: neither.
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
    frame
        Where the picks are in the volume.
    judgement
        What the density says about them.
    diameter_angstrom, diameter_is_known
        Of the particle, and whether it is known or assumed.
    read_angstrom, level
        The width of the voxels at which the density was judged, and the level of the volume that was read.
    outside, edge, duplicates
        Rows of the picks outside of the volume; inside, but cut by its edge; and nearer than a particle to another pick
        that can stay.
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
        """Whether the picks fit as given, another reading or several fit much better, or nobody can tell."""
        return self.judgement.verdict

    @property
    def suggestion(self) -> Reading | None:
        """The one reading that fits much better, if there is one."""
        best, offset = self.judgement.best, self.judgement.offset
        if self.verdict == "better" and best is not None:
            return best.reading
        if offset is not None and offset.is_one_based:
            z, y, x = (float(round(length)) for length in offset.voxels_zyx)
            return Reading(shift_zyx=(z, y, x))
        return None

    @property
    def alternatives(self) -> tuple[Reading, ...]:
        """If several readings fit much better and can't be told apart: these, the best first."""
        better = self.judgement.surely_better if self.verdict == "several" else ()
        return tuple(evidence.reading for evidence in better)

    def suggested_picks(self) -> Picks:
        """The picks read as suggested, in the grid of the volume.

        Raises
        ------
        ValueError
            If nothing is suggested.
        """
        if self.suggestion is None:
            raise ValueError("no other reading is suggested")
        return self.suggestion.applied_to(self.picks, self.frame)

    @property
    def headline(self) -> str:
        """The outcome in one plain sentence."""
        if not len(self.picks):
            return "There are no picks."
        if self.suggestion is not None:
            return f"The picks fit better if {self.suggestion.words()}."
        if self.alternatives:
            return "The picks fit better another way, but the density doesn't say which."
        if self.verdict == "fits":
            other = "something else is odd" if self.oddities else "no flip or shift fits better"
            return f"The picks fit the density; {other}."
        return "The density doesn't say whether the picks fit."

    @property
    def basis(self) -> str:
        """What the findings rest on, in a sentence."""
        assumed = "" if self.diameter_is_known else " (assumed)"
        size = f"for a particle of {_nm(self.diameter_angstrom)}{assumed}"
        return f"Judged in voxels of {_nm(self.read_angstrom)} (level {self.level}), {size}."

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All that was found, in sentences."""
        return tuple(_statements(self))

    @property
    def oddities(self) -> tuple[str, ...]:
        """The sentences about what is, or may be, wrong."""
        return tuple(statement.text for statement in self.statements if statement.is_odd)

    def as_data(self) -> dict[str, Any]:
        """All of it as plain data that JSON can hold."""
        judgement = self.judgement
        return {
            "verdict": self.verdict,
            "headline": self.headline,
            "suggestion": None if self.suggestion is None else _reading_data(self.suggestion),
            "statements": [asdict(statement) | {"is_odd": statement.is_odd} for statement in self.statements],
            "given": _evidence_data(judgement.given),
            "surely_better": [_evidence_data(evidence) for evidence in judgement.surely_better],
            "best": None if judgement.best is None else _evidence_data(judgement.best),
            "n_tried": judgement.n_tried,
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
            "offset": None if judgement.offset is None else asdict(judgement.offset),
        }


def check_picks(
    picks: Picks,
    volume: Volume | Tomogram | str | Path,
    *,
    diameter_angstrom: float | None = None,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Findings:
    """Check picks against the volume that they should be in.

    Reads the coarsest level of the volume that resolves the particle, once. The same picks, volume and seed give the
    same findings.

    Parameters
    ----------
    picks
        Without a voxel spacing they count in voxels of the volume.
    volume
        An opened volume, a tomogram of the portal, or the path or address of an OME-Zarr, zarr or MRC volume.
    diameter_angstrom
        Of the particle; by default that of the object that the picks name, else 100 Å.
    stop
        Set it to end the work.
    progress
        Called with the share that is done, and with what is being done.
    seed
        Of the random shifts that the picks are compared with.

    Raises
    ------
    FormatError
        If it is no volume, or its voxel spacing is unknown.
    StreamError
        If it can't be read.
    StoppedError
        When ``stop`` is set.
    ValueError
        If the diameter makes no sense.
    """
    if not isinstance(picks, Picks):
        raise TypeError(f"picks must be a Picks, not {picks!r}; read_picks reads a file")
    if diameter_angstrom is not None and not 0 < diameter_angstrom < np.inf:
        raise ValueError(f"a particle can't be {diameter_angstrom} Å wide")
    opened = volume if isinstance(volume, Volume) else _opened(volume, stop)
    origin_zyx = (0.0, 0.0, 0.0)
    if isinstance(volume, Tomogram):
        origin_zyx = (float(volume.offset_z), float(volume.offset_y), float(volume.offset_x))
    try:
        if opened.spacing_angstrom is None:
            raise FormatError("How wide the voxels of the volume are is unknown.", hint="Give its voxel spacing.")
        frame = Frame.of(picks, opened.shape_zyx, opened.spacing_angstrom, origin_zyx)
        diameter, is_known = (diameter_angstrom, True) if diameter_angstrom else diameter_of(picks.about)
        tell: Progress = progress or (lambda _share, _words: None)
        judgement, grid = _judged(opened, frame, diameter, seed=seed, stop=stop, progress=tell)
    finally:
        if opened is not volume:
            opened.close()
    tell(0.98, "looking for duplicates")
    reach_zyx = diameter / 2 / np.array(frame.spacing_zyx)
    near = _duplicates(picks, frame, diameter, stop)
    found = Findings(
        picks=picks,
        frame=frame,
        judgement=judgement,
        diameter_angstrom=diameter,
        diameter_is_known=is_known,
        read_angstrom=float(grid.spacing_zyx.max()),
        level=grid.level,
        outside=np.flatnonzero(~are_inside(frame.voxels_zyx, frame.shape_zyx)),
        edge=np.flatnonzero(at_edge(frame.voxels_zyx, frame.shape_zyx, reach_zyx)),
        edge_by_chance=float(1 - np.clip(1 - 2 * reach_zyx / frame.shape_zyx, 0, 1).prod()),
        duplicates=near,
        n_overlapping=len(_duplicates(picks, frame, diameter / 2, stop)) if len(near) else 0,
    )
    tell(1.0, "done")
    return found


def diameter_of(about: Mapping[str, Any]) -> tuple[float, bool]:
    """A particle's diameter in ångström as the source of its picks names it, and whether it does; else 100 Å."""
    names = [about.get("object_name")]
    if isinstance(about.get("source_url"), str):  # such as 101-fatty_acid_synthase-1.0_point.ndjson
        words = re.findall(r"[A-Za-z0-9]+", name_of(about["source_url"])[:120])
        lengths = range(min(_MOST_WORDS, len(words)), 0, -1)
        names += [" ".join(words[start : start + n]) for n in lengths for start in range(len(words) - n + 1)]
    for name in names:
        diameter = known_diameter(about.get("object_id"), name)
        if diameter is not None:
            return diameter, True
    return DEFAULT_DIAMETER_ANGSTROM, False


def _opened(volume: Tomogram | str | Path, stop: threading.Event | None) -> Volume:
    spacing = volume.voxel_spacing if isinstance(volume, Tomogram) else spacing_in_layout(volume)
    address = volume.https_omezarr_dir or volume.https_mrc_file if isinstance(volume, Tomogram) else volume
    if not address:
        raise FormatError("The portal lists no OME-Zarr and no MRC file for this tomogram.")
    opened = open_volume(address, stop=stop)
    return opened if spacing is None else replace(opened, spacing_angstrom=(spacing,) * 3)


def _judged(
    volume: Volume, frame: Frame, diameter: float, *, seed: int, stop: threading.Event | None, progress: Progress
) -> tuple[Judgement, Grid]:
    grid = grid_for(volume, frame.spacing_zyx, diameter)
    thin, width = float(np.min(np.multiply(frame.shape_zyx, frame.spacing_zyx))), float(grid.spacing_zyx.max())
    if len(frame.voxels_zyx) < MIN_PICKS:
        return undecided(frame, f"at least {MIN_PICKS} picks are needed"), grid
    if thin < _THINNEST * diameter or not is_resolvable(grid, diameter):
        return undecided(frame, f"a volume of {_nm(thin)} is too thin for a particle of {_nm(diameter)}"), grid
    if width > diameter:
        return undecided(frame, f"voxels of {_nm(width)} are too wide for a particle of {_nm(diameter)}"), grid
    contrast = read_contrast(volume, grid, diameter, stop=stop, progress=progress)
    progress(0.9, "trying other readings")
    return judge_densities(contrast, frame, diameter, seed=seed, stop=stop), grid


def _duplicates(picks: Picks, frame: Frame, nearest: float, stop: threading.Event | None) -> NDArray[np.intp]:
    if picks.is_cloud:  # points that outline instances are meant to lie close
        return np.empty(0, np.intp)
    rows = np.flatnonzero((np.abs(frame.voxels_zyx) < FARTHEST).all(axis=1))
    scores = None if picks.scores is None else picks.scores[rows]
    return np.asarray(rows[duplicates(frame.voxels_zyx[rows] * frame.spacing_zyx, scores, nearest, stop)])


def _statements(found: Findings) -> Iterator[Statement]:
    n, n_outside, n_near, n_edge = len(found.picks), len(found.outside), len(found.duplicates), len(found.edge)
    if not n:
        yield Statement("inside", "There are no picks.", "odd")
        return
    if n_outside:
        yield Statement("inside", f"{n_outside:,} of {n:,} picks lie outside the volume{_share(n_outside, n)}.", "odd")
    else:
        yield Statement("inside", f"All {count_text(n, 'pick')} lie inside the volume.", "good")
    yield _about_density(found.judgement)
    offset = found.judgement.offset
    if offset is not None:
        lengths = zip("zyx", offset.voxels_zyx, offset.error_zyx, strict=True)
        where = ", ".join(reversed([f"{length:+.1f} ± {error:.1f} in {axis}" for axis, length, error in lengths]))
        first = "1" if offset.voxels_zyx[0] < 0 else "-1"
        what = f"count voxels from {first} instead of 0" if offset.is_one_based else "are off their particles"
        yield Statement("offset", f"The picks {what}: the density lies {where} voxels beside them.", "odd")
    size = _nm(found.diameter_angstrom)
    if n_near:
        half = f", {found.n_overlapping:,} of them within half of one" if found.n_overlapping else ""
        picks = f"{count_text(n_near, 'pick')}{_share(n_near, n)}"
        text = f"Duplicates: {picks} within a particle ({size}) of another{half}."
        yield Statement("duplicates", text, "odd" if found.n_overlapping else "note")
    elif n > 1 and not found.picks.is_cloud:
        yield Statement("duplicates", f"No two picks are closer than a particle ({size}).", "good")
    if n_edge:
        chance = found.edge_by_chance
        is_odd = n_edge / n > max(_MANY_AT_EDGE * chance, chance + 3 * np.sqrt(chance * (1 - chance) / n))
        picks = f"{count_text(n_edge, 'pick')}{_share(n_edge, n)}"
        text = f"Cut by the volume's edge: {picks}; by chance {100 * chance:.0f} %."
        yield Statement("edge", text, "odd" if is_odd else "note")


def _about_density(judgement: Judgement) -> Statement:
    given = _numbers(judgement.given)
    by_chance = (
        f"By chance, fewer than {100 * ALARM_LEVEL:.0f} of 100 volumes would show this "
        f"({judgement.n_tried:,} readings and shifts were tried)."
    )
    match judgement:
        case Judgement(verdict="fits"):
            return Statement("density", f"As given, {_comparison(judgement.given)}.", "good")
        case Judgement(verdict="better", best=Evidence() as best):
            text = f"If {best.reading.words()}, {_comparison(best)}, against {given} as given. {by_chance}"
            return Statement("density", text, "odd")
        case Judgement(verdict="several", surely_better=better):
            ways = ", or ".join(f"if {each.reading.words()} ({_numbers(each)})" for each in better[:_MOST_NAMED])
            more = ", or in yet other ways" if len(better) > _MOST_NAMED else ""
            text = f"The picks fit much better {ways}{more}, against {given} as given. {by_chance}"
            return Statement("density", text, "odd")
    return Statement("density", f"Not clear: {_why_unclear(judgement)}.", "note")


def _why_unclear(judgement: Judgement) -> str:
    given = judgement.given
    if judgement.why_not:
        return judgement.why_not
    if given.share_inside == 0:
        return "none of them is in the volume"
    if given.noise == 0:
        return "nothing in the volume stands out"
    needed = min(1.0, sigma_needed(1, FIT_LEVEL) * given.noise / given.share_inside)
    better = [f"they may fit better if {one.reading.words()} ({_numbers(one)})" for one in judgement.surely_better]
    others = better[0] if better else "no other reading is surely better"
    return f"picks are like places nearby ({_numbers(given)}; effects above {needed:.2f} would show), and {others}"


def _comparison(evidence: Evidence) -> str:
    word = "darker" if evidence.effect < 0 else "brighter"
    times = round(50 * (1 + abs(evidence.effect)))
    return f"picks are {word} than places nearby in {times} of 100 comparisons ({_numbers(evidence)})"


def _numbers(evidence: Evidence) -> str:
    if evidence.share_inside == 0:
        return "none inside"
    return f"effect {evidence.effect:+.2f}, {evidence.strength:.1f} σ".replace("-", "−")


def _share(n: int, of: int) -> str:
    return f" ({100 * n / of:.{0 if n / of >= 0.0095 else 1}f} %)"


def _nm(angstrom: float) -> str:
    length = angstrom / 10
    return f"{length:.3g} nm" if length < 999.5 else f"{length:,.0f} nm"


def _evidence_data(evidence: Evidence) -> dict[str, Any]:
    numbers = {name: getattr(evidence, name) for name in ("share_inside", "effect", "sigma")}
    return {"reading": _reading_data(evidence.reading), **numbers}


def _reading_data(reading: Reading) -> dict[str, Any]:
    return {
        "words": reading.words(),
        "order_zyx": list(reading.order_zyx),
        "flipped_zyx": list(reading.flipped_zyx),
        "factor": reading.factor,
        "shift_zyx": list(reading.shift_zyx),
    }
