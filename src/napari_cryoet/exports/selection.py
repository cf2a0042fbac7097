"""Select and name the runs, tomograms and annotation files of an export.

Names follow copick, which splits file names at ``_``, so ours contain none. The user of an
annotation is its author or program. Its session is ``ground-truth``, or else the method
(``automated``, ``manual``), so that one session selects the ground truth of a whole project.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import (
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count, repeat
from pathlib import Path
from typing import Any, Final, TypeVar

from napari_cryoet.appearance.colors import annotation_colors
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.appearance.objects import is_object, object_key
from napari_cryoet.basket.basket import SPLIT_NAMES, Basket
from napari_cryoet.basket.contents import Chosen, ask_basket_runs, choose, parts_of
from napari_cryoet.download.folder import read_manifest, with_local_files
from napari_cryoet.download.plan import plan_basket
from napari_cryoet.exceptions import CryoETError, EmptyPartError
from napari_cryoet.files import clean_name, refuse_existing
from napari_cryoet.formats import ndjson
from napari_cryoet.formats.common import MAX_FILE_BYTES
from napari_cryoet.locations import Location, path_to_write
from napari_cryoet.picks import Picks
from napari_cryoet.portal import provenance
from napari_cryoet.portal.portal import Portal, Source
from napari_cryoet.provenance import Provenance
from napari_cryoet.records import Annotation, AnnotationFile, Run, ShapeType, Tomogram
from napari_cryoet.runs.fit import Fit, fit, shape_zyx, spacing_angstrom
from napari_cryoet.runs.runs import Runs
from napari_cryoet.tables.database import Rows
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import fetch_file
from napari_cryoet.wording import count_text, joined, names_text

T = TypeVar("T")
U = TypeVar("U", "SelectedRun", "SelectedAnnotation")

SAME_SPACING: Final = 0.005  # relative difference of voxel sizes that count as equal
GROUND_TRUTH: Final = "ground-truth"
#: Shapes of points, then of masks. Of each, an export has one file of an annotation, the first in
#: this order.
_POINTS: Final = (ShapeType.ORIENTED_POINT, ShapeType.POINT, ShapeType.INSTANCE_SEGMENTATION)
_SHAPES: Final = (*_POINTS, ShapeType.SEGMENTATION_MASK, ShapeType.INSTANCE_SEGMENTATION_MASK)
_FORMATS: Final = ("ndjson", "zarr")
#: Characters that copick refuses in names (those of Windows, spaces, underscores), and separators.
_REFUSED: Final = re.compile(r'[<>:"/\\|?*\x00-\x20\x7f_+,;&-]+')
_DEFAULT_USER: Final = "portal"
_MAX_READS: Final = 8  # annotation files read concurrently


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """The result of an export."""

    path: Path
    n_runs: int
    n_volumes: int = 0
    n_picks: int = 0
    left_out: tuple[str, ...] = ()  # what is missing in the export, and why
    remarks: tuple[str, ...] = ()  # what differs from the portal or was chosen, and why

    @property
    def counts_text(self) -> str:
        """Counts as text, such as ``3 runs · 4 volumes · 1,200 picks``."""
        counts = ((self.n_runs, "run"), (self.n_volumes, "volume"), (self.n_picks, "pick"))
        return joined(*(count_text(count, noun) for count, noun in counts if count))


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedTomogram:
    """A tomogram in OME-Zarr; ``kind`` is its copick type, such as ``wbp-denoised-topaz``."""

    kind: str
    tomogram: Tomogram
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedRun:
    """A run with a unique name."""

    name: str
    run: Run
    split: str
    tomograms: tuple[SelectedTomogram, ...]
    all_tomograms: tuple[Tomogram, ...]  # also those not selected: they define the size of grids
    all_files: tuple[AnnotationFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedAnnotation:
    """An annotation file with points, a mask or instances."""

    run: SelectedRun
    user: str
    session: str
    object: str
    annotation: Annotation
    file: AnnotationFile
    shape: str
    spacing_angstrom: float

    @property
    def label(self) -> str:
        """Its display name, such as ``AN-9003 (ribosome of DEMO_001)``."""
        return f"AN-{self.annotation.id} ({self.object} of {self.run.name})"

    @property
    def about(self) -> Provenance:
        """Its provenance."""
        return provenance.of_annotation_file(self.file, self.file.https_path, self.spacing_angstrom)

    @property
    def is_points(self) -> bool:
        """Whether it has points, not a mask."""
        return self.shape in _POINTS

    @property
    def is_particles(self) -> bool:
        """Whether each point is a particle, not part of an instance."""
        return self.is_points and self.shape != ShapeType.INSTANCE_SEGMENTATION

    @property
    def is_instances(self) -> bool:
        """Whether it is a mask with instance labels."""
        return self.shape == ShapeType.INSTANCE_SEGMENTATION_MASK


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Selection:
    """The input of an export."""

    runs: tuple[SelectedRun, ...]
    annotations: tuple[SelectedAnnotation, ...]
    rows: Rows  # of these runs, for downloads
    source: Source
    first_level: int = 0  # the finest level of tomograms to export
    left_out: tuple[str, ...] = ()  # what can't be exported, and why
    differences: tuple[str, ...] = ()  # from when the basket was filled or locked, a line each
    remarks: tuple[str, ...] = ()  # what has other names than on the portal
    required_parts: tuple[str, ...] = ()  # those of the split that mustn't be empty

    def __repr__(self) -> str:
        n_tomograms = sum(len(run.tomograms) for run in self.runs)
        counts = joined(
            count_text(len(self.runs), "run"),
            count_text(n_tomograms, "tomogram"),
            count_text(len(self.annotations), "annotation"),
        )
        return f"<Selection of {self.source.label}: {counts}>"

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The objects in copick's configuration format, with labels 1, 2, 3… and distinct colours."""
        first: dict[str, Annotation] = {}
        for each in self.annotations:
            first.setdefault(each.object, each.annotation)
        colors = annotation_colors(first.values())
        particles = {each.object for each in self.annotations if each.is_particles}
        return [
            {
                "name": name,
                "is_particle": name in particles,
                "label": label,
                "color": [round(255 * value) for value in colors[annotation.id]],
                "radius": diameter_angstrom(annotation.object_id, annotation.object_name) / 2,
                "identifier": annotation.object_id or None,
            }
            for label, (name, annotation) in enumerate(sorted(first.items()), start=1)
        ]

    @property
    def splits(self) -> dict[str, list[str]]:
        """The names of the runs of each split."""
        names = dict.fromkeys(run.split for run in self.runs if run.split)
        return {name: [run.name for run in self.runs if run.split == name] for name in names}

    def require_parts(self, found: Container[str], what: str) -> None:
        """Raise `EmptyPartError` unless all required parts of the split are found."""
        empty = [part for part in self.required_parts if part not in found]
        if empty:
            raise EmptyPartError(
                f"The split has no {what} for {' and '.join(empty)}.",
                hint="Split the basket again, or allow empty parts.",
            )


def select_basket(
    basket: Basket,
    portal: Portal,
    *,
    folder: Path | None = None,
    task: Task = UNWATCHED,
    **options: Any,
) -> Selection:
    """Select the contents of a basket and its split for an export.

    Each annotation contributes one file of points, oriented ones first, and one mask, preferably
    with the tomogram's voxel spacing. Files that don't fit the run's tomogram are left out.

    Parameters
    ----------
    folder
        A folder that the basket was downloaded to: files that it has aren't fetched again.
    options
        ``object_names``: names such as "ribosome", each for all kinds of that object.
        ``tomogram_type``: one name for the tomograms of all runs. ``allow_empty``: whether a part
        of the split may have no runs.

    Raises
    ------
    EmptyPartError
        If a part of the split is empty.
    CryoETError
        If nothing is selected, or a name fits no object.
    """
    known = ask_basket_runs(portal, basket, task=task)
    plan = plan_basket(basket, known, portal)
    if folder is not None:
        rows = with_local_files(known.rows, folder, plan)
        known = Runs.of_rows(rows, portal.source.terms, portal.source.name)
    selection = select(basket, known, portal.source, **options)
    left_out = list(selection.left_out)
    if portal.source.kind == "pack":
        missing = read_manifest(Path(portal.source.location)).incomplete
        left_out += [f"{path}: its download isn't complete." for path in missing]
    return replace(selection, left_out=tuple(left_out), differences=plan.differences)


def select(
    basket: Basket,
    known: Runs,
    source: Source,
    *,
    object_names: Collection[str] = (),
    tomogram_type: str = "",
    allow_empty: bool = False,
) -> Selection:
    """Like `select_basket`, but from runs already fetched."""
    selected = choose(basket, known)
    chosen = selected.runs
    split = _parts(selected)
    runs: list[SelectedRun] = []
    annotations: list[SelectedAnnotation] = []
    left_out: list[str] = []
    objects = _ObjectNames(object_names)
    types = Counter[str]()
    names = _run_names([each.records.run for each in chosen])
    for each, name in zip(chosen, names, strict=True):
        tomograms = _exportable(each.tomograms, types, _plain_name(tomogram_type), left_out)
        run = SelectedRun(
            name=name,
            run=each.records.run,
            split=split.get(each.records.run.id, ""),
            tomograms=tuple(tomograms),
            all_tomograms=each.records.tomograms,
            all_files=each.records.annotation_files,
        )
        of_run = _annotations_of(run, each.annotation_files, objects, left_out)
        if run.tomograms or of_run:
            runs.append(run)
            annotations += of_run
    if not runs:
        raise CryoETError(
            "Nothing is selected to export.",
            hint="Choose runs that have annotations or a tomogram.",
        )
    objects.require_used()
    remarks = objects.remarks
    if tomogram_type:
        kinds = ", ".join(f"{kind} ({count})" for kind, count in types.most_common())
        remarks.append(f"All tomograms have the type {_plain_name(tomogram_type)}, for {kinds}.")
    shares = basket.split.shares if basket.split is not None and not allow_empty else (0, 0, 0)
    selection = Selection(
        runs=tuple(runs),
        annotations=tuple(annotations),
        rows=known.rows,
        source=source,
        first_level=basket.choices.level,
        left_out=tuple(left_out),
        remarks=tuple(remarks),
        required_parts=tuple(
            name for name, share in zip(SPLIT_NAMES, shares, strict=True) if share
        ),
    )
    selection.require_parts(selection.splits, "runs")
    return selection


# helpers of all exports


def folder_to_write(folder: str | Path, last: str, *, overwrite: bool) -> Path:
    """The absolute path of an export's folder.

    ExistsError if its last file exists and ``overwrite`` isn't set.
    """
    folder = path_to_write(folder)
    refuse_existing(folder / last, overwrite=overwrite)
    return folder


def best_particles(
    annotations: Iterable[SelectedAnnotation], remarks: list[str]
) -> list[SelectedAnnotation]:
    """One annotation with particles for each object and run; CryoETError if there are none."""
    particles = best_annotations([each for each in annotations if each.is_particles], remarks)
    if not particles:
        raise CryoETError(
            "There are no particles to export.", hint="Choose annotations that are points."
        )
    return particles


def best_annotations(
    annotations: Sequence[SelectedAnnotation], remarks: list[str]
) -> list[SelectedAnnotation]:
    """One annotation for each object and run.

    Ground truth is preferred, then what the curators recommend, then the first. Others are noted in
    ``remarks``.
    """
    best: dict[tuple[str, str], SelectedAnnotation] = {}
    for each in sorted(
        annotations,
        key=lambda each: (each.session != GROUND_TRUTH, not each.annotation.is_curator_recommended),
    ):
        taken = best.setdefault((each.run.name, each.object), each)
        if taken is not each:
            remarks.append(f"{each.label}: AN-{taken.annotation.id} is exported instead.")
    return [each for each in annotations if best[each.run.name, each.object] is each]


def map_concurrently(
    work: Callable[[U, Task], T],
    annotations: Sequence[U],
    task: Task,
) -> Iterator[tuple[U, T]]:
    """Call ``work`` on annotations or runs concurrently, and yield the results in order."""
    pool = ThreadPoolExecutor(_MAX_READS, thread_name_prefix="napari-cryoet-picks")
    try:
        results = pool.map(work, annotations, repeat(task))
        for number, (each, result) in enumerate(zip(annotations, results, strict=True)):
            task.step(number / len(annotations), f"picks of {each.run.name}")
            yield each, result
    finally:
        pool.shutdown(cancel_futures=True)


def annotations_of_run(run: SelectedRun) -> list[SelectedAnnotation]:
    """All annotations of a run that fit its tomogram, whether or not they are selected."""
    return _annotations_of(run, run.all_files, _ObjectNames(()), [])


def read_points(each: SelectedAnnotation, task: Task = UNWATCHED) -> Picks:
    """Read the picks of a local or remote file, with their grid and provenance."""
    location = Location.of(each.file.https_path)
    return ndjson.read_points(
        fetch_file(location, MAX_FILE_BYTES, task),
        location.name,
        each.spacing_angstrom,
        alignment_id=each.file.alignment_id,
        shape_zyx=shape_zyx(each.file, each.run.all_tomograms),
        about=each.about,
    )


def _parts(chosen: Chosen) -> Mapping[int, str]:
    """The part of each run in the basket's split; CryoETError if the split has another run."""
    split = chosen.basket.split
    if split is None:
        return {}
    unknown = split.of_runs.keys() - {each.records.run.id for each in chosen.runs}
    if unknown:
        names = names_text([f"RN-{run_id}" for run_id in sorted(unknown)])
        raise CryoETError(
            f"The split has runs that aren't in the basket, or were withdrawn: {names}.",
            hint="Split the basket again; other runs keep their part.",
        )
    return parts_of(split, chosen)


# helpers for one run


def _exportable(
    tomograms: Iterable[Tomogram], types: Counter[str], called: str, left_out: list[str]
) -> Iterator[SelectedTomogram]:
    """The tomograms that can be exported; others are noted in ``left_out``.

    Their types are ``called`` so, or as they were made, which is counted in ``types``.
    """
    taken: dict[float, set[str]] = defaultdict(set)
    for each in tomograms:
        if each.offset_x or each.offset_y or each.offset_z:
            left_out.append(
                f"Tomogram {each.id} is only a region of the volume that positions refer to."
            )
        elif not each.https_omezarr_dir:
            left_out.append(f"Tomogram {each.id} has no OME-Zarr.")
        else:
            words = (each.reconstruction_method, each.processing, each.processing_software)
            parts = [*map(_plain_name, words), "ctfdeconv" if each.ctf_corrected else ""]
            made = "-".join(filter(None, parts)).lower() or "tomogram"
            types[made] += 1
            kind = _unique(called or made, taken[each.voxel_spacing])
            yield SelectedTomogram(kind=kind, tomogram=each, url=each.https_omezarr_dir)


def _annotations_of(
    run: SelectedRun, files: Iterable[AnnotationFile], objects: _ObjectNames, left_out: list[str]
) -> list[SelectedAnnotation]:
    """One file of points and one mask for each annotation; others that don't fit are noted."""
    tomogram = next(iter([*(each.tomogram for each in run.tomograms), *run.all_tomograms]), None)
    ranked: dict[tuple[int, bool], list[tuple[Any, SelectedAnnotation]]] = defaultdict(list)
    reasons: dict[tuple[int, bool], str] = {}
    for file in files:
        annotation, shape = file.annotation, file.shape_type
        if annotation is None or shape not in _SHAPES or file.format not in _FORMATS:
            continue
        fits, spacing = (
            fit(file, tomogram) if tomogram else Fit("same"),
            spacing_angstrom(file, tomogram),
        )
        method = _plain_name(annotation.method_type).lower() or _DEFAULT_USER
        each = SelectedAnnotation(
            run=run,
            user=_user_of(annotation),
            session=GROUND_TRUTH if annotation.ground_truth_status else method,
            object=objects.name_of(annotation),
            annotation=annotation,
            file=file,
            shape=shape,
            spacing_angstrom=spacing or 0.0,
        )
        if spacing and fits.fits:
            rank = (_SHAPES.index(shape), fits.kind != "same", file.id)
            ranked[annotation.id, each.is_points].append((rank, each))
        else:
            reasons[annotation.id, each.is_points] = f"{each.label}: {fits.reason}"
    left_out += [reason for key, reason in sorted(reasons.items()) if key not in ranked]
    best = [min(several)[1] for _, several in sorted(ranked.items())]
    taken: dict[tuple[bool, str, str], set[str]] = defaultdict(set)
    return [
        replace(each, user=_unique(each.user, taken[each.is_points, each.session, each.object]))
        for each in best
    ]


# names


class _ObjectNames:
    """The names of objects in an export: the given ones for their kinds, else the portal's."""

    def __init__(self, given: Collection[str]) -> None:
        self._given = given
        self._by_key: dict[str, str] = {}
        self._portal_names: dict[str, dict[str, None]] = {name: {} for name in given}

    def name_of(self, annotation: Annotation) -> str:
        """The name of an annotation's object; the same for all annotations of an object."""
        portal_name = annotation.object_name
        object_id = annotation.object_id
        for given in self._given:
            if is_object(portal_name, given, object_id):
                self._portal_names[given][portal_name] = None
                return _plain_name(given).lower()
        name = _plain_name(portal_name).lower() or "object"
        return self._by_key.setdefault(object_key(object_id, portal_name), name)

    def require_used(self) -> None:
        """Raise `CryoETError` if a given name fits no object."""
        for given, found in self._portal_names.items():
            if not found:
                raise CryoETError(
                    f"No annotated object is a {given!r}.",
                    hint=f"The others are {', '.join(sorted(set(self._by_key.values())))}.",
                )

    @property
    def remarks(self) -> list[str]:
        """Which objects of the portal have a given name."""
        return [
            f"{', '.join(found)}: called {given}."
            for given, found in self._portal_names.items()
            if [*found] != [given]
        ]


def _run_names(runs: Sequence[Run]) -> list[str]:
    """The names of runs, with the dataset id before duplicate names."""
    names = [clean_name(run.name) for run in runs]
    counts = Counter(name.casefold() for name in names)
    return [
        name if counts[name.casefold()] == 1 else f"{run.dataset_id}-{name}"
        for name, run in zip(names, runs, strict=True)
    ]


def _plain_name(text: str | None) -> str:
    """A text made valid as part of a copick name; it may become empty.

    >>> _plain_name("Cytosolic ribosome"), _plain_name(" 70S_ribosome ")
    ('Cytosolic-ribosome', '70S-ribosome')
    """
    return _REFUSED.sub("-", text or "").strip("-.")


def _user_of(annotation: Annotation) -> str:
    """The program of an automated annotation, or else its first author."""
    authors = sorted(
        annotation.authors,
        key=lambda each: (not each.primary_author_status, each.author_list_order),
    )
    people = [_plain_name(author.name) for author in authors]
    program = _plain_name(annotation.annotation_software)
    names = [program, *people] if annotation.method_type == "automated" else [*people, program]
    return next(filter(None, names), _DEFAULT_USER)


def _unique(name: str, taken: set[str]) -> str:
    """Make a name unique with a number, and add it to ``taken``."""
    free = (
        name
        if name not in taken
        else next(each for n in count(2) if (each := f"{name}-{n}") not in taken)
    )
    taken.add(free)
    return free
