"""Rank annotations by how well they agree with one reference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.appearance.objects import object_key
from napari_cryoet.comparison.comparing import compare
from napari_cryoet.comparison.inputs import COMPARABLE, open_annotation
from napari_cryoet.comparison.match import MatchMethod
from napari_cryoet.comparison.report import Comparison, Span, name_of_side, share_text
from napari_cryoet.exceptions import CryoETError, StoppedError
from napari_cryoet.locations import Location, PathOrUrl
from napari_cryoet.picks import Picks
from napari_cryoet.portal import provenance
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.provenance import Provenance, plain_data
from napari_cryoet.records import AnnotationFile
from napari_cryoet.runs.outline import outline_run
from napari_cryoet.runs.runs import RunRecords
from napari_cryoet.task import UNWATCHED, Task, shows_progress
from napari_cryoet.volumes import Mask
from napari_cryoet.wording import joined, plain

if TYPE_CHECKING:
    from pandas import DataFrame

Source = AnnotationFile | PathOrUrl | Picks | Mask

_SCORES: Final = ("precision", "recall", "f_score")


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
