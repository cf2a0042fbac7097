"""The rows of a run's page in order: annotations by object, those that fit the chosen tomogram first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from napari_cryoet.appearance.objects import object_key
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.records import (
    Annotation,
    AnnotationFile,
    AnnotationShape,
    IdentifiedObject,
    Tomogram,
)
from napari_cryoet.runs.fit import Fit, fit, is_caption, shape_text
from napari_cryoet.runs.runs import RunRecords, richest_shapes
from napari_cryoet.wording import count_text

#: The preferred formats to draw, best first.
_FORMAT_ORDER: Final = ("ndjson", "zarr", "mrc", "glb", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationRow:
    """One annotation shape at one voxel spacing and alignment, in all its formats."""

    annotation: Annotation
    shape: AnnotationShape | None = None
    files: tuple[AnnotationFile, ...] = ()  # one per format, the preferred first
    fit: Fit | None = None  # of the first file to the chosen tomogram, if both exist

    @property
    def key(self) -> tuple[int, ...]:
        """A key that stays the same when the run's page is fetched again."""
        return (self.annotation.id, *(file.id for file in self.files[:1]))

    @property
    def shown_file(self) -> AnnotationFile | None:
        """The file that *show* adds as a layer, or None if none can be drawn."""
        if (
            not self.files
            or (self.fit is not None and not self.fit.is_drawable)
            or self.caption_file is not None
        ):
            return None
        return self.files[0]

    @property
    def shape_type(self) -> str | None:
        """The shape type of the annotation shape."""
        return None if self.shape is None else self.shape.shape_type

    @property
    def caption_file(self) -> AnnotationFile | None:
        """The file whose text *show* opens, or None."""
        return next((file for file in self.files if is_caption(file)), None)

    @property
    def fits(self) -> bool:
        """Whether to draw it over the chosen tomogram without asking."""
        return self.fit is None or self.fit.kind in {"same", "rescaled", "text"}

    @property
    def reason(self) -> str:
        """Why it isn't shown, or a remark on how it is drawn; often empty."""
        if not self.files:
            return "The portal lists no file for this annotation."
        return self.fit.reason if self.fit is not None else ""

    @property
    def summary(self) -> str:
        """The count and kind: ``838 points``, ``795 oriented``."""
        return self.summary_of(self.annotation.object_count)

    def summary_of(self, count: int | None) -> str:
        """The same with another count, such as that of an edited version."""
        return "no shape" if self.shape_type is None else shape_text(self.shape_type, count)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectGroup:
    """The rows of one object, best first."""

    object_name: str
    object_id: str
    rows: tuple[AnnotationRow, ...]
    is_identified: bool = False  # also among the objects identified in the run


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutline:
    """A run's annotations as listed for one tomogram."""

    groups: tuple[ObjectGroup, ...]  # annotations that fit the tomogram or can't be drawn at all
    other_alignment: tuple[
        AnnotationRow, ...
    ]  # made on another alignment of the run, or on an unknown one
    identified_only: tuple[IdentifiedObject, ...] = ()  # identified in the run, not annotated

    def rows(self) -> Iterator[AnnotationRow]:
        """All rows, in the order of the page."""
        for group in self.groups:
            yield from group.rows
        yield from self.other_alignment

    def defaults(self) -> tuple[AnnotationFile, ...]:
        """The files shown by default on the portal that fit the tomogram."""
        shown = (row.shown_file for row in self.rows() if row.fits)
        return tuple(file for file in shown if file is not None and file.is_visualization_default)


def outline_run(page: RunRecords, tomogram: Tomogram | None) -> RunOutline:
    """All annotations of a run, sorted for one of its tomograms."""
    rows = [row for annotation in page.annotations for row in _rows_of(page, annotation, tomogram)]
    aligned = [row for row in rows if row.fit is None or not row.fit.is_unaligned]
    unaligned = [row for row in rows if row.fit is not None and row.fit.is_unaligned]
    identified = {
        object_key(each.object_id, each.object_name): each for each in page.identified_objects
    }
    annotated = {object_key(each.object_id, each.object_name) for each in page.annotations}
    return RunOutline(
        groups=_grouped(aligned, identified),
        other_alignment=tuple(sorted(unaligned, key=_row_order)),
        identified_only=tuple(each for key, each in identified.items() if key not in annotated),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositionShare:
    """The part of a run that belongs to one deposition."""

    id: int
    title: str
    tomogram_count: int = 0
    annotation_count: int = 0

    @property
    def text(self) -> str:
        """``1 tomogram, 3 annotations``; empty for a deposition with only the dataset."""
        counts = ((self.tomogram_count, "tomogram"), (self.annotation_count, "annotation"))
        return ", ".join(count_text(count, noun) for count, noun in counts if count)


def deposition_shares(page: RunRecords) -> tuple[DepositionShare, ...]:
    """The depositions of a run's data: that of its dataset first, then by their share."""
    dataset = page.run.dataset
    titles: dict[int, str] = {}
    for record in (dataset, *page.tomograms, *page.annotations):
        if record is not None and record.deposition_id is not None:
            title = record.deposition.title if record.deposition is not None else ""
            titles[record.deposition_id] = titles.get(record.deposition_id) or title
    tomograms = Counter(tomogram.deposition_id for tomogram in page.tomograms)
    annotations = Counter(annotation.deposition_id for annotation in page.annotations)
    shares = [
        DepositionShare(
            id=key, title=title, tomogram_count=tomograms[key], annotation_count=annotations[key]
        )
        for key, title in titles.items()
    ]
    own_id = None if dataset is None else dataset.deposition_id
    return tuple(
        sorted(shares, key=lambda s: (s.id != own_id, -s.tomogram_count, -s.annotation_count, s.id))
    )


def first_sight_bytes(tomogram: Tomogram) -> int:
    """Estimated bytes to fetch until the middle plane of a portal tomogram is sharp.

    For an MRC file that is one plane. Blocks of the portal's OME-Zarr hold two z planes of 256 x
    256 float32 voxels, and noise hardly compresses.
    """
    if not tomogram.https_omezarr_dir and tomogram.https_mrc_file:
        return 4 * tomogram.size_x * tomogram.size_y
    side_x, side_y = (-(-size // 256) * 256 for size in (tomogram.size_x, tomogram.size_y))
    two_planes = 2 * 4 * min(side_x * side_y, int(1.2 * tomogram.size_x * tomogram.size_y))
    return min(two_planes, int(tomogram.file_size_omezarr or two_planes))


def _rows_of(
    page: RunRecords, annotation: Annotation, tomogram: Tomogram | None
) -> Iterator[AnnotationRow]:
    shapes = page.shapes_of(annotation)
    if not shapes:
        yield AnnotationRow(annotation=annotation)
    for shape in shapes:
        files = page.files_of(shape)
        if not files:
            yield AnnotationRow(annotation=annotation, shape=shape)
        for _, group in groupby(sorted(files, key=_grid_key), key=_grid_key):
            ordered = tuple(sorted(group, key=_format_order))
            fitted = None if tomogram is None else fit(ordered[0], tomogram)
            yield AnnotationRow(annotation=annotation, shape=shape, files=ordered, fit=fitted)


def _grid_key(file: AnnotationFile) -> tuple[int, int]:
    return file.alignment_id or -1, file.tomogram_voxel_spacing_id or -1


def _format_order(file: AnnotationFile) -> tuple[int, int]:
    return (*_FORMAT_ORDER, file.format).index(file.format), file.id


def _grouped(rows: Iterable[AnnotationRow], identified: Container[str]) -> tuple[ObjectGroup, ...]:
    by_object: dict[tuple[str, str], list[AnnotationRow]] = {}
    for row in rows:
        by_object.setdefault((row.annotation.object_name, row.annotation.object_id), []).append(row)
    groups = [
        ObjectGroup(
            object_name=name,
            object_id=object_id,
            rows=tuple(sorted(rows, key=_row_order)),
            is_identified=object_key(object_id, name) in identified,
        )
        for (name, object_id), rows in by_object.items()
    ]
    return tuple(
        sorted(
            groups, key=lambda group: (_row_order(group.rows[0])[:4], group.object_name.casefold())
        )
    )


def _row_order(row: AnnotationRow) -> tuple[bool, bool, bool, bool, bool, int, int]:
    annotation = row.annotation
    return (
        row.shown_file is None and row.caption_file is None,
        row.caption_file is not None,
        not annotation.is_curator_recommended,
        not annotation.ground_truth_status,
        row.fit is not None and row.fit.kind == "rescaled",
        -(annotation.object_count or 0),
        annotation.id,
    )


# annotations chosen by id


def chosen_files(
    page: RunRecords,
    tomogram: Tomogram,
    which: str | tuple[int, ...],
    *,
    with_unaligned: bool = False,
) -> tuple[AnnotationFile, ...]:
    """The annotation files to show over a tomogram; of the shapes of an annotation, the richest.

    Raises
    ------
    CryoETError
        If a chosen annotation doesn't exist or can't be shown over this tomogram.
    """
    outline = outline_run(page, tomogram)
    if which == "none":
        return ()
    if which == "default":
        return outline.defaults()
    rows = tuple(outline.rows())
    shown = _richest(
        [row for row in rows if row.shown_file is not None and (row.fits or with_unaligned)]
    )
    if which != "all":
        for annotation_id in which:
            if annotation_id not in {row.annotation.id for row in shown}:
                raise _not_shown(
                    page,
                    int(annotation_id),
                    [row for row in rows if row.annotation.id == annotation_id],
                )
        shown = [row for row in shown if row.annotation.id in which]
    return tuple(row.shown_file for row in shown if row.shown_file is not None)


def _richest(rows: list[AnnotationRow]) -> list[AnnotationRow]:
    """Leave out shapes if another of the same annotation says more."""
    shapes = [row.shape for row in rows if row.shape is not None]
    richest = {shape.id for shape in richest_shapes(shapes)}
    return [row for row in rows if row.shape is not None and row.shape.id in richest]


def _not_shown(page: RunRecords, annotation_id: int, rows: list[AnnotationRow]) -> CryoETError:
    if not rows:
        return CryoETError(f"Run {page.run.name} has no annotation {annotation_id}.")
    could_be = any(row.shown_file is not None for row in rows)
    hint = "Use --unaligned to show it anyway, out of place." if could_be else ""
    return CryoETError(f"Annotation {annotation_id} can't be shown: {rows[0].reason}", hint=hint)
