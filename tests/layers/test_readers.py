"""Which files the reader accepts or leaves to other plugins, and its messages about damaged files."""

import json
import re

import numpy as np
import pytest
import zarr

from napari_cryoet.appearance.colors import color_of
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.exceptions import FormatError, PackError, StreamError
from napari_cryoet.formats.masks import write_mask
from napari_cryoet.formats.mrc import write_mrc
from napari_cryoet.formats.ome_zarr import write_pyramid
from napari_cryoet.layers.readers import find_reader, read_pack
from napari_cryoet.packs.pack import PackManifest, write_pack
from napari_cryoet.packs.serve import PackServer
from napari_cryoet.portal.provenance import of_annotation_file
from ome_images import write_image
from samples import make_annotation, make_file

SHAPE_ZYX = (9, 14, 21)


def noise():
    return np.random.default_rng(0).normal(size=SHAPE_ZYX).astype(np.float32)


def read(path):
    reader, _ = find_reader(str(path))
    assert reader is not None
    return reader(str(path))


def test_instances_become_labels_and_grey_values_an_image(tmp_path):
    instances = np.zeros(SHAPE_ZYX, np.uint16)
    instances[4, 6, 8] = 700
    write_pyramid(tmp_path / "instances.zarr", instances, 13.48, "instances")
    grey = np.random.default_rng(0).integers(0, 256, SHAPE_ZYX).astype(np.uint8)
    zarr.create_array(tmp_path / "grey.zarr", data=grey)

    assert read(tmp_path / "instances.zarr")[0][2] == "labels"
    assert read(tmp_path / "grey.zarr")[0][2] == "image"


def test_an_imod_model_is_refused_with_a_way_to_convert_it(tmp_path):
    (tmp_path / "a.mod").write_bytes(b"IMODV1.2" + bytes(100))
    with pytest.raises(FormatError, match="model2point"):
        read(tmp_path / "a.mod")
    (tmp_path / "b.mod").write_bytes(b"module of another program")
    assert find_reader(str(tmp_path / "b.mod")) == (None, "")


@pytest.mark.parametrize("name", ["a.mrc", "a.zarr"])
def test_masks_we_write_open_as_labels(tmp_path, name):
    mask = np.arange(1, 28, dtype=np.uint8).reshape(3, 3, 3)
    write_mask(mask, tmp_path / name, spacing_angstrom=10.0)
    assert read(tmp_path / name)[0][2] == "labels"

    if name == "a.mrc":  # another file in its place
        write_mrc(tmp_path / name, noise(), 10.0)
        assert read(tmp_path / name)[0][2] == "image"


@pytest.mark.parametrize(
    "name", ["movie", "channels", "table", "treasure.map", "words.ndjson", "a.json"]
)
def test_other_kinds_of_files_are_declined_with_a_reason(tmp_path, name):
    path, reason = tmp_path / name, "holds no picks"
    match name:
        case "movie":
            path, reason = tmp_path / "a.zarr", "2 volumes"
            zarr.create_array(path, data=np.zeros((2, 3, 4, 5), np.uint8))
        case "channels":
            path, reason = tmp_path / "a.zarr", "3 channels"
            write_image(path, np.ones((1, 3, 6, 6, 6), "u2"), "tczyx")
        case "table":
            path, reason = tmp_path / "a.zarr", "not an OME-Zarr image"
            zarr.create_group(path, zarr_format=2)
        case "treasure.map":
            path.write_text("Here be dragons. " * 100)
            reason = "MRC file"
        case _:
            path.write_text('{"a": 1}\n')

    reader, message = find_reader(str(path))
    assert reader is None
    assert re.search(reason, message)


def test_downloaded_files_look_like_portal_layers(tmp_path):
    folder = tmp_path / "VoxelSpacing13.480"
    folder.mkdir()
    (folder / "a.ndjson").write_text('{"type": "point", "location": {"x": 1, "y": 2, "z": 3}}\n')
    write_pyramid(folder / "b.zarr", np.ones(SHAPE_ZYX, np.int8), 13.48)
    file = make_file(annotation=make_annotation(ground_truth_status=False))
    source = of_annotation_file(file, file.https_path, 13.48).to_dict()
    del source["kind"]  # like a download
    items = [
        {"path": path, "source": source}
        for path in ("VoxelSpacing13.480/a.ndjson", "VoxelSpacing13.480/b.zarr")
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"items": items, "files": []}))
    color = pytest.approx(color_of("GO:0022626"))

    ((_, points, _),) = read(folder / "a.ndjson")
    ((_, mask, kind),) = read(folder / "b.zarr")

    assert points["name"] == "cytosolic ribosome · 1 point · hybrid · TS_026"
    assert mask["name"] == "cytosolic ribosome · points · hybrid · TS_026"
    assert (points["border_color"], mask["colormap"][1], kind) == (color, color, "labels")
    assert points["size"] == pytest.approx(diameter_angstrom("GO:0022626") / 13.48)


def test_stacks_2d_images_and_folders_are_declined(tmp_path):
    write_mrc(tmp_path / "a.mrc", noise(), 1.5)
    (tmp_path / "a.tif").write_bytes(b"II*\0")

    assert find_reader([str(tmp_path / "a.mrc")])[0] is not None
    for path in ([str(tmp_path / "a.mrc")] * 2, str(tmp_path / "a.tif"), str(tmp_path)):
        assert find_reader(path) == (None, "")


def test_damaged_files_raise_errors_with_their_name(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    write_pyramid(tmp_path / "lacking.zarr", noise(), 13.48)
    (tmp_path / "lacking.zarr" / "1" / ".zarray").unlink()
    (tmp_path / "empty.rec").write_bytes(b"")
    (tmp_path / "text.mrc").write_text("Here be dragons. " * 100)
    (tmp_path / "packed.mrc.gz").write_bytes(b"\x1f\x8b" + bytes(2000))

    for name in ("empty.zarr", "lacking.zarr", "empty.rec", "text.mrc", "packed.mrc.gz"):
        with pytest.raises(FormatError, match=name):
            read(tmp_path / name)


def test_a_pack_manifest_opens_with_points_on_top(demo_pack):
    layers = read(demo_pack / "pack.json")

    assert layers[0][1]["name"] == read(demo_pack)[0][1]["name"]
    kinds = [kind for _, _, kind in layers]
    assert kinds == sorted(kinds, key=["image", "labels", "vectors", "points"].index)
    assert all(options["units"] == ("angstrom",) * 3 for _, options, _ in layers)


def test_a_pack_without_tomograms_raises_an_error(tmp_path):
    manifest = PackManifest(
        title="Empty", source="test", created="2024-01-01", licence="CC0-1.0",
        https_prefix="https://files.example.invalid/", s3_prefix="s3://bucket/",
    )  # fmt: skip
    write_pack(tmp_path / "empty", manifest, {})

    with pytest.raises(PackError, match="No run"):
        read_pack(tmp_path / "empty")


def test_missing_files_raise_errors(tmp_path, demo_pack):
    with pytest.raises(StreamError, match=r"nowhere\.ndjson"):
        find_reader(str(tmp_path / "nowhere.ndjson"))
    with PackServer(demo_pack) as served:
        address = served.files_url.rstrip("/") + "/nowhere"
        with pytest.raises(StreamError):
            find_reader(f"{address}.ndjson")
        for suffix in ("zarr", "mrc"):
            with pytest.raises(FormatError, match=rf"nowhere\.{suffix}"):
                read(f"{address}.{suffix}")
