"""Where a downloaded file comes from, whom to cite, and what its numbers mean; as the manifest keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec import structs

from napari_cryoet import provenance
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import Alignment, Annotation, AnnotationFile, Author, DepositionTitle, Tomogram

#: What is of the file on the portal, and not of a copy that a person may change.
_OF_THE_PORTAL: Final = frozenset(
    {"kind", "source_url", "software", "annotation_file_id", "voxel_spacing_angstrom", "records"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a file is: which record of the portal, in which format, by whom.

    ``voxel_spacing_angstrom`` and ``alignment_id`` say in which grid and frame its voxels and positions are, and
    ``source`` what a layer of the file says of where it comes from.
    """

    kind: str  # "tomogram", "annotation file", "annotation metadata", "tomogram metadata" or "alignment metadata"
    id: int
    title: str
    format: str
    annotation_id: int | None = None
    shape: str | None = None
    object_id: str | None = None
    voxel_spacing_angstrom: float | None = None
    alignment_id: int | None = None
    deposition_id: int | None = None
    deposition_title: str | None = None
    authors: tuple[str, ...] = ()
    publications: str | None = None
    source: Mapping[str, Any] | None = None


def of_tomogram(tomogram: Tomogram, file_format: str) -> Provenance:
    """Return the provenance of a tomogram in a volume format, or of its metadata (``json``)."""
    return Provenance(
        kind="tomogram metadata" if file_format == "json" else "tomogram",
        id=tomogram.id,
        title=tomogram.name or f"tomogram {tomogram.id}",
        format=file_format,
        voxel_spacing_angstrom=tomogram.voxel_spacing,
        alignment_id=tomogram.alignment_id,
        deposition_id=tomogram.deposition_id,
        deposition_title=_title(tomogram.deposition),
        authors=_names(tomogram.authors),
        publications=tomogram.publications,
    )


def of_annotation_file(file: AnnotationFile, page: RunPage) -> Provenance:
    """Return the provenance of an annotation file, with what its annotation says."""
    shape = next((shape for shape in page.annotation_shapes if shape.id == file.annotation_shape_id), file.shape)
    annotation_id = shape.annotation_id if shape else None
    annotation = next((annotation for annotation in page.annotations if annotation.id == annotation_id), None)
    spacings = {spacing.id: spacing.voxel_spacing for spacing in page.voxel_spacings}
    if annotation is not None:
        annotation = structs.replace(annotation, run=annotation.run or page.run)
    if shape is not None:
        file = structs.replace(file, shape=structs.replace(shape, annotation=annotation))
    source = provenance.of_annotation_file(file, file.https_path, None)
    return Provenance(
        kind="annotation file",
        id=file.id,
        title=annotation.object_name if annotation else f"annotation file {file.id}",
        format=file.format,
        annotation_id=annotation_id,
        shape=str(shape.shape_type) if shape and shape.shape_type else None,
        object_id=annotation.object_id if annotation else None,
        voxel_spacing_angstrom=spacings.get(file.tomogram_voxel_spacing_id or -1),
        alignment_id=file.alignment_id,
        deposition_id=annotation.deposition_id if annotation else None,
        deposition_title=_title(annotation.deposition) if annotation else None,
        authors=_names(annotation.authors) if annotation else (),
        publications=annotation.annotation_publication if annotation else None,
        source={key: value for key, value in source.items() if key not in _OF_THE_PORTAL and value not in (None, [])}
        | {"downloaded_from": file.https_path},
    )


def of_annotation(annotation: Annotation) -> Provenance:
    """Return the provenance of an annotation's metadata file."""
    return Provenance(
        kind="annotation metadata",
        id=annotation.id,
        title=annotation.object_name,
        format="json",
        annotation_id=annotation.id,
        object_id=annotation.object_id,
        deposition_id=annotation.deposition_id,
        deposition_title=_title(annotation.deposition),
        authors=_names(annotation.authors),
        publications=annotation.annotation_publication,
    )


def of_alignment(alignment: Alignment) -> Provenance:
    """Return the provenance of an alignment's metadata file."""
    return Provenance(
        kind="alignment metadata",
        id=alignment.id,
        title=f"alignment {alignment.id}",
        format="json",
        alignment_id=alignment.id,
        deposition_id=alignment.deposition_id,
    )


def _names(authors: Iterable[Author]) -> tuple[str, ...]:
    return tuple(author.name for author in sorted(authors, key=lambda author: author.author_list_order))


def _title(deposition: DepositionTitle | None) -> str | None:
    return deposition.title if deposition else None
