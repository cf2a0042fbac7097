"""The portal's objects as frozen data.

Field names are the portal's in snake case, as in its Python client. Records refer to others by id;
a field of a record type is None unless the query also requested that parent. The portal's
enumerations (methods, statuses, shapes) are plain text, so values added later are kept. Nothing
here uses the network. Sizes are x, y, z as in the portal; spacings and offsets of alignments are in
ångström, file sizes in bytes, confidences in percent. Only ``terms`` and ``opened_from`` aren't from the portal: the
licence that the source of a record states, and its website.

Some fields are left out: ``_id`` and ``annotationIngestId`` (internal), ``neuroglancerConfig`` (14
kB per tomogram, for another viewer) and authors' e-mail addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from napari_cryoet.exceptions import PortalError

#: The largest id: the API's integers have 32 bits.
MAX_ID: Final = 2**31 - 1
Id = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]
CHANGED_HINT: Final = "The portal may have changed; look for a newer version of napari-cryoet."
#: The prefix of the portal's files, whichever source its tables come from.
PORTAL_S3_PREFIX: Final = "s3://cryoet-data-portal-public/"


if TYPE_CHECKING:
    import pandas as pd

_REPR_WIDTH: Final = 160
#: The fields that a repr and a table begin with.
_FIRST_FIELDS: Final = frozenset({"id", "name", "title"})


class ShapeType(StrEnum):
    """The annotation shapes that this package knows.

    Records hold plain text, which may be another shape.
    """

    POINT = "Point"
    ORIENTED_POINT = "OrientedPoint"
    INSTANCE_SEGMENTATION = "InstanceSegmentation"
    SEGMENTATION_MASK = "SegmentationMask"
    INSTANCE_SEGMENTATION_MASK = "InstanceSegmentationMask"
    MESH = "Mesh"
    GLOBAL_CAPTION = "GlobalCaption"
    ANNOTATION_CAPTION = "AnnotationCaption"


class Record(msgspec.Struct, frozen=True, rename="camel"):
    """Base of all records: frozen, and decoded from JSON with the portal's field names.

    Their `repr` is one line: the first values, other records by type, and collections by length.
    """

    def __repr__(self) -> str:
        parts = [
            f"{name}={_short(value)}"
            for name, value in _values_of(self).items()
            if value not in (None, "", ()) and not name.startswith(("s3_", "https_"))
        ]
        return f"{type(self).__name__}({shorten(', '.join(parts), _REPR_WIDTH, placeholder=' …')})"


def dataframe(
    rows: Iterable[msgspec.Struct], columns: tuple[str, ...] | None = None
) -> pd.DataFrame:
    """A pandas table of structs; several values of a cell are joined by semicolons.

    Give the columns if there may be no row.
    """
    import pandas as pd

    cells = [{name: _cell(value) for name, value in _values_of(row).items()} for row in rows]
    return pd.DataFrame(cells, columns=columns)


def _values_of(struct: msgspec.Struct) -> dict[str, Any]:
    """The values of a struct by name, its id and name first."""
    values = msgspec.structs.asdict(struct).items()
    return dict(sorted(values, key=lambda item: item[0] not in _FIRST_FIELDS))


def _cell(value: Any) -> Any:
    """A value of one cell: of records their names or titles."""
    if isinstance(value, tuple):
        return "; ".join(str(_cell(each)) for each in value)
    if isinstance(value, msgspec.Struct):
        names = ("name", "object_name", "title", "id")
        return next((getattr(value, name) for name in names if hasattr(value, name)), str(value))
    return value


def _short(value: Any) -> str:
    if isinstance(value, Record):
        return type(value).__name__
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    return str(len(value)) if isinstance(value, tuple) else repr(value)


class Terms(Record, frozen=True, kw_only=True):
    """The licence of data, and the website with pages about it; empty if unknown."""

    licence: str = ""
    licence_url: str = ""
    site: str = ""

    def page_url(self, kind: str, record_id: int) -> str:
        """URL of the page of a dataset, run or deposition on the site; empty if there is none."""
        return f"{self.site}/{kind}s/{record_id}" if self.site else ""


#: All data of the portal is dedicated to the public domain.
PORTAL_TERMS: Final = Terms(
    licence="CC0-1.0",
    licence_url="https://creativecommons.org/publicdomain/zero/1.0/",
    site="https://cryoetdataportal.czscience.com",
)


def converted(value: Any, kind: Any, name: str) -> Any:
    """Convert rows, or a part of an answer, to a type; PortalError names the part that doesn't fit."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise PortalError(
            f"The portal's answer is invalid: {error}, in {name}.",
            hint=CHANGED_HINT,
        ) from error


def terms_of(s3_path: str, stated: Terms | None) -> Terms:
    """The terms of a file: those stated by its source, else the portal's for the portal's own files."""
    return stated or (PORTAL_TERMS if s3_path.startswith(PORTAL_S3_PREFIX) else Terms())


class Author(Record, frozen=True, kw_only=True):
    """A person who made a deposition, dataset, tomogram or annotation."""

    name: str
    author_list_order: int = 0
    orcid: str | None = None
    kaggle_id: str | None = None
    affiliation_name: str | None = None
    affiliation_address: str | None = None
    affiliation_identifier: str | None = None
    corresponding_author_status: bool | None = None
    primary_author_status: bool | None = None


class Funding(Record, frozen=True, kw_only=True):
    """A grant that funded a dataset."""

    funding_agency_name: str | None = None
    grant_id: str | None = None


class MethodLink(Record, frozen=True, kw_only=True):
    """A link to the code, the weights or the documentation of an annotation's method."""

    link: str
    link_type: str
    name: str | None = None


class DepositionTitle(Record, frozen=True, kw_only=True):
    """The id and title of a deposition that another record belongs to."""

    id: Id
    title: str


class Submission(Record, frozen=True, kw_only=True):
    """What a deposition and a dataset have in common."""

    id: Id
    title: str
    description: str
    deposition_date: datetime
    release_date: datetime
    last_modified_date: datetime
    related_database_entries: str | None = None
    key_photo_url: str | None = None
    key_photo_thumbnail_url: str | None = None
    authors: tuple[Author, ...] = ()
    terms: Terms | None = None


class Deposition(Submission, frozen=True, kw_only=True):
    """A set of data submitted together."""

    tag: str | None = None
    deposition_publications: str | None = None
    kinds: tuple[str, ...] = ()


class Dataset(Submission, frozen=True, kw_only=True):
    """One sample, prepared and imaged under one set of conditions."""

    deposition_id: Id
    s3_prefix: str
    https_prefix: str
    assay_label: str | None = None
    assay_ontology_id: str | None = None
    development_stage_name: str | None = None
    development_stage_ontology_id: str | None = None
    disease_name: str | None = None
    disease_ontology_id: str | None = None
    organism_name: str | None = None
    organism_taxid: int | None = None
    tissue_name: str | None = None
    tissue_id: str | None = None
    cell_name: str | None = None
    cell_type_id: str | None = None
    cell_strain_name: str | None = None
    cell_strain_id: str | None = None
    cell_component_name: str | None = None
    cell_component_id: str | None = None
    sample_type: str | None = None
    sample_preparation: str | None = None
    grid_preparation: str | None = None
    other_setup: str | None = None
    dataset_publications: str | None = None
    file_size: float | None = None
    funding_sources: tuple[Funding, ...] = ()
    deposition: DepositionTitle | None = None


class Run(Record, frozen=True, kw_only=True):
    """One imaged location of a dataset."""

    id: Id
    dataset_id: Id
    name: str
    s3_prefix: str
    https_prefix: str
    dataset: Dataset | None = None
    terms: Terms | None = None
    opened_from: str = ""  # the portal or pack, as `open_portal` takes it, without a login


class Images(Record, frozen=True, kw_only=True):
    """The files of a tomogram or a tilt series."""

    id: Id
    s3_omezarr_dir: str | None = None
    https_omezarr_dir: str | None = None
    file_size_omezarr: float | None = None
    s3_mrc_file: str | None = None
    https_mrc_file: str | None = None
    file_size_mrc: float | None = None

    @property
    def url(self) -> str | None:
        """The address of the OME-Zarr, else of the MRC file; None if the portal lists neither."""
        return self.https_omezarr_dir or self.https_mrc_file

    @property
    def s3_url(self) -> str | None:
        """The S3 URL of the same file."""
        return self.s3_omezarr_dir if self.https_omezarr_dir else self.s3_mrc_file


class TiltSeries(Images, frozen=True, kw_only=True):
    """The images of one location at many tilt angles.

    ``acceleration_voltage`` is in volts, ``spherical_aberration_constant`` in millimetres, tilts
    and ``tilt_axis`` are in degrees, ``total_flux`` is in electrons per square ångström for the
    whole series, ``pixel_spacing`` in ångström.
    """

    run_id: Id
    acceleration_voltage: int
    spherical_aberration_constant: float
    microscope_manufacturer: str
    microscope_model: str
    microscope_energy_filter: str
    camera_manufacturer: str
    camera_model: str
    tilt_min: float
    tilt_max: float
    tilt_range: float
    tilt_step: float
    tilting_scheme: str
    tilt_axis: float
    total_flux: float
    data_acquisition_software: str
    tilt_series_quality: int
    is_aligned: bool
    pixel_spacing: float
    deposition_id: Id | None = None
    s3_angle_list: str | None = None
    https_angle_list: str | None = None
    microscope_phase_plate: str | None = None
    microscope_image_corrector: str | None = None
    microscope_additional_info: str | None = None
    related_empiar_entry: str | None = None
    binning_from_frames: float | None = None
    aligned_tiltseries_binning: int | None = None
    size_x: int | None = None
    size_y: int | None = None
    size_z: int | None = None


class Alignment(Record, frozen=True, kw_only=True):
    """One alignment of a tilt series' images, which defines the frame of positions.

    Dimensions and offsets of the volume are in ångström, ``x_rotation_offset`` and ``tilt_offset``
    in degrees.
    """

    id: Id
    run_id: Id | None = None
    deposition_id: Id | None = None
    tiltseries_id: Id | None = None
    alignment_type: str | None = None
    alignment_method: str | None = None
    volume_x_dimension: float | None = None
    volume_y_dimension: float | None = None
    volume_z_dimension: float | None = None
    volume_x_offset: float | None = None
    volume_y_offset: float | None = None
    volume_z_offset: float | None = None
    x_rotation_offset: float | None = None
    tilt_offset: float | None = None
    affine_transformation_matrix: str | None = None
    s3_alignment_metadata: str | None = None
    https_alignment_metadata: str | None = None
    is_portal_standard: bool | None = None


class VoxelSpacing(Record, frozen=True, kw_only=True):
    """One sampling of a run's volumes; ``voxel_spacing`` is in ångström."""

    id: Id
    voxel_spacing: float
    s3_prefix: str
    https_prefix: str
    run_id: Id | None = None


class Tomogram(Images, frozen=True, kw_only=True):
    """A reconstructed volume; ``voxel_spacing`` is in ångström and the same along all axes.

    Sizes and offsets are in voxels; ``scale0_dimensions`` etc. are sizes as text, in x, y, z.
    """

    deposition_id: Id
    size_x: int
    size_y: int
    size_z: int
    voxel_spacing: float
    fiducial_alignment_status: str
    reconstruction_method: str
    processing: str
    reconstruction_software: str
    offset_x: int
    offset_y: int
    offset_z: int
    alignment_id: Id | None = None
    run_id: Id | None = None
    tomogram_voxel_spacing_id: Id | None = None
    name: str | None = None
    tomogram_version: float | None = None
    processing_software: str | None = None
    is_portal_standard: bool | None = None
    is_author_submitted: bool | None = None
    is_visualization_default: bool | None = None
    scale0_dimensions: str | None = None
    scale1_dimensions: str | None = None
    scale2_dimensions: str | None = None
    ctf_corrected: bool | None = None
    key_photo_url: str | None = None
    key_photo_thumbnail_url: str | None = None
    publications: str | None = None
    related_database_entries: str | None = None
    deposition_date: datetime | None = None
    release_date: datetime | None = None
    last_modified_date: datetime | None = None
    authors: tuple[Author, ...] = ()
    deposition: DepositionTitle | None = None
    run: Run | None = None
    alignment: Alignment | None = None

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape in voxels: z, y, x."""
        return self.size_z, self.size_y, self.size_x


class IdentifiedObject(Record, frozen=True, kw_only=True):
    """An object that was identified in a run, whether or not there is an annotation of it."""

    id: Id
    object_id: str
    object_name: str
    run_id: Id | None = None
    object_description: str | None = None
    object_state: str | None = None


class Annotation(IdentifiedObject, frozen=True, kw_only=True):
    """An annotation of one kind of object in a run; confidences are in percent."""

    s3_metadata_path: str
    https_metadata_path: str
    annotation_method: str
    method_type: str
    deposition_date: datetime
    release_date: datetime
    last_modified_date: datetime
    deposition_id: Id | None = None
    tomogram_voxel_spacing_id: Id | None = None
    annotation_publication: str | None = None
    ground_truth_status: bool | None = None
    object_count: int | None = None
    confidence_precision: float | None = None
    confidence_recall: float | None = None
    ground_truth_used: str | None = None
    annotation_software: str | None = None
    is_curator_recommended: bool | None = None
    authors: tuple[Author, ...] = ()
    method_links: tuple[MethodLink, ...] = ()
    deposition: DepositionTitle | None = None
    run: Run | None = None


class AnnotationShape(Record, frozen=True, kw_only=True):
    """The shape in which an annotation is drawn."""

    id: Id
    annotation_id: Id | None = None
    shape_type: str | None = None
    annotation: Annotation | None = None


class AnnotationFile(Record, frozen=True, kw_only=True):
    """One annotation shape in one format, for one voxel spacing and alignment."""

    id: Id
    format: str
    s3_path: str
    https_path: str
    alignment_id: Id | None = None
    annotation_shape_id: Id | None = None
    tomogram_voxel_spacing_id: Id | None = None
    file_size: float | None = None
    is_visualization_default: bool | None = None
    source: str | None = None
    shape: AnnotationShape | None = None
    voxel_spacing: VoxelSpacing | None = None

    @property
    def annotation(self) -> Annotation | None:
        """The annotation, if the file refers to it."""
        return None if self.shape is None else self.shape.annotation

    @property
    def shape_type(self) -> str | None:
        """The word for its annotation's shape, if the file refers to it."""
        return None if self.shape is None else self.shape.shape_type
