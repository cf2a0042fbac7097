"""Do these picks make sense? Picks against the volume that they are said to be in."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.diameters import DEFAULT_DIAMETER_ANGSTROM
from napari_cryoet.diameters import diameter_angstrom as diameter_of_object
from napari_cryoet.exceptions import FormatError
from napari_cryoet.fitness.density import Progress, grid_for, read_contrast
from napari_cryoet.fitness.evidence import MIN_PICKS
from napari_cryoet.fitness.findings import Findings
from napari_cryoet.fitness.neighbours import at_edge, duplicates, share_at_edge_by_chance
from napari_cryoet.fitness.readings import Frame, are_inside
from napari_cryoet.fitness.verdict import Judgement, judge_densities, undecided
from napari_cryoet.picks import Picks
from napari_cryoet.records import Tomogram
from napari_cryoet.volumes import Volume, name_of, open_volume, spacing_in_layout


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
    """
    if diameter_angstrom is not None and not 0 < diameter_angstrom < np.inf:
        raise ValueError(f"a particle can't be {diameter_angstrom} Å wide")
    if isinstance(volume, Volume):
        return _check(picks, volume, (0.0, 0.0, 0.0), diameter_angstrom, stop, progress, seed)
    opened, origin_zyx = _open(volume, stop)
    try:
        return _check(picks, opened, origin_zyx, diameter_angstrom, stop, progress, seed)
    finally:
        opened.close()


def _open(volume: Tomogram | str | Path, stop: threading.Event | None) -> tuple[Volume, tuple[float, float, float]]:
    """A volume, and where its first voxel lies in the frame of its run's annotations, in voxels."""
    if not isinstance(volume, Tomogram):
        opened, spacing = open_volume(volume, stop=stop), spacing_in_layout(volume)
        return (opened if spacing is None else replace(opened, spacing_angstrom=(spacing,) * 3)), (0.0, 0.0, 0.0)
    url = volume.https_omezarr_dir or volume.https_mrc_file
    if not url:
        raise FormatError("The portal lists no OME-Zarr and no MRC file for this tomogram.")
    opened = replace(open_volume(url, stop=stop), spacing_angstrom=(volume.voxel_spacing,) * 3)
    return opened, (float(volume.offset_z), float(volume.offset_y), float(volume.offset_x))


def _check(
    picks: Picks,
    volume: Volume,
    origin_zyx: tuple[float, float, float],
    diameter: float | None,
    stop: threading.Event | None,
    progress: Progress | None,
    seed: int,
) -> Findings:
    if volume.spacing_angstrom is None:
        raise FormatError(
            "The volume doesn't say how large its voxels are, so nobody knows how many of them make a particle.",
            hint="Give its voxel spacing.",
        )
    frame = Frame.of(picks, volume.shape_zyx, volume.spacing_angstrom, origin_zyx)
    diameter, is_known = (diameter, True) if diameter is not None else _diameter_of(picks)
    grid = grid_for(volume, volume.spacing_angstrom, diameter)
    if len(picks) < MIN_PICKS:
        judgement = undecided(frame)
    else:
        contrast = read_contrast(volume, grid, diameter, stop=stop, progress=progress)
        if progress is not None:
            progress(0.95, "trying other ways to read the positions")
        judgement = judge_densities(contrast, frame, diameter, seed=seed, stop=stop)
    if progress is not None:
        progress(1.0, "done")
    return _findings(picks, frame, judgement, diameter, is_known, float(grid.spacing_zyx.max()), grid.level, stop)


def _findings(
    picks: Picks,
    frame: Frame,
    judgement: Judgement,
    diameter: float,
    diameter_is_known: bool,
    read_angstrom: float,
    level: int,
    stop: threading.Event | None,
) -> Findings:
    voxels, reach_zyx = frame.voxels_zyx, diameter / 2 / np.array(frame.spacing_zyx)
    places = voxels * frame.spacing_zyx
    near = np.empty(0, np.intp) if picks.is_cloud else duplicates(places, picks.scores, diameter, stop=stop)
    return Findings(
        picks=picks,
        frame=frame,
        judgement=judgement,
        diameter_angstrom=diameter,
        diameter_is_known=diameter_is_known,
        read_angstrom=read_angstrom,
        level=level,
        outside=np.flatnonzero(~are_inside(voxels, frame.shape_zyx)),
        edge=np.flatnonzero(at_edge(voxels, frame.shape_zyx, reach_zyx)),
        edge_by_chance=share_at_edge_by_chance(frame.shape_zyx, reach_zyx),
        duplicates=near,
        n_overlapping=len(duplicates(places, picks.scores, diameter / 2, stop=stop)) if len(near) else 0,
    )


def _diameter_of(picks: Picks) -> tuple[float, bool]:
    """The particle's diameter as the picks' object or file name says it, and whether it does."""
    about = picks.about
    name = about.get("object_name")
    if name is None and isinstance(about.get("source_url"), str):
        name = name_of(about["source_url"]).partition(".")[0].replace("_", " ")
    diameter = diameter_of_object(about.get("object_id"), name)
    return diameter, diameter != DEFAULT_DIAMETER_ANGSTROM
