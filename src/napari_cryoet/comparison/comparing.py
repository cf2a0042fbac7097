"""Compare any two annotations."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import partial

import numpy as np

from napari_cryoet.comparison.masks import Mask, MaskComparison, PicksInMask, compare_masks, compare_with_mask
from napari_cryoet.comparison.match import METHODS, Method
from napari_cryoet.comparison.picks import PicksComparison, compare_picks
from napari_cryoet.exceptions import ComparisonError, raise_if_stopped, stoppable
from napari_cryoet.picks import Picks


def compare(
    a: Picks | Mask,
    b: Picks | Mask,
    *,
    radius_angstrom: float | None = None,
    beta: float = 1.0,
    method: Method = "optimal",
    symmetry: str = "C1",
    iou_threshold: float = 0.5,
    insist: bool = False,
    progress: Callable[[float], None] = lambda _share: None,
    stop: threading.Event | None = None,
) -> PicksComparison | PicksInMask | MaskComparison:
    """Compare an annotation with a reference. All lengths are in ångström, so voxel spacings may differ.

    Picks are matched with picks one to one. Against a mask, picks inside are counted, and the distance of each from the
    surface is measured. Masks are compared voxel by voxel and object by object.

    Parameters
    ----------
    a, b
        What is judged, and the reference, such as a ground truth.
    radius_angstrom
        How far apart two picks of the same particle may be. Half of the particle's diameter is a common choice.
    beta
        How many times as important recall is as precision in F-beta; the CZII challenge (2024) took 4.
    method
        ``"optimal"``: as many matches as possible, and among these choices one with the smallest sum of distances.
        ``"greedy"``: the nearest pair first, then the nearest of the rest.
    symmetry
        ``"C1"``, ``"C2"``, ...: how many times a particle looks the same in one turn about its z axis.
    iou_threshold
        The least intersection over union of two objects of masks that match.
    insist
        Compare annotations of different alignments or runs anyway.
    progress
        Called with the share that is done, maybe from another thread.
    stop
        Set it to end the work.

    Raises
    ------
    ComparisonError
        If the two can't be compared.
    StoppedError
        When ``stop`` is set.
    ValueError
        If radius, beta, method, symmetry or threshold make no sense.
    """
    fold = re.fullmatch("[Cc]([1-9][0-9]{0,2})", symmetry)
    if fold is None:
        raise ValueError(f"symmetry must be C1, C2, C3, …, not {symmetry!r}")
    if not 0 < beta <= 1e6:
        raise ValueError(f"beta must be a positive number, not {beta}")
    if not 0 < iou_threshold <= 1:
        raise ValueError(f"an intersection over union is between 0 and 1, not {iou_threshold}")
    if method not in METHODS:
        raise ValueError(f"matching is {' or '.join(METHODS)}, not {method!r}")
    if radius_angstrom is not None and not 0 < radius_angstrom < np.inf:
        raise ValueError(f"the radius must be a positive number of ångström, not {radius_angstrom}")

    def step(share: float) -> None:
        raise_if_stopped(stop)
        progress(share)

    work: Callable[..., PicksComparison | PicksInMask | MaskComparison]
    match a, b:
        case Picks(), Picks():
            if radius_angstrom is None:
                raise ComparisonError("How far apart may two picks of one particle be?", hint="Give a radius.")
            radius = float(radius_angstrom)
            work = partial(compare_picks, a, b, radius_angstrom=radius, beta=beta, method=method, fold=int(fold[1]))
        case Picks(), Mask():
            work = partial(compare_with_mask, a, b)
        case Mask(), Mask():
            work = partial(compare_masks, a, b, beta=beta, iou_threshold=iou_threshold)
        case Mask(), Picks():
            hint = "Let the picks be A, and the mask B."
            raise ComparisonError("Picks can't be the reference for a mask.", hint=hint)
        case _:
            raise TypeError("a and b must be Picks or Masks; open_annotation makes one of a file")
    notes = _require_one_frame(a, b, insist=insist)
    return stoppable(lambda: work(step=step, notes=notes), stop)


def _require_one_frame(a: Picks | Mask, b: Picks | Mask, *, insist: bool) -> list[str]:
    """Refuse sides whose positions don't fit each other; notes on those that may."""
    for letter, side in (("A", a), ("B", b)):
        if side.spacing_angstrom is None:
            raise ComparisonError(f"How wide the voxels of {letter} are is unknown.", hint="Give the voxel spacing.")
    notes = []
    for what, id_a, id_b in (
        ("run RN", a.about.get("run_id"), b.about.get("run_id")),
        ("alignment AL", a.alignment_id, b.alignment_id),
    ):
        if isinstance(id_a, int) and isinstance(id_b, int) and id_a != id_b:
            differ = f"A belongs to {what}-{id_a} and B to {what}-{id_b}"
            if not insist:
                raise ComparisonError(f"{differ}, so positions don't fit.", hint="Insist to compare them anyway.")
            notes.append(f"{differ}: compared because you insisted.")
    if (a.alignment_id is None) != (b.alignment_id is None):
        unknown, known = ("A", b.alignment_id) if a.alignment_id is None else ("B", a.alignment_id)
        notes.append(f"The alignment of {unknown} is unknown; AL-{known} was assumed.")
    return notes
