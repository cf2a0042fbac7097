"""Every shape of annotation that the portal has, from a served pack: listed, then drawn or read over HTTP."""

from __future__ import annotations

import cryoet_data_portal as cdp
import numpy as np
import pytest

from napari_cryoet.demo.content import RUNS
from napari_cryoet.layers.load import load_annotation, load_captions
from napari_cryoet.packs.serve import PackServer
from napari_cryoet.portal import open_portal
from napari_cryoet.records import ShapeType
from napari_cryoet.run.outline import outline_run

KINDS = {
    ShapeType.POINT: "points",
    ShapeType.ORIENTED_POINT: "points",
    ShapeType.INSTANCE_SEGMENTATION: "points",
    ShapeType.SEGMENTATION_MASK: "labels",
    ShapeType.INSTANCE_SEGMENTATION_MASK: "labels",
    ShapeType.MESH: "surface",
}


@pytest.fixture(scope="module")
def server(demo_pack):
    with PackServer(demo_pack) as server:
        yield server


@pytest.fixture(scope="module")
def rows(server):
    """One row of each shape, with the tomogram of its run."""
    portal = open_portal(server.graphql_url)
    found = {}
    for run in RUNS:
        page = portal.run_page(run.id)
        for row in outline_run(page, page.default_tomogram).rows():
            found.setdefault(row.shape.shape_type, (row, page.default_tomogram))
    portal.close()
    return found


def test_the_demo_has_each_of_them(rows):
    assert set(rows) == {*KINDS, ShapeType.GLOBAL_CAPTION, ShapeType.ANNOTATION_CAPTION}


@pytest.mark.parametrize("shape", KINDS, ids=str)
def test_what_has_a_place_becomes_a_layer(rows, shape):
    row, tomogram = rows[shape]
    spec = load_annotation(row.shown_file, tomogram)[0]
    assert spec.kind == KINDS[shape]
    assert np.allclose(spec.options["scale"], row.shown_file.voxel_spacing.voxel_spacing)


@pytest.mark.parametrize("shape", [ShapeType.GLOBAL_CAPTION, ShapeType.ANNOTATION_CAPTION], ids=str)
def test_what_is_a_text_is_read(rows, shape):
    row, _ = rows[shape]
    (caption,) = load_captions(row.caption_file)
    assert (caption.id, len(caption.text) > 20) == (0, True)


def test_the_official_client_lists_the_mesh_and_the_captions_too(server):
    client = cdp.Client(server.graphql_url)
    for shape, file_format in (("Mesh", "glb"), ("GlobalCaption", "json"), ("AnnotationCaption", "json")):
        (found,) = cdp.AnnotationShape.find(client, [cdp.AnnotationShape.shape_type == shape])
        assert [file.format for file in found.annotation_files] == [file_format]
