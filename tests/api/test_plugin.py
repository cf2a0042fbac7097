"""The plugin's readers and writers in napari, without a window."""

from __future__ import annotations

import json

import npe2
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Vectors
from scipy.spatial.transform import Rotation

from api.files import noise, point, write_mrc, write_zarr
from napari_cryoet import (
    CryoETError,
    FormatError,
    Picks,
    load_picks,
    open_annotation,
    read_picks,
    write_picks,
)
from napari_cryoet.viewer import add_layers

PLUGIN = "napari-cryoet"
ROTATIONS = Rotation.from_euler("xyz", [[10, 20, 30], [0, 90, 45]], degrees=True).as_matrix()
PICKS = Picks(
    [[1.0, 2, 3], [4, 5, 6]],
    10.0,
    rotations_zyx=ROTATIONS,
    shape_zyx=(40, 50, 60),
    alignment_id=17,
    about={"object_name": "cytosolic ribosome", "authors": ["Ada"]},
)

pytestmark = pytest.mark.usefixtures("qapp")


@pytest.fixture
def viewer():
    npe2.PluginManager.instance().discover()
    return ViewerModel()


@pytest.fixture
def layers(viewer):
    """Picks in the viewer: points above arrows."""
    return add_layers(viewer, load_picks(PICKS, name="ribosomes"))


class TestOpening:
    @pytest.mark.parametrize("name", ["TS.zarr", "TS.mrc"])
    def test_a_volume_is_an_image(self, viewer, tmp_path, name):
        volume = noise()
        (write_zarr if name.endswith("zarr") else write_mrc)(tmp_path / name, volume, 13.48)
        (layer,) = viewer.open(str(tmp_path / name), plugin=PLUGIN)

        assert isinstance(layer, Image)
        assert layer.name == "TS"
        np.testing.assert_allclose(layer.scale, [13.48] * 3, rtol=1e-6)
        np.testing.assert_array_equal(
            np.asarray(layer.data[0] if layer.multiscale else layer.data), volume
        )

    @pytest.mark.parametrize("name", ["a.ndjson", "a.star", "a.tbl", "a.json", "a.picks.csv"])
    def test_picks_are_points_with_arrows(self, viewer, tmp_path, name):
        write_picks(PICKS, tmp_path / name)
        arrows, points = viewer.open(str(tmp_path / name), plugin=PLUGIN)

        assert isinstance(arrows, Vectors)
        assert isinstance(points, Points)
        np.testing.assert_allclose(
            [points.data_to_world(each) for each in points.data], PICKS.points_zyx * 10
        )

    def test_urls_open(self, viewer, demo_pack, served_demo):
        for suffix, kind in (
            (".zarr", (Image, Labels)),
            (".ndjson", (Points,)),
            (".mrc", (Image, Labels)),
        ):
            path = next(
                path
                for path in sorted((demo_pack / "files").rglob(f"*{suffix}"))
                if "Tilt" not in str(path)
            )
            url = f"{served_demo['files'].rstrip('/')}/{path.relative_to(demo_pack / 'files').as_posix()}"
            assert isinstance(viewer.open(url, plugin=PLUGIN)[-1], kind), url

    def test_a_pack_and_the_sample_open_their_default_run(self, viewer, demo_pack, demo_at_home):
        for layers in (
            viewer.open(str(demo_pack), plugin=PLUGIN),
            viewer.open_sample(PLUGIN, "demo_run"),
        ):
            assert isinstance(layers[0], Image)
            assert any(isinstance(layer, Points) for layer in layers)

    def test_foreign_files_are_declined_and_damaged_files_raise_errors(self, viewer, tmp_path):
        (tmp_path / "log.ndjson").write_text('{"type": "log"}\n')
        (tmp_path / "a.ndjson").write_text(json.dumps(point(1, 2, 3)) + "\n{broken\n")
        for name, error, word in (
            ("log.ndjson", ValueError, "log"),
            ("a.ndjson", FormatError, "2"),
        ):
            with pytest.raises(error, match=word):
                viewer.open(str(tmp_path / name), plugin=PLUGIN)


class TestSavingPicks:
    @pytest.mark.parametrize(
        "name", ["a.ndjson", "a.star", "a.tbl", "a.json", "a.csv", "a.parquet"]
    )
    def test_keeps_positions_rotations_and_metadata(self, layers, tmp_path, name):
        points = layers[-1]
        points.data = np.add(points.data, [0.5, 0.0, 0.0])
        assert str(tmp_path / name) in points.save(str(tmp_path / name), plugin=PLUGIN)
        loaded = read_picks(tmp_path / name)

        np.testing.assert_allclose(loaded.points_zyx, np.add(PICKS.points_zyx, [0.5, 0, 0]))
        np.testing.assert_allclose(loaded.rotations_zyx, ROTATIONS, atol=1e-9)
        assert (loaded.spacing_angstrom, loaded.alignment_id, loaded.about.authors) == (
            10.0,
            17,
            ("Ada",),
        )

    def test_from_other_layers_uses_scale_and_units(self, viewer, tmp_path):
        points = viewer.add_points(
            np.ones((2, 3)), scale=(1, 1, 1), units="nm", features={"score": [0.25, 0.5]}
        )
        points.save(str(tmp_path / "a.star"), plugin=PLUGIN)
        loaded = read_picks(tmp_path / "a.star")

        assert loaded.spacing_angstrom == 10.0
        assert loaded.scores.tolist() == [0.25, 0.5]

    def test_of_several_layers_writes_a_folder(self, viewer, layers, tmp_path):
        add_layers(viewer, load_picks(PICKS.changed(rotations_zyx=None), name="others"))
        written = viewer.layers.save(str(tmp_path / "all"), plugin=PLUGIN)

        counts = [
            len(read_picks(path))
            for path in sorted((tmp_path / "all").iterdir())
            if path.suffix == ".ndjson"
        ]
        assert counts == [2, 2]
        assert written


class TestSavingMasks:
    @pytest.mark.parametrize("name", ["mask.zarr", "mask.mrc"])
    def test_keeps_ids_and_spacing(self, viewer, tmp_path, name):
        mask = np.zeros((9, 14, 21), dtype=np.int64)
        mask[4, 6, 8] = 700
        labels = viewer.add_labels(mask, scale=(13.48,) * 3, units="angstrom")
        labels.save(str(tmp_path / name), plugin=PLUGIN)
        loaded = open_annotation(tmp_path / name)

        np.testing.assert_array_equal(loaded.read(0, 9), mask)
        assert loaded.spacing_angstrom == pytest.approx(13.48, rel=1e-6)

    def test_of_a_streamed_mask_uses_full_resolution(self, viewer, tmp_path):
        mask = np.zeros((9, 15, 21), np.int8)
        mask[4:6, 6:9, 8:20] = 1
        write_zarr(tmp_path / "source.zarr", mask)
        (labels,) = viewer.open(str(tmp_path / "source.zarr"), plugin=PLUGIN)
        assert isinstance(labels, Labels)
        labels.save(str(tmp_path / "copy.mrc"), plugin=PLUGIN)

        np.testing.assert_array_equal(open_annotation(tmp_path / "copy.mrc").read(0, 9), mask)


def test_layers_that_a_format_cannot_hold_are_refused(viewer, tmp_path):
    rotated = viewer.add_labels(
        np.ones((4, 5, 6), int), scale=(10,) * 3, units="angstrom", rotate=(0, 0, 30)
    )
    for layer, name in ((rotated, "a.mrc"), (viewer.add_points(np.ones((2, 2))), "a.star")):
        with pytest.raises(CryoETError):
            layer.save(str(tmp_path / name), plugin=PLUGIN)
    assert list(tmp_path.iterdir()) == []
