"""The portal's links and Neuroglancer's: read as a view, and written from one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from msgspec.structs import replace

from napari_cryoet.exceptions import FormatError
from napari_cryoet.portal.links import Jump
from napari_cryoet.views.links import parse_link
from napari_cryoet.views.neuroglancer import linkable_tomogram, portal_link
from napari_cryoet.views.view import Camera, Looks, View, ViewedRun, ViewedTomogram
from viewer_states import (
    CONFIG_LAYERS,
    PAGE,
    SPACING_FOLDER,
    STORAGE,
    TOMOGRAM_PATH,
    component,
    config,
    inner_state,
    moved_link,
    page_link,
    page_state,
)

RIBOSOMES = f"{SPACING_FOLDER}/Annotations/101/cytosolic_ribosome-1.0_orientedpoint.ndjson"
MEMBRANE = f"{SPACING_FOLDER}/Annotations/102/membrane-1.0_segmentationmask.zarr"
CONFIG = json.dumps(config())


def read(link: str) -> View:
    view = parse_link(link)
    assert isinstance(view, View)
    return view


def paths(view: View) -> list[str]:
    return [(each.tomogram or each.annotation).path for each in view.layers if each.looks.visible]


@pytest.fixture
def live() -> View:
    """The view of a tomogram of the live portal, as napari would capture it."""
    view = read(f"{PAGE}#!{component(config())}")
    tomogram = replace(view.layers[0], tomogram=replace(view.layers[0].tomogram, id=629))
    membrane = replace(view.layers[1], name="mine", looks=Looks(color="#11223380", opacity=0.5))
    membrane = replace(
        membrane, annotation=replace(membrane.annotation, path=MEMBRANE, object_name="membrane")
    )
    camera = Camera(
        point_zyx_angstrom=(1234.5, 0, 0),
        center_zyx_angstrom=(7, 2000.25, 3000.75),
        field_angstrom=(1000, 1600),
    )
    return replace(view, layers=(tomogram, membrane), camera=camera)


def links_of(state: dict[str, Any]) -> list[str]:
    inner = component(state)
    image = state["layers"][0] | {"source": [{"url": f"{STORAGE}/{TOMOGRAM_PATH}/|zarr2:"}, "a"]}
    return [
        f"{PAGE}#!{inner}",
        f"{PAGE}#!{unquote(inner)}",
        f"{PAGE}#!{unquote(inner).replace(chr(34), '%22').replace('50%', '50%25')}",
        page_link({"neuroglancer": f"#!{inner}", "tourStepIndex": 1}),
        page_link({"neuroglancer": state}),
        f"  <https://neuroglancer-demo.appspot.com/#!{inner}\n",
        f"http://127.0.0.1:8000/v/token/#!{inner}",
        f"{PAGE}#!{component(state | {'layers': [image, *state['layers'][1:]]})}",
    ]


@pytest.mark.parametrize("number", range(8))
def test_all_forms_of_a_link_open_the_same_place(number: int) -> None:
    view = read(links_of(config())[number])
    assert paths(view) == [TOMOGRAM_PATH, RIBOSOMES]
    tomogram, ribosomes = view.layers
    assert tomogram.looks.contrast_limits == (-25.625011563301086, 28.373781085014343)
    assert ribosomes.looks.color == "#0080ffff"
    assert ribosomes.annotation.object_name == "cytosolic ribosome"
    assert ribosomes.annotation.shape == "OrientedPoint"
    run_id = None if number in {5, 6} else 249
    run = ViewedRun(source="live", dataset_id=10000, run_name="TS_043", run_id=run_id)
    assert view.runs == (run,)
    assert np.array(view.camera.center_zyx_angstrom) / 13.48 == pytest.approx((250, 464, 480))
    assert view.camera.ortho


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"layout": "xz"}, {"ndisplay": 2, "order": (1, 0, 2), "ortho": False}),
        ({"layout": {"type": "yz-3d"}}, {"ndisplay": 2, "order": (2, 0, 1)}),
        ({"layout": "3d"}, {"ndisplay": 3, "perspective": 45.0}),
        (
            {"layout": {"type": "3d", "orthographicProjection": True}},
            {"perspective": 0.0, "field_angstrom": (1056 * 13.48, 1056 * 13.48 * 1.5)},
        ),
        (
            {"dimensions": {axis: [1.3481, "nm"] for axis in "zyx"}, "position": [1, 2, 3]},
            {"center_zyx_angstrom": (13.48, 26.96, 40.44)},
        ),
        (
            {"dimensions": {axis: [2, "nm"] for axis in "txyz"}, "position": [9, 1, 2, 3]},
            {"center_zyx_angstrom": (60.0, 40.0, 20.0)},
        ),
    ],
)
def test_layouts_axes_and_units_are_neuroglancers(changes, expected) -> None:
    camera = read(f"{PAGE}#!{component(config() | changes)}").camera
    for name, value in expected.items():
        assert getattr(camera, name) == pytest.approx(value), name


def test_a_written_link_opens_exactly_the_view(live: View) -> None:
    link = portal_link(live, CONFIG)
    assert link.startswith(f"{PAGE}#!")
    assert read(link) == live
    state = inner_state(link)
    assert np.array(state["position"]) * 13.48 == pytest.approx((3000.75, 2000.25, 1234.5), abs=0.1)
    assert state["crossSectionScale"] * 13.48 * 600 == pytest.approx(1600, rel=1e-3)
    assert state["layout"] == "xy"
    visible = {each["name"] for each in state["layers"] if each["visible"]}
    assert visible == {"TS_043", "102 membrane segmentation"}
    colors = [each.get("segmentDefaultColor") for each in state["layers"]]
    assert colors == [None, None, None, "#0080ff", "#112233", "#0080ff"]


def test_oriented_points_are_shown_as_meshes_where_the_portal_has_them(live: View) -> None:
    ribosomes = replace(live.layers[1].annotation, path=RIBOSOMES)
    view = replace(live, layers=(live.layers[0], replace(live.layers[1], annotation=ribosomes)))
    layers = inner_state(portal_link(view, CONFIG))["layers"]
    shown = [
        name for name, layer in zip(CONFIG_LAYERS, layers[1:], strict=True) if layer["visible"]
    ]
    assert shown == ["101-cytosolic_ribosome-1.0_orientedmesh"]


def test_3d_is_written_and_read_again(live: View) -> None:
    orientation = (0.5, 0.5, -0.5, 0.5)
    camera = replace(live.camera, ndisplay=3, orientation=orientation, perspective=0.0)
    link = portal_link(replace(live, camera=camera), CONFIG)
    again = read(moved_link(link, position=[1, 2, 3])).camera
    assert again.center_zyx_angstrom == pytest.approx((40.44, 26.96, 13.48))
    assert abs(np.dot(again.orientation, orientation)) == pytest.approx(1)  # the same rotation
    assert again.field_angstrom == pytest.approx((1000, 1600), rel=1e-3)
    assert (again.ndisplay, again.perspective) == (3, 0.0)


def test_what_changed_in_the_browser_comes_from_there_and_the_rest_from_our_key(live: View) -> None:
    link = portal_link(live, CONFIG)
    state = inner_state(link)
    kept = [float(np.float32(value)) for value in state["position"]]
    assert read(moved_link(link, position=kept, showSlices=False)) == live

    layers = state["layers"]
    layers[3]["visible"] = True
    layers[4]["visible"] = False
    scale = state["crossSectionScale"] / 2
    moved = moved_link(link, position=[1, 2, 3], crossSectionScale=scale, layers=layers)
    view = read(moved)
    assert paths(view) == [TOMOGRAM_PATH, RIBOSOMES]
    assert view.layers[1].name == "mine"
    assert not view.layers[1].looks.visible
    assert view.layers[1].looks.opacity == 0.5
    assert view.camera.field_angstrom == pytest.approx((500, 800), rel=1e-3)
    assert view.camera.point_zyx_angstrom == pytest.approx((40.44, 26.96, 13.48))

    view = read(moved_link(link, layout="3d"))
    assert view.camera.ndisplay == 3
    assert paths(view) == [TOMOGRAM_PATH, MEMBRANE]


def test_five_layers_take_at_most_2000_characters(live: View) -> None:
    tomogram, membrane = live.layers
    stems = (
        "100/fatty_acid_synthase_complex-1.0_point.ndjson",
        "103/vesicle-1.0_segmentationmask.zarr",
    )
    names = [RIBOSOMES, MEMBRANE, *(f"{SPACING_FOLDER}/Annotations/{stem}" for stem in stems)]
    looks = Looks(
        color="#11223380", opacity=0.7345678123, contrast_limits=(-1.234567890123, 2.3456789)
    )
    others = (
        replace(
            membrane,
            annotation=replace(
                membrane.annotation, path=name, id=1234 + index, object_id="GO:0016020"
            ),
            name=f"TS_043 · layer {index}",
            looks=replace(
                looks, selected_zyx_angstrom=((1234.5678 + index, 2.345678912, 3.4567891),)
            ),
        )
        for index, name in enumerate(names)
    )
    view = replace(live, layers=(tomogram, *others))
    lengths = len(view.link()), len(portal_link(view, CONFIG))
    assert max(lengths) <= 2000, lengths
    assert read(view.link()) == view


def test_only_a_tomogram_of_the_live_portal_can_be_linked(live: View) -> None:
    assert linkable_tomogram(live) == ViewedTomogram(
        path=TOMOGRAM_PATH, voxel_spacing_angstrom=13.48, id=629
    )
    demo = replace(live, runs=(replace(live.runs[0], source="demo"),))
    assert linkable_tomogram(demo) is None
    for view, state in ((demo, CONFIG), (live, "{}"), (live, ""), (live, '{"layers": []}')):
        with pytest.raises(FormatError, match="tomogram"):
            portal_link(view, state)


def test_a_link_to_other_data_is_refused() -> None:
    other = config() | {
        "layers": [{"type": "image", "source": "zarr://https://example.org/a.zarr"}]
    }
    with pytest.raises(FormatError, match="CryoET"):
        parse_link(f"https://neuroglancer-demo.appspot.com/#!{component(other)}")
    with pytest.raises(FormatError, match="elsewhere"):
        parse_link("https://neuroglancer-demo.appspot.com/#!gs://bucket/state.json")
    assert parse_link(f"{PAGE}#!%7B%7D") == Jump("run", 249)


def real_states(real_data: Path) -> list[tuple[View, dict[str, Any]]]:
    """Views of all layers of the real states, each with its tomogram's row."""
    rows = json.loads((real_data / "dataset_10000" / "tomograms.json").read_text())
    states = []
    for row in rows:
        state = json.loads(row["neuroglancer_config"])
        for layer in state["layers"]:
            layer["visible"] = True
        view = read(f"{PAGE}#!{component(state)}")
        tomogram, *others = view.layers
        file = replace(tomogram.tomogram, id=row["id"])
        layers = (replace(tomogram, tomogram=file), *others)
        states.append((replace(view, layers=layers), row))
    return states


def test_real_states_name_files_that_the_portal_has(real_data: Path) -> None:
    files = json.loads((real_data / "dataset_10000" / "annotationFiles.json").read_text())
    known = {each["s3_path"].split("/", 3)[3] for each in files}
    for view, row in real_states(real_data):
        state = json.loads(row["neuroglancer_config"])
        tomogram, *annotations = view.layers
        assert tomogram.tomogram.path == row["s3_omezarr_dir"].split("/", 3)[3]
        assert len(annotations) == len(state["layers"]) - 1
        assert {layer.annotation.path for layer in annotations} <= known
        link = portal_link(view, row["neuroglancer_config"])
        assert read(link) == view
        drawn = ("type", "source", "shader", "opacity", "segments")
        written = [[layer.get(key) for key in drawn] for layer in inner_state(link)["layers"]]
        assert written == [[layer.get(key) for key in drawn] for layer in state["layers"]]


@pytest.mark.slow
def test_neuroglancers_own_package_reads_the_same(
    live: View, python_with, tmp_path: Path, real_data: Path
) -> None:
    random = np.random.default_rng(1)
    views = []
    links = []
    for center in random.uniform(0, 13000, (50, 3)):
        at = tuple(map(float, center))
        camera = replace(live.camera, point_zyx_angstrom=at, center_zyx_angstrom=at)
        written = portal_link(replace(live, camera=camera), CONFIG)
        links.append(f"{PAGE}{page_state(written)['neuroglancer']}")
        views.append(replace(live, camera=camera))
    states = tmp_path / "links.json"
    real = real_states(real_data)
    of_real = [portal_link(view, row["neuroglancer_config"]) for view, row in real]
    bare = [f"{PAGE}{page_state(link)['neuroglancer']}" for link in of_real]
    states.write_text(json.dumps([*links, *bare, f"{PAGE}#!{component(config())}"]))
    read_there = json.loads(
        python_with("neuroglancer==2.41.2")("views/neuroglancer_reads.py", states)
    )
    for (view, _row), there in zip(real, read_there[len(links) : -1], strict=True):
        voxels = pytest.approx(there["voxels_zyx"], abs=0.1)
        assert np.array(view.camera.center_zyx_angstrom) / 13.48 == voxels
        assert len(there["visible"]) == len(view.layers)
    for link, view, there in zip(links, views, read_there, strict=False):
        voxels = pytest.approx(there["voxels_zyx"], abs=0.1)
        assert np.array(view.camera.center_zyx_angstrom) / 13.48 == voxels
        assert np.array(read(link).camera.center_zyx_angstrom) / 13.48 == voxels
        assert there["layout"] == "xy"
        assert there["visible"] == ["TS_043", "102 membrane segmentation"]
    camera = read(f"{PAGE}#!{component(config())}").camera
    place = pytest.approx(read_there[-1]["angstrom_zyx"], abs=0.1 * 13.48)
    assert camera.center_zyx_angstrom == place
