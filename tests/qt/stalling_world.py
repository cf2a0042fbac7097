"""One run whose files lie on a `StallingServer`: a tomogram of several chunks, oriented points, and a mask."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fault_server import Request
from napari_cryoet._qt.own_layers import LayerKey
from napari_cryoet.formats.ndjson import lines_of
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.picks import Picks
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import AnnotationShape, ShapeType
from napari_cryoet.streaming.layout import HEAD_BYTES
from qt.fake_portal import FakePortal
from samples import make_annotation, make_dataset, make_file, make_run, make_run_page, make_tomogram

RUN_ID, TOMOGRAM, ARROWS, MASK = 506, LayerKey("tomogram", 1506), LayerKey("annotation", 1), LayerKey("annotation", 2)


def write_world(folder: Path, side: int = 512) -> None:
    """Write the files; the tomogram has (side / 256)² chunks."""
    generator = np.random.default_rng(1)
    volume = generator.normal(0, 1, (8, side, side)).astype(np.float32)
    write_pyramid(folder / "raw.zarr", volume, 10.0)
    write_pyramid(folder / "mask.zarr", (volume > 2).astype(np.int8), 10.0, "mask")
    points = Picks(generator.uniform(0, 8, (5000, 3)), rotations_zyx=np.eye(3)[None].repeat(5000, axis=0))
    (folder / "arrows.ndjson").write_bytes(b"".join(lines_of(points)))


def page_of_world(address_of: Callable[[str], str], side: int = 512) -> RunPage:
    """The run's page; ``address_of`` says where a file is."""
    run = make_run(id=RUN_ID, name="TS_026", dataset=make_dataset())
    size = {"size_z": 8, "size_y": side, "size_x": side, "voxel_spacing": 10.0, "is_visualization_default": True}
    tomogram = make_tomogram(id=TOMOGRAM.id, run_id=RUN_ID, run=run, https_omezarr_dir=address_of("raw.zarr"), **size)

    def file(key: LayerKey, name: str, shape_type: ShapeType):
        annotation = make_annotation(id=key.id, run_id=RUN_ID, run=run, object_id=f"GO:{key.id:07}", object_name=name)
        shape = AnnotationShape(id=key.id, annotation_id=key.id, shape_type=shape_type, annotation=annotation)
        return make_file(shape_type, id=key.id, https_path=address_of(name), shape=shape, annotation_shape_id=key.id)

    files = [
        file(ARROWS, "arrows.ndjson", ShapeType.ORIENTED_POINT),
        file(MASK, "mask.zarr", ShapeType.SEGMENTATION_MASK),
    ]
    return make_run_page(tomograms=[tomogram], files=files, run=run)


class OneRunPortal(FakePortal):
    """A portal whose every run is that one."""

    def __init__(self, page: RunPage) -> None:
        super().__init__()
        self.page = page

    def run_page(self, run_id: int, *, stop: threading.Event | None = None) -> RunPage:
        self._answer(stop, "run_page", run_id)
        return self.page


def asks_for_metadata(request: Request) -> bool:
    """Whether a request is one of the first, which find out what is there."""
    return "raw.zarr" in request.path and not asks_for_voxels(request)


def asks_for_voxels(request: Request) -> bool:
    """Whether a request is for blocks of the tomogram."""
    return "raw.zarr/0/" in request.path and "/0/." not in request.path and not _is_head(request)


def asks_for_points(request: Request) -> bool:
    """Whether a request is for the oriented points."""
    return request.path.endswith(".ndjson")


def asks_for_mask(request: Request) -> bool:
    """Whether a request finds out what the mask is."""
    return "mask.zarr" in request.path


def _is_head(request: Request) -> bool:
    return request.headers.get("range") == f"bytes=0-{HEAD_BYTES - 1}"
