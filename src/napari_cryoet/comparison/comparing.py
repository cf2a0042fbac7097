"""Compare any two annotations."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from napari_cryoet.comparison.masks import (
    MaskComparison,
    PicksInMask,
    compare_masks,
    compare_with_mask,
)
from napari_cryoet.comparison.match import METHODS, MatchMethod
from napari_cryoet.comparison.picks import PicksComparison, compare_picks
from napari_cryoet.comparison.report import Span, region_of, region_text
from napari_cryoet.exceptions import ComparisonError, require_positive
from napari_cryoet.picks import Picks
from napari_cryoet.task import UNWATCHED, Task, shows_progress, stoppable
from napari_cryoet.volumes import Mask


@shows_progress
def compare(
    a: Picks | Mask,
    b: Picks | Mask,
    *,
    radius_angstrom: float | None = None,
    beta: float = 1.0,
    method: MatchMethod = "optimal",
    symmetry: str = "C1",
    iou_threshold: float = 0.5,
    region_angstrom: Sequence[Span] = (),
    insist: bool = False,
    task: Task = UNWATCHED,
) -> PicksComparison | PicksInMask | MaskComparison:
    """Compare an annotation with a reference. All lengths are in ångström, so voxel spacings may differ.

    Picks are matched one to one with picks. For picks and a mask, counts those inside and measures
    the distance of each to the surface. Masks are compared by voxel and by object.

    Parameters
    ----------
    a, b
        The annotation to evaluate, and the reference, such as a ground truth.
    radius_angstrom
        The maximum distance between matching picks. Half the particle's diameter is a common choice.
    beta
        The weight of recall relative to precision in F-beta; the CZII challenge (2024) used 4.
    method
        ``"optimal"``: the largest number of matches, with the smallest sum of distances.
        ``"greedy"``: the nearest pair first, then the nearest of the rest.
    symmetry
        The particle's rotational symmetry about its z axis: ``"C1"``, ``"C2"``, ...
    iou_threshold
        The minimum intersection over union for objects of masks to match.
    region_angstrom
        Compare only this part: start and end along z, y and x, None for a whole axis. ``[(200, 800)]``
        is a slab in z.
    insist
        Compare annotations even if their alignments or runs differ.
    task
        Its progress, and Stop.

    Raises
    ------
    ComparisonError
        If the two can't be compared.
    StoppedError
        If ``task`` is stopped.
    ValueError
        If radius, beta, method, symmetry or threshold are invalid.
    """
    fold = re.fullmatch("[Cc]([1-9][0-9]{0,2})", str(symmetry))
    if fold is None:
        raise ValueError(f"symmetry must be C1, C2, C3, …, not {symmetry!r}")
    require_positive("beta", beta, most=1e6)
    require_positive("iou_threshold", iou_threshold, most=1)
    if method not in METHODS:
        raise ValueError(f"method must be {' or '.join(METHODS)}, not {method!r}")
    if radius_angstrom is not None:
        require_positive("radius_angstrom", radius_angstrom)

    region = region_of(region_angstrom)
    work: Callable[..., PicksComparison | PicksInMask | MaskComparison]
    match a, b:
        case Picks(), Picks():
            if radius_angstrom is None:
                raise ComparisonError(
                    "Picks can't be matched without a radius.", hint="Give a radius."
                )
            radius = float(radius_angstrom)
            work = partial(
                compare_picks,
                a,
                b,
                radius_angstrom=radius,
                beta=beta,
                method=method,
                fold=int(fold[1]),
            )
        case Picks(), Mask():
            work = partial(compare_with_mask, a, b)
        case Mask(), Mask():
            work = partial(compare_masks, a, b, beta=beta, iou_threshold=iou_threshold)
        case Mask(), Picks():
            hint = "Use the picks as A and the mask as B."
            raise ComparisonError("Picks can't be the reference for a mask.", hint=hint)
        case _:
            kinds = " and ".join(type(side).__name__ for side in (a, b))
            raise TypeError(
                f"a and b must be Picks or Masks, not {kinds}; open_annotation opens a file"
            )
    warnings = _require_one_frame(a, b, insist=insist)
    if any(region_angstrom):
        warnings.append(f"Only what lies within {region_text(region)} was compared.")
    return stoppable(lambda: work(region=region, task=task, warnings=warnings), task)


def _require_one_frame(a: Picks | Mask, b: Picks | Mask, *, insist: bool) -> list[str]:
    """Refuse annotations in different frames; return warnings on those whose frame is uncertain."""
    for letter, side in (("A", a), ("B", b)):
        if side.spacing_angstrom is None:
            raise ComparisonError(
                f"The voxel spacing of {letter} is unknown.", hint="Give the voxel spacing."
            )
    warnings = []
    for label, id_a, id_b in (
        ("run RN", a.about.run_id, b.about.run_id),
        ("alignment AL", a.alignment_id, b.alignment_id),
    ):
        if isinstance(id_a, int) and isinstance(id_b, int) and id_a != id_b:
            difference = f"A belongs to {label}-{id_a} and B to {label}-{id_b}"
            if not insist:
                raise ComparisonError(
                    f"{difference}, so positions don't match.",
                    hint="Insist to compare them anyway.",
                )
            warnings.append(f"{difference}: compared because you insisted.")
    if (a.alignment_id is None) != (b.alignment_id is None):
        unknown, known = ("A", b.alignment_id) if a.alignment_id is None else ("B", a.alignment_id)
        warnings.append(f"The alignment of {unknown} is unknown; AL-{known} was assumed.")
    return warnings
