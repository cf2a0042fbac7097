"""The metadata JSON files that the portal keeps beside its data, made from the rows."""

from __future__ import annotations

from typing import Any, Final

from napari_cryoet.packs.demo.content import AnnotationPlan, RunPlan, TomogramPlan
from napari_cryoet.packs.demo.place import Place
from napari_cryoet.packs.demo.rows import PEOPLE, Row

VERSION: Final = "1.0"
"""Of every annotation."""
_UPDATED: Final = "2026-11-24T00:00:00+00:00"
_IDENTITY: Final = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def write_run(place: Place, run: RunPlan, deposition_id: int) -> None:
    """``run_metadata.json``."""
    content = {"run_name": run.name, "last_updated_at": _UPDATED, "deposition_id": str(deposition_id)}
    (place / "run_metadata.json").write_json(content)


def write_tilt_series(place: Place, row: Row) -> None:
    """``tiltseries_metadata.json``."""
    content = {
        "acceleration_voltage": row["accelerationVoltage"],
        "spherical_aberration_constant": row["sphericalAberrationConstant"],
        "microscope": {"manufacturer": row["microscopeManufacturer"], "model": row["microscopeModel"]},
        "camera": {"manufacturer": row["cameraManufacturer"], "model": row["cameraModel"]},
        "tilt_range": {"min": row["tiltMin"], "max": row["tiltMax"]},
        "tilt_step": row["tiltStep"],
        "tilt_axis": row["tiltAxis"],
        "tilting_scheme": row["tiltingScheme"],
        "total_flux": row["totalFlux"],
        "pixel_spacing": row["pixelSpacing"],
        "is_aligned": row["isAligned"],
        "tilt_series_quality": row["tiltSeriesQuality"],
        "size": {"x": row["sizeX"], "y": row["sizeY"], "z": row["sizeZ"]},
        "omezarr_dir": _key(row["s3OmezarrDir"]),
        "mrc_file": _key(row["s3MrcFile"]),
        "deposition_id": str(row["depositionId"]),
        "last_updated_at": _UPDATED,
    }
    (place / "tiltseries_metadata.json").write_json(content)


def write_alignment(place: Place, run: RunPlan, row: Row, per_section: list[Row]) -> None:
    """``alignment_metadata.json``."""
    tilt_file = (place / f"{run.name}.tlt").key
    content = {
        "format": "IMOD",
        "method_type": row["alignmentMethod"],
        "alignment_type": row["alignmentType"],
        "per_section_alignment_parameters": [
            {
                "z_index": section["zIndex"],
                "tilt_angle": section["tiltAngle"],
                "in_plane_rotation": [1, 0, 0, 1],
                "x_offset": section["xOffset"],
                "y_offset": section["yOffset"],
                "volume_x_rotation": section["volumeXRotation"],
            }
            for section in per_section
        ],
        "tilt_path": tilt_file,
        "files": [tilt_file],
        "volume_dimension": {axis: row[f"volume{axis.upper()}Dimension"] for axis in "xyz"},
        "volume_offset": {axis: row[f"volume{axis.upper()}Offset"] for axis in "xyz"},
        "x_rotation_offset": row["xRotationOffset"],
        "tilt_offset": row["tiltOffset"],
        "affine_transformation_matrix": _IDENTITY,
        "is_portal_standard": row["isPortalStandard"],
        "deposition_id": str(row["depositionId"]),
        "last_updated_at": _UPDATED,
    }
    (place / "alignment_metadata.json").write_json(content)


def write_tomogram(place: Place, run_place: Place, plan: TomogramPlan, row: Row) -> None:
    """``tomogram_metadata.json``."""
    scales = [dict(zip("xyz", map(int, row[f"scale{k}Dimensions"].split(",")), strict=True)) for k in range(3)]
    content = {
        "voxel_spacing": row["voxelSpacing"],
        "reconstruction_method": row["reconstructionMethod"],
        "reconstruction_software": row["reconstructionSoftware"],
        "fiducial_alignment_status": row["fiducialAlignmentStatus"],
        "ctf_corrected": row["ctfCorrected"],
        "processing": row["processing"],
        "processing_software": row["processingSoftware"],
        "is_visualization_default": row["isVisualizationDefault"],
        "offset": {axis: row[f"offset{axis.upper()}"] for axis in "xyz"},
        "affine_transformation_matrix": _IDENTITY,
        "authors": _authors(row["depositionId"]),
        "tomogram_version": row["tomogramVersion"],
        "scales": scales,
        "size": scales[0],
        "omezarr_dir": _key(row["s3OmezarrDir"]),
        "mrc_file": _key(row["s3MrcFile"]),
        "run_name": row["name"],
        "key_photo": {"snapshot": _tail(row["keyPhotoUrl"]), "thumbnail": _tail(row["keyPhotoThumbnailUrl"])},
        "deposition_id": str(row["depositionId"]),
        "dates": _dates(row),
        "alignment_metadata_path": (run_place / f"Alignments/{plan.alignment}/alignment_metadata.json").key,
        "last_updated_at": _UPDATED,
    }
    (place / "tomogram_metadata.json").write_json(content)


def annotation_file_entry(place: Place, file_format: str, shape_type: str, row: Row) -> dict[str, Any]:
    """What an annotation's metadata says about one of its files."""
    is_default = row["isVisualizationDefault"]
    return {"format": file_format, "path": place.key, "shape": shape_type, "is_visualization_default": is_default}


def write_annotation(stem: Place, run: RunPlan, plan: AnnotationPlan, row: Row, files: list[dict[str, Any]]) -> None:
    """``{object}-{version}.json``."""
    alignment = None
    if plan.alignment is not None:
        alignment = f"{run.dataset_id}/{run.name}/Alignments/{plan.alignment}/alignment_metadata.json"
    content = {
        "annotation_object": {
            "id": row["objectId"],
            "name": row["objectName"],
            "description": row["objectDescription"],
            "state": row["objectState"],
        },
        "dates": _dates(row),
        "annotation_method": row["annotationMethod"],
        "method_type": row["methodType"],
        "annotation_publications": row["annotationPublication"],
        "ground_truth_status": row["groundTruthStatus"],
        "ground_truth_used": row["groundTruthUsed"],
        "confidence": {"precision": row["confidencePrecision"], "recall": row["confidenceRecall"]},
        "authors": _authors(row["depositionId"]),
        "annotation_software": row["annotationSoftware"],
        "version": VERSION,
        "is_curator_recommended": row["isCuratorRecommended"],
        "object_count": row["objectCount"],
        "files": files,
        "alignment_metadata_path": alignment,
        "deposition_id": str(row["depositionId"]),
        "last_updated_at": _UPDATED,
    }
    Place(stem.root, f"{stem.key}.json").write_json(content)


def write_dataset(place: Place, row: Row, dataset_id: int) -> None:
    """``dataset_metadata.json``."""
    content = {
        "dataset_identifier": dataset_id,
        "dataset_title": row["title"],
        "dataset_description": row["description"],
        "deposition_id": str(row["depositionId"]),
        "dates": _dates(row),
        "sample_type": row["sampleType"],
        "organism": {"name": row["organismName"], "taxonomy_id": row["organismTaxid"]},
        "authors": _authors(row["depositionId"]),
        "key_photos": {"snapshot": _tail(row["keyPhotoUrl"]), "thumbnail": _tail(row["keyPhotoThumbnailUrl"])},
        "last_updated_at": _UPDATED,
    }
    (place / "dataset_metadata.json").write_json(content)


def write_deposition(place: Place, row: Row) -> None:
    """``deposition_metadata.json``."""
    content = {
        "deposition_identifier": row["id"],
        "deposition_title": row["title"],
        "deposition_description": row["description"],
        "tag": row["tag"],
        "dates": _dates(row),
        "authors": _authors(row["id"]),
        "last_updated_at": _UPDATED,
    }
    (place / "deposition_metadata.json").write_json(content)


def _authors(deposition_id: int) -> list[dict[str, Any]]:
    people = PEOPLE[deposition_id]
    return [
        {
            "name": row["name"],
            "ORCID": row["orcid"],
            "primary_author_status": row["primaryAuthorStatus"],
            "corresponding_author_status": row["correspondingAuthorStatus"],
        }
        for row in (person.row(order, len(people)) for order, person in enumerate(people, start=1))
    ]


def _dates(row: Row) -> dict[str, str]:
    names = ("depositionDate", "releaseDate", "lastModifiedDate")
    return dict(
        zip(("deposition_date", "release_date", "last_modified_date"), (row[n][:10] for n in names), strict=True)
    )


def _key(s3_path: str) -> str:
    """The path below the bucket's root."""
    return s3_path.split("/", 3)[3]


def _tail(url: str | None) -> str | None:
    return None if url is None else url.split("/", 3)[3]
