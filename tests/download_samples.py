"""A small run whose files lie in a folder or behind a loopback server, for the tests of downloads."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from fault_server import Behaviour, FaultServer, Request, ranged, reply
from napari_cryoet.portal.pages import Freshness, RunPage
from napari_cryoet.records import (
    Alignment,
    Annotation,
    AnnotationFile,
    AnnotationShape,
    Author,
    DepositionTitle,
    ShapeType,
)
from samples import DATE, make_annotation, make_dataset, make_run, make_tomogram, make_voxel_spacing

S3 = "s3://bucket/"
RECONSTRUCTION = "10000/TS_1/Reconstructions/VoxelSpacing10.000"
TOMOGRAM_KEY = f"{RECONSTRUCTION}/Tomograms/100/TS_1"
ANNOTATION_KEY = f"{RECONSTRUCTION}/Annotations/101/ribosome-1.0"
MASK_KEY = f"{RECONSTRUCTION}/Annotations/102/membrane-1.0"
ALIGNMENT_KEY = "10000/TS_1/Alignments/100/alignment_metadata.json"


def zarr_v2_files(
    root: str, *, shape: tuple[int, ...] = (5, 4, 4), chunks: tuple[int, ...] = (4, 4, 4)
) -> dict[str, bytes]:
    """The files of an OME-Zarr of one level, as the portal lays it out; chunks hold arbitrary bytes."""
    multiscales = [{"version": "0.4", "datasets": [{"path": "0"}]}]
    array = {"zarr_format": 2, "shape": list(shape), "chunks": list(chunks), "dimension_separator": "/", "dtype": "<f4"}
    files = {
        ".zgroup": b'{"zarr_format": 2}',
        ".zattrs": json.dumps({"multiscales": multiscales}).encode(),
        "0/.zarray": json.dumps(array).encode(),
    }
    n_z = -(-shape[0] // chunks[0])
    files |= {f"0/{z}/0/0": bytes([z]) * (100 + z) for z in range(n_z)}
    return {f"{root}/{key}": content for key, content in files.items()}


def bucket_files() -> dict[str, bytes]:
    """Every file of the sample run, by key."""
    return {
        **zarr_v2_files(f"{TOMOGRAM_KEY}.zarr"),
        f"{TOMOGRAM_KEY}.mrc": b"mrc" * 700_000,
        f"{RECONSTRUCTION}/Tomograms/100/tomogram_metadata.json": b'{"voxel_spacing": 10}',
        f"{ANNOTATION_KEY}_point.ndjson": b'{"type": "point"}\n' * 40,
        f"{ANNOTATION_KEY}.json": b'{"annotation_object": {}}',
        **zarr_v2_files(f"{MASK_KEY}_segmentationmask.zarr"),
        f"{MASK_KEY}_segmentationmask.mrc": b"mask" * 100,
        f"{MASK_KEY}.json": b"{}",
        ALIGNMENT_KEY: b'{"alignment": 1}',
    }


def write_bucket(folder: Path) -> str:
    """Write every file below a folder and return the folder's prefix, as a pack that is opened in process has it."""
    for key, content in bucket_files().items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder.as_uri() + "/"


class Bucket:
    """Serves files by key over HTTP; single keys can be made to misbehave, one request after the other."""

    def __init__(self, server: FaultServer, files: dict[str, bytes] | None = None) -> None:
        self.files = bucket_files() if files is None else files
        self.faults: dict[str, list[Behaviour]] = {}
        self.etags: dict[str, str] = {}
        self.server = server
        self.prefix = server.url.removesuffix("file")
        server.behave(self._behave)

    def asked_for(self, ending: str, method: str = "GET") -> list[Request]:
        """The requests for keys with an ending, in order."""
        return [
            request for request in self.server.requests if request.path.endswith(ending) and request.method == method
        ]

    def _behave(self, connection: socket.socket, request: Request) -> None:
        key = request.path.removeprefix("/")
        if waiting := self.faults.get(key):
            waiting.pop(0)(connection, request)
        elif key in self.files:
            etag = self.etags.get(key, f'"{key}"')
            ranged(self.files[key], ETag=etag)(connection, request)
        else:
            reply(b"<html>Not here</html>", 404)(connection, request)


def run_page(prefix: str) -> RunPage:
    """The page of a run with a tomogram, picks, and a mask in two formats; sizes are those of `bucket_files`."""
    sizes = {key: len(content) for key, content in bucket_files().items()}

    def size_of(start: str) -> float:
        return float(sum(size for key, size in sizes.items() if key.startswith(start)))

    def url(key: str) -> dict[str, str]:
        return {"https": prefix + key, "s3": S3 + key}

    zarr, mrc, mask = url(f"{TOMOGRAM_KEY}.zarr"), url(f"{TOMOGRAM_KEY}.mrc"), f"{MASK_KEY}_segmentationmask"
    dataset = make_dataset(
        title="Yeast",
        s3_prefix=f"{S3}10000/",
        https_prefix=f"{prefix}10000/",
        dataset_publications="10.1000/yeast",
        authors=(Author(name="A. First"),),
    )
    run = make_run(
        id=1, name="TS_1", s3_prefix=f"{S3}10000/TS_1/", https_prefix=f"{prefix}10000/TS_1/", dataset=dataset
    )
    tomogram = make_tomogram(
        id=11,
        size_x=4,
        size_y=4,
        size_z=5,
        voxel_spacing=10.0,
        alignment_id=31,
        tomogram_voxel_spacing_id=41,
        name="TS_1",
        s3_omezarr_dir=zarr["s3"],
        https_omezarr_dir=zarr["https"],
        file_size_omezarr=size_of(f"{TOMOGRAM_KEY}.zarr"),
        s3_mrc_file=mrc["s3"],
        https_mrc_file=mrc["https"],
        file_size_mrc=size_of(f"{TOMOGRAM_KEY}.mrc"),
        publications="10.1000/tomo",
        authors=(Author(name="B. Second", author_list_order=2), Author(name="A. First", author_list_order=1)),
        deposition=None,
        run=None,
    )
    ribosome = _annotation(21, "ribosome", url(f"{ANNOTATION_KEY}.json"))
    membrane = _annotation(22, "membrane", url(f"{MASK_KEY}.json"))
    picks = _file(51, 61, "ndjson", url(f"{ANNOTATION_KEY}_point.ndjson"), size_of(f"{ANNOTATION_KEY}_point"), True)
    mask_zarr = _file(52, 62, "zarr", url(f"{mask}.zarr"), size_of(f"{mask}.zarr"), False)
    mask_mrc = _file(53, 62, "mrc", url(f"{mask}.mrc"), size_of(f"{mask}.mrc"), False)
    alignment_url = url(ALIGNMENT_KEY)
    return RunPage(
        run=run,
        voxel_spacings=(
            make_voxel_spacing(
                id=41, voxel_spacing=10.0, s3_prefix=f"{S3}{RECONSTRUCTION}/", https_prefix=f"{prefix}{RECONSTRUCTION}/"
            ),
        ),
        tomograms=(tomogram,),
        annotations=(ribosome, membrane),
        annotation_shapes=(
            AnnotationShape(id=61, annotation_id=21, shape_type=ShapeType.POINT),
            AnnotationShape(id=62, annotation_id=22, shape_type=ShapeType.SEGMENTATION_MASK),
        ),
        annotation_files=(picks, mask_zarr, mask_mrc),
        alignments=(
            Alignment(
                id=31, s3_alignment_metadata=alignment_url["s3"], https_alignment_metadata=alignment_url["https"]
            ),
        ),
        tilt_series=(),
        freshness=Freshness(fetched_at=DATE),
    )


def _annotation(annotation_id: int, object_name: str, url: dict[str, str]) -> Annotation:
    return make_annotation(
        id=annotation_id,
        s3_metadata_path=url["s3"],
        https_metadata_path=url["https"],
        object_name=object_name,
        deposition_id=8,
        deposition=DepositionTitle(id=8, title="Picks of yeast"),
        annotation_publication="10.1000/picks",
        authors=(Author(name="C. Picker"),),
        run=None,
    )


def _file(
    file_id: int, shape_id: int, file_format: str, url: dict[str, str], size: float, is_default: bool
) -> AnnotationFile:
    return AnnotationFile(
        id=file_id,
        format=file_format,
        s3_path=url["s3"],
        https_path=url["https"],
        alignment_id=31,
        annotation_shape_id=shape_id,
        tomogram_voxel_spacing_id=41,
        file_size=size,
        is_visualization_default=is_default,
    )
