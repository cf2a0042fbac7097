import json
import threading

import dask.array as da
import mrcfile
import numpy as np
import pytest
import zarr

from napari_cryoet import load_annotation, mask_layouts, mask_voxels, open_annotation
from napari_cryoet.comparison.sides import name_of_side
from napari_cryoet.exceptions import ExistsError, SaveError, StoppedError
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.mask_files import FORMATS, write_mask
from napari_cryoet.provenance import ORIGIN_KEY
from napari_cryoet.readers import looks_like_labels
from napari_cryoet.volumes import open_volume

SHAPE_ZYX = (20, 31, 45)
ABOUT = {
    "authors": ["Ada", "Zoë"],
    "dois": ["10.1/x"],
    "licence": "CC0-1.0",
    "object_name": "membrane",
    "deposition_id": 5,
}
SUFFIX = {"ome-zarr-0.4": ".zarr", "ome-zarr-0.5": ".zarr", "mrc": ".mrc"}


def labels(largest=1, dtype=np.int64):
    mask = np.random.default_rng(3).integers(0, largest + 1, SHAPE_ZYX).astype(dtype)
    mask[0, 0, 0] = largest
    return mask


def write(mask, folder, name, **options):
    return write_mask(mask, folder / f"mask{SUFFIX[name]}", spacing_angstrom=13.4812, format=name, **options)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("lazily", [False, True])
@pytest.mark.parametrize(("largest", "dtype"), [(1, bool), (1, np.uint8), (300, np.int64), (65535, np.uint32)])
def test_a_mask_reads_back_as_it_was(tmp_path, monkeypatch, name, lazily, largest, dtype):
    monkeypatch.setattr(mask_voxels, "_SLAB_PLANES", 8)
    mask = labels(largest, dtype)
    made = write(da.from_array(mask, chunks=(7, 16, 45)) if lazily else mask, tmp_path, name)
    volume = open_volume(made.path)

    assert volume.shape_zyx == SHAPE_ZYX
    np.testing.assert_array_equal(volume.read_planes(slice(0, 20)), mask)
    np.testing.assert_allclose(volume.spacing_angstrom, (13.4812,) * 3, rtol=1e-6)
    assert looks_like_labels(volume) or largest > 1
    assert made.is_instances == (largest > 1)


@pytest.mark.parametrize("name", FORMATS)
def test_a_voxel_of_just_one_angstrom_keeps_its_width(tmp_path, name):
    made = write_mask(labels(), tmp_path / f"mask{SUFFIX[name]}", spacing_angstrom=1.0, format=name)

    assert open_volume(made.path).spacing_angstrom == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("name", "largest", "dtype"),
    [
        ("ome-zarr-0.4", 1, "int8"),
        ("ome-zarr-0.4", 2, "uint16"),
        ("ome-zarr-0.5", 200, "uint8"),
        ("ome-zarr-0.5", 70_000, "uint32"),
        ("ome-zarr-0.5", 2**40, "uint64"),
        ("mrc", 100, "int8"),
        ("mrc", 200, "int16"),
        ("mrc", 40_000, "uint16"),
    ],
)
def test_numbers_take_the_smallest_type_that_the_format_has_for_them(tmp_path, name, largest, dtype):
    assert write(labels(largest), tmp_path, name).dtype == dtype


@pytest.mark.parametrize("name", ["ome-zarr-0.4", "mrc"])
def test_ids_that_dont_fit_are_refused_and_never_wrapped(tmp_path, name):
    with pytest.raises(SaveError, match=r"65,536, doesn't fit.*OME-Zarr 0.5"):
        write(labels(65536), tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (np.zeros(SHAPE_ZYX) + 0.5, "whole numbers"),
        (np.full(SHAPE_ZYX, -1), "below 0"),
        (np.zeros((4, 5), int), "three axes"),
    ],
)
def test_what_is_no_mask_is_refused_in_words(tmp_path, mask, why):
    with pytest.raises(SaveError, match=why):
        write(mask, tmp_path, "mrc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_that_is_there_is_replaced_unasked(tmp_path, name):
    path = write(labels(), tmp_path, name).path
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(ExistsError):
        write(labels(5), tmp_path, name)
    assert sorted(tmp_path.rglob("*")) == before

    write(labels(5), tmp_path, name, overwrite=True)
    assert open_volume(path).read_planes(slice(0, 20)).max() == 5
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_mask_that_is_stopped_half_way_leaves_nothing(tmp_path, monkeypatch, name):
    monkeypatch.setattr(mask_voxels, "_SLAB_PLANES", 8)
    stop = threading.Event()
    seen = []

    def progress(done, total):
        seen.append((done, total))
        if done > total * 0.6:
            stop.set()

    with pytest.raises(StoppedError):
        write(labels(300), tmp_path, name, progress=progress, stop=stop)
    assert list(tmp_path.iterdir()) == []
    assert seen == sorted(seen)


def test_progress_ends_at_all_of_it(tmp_path):
    seen = []
    write(labels(), tmp_path, "mrc", progress=lambda done, total: seen.append((done, total)))

    assert seen[-1][0] == seen[-1][1] == 2 * labels().nbytes


def test_zarr_attributes_say_where_a_mask_comes_from(tmp_path):
    for name, file in (("ome-zarr-0.4", ".zattrs"), ("ome-zarr-0.5", "zarr.json")):
        path = write(labels(), tmp_path / name, name, about=ABOUT, edits=["painted"], who="Grace").path
        document = json.loads((path / file).read_text())
        notes = (document.get("attributes") or document)["napari_cryoet"]

        assert notes["source"] == ABOUT
        assert (notes["edits"], notes["written_by"]) == (["painted"], "Grace")
        assert notes["voxel_spacing_angstrom"] == 13.4812


def test_an_mrc_has_it_in_short_in_its_labels_and_in_full_beside_it(tmp_path):
    made = write(labels(), tmp_path, "mrc", about=ABOUT, alignment_id=17)
    with mrcfile.open(made.path) as mrc:
        said = mrc.get_labels()
        np.testing.assert_allclose(float(mrc.voxel_size.x), 13.4812, rtol=1e-7)
    assert mrcfile.validate(made.path)

    assert "Authors: Ada, Zo?" in said
    assert "Alignment: 17" in said
    assert json.loads(made.provenance_path.read_text())["source"]["authors"] == ["Ada", "Zoë"]


@pytest.mark.parametrize(
    ("about", "line"),
    [({"authors": "Ada"}, "Authors: Ada"), ({"authors": 5}, "Authors: 5"), ({"dois": {"a": 1}}, "DOI: {'a': 1}")],
)
def test_what_a_layers_metadata_say_in_another_form_is_in_an_mrcs_labels_too(tmp_path, about, line):
    made = write(labels(), tmp_path, "mrc", about=about)
    with mrcfile.open(made.path) as mrc:
        assert line in mrc.get_labels()


@pytest.mark.parametrize("name", FORMATS)
def test_where_a_mask_comes_from_is_known_again_when_it_is_opened(tmp_path, name):
    about = ABOUT | {
        "run_id": 5,
        "voxel_spacing_angstrom": 5.0,
        "software": "other 1",
        "layer_id": "x",
        "warnings": ["w"],
    }
    path = write(labels(), tmp_path / "1", name, about=about, alignment_id=17, edits=["painted"]).path

    (spec,) = load_annotation(path)
    known = spec.options["metadata"][METADATA_KEY]
    assert ABOUT.items() <= known.items()
    assert (known["alignment_id"], known["edits"]) == (17, ["painted"])
    assert not {"layer_id", "warnings"} & known.keys()
    np.testing.assert_allclose(known["voxel_spacing_angstrom"], 13.4812, rtol=1e-6)
    compared = open_annotation(path)
    assert (compared.alignment_id, compared.about["run_id"], compared.about["authors"]) == (17, 5, ABOUT["authors"])
    assert name_of_side(compared) == path.name

    again = write(spec.data if name == "mrc" else spec.data[0], tmp_path / "2", name, about=known, edits=["smoothed"])
    (spec,) = load_annotation(again.path)
    assert ABOUT.items() <= spec.options["metadata"][METADATA_KEY].items()
    assert spec.options["metadata"][METADATA_KEY]["edits"] == ["painted", "smoothed"]


def test_what_stands_beside_a_mask_that_was_changed_since_no_longer_counts(tmp_path):
    path = write(labels(), tmp_path, "mrc", about=ABOUT, alignment_id=17).path
    with mrcfile.open(path, "r+") as file:
        file.data[0, 0, 0] = 0

    assert "authors" not in load_annotation(path)[0].options["metadata"][METADATA_KEY]
    assert open_annotation(path).alignment_id is None


def test_a_mask_of_a_name_that_leaves_no_room_for_notes_is_read(tmp_path):
    path = write(labels(), tmp_path, "mrc").path.rename(tmp_path / "mask.mrc".rjust(250, "a"))

    assert load_annotation(path)[0].kind == "labels"
    assert open_annotation(path).alignment_id is None


@pytest.mark.parametrize("notes", [[], "x", {"source": 3}, {"source": {}, "alignment_id": "x", "edits": 5}])
def test_damaged_notes_of_a_mask_are_no_matter(tmp_path, notes):
    path = write(labels(), tmp_path, "ome-zarr-0.4").path
    attributes = json.loads((path / ".zattrs").read_text())
    (path / ".zattrs").write_text(json.dumps(attributes | {"napari_cryoet": notes}))

    assert load_annotation(path)[0].options["metadata"][METADATA_KEY]["kind"] == "volume"
    assert open_annotation(path).alignment_id is None


def test_the_zarr_of_version_0_5_is_what_the_specification_says(tmp_path):
    group = zarr.open_group(write(labels(), tmp_path, "ome-zarr-0.5").path, mode="r")
    ome = group.attrs["ome"]

    assert group.metadata.zarr_format == 3
    assert ome["version"] == "0.5"
    assert "image-label" in ome
    assert [axis["unit"] for axis in ome["multiscales"][0]["axes"]] == ["angstrom"] * 3
    assert ome["multiscales"][0]["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [26.9624] * 3},
        {"type": "translation", "translation": [6.7406] * 3},
    ]
    assert group["1"].shape == (10, 16, 23)
    assert group["0"].metadata.dimension_names == ("z", "y", "x")


@pytest.mark.parametrize("spacing", [0, -1, float("nan"), float("inf")])
def test_a_width_that_no_voxel_has_is_refused_before_anything_is_written(tmp_path, spacing):
    with pytest.raises(SaveError, match="Å wide"):
        write_mask(labels(), tmp_path / "mask.mrc", spacing_angstrom=spacing)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_a_name_that_promises_another_format_is_refused(tmp_path, name):
    other = ".zarr" if name == "mrc" else ".mrc"
    with pytest.raises(SaveError, match="the name of another format"):
        write_mask(labels(), tmp_path / f"mask{other}", spacing_angstrom=10, format=name)


def test_a_zarr_is_of_the_version_that_can_hold_its_ids(tmp_path):
    assert write_mask(labels(65_535), tmp_path / "a.zarr", spacing_angstrom=10).format == "ome-zarr-0.4"
    made = write_mask(labels(65_536), tmp_path / "b.zarr", spacing_angstrom=10)

    assert (made.format, made.dtype) == ("ome-zarr-0.5", "uint32")
    assert open_volume(made.path).read_planes(slice(0, 1))[0, 0, 0] == 65_536


@pytest.mark.parametrize("level", [0, 1])
def test_what_was_added_to_a_level_to_make_levels_fit_isnt_written(tmp_path, level):
    mask = np.zeros((17, 35, 45), np.uint8)
    mask[3:10, 4:30, 5:40] = 1
    opened = open_volume(write_mask(mask, tmp_path / "a.zarr", spacing_angstrom=10).path)
    array = opened.levels[level]
    shape = ((17, 35, 45), (9, 18, 23))[level]
    assert array.shape != shape

    again = open_volume(write_mask(array, tmp_path / "b.mrc", spacing_angstrom=10 * 2**level).path)
    assert again.shape_zyx == shape
    np.testing.assert_array_equal(again.levels[0], array.compute()[: shape[0], : shape[1], : shape[2]])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("largest", [1, 300])
def test_a_mask_keeps_the_origin_of_the_file_that_it_comes_from(tmp_path, name, largest):
    about = {ORIGIN_KEY: [30.0, -40.0, 120.5], "voxel_spacing_angstrom": [13.4812] * 3}

    volume = open_volume(write(labels(largest), tmp_path, name, about=about).path)

    assert volume.origin_angstrom == (30.0, -40.0, 120.5)
    if name != "mrc":
        assert volume.pyramid.coarse_offset == ("strided" if largest > 1 else "mean")


@pytest.mark.parametrize(
    "about",
    [
        {ORIGIN_KEY: [30.0, -40.0, 120.5], "voxel_spacing_angstrom": 6.74},  # of another grid
        {ORIGIN_KEY: [30.0, -40.0, 120.5]},
        {ORIGIN_KEY: [30.0, "x", None], "voxel_spacing_angstrom": 13.4812},
        {ORIGIN_KEY: [30.0], "voxel_spacing_angstrom": 13.4812},
    ],
)
def test_an_origin_of_something_else_is_not_taken_over(tmp_path, about):
    assert open_volume(write(labels(), tmp_path, "mrc", about=about).path).origin_angstrom is None


def test_nothing_of_a_zarr_is_still_being_written_when_it_has_failed():
    failed, started, ended = threading.Event(), [], []

    class FullDisk:
        def __setitem__(self, region, part):
            if region[2].start == 0:
                failed.set()
                raise OSError("No space left on device")
            started.append(region)
            failed.wait(10)
            ended.append(region)

    with pytest.raises(OSError, match="No space left"):
        mask_layouts._put(FullDisk(), 0, np.zeros((1, 1, 600), np.uint8))
    assert len(ended) == len(started)
