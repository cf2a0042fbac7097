"""What is exported: runs in order, with the chosen tomograms and annotation files of each, as records."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from napari_cryoet import provenance
from napari_cryoet.basket.basket import Basket
from napari_cryoet.basket.contents import ask_basket_rows, choose
from napari_cryoet.discovery.objects import concept_of, is_kind
from napari_cryoet.discovery.words import tokens
from napari_cryoet.download import Rows
from napari_cryoet.download.rows import Records
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.formats import ndjson
from napari_cryoet.formats.common import MAX_FILE_BYTES
from napari_cryoet.picks import Picks
from napari_cryoet.portal.portal import Portal, Source
from napari_cryoet.records import Annotation, AnnotationFile, Run, ShapeType, Tomogram
from napari_cryoet.run.fit import fit, shape_zyx, spacing_angstrom
from napari_cryoet.volumes import fetch_file, name_of

Row = Mapping[str, Any]

#: Shapes that are points and shapes that are masks; of each kind an export has one of an annotation, the first here.
POINTS: Final[tuple[str | None, ...]] = (ShapeType.ORIENTED_POINT, ShapeType.POINT, ShapeType.INSTANCE_SEGMENTATION)
MASKS: Final[tuple[str | None, ...]] = (ShapeType.SEGMENTATION_MASK, ShapeType.INSTANCE_SEGMENTATION_MASK)
_READS: Final = 8  # files at once
_FORMATS: Final = ("ndjson", "zarr")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedRun:
    """A run and what is exported of it; files know their annotation, and that its run and authors."""

    run: Run
    tomograms: tuple[Tomogram, ...]
    files: tuple[AnnotationFile, ...]
    all_tomograms: tuple[Tomogram, ...]  # chosen or not: they say how large grids are
    split: str = ""

    @property
    def points(self) -> tuple[AnnotationFile, ...]:
        """The files of points."""
        return tuple(file for file in self.files if shape_of(file) in POINTS)

    @property
    def masks(self) -> tuple[AnnotationFile, ...]:
        """The files of masks."""
        return tuple(file for file in self.files if shape_of(file) in MASKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What an export is made of."""

    runs: tuple[SelectedRun, ...]
    rows: Rows  # of these runs, for downloads
    source: Source
    first_level: int = 0  # of tomograms, the finest that a copy of them has
    left_out: tuple[str, ...] = ()  # what was chosen and can't be exported, and why


def select(
    rows: Rows,
    source: Source,
    *,
    objects: Collection[str] = (),
    ground_truth: bool = False,
    processing: str = "",
    tomogram_ids: Collection[int] | None = None,
    file_ids: Collection[int] | None = None,
    first_level: int = 0,
    split: Mapping[int, str] | None = None,
) -> Selection:
    """Choose what to export of some runs.

    Of each annotation, the best shape is taken: oriented points before plain ones, a mask beside them, and of several
    files that of the tomogram's own voxel spacing. Files that don't fit the run's tomogram are left out.

    Parameters
    ----------
    rows
        From `napari_cryoet.download.ask_rows`.
    source
        The portal's.
    objects
        Ids of objects, or words of their names; all by default.
    ground_truth
        Only annotations that are ground truth.
    processing
        Take each run's tomogram of this processing, such as ``"denoised"``; by default the one that is shown first.
    tomogram_ids, file_ids
        Among these: all of the tomograms, and the best annotation files.
    first_level
        Of tomograms that are copied, only the levels from this one on: half, a quarter... of the resolution.
    split
        The name of each run's split, such as ``"train"``, by run id.

    Raises
    ------
    CryoETError
        If nothing is left.
    """
    records, (tomograms, files) = Records(rows, source.terms), _ids_of_runs(rows)
    runs, left_out = [], list[str]()
    for row in rows["runs"]:
        run = records.run(row["id"])
        known = [records.tomogram(tomogram_id) for tomogram_id in tomograms[run.id]]
        known.sort(key=lambda each: (not each.is_visualization_default, each.id))
        chosen = _chosen_tomograms(known, processing, tomogram_ids, left_out)
        if not chosen and known and processing:
            left_out.append(f"{run.name} has no tomogram whose processing is {processing}.")
        wanted = [
            file
            for file in map(records.annotation_file, files[run.id])
            if (file_ids is None or file.id in file_ids)
            and (not ground_truth or annotation_of(file).ground_truth_status)
            and (not objects or any(_is_object(annotation_of(file), each) for each in objects))
        ]
        kept = _best(wanted, chosen or tuple(known), left_out)
        if chosen or kept:
            name = (split or {}).get(run.id, "")
            runs.append(SelectedRun(run=run, tomograms=chosen, files=kept, all_tomograms=tuple(known), split=name))
    if not runs:
        raise CryoETError("Nothing is selected to export.", hint="Choose runs that have annotations or a tomogram.")
    return Selection(runs=tuple(runs), rows=rows, source=source, first_level=first_level, left_out=tuple(left_out))


def select_basket(basket: Basket, portal: Portal, *, stop: threading.Event | None = None, **choice: Any) -> Selection:
    """What a basket means, with its split, to be exported.

    ``choice`` are further conditions: ``objects``, ``ground_truth`` and ``processing`` of `select`. Raises CryoETError
    if nothing is left, and what asking the portal raises.
    """
    rows = ask_basket_rows(portal, basket, stop=stop)
    chosen = choose(basket, rows)
    return select(
        rows,
        portal.source,
        tomogram_ids={row["id"] for row in chosen.tomograms},
        file_ids={row["id"] for row in chosen.annotation_files},
        first_level=basket.choices.first_level,
        split=basket.split.of_runs if basket.split is not None else None,
        **choice,
    )


def annotation_of(file: AnnotationFile) -> Annotation:
    """The annotation that a selected file shows."""
    assert file.shape is not None and file.shape.annotation is not None  # noqa: S101, PT018 - `select` fills both
    return file.shape.annotation


def shape_of(file: AnnotationFile) -> str | None:
    """How the annotation is drawn in a file."""
    return None if file.shape is None else file.shape.shape_type


def spacing_of(file: AnnotationFile) -> float:
    """The voxel spacing of a selected file's grid, in ångström."""
    spacing = spacing_angstrom(file)
    assert spacing is not None  # noqa: S101 - `select` leaves others out
    return spacing


def read_points(file: AnnotationFile, run: SelectedRun, *, stop: threading.Event | None = None) -> Picks:
    """Read the picks of a file, wherever it is, with the size of their grid and where they come from."""
    spacing = spacing_of(file)
    return ndjson.read_points(
        fetch_file(file.https_path, MAX_FILE_BYTES, stop),
        name_of(file.https_path),
        spacing,
        alignment_id=file.alignment_id,
        shape_zyx=shape_zyx(file, run.all_tomograms),
        about=provenance.of_annotation_file(file, file.https_path, spacing),
    )


def read_each(
    files: Iterable[tuple[AnnotationFile, SelectedRun]], *, stop: threading.Event | None = None
) -> Iterator[Picks]:
    """Read the picks of files in order, a few of them ahead."""
    pool = ThreadPoolExecutor(_READS, thread_name_prefix="napari-cryoet-picks")
    waiting: deque[Future[Picks]] = deque()
    try:
        for file, run in files:
            waiting.append(pool.submit(read_points, file, run, stop=stop))
            if len(waiting) > 2 * _READS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _is_object(annotation: Annotation, wanted: str) -> bool:
    """Whether an annotation is of an object: by its id, by what the table of objects knows, else by words."""
    if wanted.casefold() == annotation.object_id.casefold():
        return True
    concept = concept_of(wanted)
    if concept is not None:
        return is_kind(annotation.object_name, concept)
    words = set(tokens(wanted))
    return bool(words) and words <= set(tokens(annotation.object_name))


def _chosen_tomograms(
    known: Sequence[Tomogram], processing: str, ids: Collection[int] | None, left_out: list[str]
) -> tuple[Tomogram, ...]:
    """The tomograms that are meant; those that begin elsewhere, as downloaded regions do, are noted: picks don't."""
    fitting = [each for each in known if not processing or each.processing == processing]
    meant = fitting[:1] if ids is None else [each for each in fitting if each.id in ids]
    parts = [each for each in meant if each.offset_x or each.offset_y or each.offset_z]
    left_out += [f"Tomogram {each.id} is a region of the volume that positions are counted in." for each in parts]
    return tuple(each for each in meant if each not in parts)


def _best(
    files: Iterable[AnnotationFile], tomograms: Sequence[Tomogram], left_out: list[str]
) -> tuple[AnnotationFile, ...]:
    """One file of points and one of masks for each annotation; what doesn't fit the first tomogram is noted."""
    ranked: dict[tuple[int, bool], list[tuple[Any, AnnotationFile]]] = defaultdict(list)
    reasons: dict[tuple[int, bool], str] = {}
    for file in files:
        shape, annotation = shape_of(file), annotation_of(file)
        order = next((kind for kind in (POINTS, MASKS) if shape in kind), None)
        if order is None or file.format not in _FORMATS:
            continue
        key = annotation.id, order is MASKS
        fits = fit(file, tomograms[0]) if tomograms else None
        if spacing_angstrom(file) is None or (fits is not None and not fits.fits):
            reasons[key] = (
                f"AN-{annotation.id} ({annotation.object_name}): {fits.reason if fits else 'no voxel spacing.'}"
            )
            continue
        rank = (order.index(shape), fits is not None and fits.kind == "rescaled", file.id)
        ranked[key].append((rank, file))
    left_out += [reason for key, reason in sorted(reasons.items()) if key not in ranked]
    return tuple(min(found)[1] for _, found in sorted(ranked.items()))


def _ids_of_runs(rows: Rows) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """The ids of the tomograms, and of the annotation files, of each run."""
    tomograms, files = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
    for row in rows["tomograms"]:
        tomograms[row["runId"]].append(row["id"])
    run_of = {row["id"]: row["runId"] for row in rows["annotations"]}
    annotation_of_shape = {row["id"]: row["annotationId"] for row in rows["annotationShapes"]}
    for row in rows["annotationFiles"]:
        run_id = run_of.get(annotation_of_shape.get(row["annotationShapeId"]))
        if run_id is not None:
            files[run_id].append(row["id"])
    return tomograms, files
