"""Small records to test with; every field can be set."""

from datetime import UTC, datetime

from napari_cryoet.portal.pages import Freshness, RunPage
from napari_cryoet.records import (
    PORTAL_TERMS,
    Annotation,
    AnnotationFile,
    AnnotationShape,
    Author,
    Dataset,
    DepositionTitle,
    Run,
    ShapeType,
    Tomogram,
    VoxelSpacing,
)

DATE = datetime(2024, 5, 1, tzinfo=UTC)
FILES = "https://files.example.invalid"


def make_dataset(**fields):
    defaults = {
        "id": 10000,
        "deposition_id": 10301,
        "title": "S. pombe lamellae",
        "description": "Cells, thinned by a beam.",
        "deposition_date": DATE,
        "release_date": DATE,
        "last_modified_date": DATE,
        "s3_prefix": "s3://bucket/10000/",
        "https_prefix": f"{FILES}/10000/",
        "dataset_publications": "10.1101/2022.04.12.488077",
    }
    return Dataset(**(defaults | fields))


def make_run(**fields):
    defaults = {
        "id": 506,
        "dataset_id": 10000,
        "name": "TS_026",
        "s3_prefix": "s3://bucket/10000/TS_026/",
        "https_prefix": f"{FILES}/10000/TS_026/",
        "dataset": make_dataset(),
        "terms": PORTAL_TERMS,
    }
    return Run(**(defaults | fields))


def make_voxel_spacing(**fields):
    defaults = {
        "id": 509,
        "voxel_spacing": 13.48,
        "run_id": 506,
        "s3_prefix": "s3://b/",
        "https_prefix": f"{FILES}/",
    }
    return VoxelSpacing(**(defaults | fields))


def make_tomogram(**fields):
    defaults = {
        "id": 629,
        "deposition_id": 10301,
        "run_id": 506,
        "alignment_id": 17,
        "tomogram_voxel_spacing_id": 509,
        "name": "TS_026",
        "size_x": 40,
        "size_y": 30,
        "size_z": 20,
        "voxel_spacing": 13.48,
        "fiducial_alignment_status": "NON_FIDUCIAL",
        "reconstruction_method": "WBP",
        "processing": "raw",
        "reconstruction_software": "IMOD",
        "offset_x": 0,
        "offset_y": 0,
        "offset_z": 0,
        "https_omezarr_dir": f"{FILES}/10000/TS_026/TS_026.zarr",
        "authors": (
            Author(name="Sara Götz", author_list_order=0),
            Author(name="Irene de Teresa", author_list_order=1),
        ),
        "deposition": DepositionTitle(id=10301, title="S. pombe"),
        "publications": "10.1038/s41592-022-01746-2, EMPIAR-10988",
        "run": make_run(),
    }
    return Tomogram(**(defaults | fields))


def make_annotation(**fields):
    defaults = {
        "id": 1162,
        "run_id": 506,
        "deposition_id": 10301,
        "s3_metadata_path": "s3://bucket/1162.json",
        "https_metadata_path": f"{FILES}/1162.json",
        "annotation_method": "template matching",
        "object_id": "GO:0022626",
        "object_name": "cytosolic ribosome",
        "object_count": 3,
        "method_type": "hybrid",
        "deposition_date": DATE,
        "release_date": DATE,
        "last_modified_date": DATE,
        "annotation_publication": "10.1101/2022.04.12.488077, EMD-14412",
        "ground_truth_status": True,
        "authors": (Author(name="Sara Götz", orcid="0000-0002-9903-3667"),),
        "deposition": DepositionTitle(id=10301, title="S. pombe"),
        "run": make_run(),
    }
    return Annotation(**(defaults | fields))


def make_file(shape_type=ShapeType.POINT, *, annotation=None, **fields):
    """An annotation file with its shape, annotation and voxel spacing."""
    annotation = annotation or make_annotation()
    is_mask = shape_type in {ShapeType.SEGMENTATION_MASK, ShapeType.INSTANCE_SEGMENTATION_MASK}
    file_format = fields.pop("format", "zarr" if is_mask else "ndjson")
    file_id = fields.pop("id", 1128)
    spacing = fields.pop("voxel_spacing", make_voxel_spacing())
    defaults = {
        "alignment_id": 17,
        "annotation_shape_id": 1065,
        "tomogram_voxel_spacing_id": 509,
        "s3_path": f"s3://bucket/{file_id}.{file_format}",
        "https_path": f"{FILES}/{file_id}.{file_format}",
        "source": "dataset_author",
        "shape": AnnotationShape(
            id=1065, annotation_id=annotation.id, shape_type=shape_type, annotation=annotation
        ),
    }
    return AnnotationFile(
        id=file_id, format=file_format, voxel_spacing=spacing, **(defaults | fields)
    )


def make_run_page(*, tomograms=(), files=(), run=None):
    """A run page with these tomograms and files, and the records that the files refer to."""
    shapes = {file.shape.id: file.shape for file in files if file.shape}
    annotations = {
        shape.annotation.id: shape.annotation for shape in shapes.values() if shape.annotation
    }
    spacings = {file.voxel_spacing.id: file.voxel_spacing for file in files if file.voxel_spacing}
    return RunPage(
        run=run or make_run(),
        voxel_spacings=tuple(spacings.values()),
        tomograms=tuple(tomograms),
        annotations=tuple(annotations.values()),
        annotation_shapes=tuple(shapes.values()),
        annotation_files=tuple(files),
        alignments=(),
        tilt_series=(),
        freshness=Freshness(fetched_at=DATE),
    )
