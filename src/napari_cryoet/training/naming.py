"""What runs, objects, tomograms and annotations of a selection are called in a copick project.

copick takes file names apart at ``_``, so none of our names holds one. Names are for people: an annotation is called by
who made it, an author or a program, and its session is ``ground-truth``, or else how it was made (``automated``,
``manual``), so one session picks the ground truth of a whole project.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from napari_cryoet import provenance
from napari_cryoet.appearance.colors import annotation_colors, object_key
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.download.plan import clean_name
from napari_cryoet.records import Annotation, AnnotationFile, ShapeType, Tomogram
from napari_cryoet.training.selection import POINTS, SelectedRun, Selection, annotation_of, shape_of, spacing_of

GROUND_TRUTH: Final = "ground-truth"
#: What copick refuses in a name (what Windows does, spaces, and the underscore), and signs between words.
_REFUSED: Final = re.compile(r'[<>:"/\\|?*\x00-\x20\x7f_+,;&-]+')
_NOBODY: Final = "portal"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedObject:
    """An object, with the label that stands for it in masks of several objects; 1, 2, 3..."""

    name: str
    label: int
    identifier: str
    color: tuple[int, int, int, int]  # red, green, blue, opacity; 0 to 255
    radius_angstrom: float
    is_particle: bool  # whether any annotation marks particles of it; else it is only outlined


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTomogram:
    """A tomogram; ``kind`` is copick's type of it, such as ``wbp-denoised-topaz``."""

    run: str
    kind: str
    tomogram: Tomogram

    def path(self, first_level: int = 0) -> str:
        """Where copick looks for it, or for its levels from one on, below the root of its project."""
        spacing = self.tomogram.voxel_spacing * 2**first_level
        return f"ExperimentRuns/{self.run}/VoxelSpacing{spacing:.3f}/{self.kind}.zarr"

    @property
    def url(self) -> str:
        """Where its OME-Zarr is."""
        return self.tomogram.https_omezarr_dir or ""

    @property
    def about(self) -> dict[str, Any]:
        """Where it comes from."""
        return provenance.of_tomogram(self.tomogram, self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedAnnotation:
    """An annotation file: points, a mask, or instances."""

    run: str
    user: str
    session: str
    object: str
    file: AnnotationFile
    selected: SelectedRun

    @property
    def path(self) -> str:
        """Where copick looks for it, below the root of its project."""
        name = f"{self.user}_{self.session}_{self.object}"
        if self.is_points:
            return f"ExperimentRuns/{self.run}/Picks/{name}.json"
        folder = "InstanceSegmentations" if self.is_instances else "Segmentations"
        return f"ExperimentRuns/{self.run}/{folder}/{spacing_of(self.file):.3f}_{name}.zarr"

    @property
    def url(self) -> str:
        """Where the file is."""
        return self.file.https_path

    @property
    def about(self) -> dict[str, Any]:
        """Where it comes from."""
        return provenance.of_annotation_file(self.file, self.url, spacing_of(self.file))

    @property
    def is_points(self) -> bool:
        """Whether it is picks; else it is a mask."""
        return shape_of(self.file) in POINTS

    @property
    def is_particles(self) -> bool:
        """Whether each point is a particle, and not one of many that outline an instance."""
        return shape_of(self.file) in {ShapeType.POINT, ShapeType.ORIENTED_POINT}

    @property
    def is_instances(self) -> bool:
        """Whether it is a mask that tells instances apart."""
        return shape_of(self.file) == ShapeType.INSTANCE_SEGMENTATION_MASK


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Everything in a project, by name."""

    runs: tuple[tuple[str, SelectedRun], ...]
    objects: tuple[NamedObject, ...]
    tomograms: tuple[NamedTomogram, ...]
    annotations: tuple[NamedAnnotation, ...]

    @property
    def splits(self) -> dict[str, list[str]]:
        """The names of the runs of each split."""
        found: dict[str, list[str]] = {}
        for name, run in self.runs:
            if run.split:
                found.setdefault(run.split, []).append(name)
        return found


def name_all(selection: Selection) -> Names:
    """Name everything that is selected, the same way every time."""
    runs = tuple(zip(run_names(selection.runs), selection.runs, strict=True))
    object_names = _object_names(selection.runs)
    annotations = [named for name, run in runs for named in _named_annotations(name, run, object_names)]
    return Names(
        runs=runs,
        objects=tuple(_named_objects(annotations)),
        tomograms=tuple(named for name, run in runs for named in _named_tomograms(name, run)),
        annotations=tuple(annotations),
    )


def one_each(annotations: Iterable[NamedAnnotation], left_out: list[str]) -> list[NamedAnnotation]:
    """One annotation of each object in a run: ground truth, else recommended, else the first; others are noted."""
    found: dict[tuple[str, str], list[NamedAnnotation]] = defaultdict(list)
    for named in annotations:
        found[named.run, named.object].append(named)
    chosen = []
    for (run, name), several in found.items():
        order = [
            (named.session != GROUND_TRUTH, not annotation_of(named.file).is_curator_recommended, at)
            for at, named in enumerate(several)
        ]
        best = several[min(order)[-1]]
        chosen.append(best)
        taken = annotation_of(best.file).id
        left_out += [
            f"AN-{annotation_of(named.file).id} ({name} of {run}): AN-{taken} is taken."
            for named in several
            if named is not best
        ]
    return chosen


def run_names(runs: Sequence[SelectedRun]) -> list[str]:
    """The runs' own names; with the dataset before those that several have."""
    names = [clean_name(run.run.name) for run in runs]
    counts = Counter(name.casefold() for name in names)
    return [
        name if counts[name.casefold()] == 1 else f"{run.run.dataset_id}-{name}"
        for name, run in zip(names, runs, strict=True)
    ]


def plain_name(text: str | None) -> str:
    """A text as a part of copick's names; empty if nothing is left.

    >>> plain_name("Cytosolic ribosome"), plain_name(" 70S_ribosome ")
    ('Cytosolic-ribosome', '70S-ribosome')
    """
    return _REFUSED.sub("-", text or "").strip("-.")


def _key_of(annotation: Annotation) -> str:
    return object_key(annotation.object_id, annotation.object_name)


def _object_names(runs: Iterable[SelectedRun]) -> dict[str, str]:
    """What each object is called, by its key: the name that most of its annotations have."""
    counts = Counter(
        (_key_of(annotation_of(file)), plain_name(annotation_of(file).object_name).lower() or "object")
        for run in runs
        for file in run.files
    )
    names: dict[str, str] = {}
    for (key, name), _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        names.setdefault(key, name)
    return names


def _named_objects(annotations: Sequence[NamedAnnotation]) -> Iterable[NamedObject]:
    first: dict[str, Annotation] = {}
    for named in annotations:
        first.setdefault(named.object, annotation_of(named.file))
    colors = annotation_colors(first.values())
    particles = {named.object for named in annotations if named.is_particles}
    for label, (name, annotation) in enumerate(sorted(first.items()), start=1):
        red, green, blue, opacity = (round(255 * share) for share in colors[annotation.id])
        yield NamedObject(
            name=name,
            label=label,
            identifier=annotation.object_id,
            color=(red, green, blue, opacity),
            radius_angstrom=diameter_angstrom(annotation.object_id, annotation.object_name) / 2,
            is_particle=name in particles,
        )


def _named_tomograms(run: str, selected: SelectedRun) -> Iterable[NamedTomogram]:
    taken: set[tuple[float, str]] = set()
    for tomogram in selected.tomograms:
        kind = _free(_kind_of(tomogram), {name for at, name in taken if at == tomogram.voxel_spacing})
        taken.add((tomogram.voxel_spacing, kind))
        yield NamedTomogram(run=run, kind=kind, tomogram=tomogram)


def _kind_of(tomogram: Tomogram) -> str:
    """The type of a tomogram as copick calls those of the portal."""
    words = (tomogram.reconstruction_method, tomogram.processing, tomogram.processing_software)
    parts = [_camel(word) for word in words if word and plain_name(word)]
    return "-".join([*parts, *(["ctfdeconv"] if tomogram.ctf_corrected else [])]) or "tomogram"


def _camel(words: str) -> str:
    """As copick does: each word with a capital but for the first letter."""
    joined = plain_name(re.sub("[_-]+", " ", words).title().replace(" ", ""))
    return joined[:1].lower() + joined[1:]


def _named_annotations(run: str, selected: SelectedRun, object_names: dict[str, str]) -> Iterable[NamedAnnotation]:
    taken: dict[tuple[bool, str, str], set[str]] = defaultdict(set)
    for file in selected.files:
        annotation = annotation_of(file)
        name, session, is_points = object_names[_key_of(annotation)], _session_of(annotation), shape_of(file) in POINTS
        users = taken[is_points, session, name]
        user = _free(_user_of(annotation), users)
        users.add(user)
        yield NamedAnnotation(run=run, user=user, session=session, object=name, file=file, selected=selected)


def _session_of(annotation: Annotation) -> str:
    if annotation.ground_truth_status:
        return GROUND_TRUTH
    return plain_name(annotation.method_type).lower() or _NOBODY


def _user_of(annotation: Annotation) -> str:
    """The program that made it where nobody looked at it, else its first author."""
    authors = sorted(annotation.authors, key=lambda each: (not each.primary_author_status, each.author_list_order))
    people = [plain_name(author.name) for author in authors]
    program = plain_name(annotation.annotation_software)
    names = [program, *people] if annotation.method_type == "automated" else [*people, program]
    return next(filter(None, names), _NOBODY)


def _free(name: str, taken: Collection[str]) -> str:
    """The name, with a number if it is taken."""
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return name if name not in taken else next(each for each in numbered if each not in taken)
