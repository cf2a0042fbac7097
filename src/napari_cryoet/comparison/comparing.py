"""One question for any two annotations: how far they agree."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import overload

from napari_cryoet.comparison.mask import Mask
from napari_cryoet.comparison.masks import MaskComparison, compare_masks
from napari_cryoet.comparison.matching import Method
from napari_cryoet.comparison.picks_against_mask import PicksInMask, compare_with_mask
from napari_cryoet.comparison.picks_against_picks import PicksComparison, compare_picks
from napari_cryoet.exceptions import ComparisonError
from napari_cryoet.expecting import expect
from napari_cryoet.picks import Picks


def _nothing(_share: float) -> None:
    """Tell nobody how far it is."""


@overload
def compare(
    a: Picks,
    b: Picks,
    *,
    radius_angstrom: float,
    beta: float = ...,
    method: Method = ...,
    symmetry: str = ...,
    insist: bool = ...,
    progress: Callable[[float], None] = ...,
    stop: threading.Event | None = ...,
) -> PicksComparison: ...
@overload
def compare(
    a: Picks,
    b: Mask,
    *,
    insist: bool = ...,
    progress: Callable[[float], None] = ...,
    stop: threading.Event | None = ...,
) -> PicksInMask: ...
@overload
def compare(
    a: Mask,
    b: Mask,
    *,
    beta: float = ...,
    iou_threshold: float = ...,
    insist: bool = ...,
    progress: Callable[[float], None] = ...,
    stop: threading.Event | None = ...,
) -> MaskComparison: ...
@overload
def compare(
    a: Picks | Mask,
    b: Picks | Mask,
    *,
    radius_angstrom: float | None = ...,
    beta: float = ...,
    method: Method = ...,
    symmetry: str = ...,
    iou_threshold: float = ...,
    insist: bool = ...,
    progress: Callable[[float], None] = ...,
    stop: threading.Event | None = ...,
) -> PicksComparison | PicksInMask | MaskComparison: ...
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
    progress: Callable[[float], None] = _nothing,
    stop: threading.Event | None = None,
) -> PicksComparison | PicksInMask | MaskComparison:
    """Compare an annotation with another one, the reference; in ångström, so that voxel spacings may differ.

    Picks are matched one to one with picks. Against a mask, it is counted how many lie inside and measured how far
    each is from the surface. Masks are compared voxel by voxel and object by object.

    Parameters
    ----------
    a, b
        What is judged, and the reference, such as a ground truth.
    radius_angstrom
        How far apart two picks may be to be the same; half of the particle's diameter is a common choice.
    beta
        How many times as important recall is as precision in F-beta; 4 is what the CZII challenge (2024) took.
    method
        ``"optimal"``: as many matches as there can be, and of all such choices one of the least total distance.
        ``"greedy"``: the nearest two first, then the nearest two of the rest.
    symmetry
        ``"C1"``, ``"C2"``, ...: how often a particle looks the same in one turn about its z axis.
    iou_threshold
        From which intersection over union on two objects of masks are the same.
    insist
        Compare also what was made on different alignments or runs.
    progress
        Told the share that is done.
    stop
        Set by whoever no longer wants the answer.

    Raises
    ------
    ComparisonError
        If the two can't be compared, in words that say why.
    StoppedError
        When ``stop`` is set.
    ValueError
        If radius, beta, method, symmetry or threshold are no such thing.
    """
    for name, side in (("a", a), ("b", b)):
        expect(side, (Picks, Mask), name, "open_annotation makes one of a file or a record.")
    if isinstance(a, Picks) and isinstance(b, Picks):
        if radius_angstrom is None:
            raise ComparisonError("Nothing says how far apart two picks may be to be the same.", hint="Give a radius.")
        return compare_picks(
            a,
            b,
            radius_angstrom=radius_angstrom,
            beta=beta,
            method=method,
            symmetry=symmetry,
            insist=insist,
            progress=progress,
            stop=stop,
        )
    if isinstance(a, Picks) and isinstance(b, Mask):
        return compare_with_mask(a, b, insist=insist, progress=progress, stop=stop)
    if isinstance(a, Mask) and isinstance(b, Mask):
        return compare_masks(a, b, beta=beta, iou_threshold=iou_threshold, insist=insist, progress=progress, stop=stop)
    raise ComparisonError("A mask can't be judged by picks.", hint="Let the picks be A, and the mask B.")
