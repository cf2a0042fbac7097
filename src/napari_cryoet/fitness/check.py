"""Do these picks make sense? Picks against the volume that they are said to be in."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.appearance.diameters import DEFAULT_DIAMETER_ANGSTROM, known_diameter
from napari_cryoet.exceptions import FormatError
from napari_cryoet.expecting import expect, expect_number, path_text
from napari_cryoet.fitness.density import Progress, grid_for, is_resolvable, read_contrast
from napari_cryoet.fitness.evidence import MIN_PICKS
from napari_cryoet.fitness.findings import Findings, nanometres
from napari_cryoet.fitness.neighbours import at_edge, duplicates, share_at_edge_by_chance
from napari_cryoet.fitness.readings import FARTHEST, Frame, are_inside
from napari_cryoet.fitness.verdict import Judgement, judge_densities, undecided
from napari_cryoet.picks import Picks
from napari_cryoet.records import Tomogram
from napari_cryoet.volumes import Volume, name_of, open_volume, spacing_in_layout
from napari_cryoet.wording import count_text

#: A volume, in particles: in a thinner one, all that is near a pick is the particle, and noise looks like a fit.
_THINNEST = 1.25
#: Of a file's name, and of an object's name in it.
_LONGEST_NAME, _MOST_WORDS = 120, 4


def check_picks(
    picks: Picks,
    volume: Volume | Tomogram | str | Path,
    *,
    diameter_angstrom: float | None = None,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Findings:
    """Check picks against the volume that they are said to be in.

    Reads the coarsest level of the volume that resolves the particle, once, and nothing else. The same picks, volume
    and seed give the same findings.

    Parameters
    ----------
    picks
        What is checked. Without a voxel spacing they count in voxels of the volume.
    volume
        An opened volume, a tomogram of the portal, or the path or address of an OME-Zarr, zarr or MRC volume.
    diameter_angstrom
        Of the particle; by default that of the object that the picks say they are, else 100 Å.
    stop
        Set by whoever no longer wants to know.
    progress
        Told how far it is, from 0 to 1, and what is being done.
    seed
        Of the random shifts that the picks are compared with.

    Raises
    ------
    FormatError
        If it is no volume, or nobody says how large its voxels are.
    StreamError
        If it can't be read.
    StoppedError
        When ``stop`` is set.
    ValueError
        If no particle can be that wide.
    """
    expect(picks, Picks, "picks", "Read a file with read_picks first.")
    if diameter_angstrom is not None:
        expect_number(diameter_angstrom, "diameter_angstrom")
    if diameter_angstrom is not None and not 0 < diameter_angstrom < np.inf:
        raise ValueError(f"a particle can't be {diameter_angstrom} Å wide")
    if isinstance(volume, Volume):
        return _Check(picks, volume, diameter_angstrom, seed).run(stop, progress)
    opened, origin_zyx = _open(volume, stop)
    try:
        return _Check(picks, opened, diameter_angstrom, seed, origin_zyx).run(stop, progress)
    finally:
        opened.close()


def _open(volume: Tomogram | str | Path, stop: threading.Event | None) -> tuple[Volume, tuple[float, float, float]]:
    """A volume, and where its first voxel lies in the frame of its run's annotations, in voxels."""
    if not isinstance(volume, Tomogram):
        address = path_text(volume, "volume", or_else="a Volume or a Tomogram of a portal")
        opened, spacing = open_volume(address, stop=stop), spacing_in_layout(address)
        return (opened if spacing is None else replace(opened, spacing_angstrom=(spacing,) * 3)), (0.0, 0.0, 0.0)
    url = volume.https_omezarr_dir or volume.https_mrc_file
    if not url:
        raise FormatError("The portal lists no OME-Zarr and no MRC file for this tomogram.")
    opened = replace(open_volume(url, stop=stop), spacing_angstrom=(volume.voxel_spacing,) * 3)
    return opened, (float(volume.offset_z), float(volume.offset_y), float(volume.offset_x))


class _Check:
    """One check: what there is to know before anything is read, then the rest."""

    def __init__(
        self,
        picks: Picks,
        volume: Volume,
        diameter_angstrom: float | None,
        seed: int,
        origin_zyx: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        if volume.spacing_angstrom is None:
            raise FormatError(
                "The volume doesn't say how large its voxels are, so nobody knows how many of them make a particle.",
                hint="Give its voxel spacing.",
            )
        self.picks, self.volume, self.seed = picks, volume, seed
        self.frame = Frame.of(picks, volume.shape_zyx, volume.spacing_angstrom, origin_zyx)
        self.diameter, self.diameter_is_known = (
            (diameter_angstrom, True) if diameter_angstrom else diameter_of(picks.about)
        )
        self.grid = grid_for(volume, volume.spacing_angstrom, self.diameter)

    def run(self, stop: threading.Event | None, progress: Progress | None) -> Findings:
        tell: Progress = progress or (lambda _share, _words: None)
        judgement = self._judge(stop, tell)
        tell(0.98, "looking for picks that are too close")
        frame, picks = self.frame, self.picks
        reach_zyx = self.diameter / 2 / np.array(frame.spacing_zyx)
        near = self._duplicates(self.diameter, stop)
        found = Findings(
            picks=picks,
            frame=frame,
            judgement=judgement,
            diameter_angstrom=self.diameter,
            diameter_is_known=self.diameter_is_known,
            read_angstrom=float(self.grid.spacing_zyx.max()),
            level=self.grid.level,
            outside=np.flatnonzero(~are_inside(frame.voxels_zyx, frame.shape_zyx)),
            edge=np.flatnonzero(at_edge(frame.voxels_zyx, frame.shape_zyx, reach_zyx)),
            edge_by_chance=share_at_edge_by_chance(frame.shape_zyx, reach_zyx),
            duplicates=near,
            n_overlapping=len(self._duplicates(self.diameter / 2, stop)) if len(near) else 0,
        )
        tell(1.0, "done")
        return found

    def _judge(self, stop: threading.Event | None, tell: Progress) -> Judgement:
        if len(self.picks) < MIN_PICKS:
            few = f"{count_text(len(self.picks), 'pick is', 'picks are')} too few to compare densities"
            return undecided(self.frame, f"{few} ({MIN_PICKS} at least)")
        size, width = nanometres(self.diameter), float(self.grid.spacing_zyx.max())
        thin = float(np.min(np.multiply(self.frame.shape_zyx, self.frame.spacing_zyx)))
        if thin < _THINNEST * self.diameter or not is_resolvable(self.grid, self.diameter):
            return undecided(self.frame, f"a particle of {size} can't be looked for in a volume of {nanometres(thin)}")
        if width > self.diameter:
            return undecided(self.frame, f"a particle of {size} can't be seen in voxels of {nanometres(width)}")
        contrast = read_contrast(self.volume, self.grid, self.diameter, stop=stop, progress=tell)
        tell(0.9, "trying other ways to read the positions")
        return judge_densities(contrast, self.frame, self.diameter, seed=self.seed, stop=stop)

    def _duplicates(self, nearest_angstrom: float, stop: threading.Event | None) -> NDArray[np.intp]:
        if self.picks.is_cloud:
            return np.empty(0, np.intp)
        voxels, scores = self.frame.voxels_zyx, self.picks.scores
        rows = np.flatnonzero((np.abs(voxels) < FARTHEST).all(axis=1))
        found = duplicates(
            voxels[rows] * self.frame.spacing_zyx, None if scores is None else scores[rows], nearest_angstrom, stop=stop
        )
        return np.asarray(rows[found])


def diameter_of(about: Mapping[str, Any]) -> tuple[float, bool]:
    """A particle's diameter in ångström as the source of its picks names it, and whether it does; else 100 Å."""
    names = [about.get("object_name")]
    if isinstance(about.get("source_url"), str):
        names += _word_groups(name_of(about["source_url"]))
    for name in names:
        diameter = known_diameter(about.get("object_id"), name)
        if diameter is not None:
            return diameter, True
    return DEFAULT_DIAMETER_ANGSTROM, False


def _word_groups(file_name: str) -> list[str]:
    """Words that stand together in a file's name, more of them first: ``101-fatty_acid_synthase-1.0_point.ndjson``."""
    words = re.findall(r"[A-Za-z0-9]+", file_name[:_LONGEST_NAME])
    lengths = range(min(_MOST_WORDS, len(words)), 0, -1)
    return [" ".join(words[start : start + n]) for n in lengths for start in range(len(words) - n + 1)]
