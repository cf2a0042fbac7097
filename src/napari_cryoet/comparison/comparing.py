"""Compare any two annotations, and rank many by how well they agree with one reference."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.appearance.objects import object_key
from napari_cryoet.comparison.inputs import COMPARABLE, open_annotation
from napari_cryoet.comparison.masks import (
    MaskComparison,
    PicksInMask,
    compare_masks,
    compare_with_mask,
)
from napari_cryoet.comparison.match import METHODS, MatchMethod
from napari_cryoet.comparison.picks import PicksComparison, compare_picks
from napari_cryoet.comparison.report import (
    Comparison,
    Span,
    name_of_side,
    region_of,
    region_text,
    share_text,
)
from napari_cryoet.exceptions import ComparisonError, CryoETError, StoppedError, require_positive
from napari_cryoet.locations import Location, PathOrUrl
from napari_cryoet.picks import Picks
from napari_cryoet.portal import provenance
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.provenance import Provenance, plain_data
from napari_cryoet.records import AnnotationFile
from napari_cryoet.runs.outline import outline_run
from napari_cryoet.runs.runs import RunRecords
from napari_cryoet.task import UNWATCHED, Task, shows_progress, stoppable
from napari_cryoet.volumes import Mask
from napari_cryoet.wording import joined, plain

if TYPE_CHECKING:
    from pandas import DataFrame
Source = AnnotationFile | PathOrUrl | Picks | Mask

_SCORES: Final = ("precision", "recall", "f_score")


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
    warnings = require_one_frame(a, b, insist=insist)
    if any(region_angstrom):
        warnings.append(f"Only what lies within {region_text(region)} was compared.")
    return stoppable(lambda: work(region=region, task=task, warnings=warnings), task)


def require_one_frame(a: Picks | Mask, b: Picks | Mask, *, insist: bool) -> list[str]:
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


# ranking


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ranked:
    """One annotation of a `Ranking`.

    Attributes
    ----------
    name
        What to call it.
    about
        Its provenance.
    count
        Its picks that were compared; None for masks.
    comparison
        With the reference; None if that failed.
    why_not
        Why it wasn't compared.
    """

    name: str
    about: Provenance
    count: int | None = None
    comparison: Comparison | None = None
    why_not: str = ""

    @property
    def precision(self) -> float | None:
        """The share of its picks or voxels that are right."""
        return self._figure("precision", "share_inside")

    @property
    def recall(self) -> float | None:
        """The share of the reference that it found; None for picks in a mask."""
        return self._figure("recall")

    @property
    def f_score(self) -> float | None:
        """F-beta of picks, or Dice of masks, which is their F1."""
        return self._figure("f_beta", "dice")

    @property
    def texts(self) -> tuple[str, ...]:
        """Name, count, precision, recall, F and why it wasn't compared, as text."""
        values = (getattr(self, name) for name in _SCORES)
        scores = ("–" if value is None else share_text(value) for value in values)
        count = "–" if self.count is None else f"{self.count:,}"
        return self.name, count, *scores, self.why_not

    def _figure(self, *names: str) -> float | None:
        figures = {} if self.comparison is None else self.comparison.figures
        return next((figures[name] for name in names if name in figures), None)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ranking:
    """Annotations, best first; those without a score, or that couldn't be compared, come last."""

    reference: Picks | Mask
    settings: dict[str, Any]  # as given to `compare`
    rows: tuple[Ranked, ...]

    def to_dataframe(self) -> DataFrame:
        """One row for each annotation."""
        import pandas as pd

        return pd.DataFrame([_plain_row(rank, row) for rank, row in enumerate(self.rows, 1)])

    def to_dict(self) -> dict[str, Any]:
        """Convert to JSON-compatible data."""
        rows = [_plain_row(rank, row) for rank, row in enumerate(self.rows, 1)]
        reference = name_of_side(self.reference)
        report = {"reference": reference, "settings": self.settings, "annotations": rows}
        return dict(plain_data(report))


def _plain_row(rank: int, row: Ranked) -> dict[str, Any]:
    about = row.about
    return {
        "rank": rank,
        "name": row.name,
        "annotation_id": about.annotation_id,
        "annotation_file_id": about.annotation_file_id,
        "deposition_id": about.deposition_id,
        "method_type": about.method_type,
        "is_ground_truth": about.is_ground_truth,
        "count": row.count,
        **{name: getattr(row, name) for name in _SCORES},
        "why_not": row.why_not,
    }


@shows_progress
def rank_annotations(
    annotations: Iterable[Source],
    reference: Source,
    *,
    radius_angstrom: float | None = None,
    beta: float = 1.0,
    method: MatchMethod = "optimal",
    symmetry: str = "C1",
    iou_threshold: float = 0.5,
    region_angstrom: Sequence[Span] = (),
    spacing_angstrom: float | None = None,
    insist: bool = False,
    task: Task = UNWATCHED,
) -> Ranking:
    """Compare annotations with one reference, and sort them by F, else by precision.

    An annotation that can't be opened or compared keeps its row, with the reason.

    Parameters
    ----------
    annotations
        Records, paths, URLs, picks or masks; `rivals_of` lists those of the same object in a run.
    reference
        One of these that you trust.
    radius_angstrom
        The maximum distance between matching picks; by default half of the object's diameter.
    beta, method, symmetry, iou_threshold, region_angstrom, insist
        As for `compare`.
    spacing_angstrom
        The voxel spacing of files that don't state theirs.
    task
        Its progress, and Stop.

    Raises
    ------
    CryoETError
        If the reference can't be opened.
    StoppedError
        If ``task`` is stopped.
    """
    truth = _opened(reference, spacing_angstrom, task)
    about = truth.about
    half_diameter = diameter_angstrom(about.object_id, about.object_name) / 2
    settings = {
        "radius_angstrom": radius_angstrom or half_diameter,
        "beta": beta,
        "method": method,
        "symmetry": symmetry,
        "iou_threshold": iou_threshold,
        "region_angstrom": region_angstrom,
        "insist": insist,
    }
    sources = list(annotations)
    rows = []
    for number, source in enumerate(sources):
        part = task.part(number / len(sources), (number + 1) / len(sources))
        part.step(0, f"annotation {number + 1} of {len(sources)}")
        rows.append(_ranked(source, spacing_angstrom, truth, settings, part))
    return Ranking(reference=truth, settings=settings, rows=tuple(sorted(rows, key=_order)))


def rivals_of(records: RunRecords, reference: AnnotationFile) -> tuple[AnnotationFile, ...]:
    """The other annotations of a file's object in its run, one file each, of the same kind if there is one."""
    own = reference.annotation
    if own is None:
        return ()
    key = object_key(own.object_id, own.object_name)
    rivals: dict[int, list[AnnotationFile]] = {}
    for row in outline_run(records, None).rows():
        other = row.annotation
        usable = [file for file in row.files if file.format in COMPARABLE]
        is_same_object = object_key(other.object_id, other.object_name) == key
        if other.id != own.id and is_same_object and usable:
            rivals.setdefault(other.id, []).append(usable[0])

    def fitness(file: AnnotationFile) -> tuple[bool, ...]:
        return (
            (file.format == "ndjson") == (reference.format == "ndjson"),
            file.alignment_id == reference.alignment_id,
            file.tomogram_voxel_spacing_id == reference.tomogram_voxel_spacing_id,
        )

    return tuple(max(files, key=fitness) for files in rivals.values())


def rivals_at(reference: Source, *, task: Task = UNWATCHED) -> tuple[AnnotationFile, ...]:
    """Like `rivals_of`, from the portal that a reference is from; none if that is unknown."""
    about = _about_of(reference)
    if not about.source or about.run_id is None:
        return ()
    page = open_portal(about.source).run_page(about.run_id, task=task)
    files = (file for file in page.annotation_files if file.id == about.annotation_file_id)
    own = next(files, None)
    return () if own is None else rivals_of(page, own)


def _ranked(
    source: Source,
    spacing: float | None,
    truth: Picks | Mask,
    settings: dict[str, Any],
    task: Task,
) -> Ranked:
    about = _about_of(source)
    try:
        side = _opened(source, spacing, task)
        about = side.about
        found = compare(side, truth, **settings, task=task)
    except StoppedError:
        raise
    except CryoETError as error:
        return Ranked(name=_name_of(about), about=about, why_not=str(error))
    count = len(found.a) if isinstance(found.a, Picks) else None
    is_edited = isinstance(side, Picks) and bool(side.edits)
    name = joined(_name_of(about), "edited" if is_edited else "")
    return Ranked(name=name, about=about, count=count, comparison=found)


def _opened(source: Source, spacing: float | None, task: Task) -> Picks | Mask:
    if isinstance(source, Picks | Mask):
        return source
    known = None if isinstance(source, AnnotationFile) else spacing
    return open_annotation(source, spacing_angstrom=known, task=task)


def _about_of(source: Source) -> Provenance:
    """The provenance of an annotation that may not be opened yet."""
    if isinstance(source, Picks | Mask):
        return source.about
    if isinstance(source, AnnotationFile):
        return provenance.of_annotation_file(source, source.https_path, None)
    return Provenance.of_file("annotation", Location.of(source), None)


def _name_of(about: Provenance) -> str:
    """What tells an annotation from others of its object."""
    if about.annotation_id:
        method = "ground truth" if about.is_ground_truth else about.method_type
        return joined(f"AN-{about.annotation_id}", plain(method))
    if about.shown_name:
        return plain(about.shown_name)
    return plain(Location.of(about.source_url).name) if about.source_url else "annotation"


def _order(row: Ranked) -> tuple[bool, float, float]:
    f_score = row.f_score or 0.0
    return row.comparison is None, -f_score, -(row.precision or 0.0)
