"""A pack with files: a run whose name is as awkward as can be, with a volume as OME-Zarr and MRC, and picks."""

import asyncio
import json

import numpy as np

from napari_cryoet.packs.pack import write_pack
from packs.small_pack import HTTPS, MANIFEST, S3, placed, row

RUN = "TS 1 [a]+b #2 50% ä"
PLACE = f"10/{RUN}/Reconstructions/VoxelSpacing10.000"
ZARR = f"{PLACE}/Tomograms/100/volume.zarr"
MRC = f"{PLACE}/Tomograms/100/volume.mrc"
NDJSON = f"{PLACE}/Annotations/100/ribosome-1.0_point.ndjson"
METADATA = f"{PLACE}/Annotations/100/ribosome-1.0.json"
CHUNKS = 30  # so many small files lie beside the volume

VOLUME = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
PICKS = "".join(json.dumps({"type": "point", "location": {"x": x, "y": 1, "z": 2}}) + "\n" for x in range(3))


def served_pack(folder):
    """Write the pack."""
    import mrcfile

    files = folder / "files"
    for path in (ZARR, PLACE + "/Annotations/100"):
        (files / path).mkdir(parents=True)
    _write_zarr(files / ZARR)
    with mrcfile.new(files / MRC) as mrc:
        mrc.set_data(VOLUME)
    (files / NDJSON).write_text(PICKS)
    (files / METADATA).write_text('{"annotation_object": {"name": "ribosome"}}')
    return write_pack(folder, MANIFEST, served_tables())


def hold_files(monkeypatch, is_held, released):
    """Let servers of packs send the files whose paths ``is_held`` only once an event is set."""
    from napari_cryoet.packs import serve

    class HeldResponse(serve.PackFile):
        async def __call__(self, scope, receive, send):
            while is_held(str(self.path)) and not released.is_set():
                await asyncio.sleep(0.02)
            await super().__call__(scope, receive, send)

    monkeypatch.setattr(serve, "PackFile", HeldResponse)


def served_tables():
    """The rows that lead to the files."""
    volume = {
        "httpsOmezarrDir": HTTPS + ZARR,
        "s3OmezarrDir": S3 + ZARR,
        "httpsMrcFile": HTTPS + MRC,
        "s3MrcFile": S3 + MRC,
    }
    return {
        "depositions": [row("depositions", id=1, title="Alpha")],
        "datasets": [row("datasets", id=10, depositionId=1, title="Yeast", **placed("Prefix", "10/"))],
        "runs": [row("runs", id=100, datasetId=10, name=RUN, **placed("Prefix", f"10/{RUN}/"))],
        "alignments": [row("alignments", id=1, runId=100)],
        "tomogramVoxelSpacings": [
            row("tomogramVoxelSpacings", id=1, runId=100, voxelSpacing=10, **placed("Prefix", f"{PLACE}/"))
        ],
        "tomograms": [
            row("tomograms", id=1, runId=100, depositionId=1, tomogramVoxelSpacingId=1, alignmentId=1, sizeX=6, sizeY=5,
                sizeZ=4, voxelSpacing=10, processing="raw", reconstructionMethod="WBP", **volume),
        ],
        "annotations": [
            row("annotations", id=1, runId=100, depositionId=1, objectName="ribosome",
                **placed("MetadataPath", METADATA)),
        ],
        "annotationAuthors": [row("annotationAuthors", id=1, annotationId=1, name="Irene")],
        "annotationShapes": [row("annotationShapes", id=1, annotationId=1, shapeType="Point")],
        "annotationFiles": [
            row("annotationFiles", id=1, annotationShapeId=1, alignmentId=1, tomogramVoxelSpacingId=1, format="ndjson",
                **placed("Path", NDJSON)),
        ],
    }  # fmt: skip


def _write_zarr(folder):
    """An OME-Zarr volume, and small files beside it to be listed."""
    import zarr

    group = zarr.create_group(folder, zarr_format=2)
    array = group.create_array(
        "0",
        shape=VOLUME.shape,
        chunks=(2, 3, 3),
        dtype=VOLUME.dtype,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    array[:] = VOLUME
    group.attrs["multiscales"] = [{"version": "0.4", "datasets": [{"path": "0"}]}]
    for number in range(CHUNKS):
        (folder / f"extra {number:04}").write_bytes(b"x" * (number % 7))
