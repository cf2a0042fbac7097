"""A dock at the page of a run with a tomogram, oriented points and a mask on a `Server`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from napari import Viewer
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_cryoet._qt.browser.dock import PortalBrowser
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet.formats.ndjson import lines_of
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.picks import Picks
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import AnnotationShape, ShapeType
from napari_cryoet.settings import Settings
from napari_cryoet.task import UNWATCHED, Task
from qt.fake_portal import FakePortal
from samples import make_annotation, make_dataset, make_file, make_run, make_run_page, make_tomogram

RUN_ID, TOMOGRAM, ARROWS, MASK = (
    506,
    LayerKey("tomogram", 1506),
    LayerKey("annotation", 1),
    LayerKey("annotation", 2),
)
SIDE = 512  # of the tomogram, which has four chunks
VOXELS, FINEST = r"raw\.zarr/0/\d", r"/0/\d+/\d+/\d+$"  # patterns of requests


def write_run(folder: Path) -> None:
    """Write the run's files."""
    generator = np.random.default_rng(1)
    volume = generator.normal(0, 1, (8, SIDE, SIDE)).astype(np.float32)
    write_pyramid(folder / "raw.zarr", volume, 10.0)
    write_pyramid(folder / "mask.zarr", (volume > 2).astype(np.int8), 10.0, "mask")
    points = Picks(
        generator.uniform(0, 8, (5000, 3)), rotations_zyx=np.eye(3)[None].repeat(5000, axis=0)
    )
    (folder / "arrows.ndjson").write_bytes(b"".join(lines_of(points)))


def page_at(url: str) -> RunPage:
    """The run's page, with files at a base URL."""
    run = make_run(id=RUN_ID, name="TS_026", dataset=make_dataset())
    size = {
        "size_z": 8,
        "size_y": SIDE,
        "size_x": SIDE,
        "voxel_spacing": 10.0,
        "is_visualization_default": True,
    }
    tomogram = make_tomogram(
        id=TOMOGRAM.id, run_id=RUN_ID, run=run, https_omezarr_dir=f"{url}/raw.zarr", **size
    )

    def file(key: LayerKey, name: str, shape_type: ShapeType):
        annotation = make_annotation(
            id=key.id, run_id=RUN_ID, run=run, object_id=f"GO:{key.id:07}", object_name=name
        )
        shape = AnnotationShape(
            id=key.id, annotation_id=key.id, shape_type=shape_type, annotation=annotation
        )
        return make_file(
            shape_type,
            id=key.id,
            https_path=f"{url}/{name}",
            shape=shape,
            annotation_shape_id=key.id,
        )

    files = [
        file(ARROWS, "arrows.ndjson", ShapeType.ORIENTED_POINT),
        file(MASK, "mask.zarr", ShapeType.SEGMENTATION_MASK),
    ]
    return make_run_page(tomograms=[tomogram], files=files, run=run)


class OneRunPortal(FakePortal):
    """A portal that returns the same page for every run."""

    def __init__(self, page: RunPage) -> None:
        super().__init__()
        self.page = page

    def run_page(self, run_id: int, *, task: Task = UNWATCHED) -> RunPage:
        self._answer(task, "run_page", run_id)
        return self.page


def dock_at_run(
    qtbot: QtBot, viewer: ViewerModel, memory: Settings, page: RunPage
) -> PortalBrowser:
    """The dock at the page of the run, in the viewer's window if it has one.

    The caller closes it.
    """
    portal = OneRunPortal(page)
    browser = PortalBrowser(viewer, open_portal=lambda _source, _job: portal, memory=memory)
    if isinstance(viewer, Viewer):
        viewer.window.add_dock_widget(browser, name="CryoET", area="right")
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source("live")
    with qtbot.waitSignal(browser.navigator.run_arrived):
        browser.navigator.go_to_run(RUN_ID)
    return browser
