"""A small dataset of two runs, as rows of the portal's tables and as files, for the tests of downloads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from napari_cryoet.download import DownloadReport, download_files
from napari_cryoet.download.plan import plan_cells
from napari_cryoet.runs.runs import every_cell
from portal_rows import blank_row

DATASET, RUN, OTHER_RUN = 10000, 1, 2
S3 = "s3://bucket/"
TOMOGRAM = "10000/TS_1/Reconstructions/VoxelSpacing10.000/Tomograms/100/TS_1"
PICKS = "10000/TS_1/Reconstructions/VoxelSpacing10.000/Annotations/101/ribosome-1.0"
MASK = "10000/TS_1/Reconstructions/VoxelSpacing10.000/Annotations/102/membrane-1.0"
FRAME = "10000/TS_2/Frames/TS 2 [a]+b%.tif"

Rows = dict[str, list[dict[str, Any]]]


def zarr_files(
    root: str, shape: tuple[int, ...] = (5, 4, 4), chunks: tuple[int, ...] = (4, 4, 4)
) -> dict[str, bytes]:
    """The files of an OME-Zarr of one level, as the portal lays it out.

    Chunks hold arbitrary bytes.
    """
    array = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": chunks,
        "dimension_separator": "/",
        "dtype": "<f4",
    }
    array |= {"compressor": None, "filters": None, "fill_value": 0, "order": "C"}
    files = {f"0/{z}/0/0": bytes([z]) * (100 + z) for z in range(-(-shape[0] // chunks[0]))} | {
        "0/.zarray": json.dumps(array).encode(),
        ".zattrs": json.dumps(
            {"multiscales": [{"version": "0.4", "datasets": [{"path": "0"}]}]}
        ).encode(),
        ".zgroup": b'{"zarr_format": 2}',
    }
    return {f"{root}/{key}": content for key, content in files.items()}


def sample_files() -> dict[str, bytes]:
    """Every file of the dataset, by key."""
    return {
        **zarr_files(f"{TOMOGRAM}.zarr"),
        f"{TOMOGRAM}.mrc": bytes(range(256)) * 8192,  # 2 MiB
        "10000/TS_1/Reconstructions/VoxelSpacing10.000/Images/key-photo.png": b"png" * 50,
        f"{PICKS}_point.ndjson": b'{"type": "point"}\n' * 40,
        f"{PICKS}.json": b'{"annotation_object": {}}',
        **zarr_files(f"{MASK}_mask.zarr"),
        f"{MASK}_mask.mrc": b"mask" * 100,
        f"{MASK}.json": b"{}",
        "10000/TS_1/Alignments/100/alignment_metadata.json": b'{"alignment": 1}',
        "10000/TS_1/TiltSeries/100/TS_1.mrc": b"tilts" * 1000,
        "10000/TS_1/TiltSeries/100/TS_1.rawtlt": b"-60\n0\n60\n",
        "10000/Images/snapshot.png": b"png" * 70,
        "10000/TS_2/Gains/gain.mrc": b"gain" * 10,
        "10000/TS_2/Frames/TS_2.mdoc": b"[ZValue = 0]",
        FRAME: b"frame" * 20,
    }


def write_files(folder: Path) -> str:
    """Write every file below a folder and return the folder's prefix, as a pack that is opened in process has it."""
    for key, content in sample_files().items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(content)
    return folder.as_uri() + "/"


def sample_rows(prefix: str) -> Rows:
    """The dataset's rows, as a portal gives them whose files lie below a prefix."""
    sizes = {key: len(content) for key, content in sample_files().items()}

    def at(key: str, name: str, size: str = "") -> dict[str, Any]:
        """The cells of a file."""
        listed = (
            {size: float(sum(n for each, n in sizes.items() if each.startswith(key)))}
            if size
            else {}
        )
        return {f"https{name}": prefix + key, f"s3{name}": S3 + key} | listed

    def annotation(row_id: int, name: str, key: str) -> dict[str, Any]:
        return {
            "id": row_id,
            "runId": 1,
            "depositionId": 8,
            "objectName": name,
            **at(key, "MetadataPath"),
        }

    def file(
        row_id: int, shape_id: int, form: str, key: str, is_default: bool = False
    ) -> dict[str, Any]:
        grid = {
            "alignmentId": 31,
            "tomogramVoxelSpacingId": 41,
            "isVisualizationDefault": is_default,
        }
        return {
            "id": row_id,
            "annotationShapeId": shape_id,
            "format": form,
            **grid,
            **at(key, "Path", "fileSize"),
        }

    photo = prefix + "10000/TS_1/Reconstructions/VoxelSpacing10.000/Images/key-photo.png"
    volumes = at(f"{TOMOGRAM}.zarr", "OmezarrDir", "fileSizeOmezarr") | at(
        f"{TOMOGRAM}.mrc", "MrcFile", "fileSizeMrc"
    )
    series = at("10000/TS_1/TiltSeries/100/TS_1.mrc", "MrcFile", "fileSizeMrc")
    series |= at("10000/TS_1/TiltSeries/100/TS_1.rawtlt", "AngleList")
    rows: Rows = {
        "depositions": [{"id": 8, "title": "Picks of yeast"}],
        "depositionAuthors": [{"id": 1, "depositionId": 8, "name": "C. Picker"}],
        "datasets": [
            {
                "id": DATASET,
                "depositionId": 8,
                "title": "Yeast",
                "keyPhotoUrl": f"{prefix}10000/Images/snapshot.png",
            }
            | at("10000/", "Prefix")
        ],
        "datasetAuthors": [{"id": 1, "datasetId": DATASET, "name": "A. First"}],
        "runs": [
            {"id": RUN, "datasetId": DATASET, "name": "TS_1", **at("10000/TS_1/", "Prefix")},
            {"id": OTHER_RUN, "datasetId": DATASET, "name": "TS_2", **at("10000/TS_2/", "Prefix")},
        ],
        "tomogramVoxelSpacings": [{"id": 41, "runId": 1, "voxelSpacing": 10.0}],
        "tomograms": [
            {
                "id": 11,
                "runId": 1,
                "depositionId": 8,
                "alignmentId": 31,
                "tomogramVoxelSpacingId": 41,
                **volumes,
            }
            | {"isVisualizationDefault": True, "keyPhotoUrl": photo}
        ],
        "tomogramAuthors": [{"id": 1, "tomogramId": 11, "name": "B. Second"}],
        "annotations": [
            annotation(21, "ribosome", f"{PICKS}.json"),
            annotation(22, "membrane", f"{MASK}.json"),
        ],
        "annotationAuthors": [{"id": 1, "annotationId": 21, "name": "C. Picker"}],
        "annotationShapes": [
            {"id": 61, "annotationId": 21, "shapeType": "Point"},
            {"id": 62, "annotationId": 22, "shapeType": "SegmentationMask"},
        ],
        "annotationFiles": [
            file(51, 61, "ndjson", f"{PICKS}_point.ndjson", is_default=True),
            file(52, 62, "zarr", f"{MASK}_mask.zarr"),
            file(53, 62, "mrc", f"{MASK}_mask.mrc"),
        ],
        "alignments": [
            {
                "id": 31,
                "runId": 1,
                **at("10000/TS_1/Alignments/100/alignment_metadata.json", "AlignmentMetadata"),
            }
        ],
        "tiltseries": [{"id": 71, "runId": 1, **series}],
        "frames": [{"id": 81, "runId": 2, **at(FRAME, "FramePath", "fileSize")}],
        "gainFiles": [{"id": 91, "runId": 2, **at("10000/TS_2/Gains/gain.mrc", "FilePath")}],
        "frameAcquisitionFiles": [
            {"id": 95, "runId": 2, **at("10000/TS_2/Frames/TS_2.mdoc", "MdocPath")}
        ],
    }
    return {name: [blank_row(name) | row for row in found] for name, found in rows.items()}


def files_in(folder: Path) -> dict[str, bytes]:
    """What was downloaded into a folder, by its path in the bucket."""
    found = (path for path in (folder / "files").rglob("*") if path.is_file())
    return {path.relative_to(folder / "files").as_posix(): path.read_bytes() for path in found}


def download_everything(prefix: str, folder: str | Path) -> DownloadReport:
    """Download all files of the sample, whose addresses begin with a prefix."""
    rows = sample_rows(prefix)
    return download_files(plan_cells(rows, None, every_cell(rows)), folder)


def downloading(prefix: str, folder: Path) -> subprocess.Popen[bytes]:
    """A process that downloads all files of the sample."""
    call = "import sys, download_samples; download_samples.download_everything(*sys.argv[1:])"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    return subprocess.Popen([sys.executable, "-c", call, prefix, str(folder)], env=environment)
