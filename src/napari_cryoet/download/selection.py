"""What of a run is to be downloaded: ids of its records and the format wanted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from napari_cryoet.exceptions import DownloadError
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import Annotation, AnnotationFile, Tomogram

VolumeFormat = Literal["zarr", "mrc"]
VOLUME_FORMATS: tuple[VolumeFormat, ...] = ("zarr", "mrc")

What = Literal["tomogram", "annotations", "metadata"]

#: Which annotations: all, those that the curators show by default, none, or those with these ids.
WhichAnnotations = Literal["all", "default", "none"] | Collection[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TomogramChoice:
    """A tomogram in one of its formats."""

    tomogram_id: int
    volume_format: VolumeFormat = "zarr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What of one run is to be downloaded; everything is named by the portal's ids."""

    tomograms: tuple[TomogramChoice, ...] = ()
    annotation_file_ids: tuple[int, ...] = ()
    annotation_metadata_ids: tuple[int, ...] = ()  # ids of annotations
    tomogram_metadata_ids: tuple[int, ...] = ()  # ids of tomograms
    alignment_ids: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


def select(
    page: RunPage,
    what: Collection[What] = ("tomogram", "annotations"),
    *,
    volume_format: VolumeFormat = "zarr",
    annotations: WhichAnnotations = "all",
) -> Selection:
    """Return the usual selection: the run's default tomogram, its annotations, the metadata files of both.

    Raises
    ------
    DownloadError
        If an annotation is asked for that the run doesn't have, or the run has no tomogram.
    """
    tomogram = page.default_tomogram
    if "tomogram" in what and tomogram is None:
        raise DownloadError(f"Run {page.run.name} has no tomogram.", hint="Ask for its annotations or metadata only.")
    chosen = annotations_of(page, annotations) if {"annotations", "metadata"} & set(what) else ()
    files = files_in_format(page, chosen, volume_format)
    choices: tuple[TomogramChoice, ...] = ()
    if "tomogram" in what and tomogram is not None:
        choices = (TomogramChoice(tomogram_id=tomogram.id, volume_format=volume_format),)
    if "metadata" not in what:
        return Selection(tomograms=choices, annotation_file_ids=_ids(files) if "annotations" in what else ())
    return Selection(
        tomograms=choices,
        annotation_file_ids=_ids(files) if "annotations" in what else (),
        annotation_metadata_ids=_ids(chosen),
        tomogram_metadata_ids=(tomogram.id,) if tomogram else (),
        alignment_ids=_alignment_ids(page, tomogram, files),
    )


def annotations_of(page: RunPage, which: WhichAnnotations) -> tuple[Annotation, ...]:
    """Return the annotations of a run that are meant, in the page's order.

    Raises
    ------
    DownloadError
        If an id is none of the run's.
    """
    match which:
        case "all":
            return page.annotations
        case "none":
            return ()
        case "default":
            shown = {file.annotation_shape_id for file in page.annotation_files if file.is_visualization_default}
            wanted = {shape.annotation_id for shape in page.annotation_shapes if shape.id in shown}
        case str():
            raise DownloadError(f"'{which}' names no annotations.", hint="Use all, default, none, or ids.")
        case _:
            wanted = set(which)
            unknown = sorted(id_ for id_ in which if id_ not in {annotation.id for annotation in page.annotations})
            if unknown:
                raise DownloadError(
                    f"Run {page.run.name} has no annotation {', '.join(map(str, unknown))}.",
                    hint="Its run page in the browser shows which there are.",
                )
    return tuple(annotation for annotation in page.annotations if annotation.id in wanted)


def files_in_format(
    page: RunPage, annotations: Collection[Annotation], volume_format: VolumeFormat
) -> tuple[AnnotationFile, ...]:
    """Return the files of annotations: masks in the wanted format where it is offered, everything else as it is."""
    wanted = {annotation.id for annotation in annotations}
    files: list[AnnotationFile] = []
    for shape in page.annotation_shapes:
        if shape.annotation_id not in wanted:
            continue
        offered = page.files_of(shape)
        matching = {_grid_of(file) for file in offered if file.format == volume_format}
        files += (
            file
            for file in offered
            if file.format == volume_format or file.format not in VOLUME_FORMATS or _grid_of(file) not in matching
        )
    return tuple(files)


def _grid_of(file: AnnotationFile) -> tuple[int | None, int | None]:
    """Return what two formats of one mask have in common."""
    return file.alignment_id, file.tomogram_voxel_spacing_id


def _alignment_ids(page: RunPage, tomogram: Tomogram | None, files: Collection[AnnotationFile]) -> tuple[int, ...]:
    """Return the alignments that the chosen records were made on and that have a metadata file."""
    used = {file.alignment_id for file in files} | {tomogram.alignment_id if tomogram else None}
    return tuple(
        alignment.id for alignment in page.alignments if alignment.id in used and alignment.https_alignment_metadata
    )


def _ids(records: Collection[Annotation] | Collection[AnnotationFile]) -> tuple[int, ...]:
    return tuple(record.id for record in records)
