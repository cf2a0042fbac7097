"""Loading tomograms and bare volumes: scale, levels, contrast, provenance, and what is refused."""

import itertools
import json
import threading

import numpy as np
import pytest

from loading_files import SHAPE_ZYX, noise, point, points_file, tomogram_at, written
from napari_cryoet.exceptions import FormatError, StoppedError, StreamError
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.loading import load_annotation, load_tomogram
from napari_cryoet.packs.portal_zarr import write_mrc, write_pyramid
from samples import DATE, make_file, make_tomogram


class TestTomogram:
    def test_is_a_multiscale_image_in_angstrom_with_the_portals_spacing(self, tmp_path):
        url = written(tmp_path / "TS_026.zarr", noise(), spacing=13.481)

        spec = load_tomogram(tomogram_at(url, voxel_spacing=13.48))

        assert spec.kind == "image"
        assert spec.options["scale"] == (13.48, 13.48, 13.48)  # the file's own 13.481 is advisory
        assert spec.options["units"] == ("angstrom",) * 3
        assert spec.options["axis_labels"] == ("z", "y", "x")
        assert spec.options["multiscale"] is True
        assert spec.options["colormap"] == "gray"
        assert spec.options["rendering"] == "minip"  # dark protein shows in 3D, too
        assert spec.name == "TS_026 · raw · 13.48 Å"

    def test_levels_are_exact_and_halve_exactly(self, tmp_path):
        volume = noise()
        spec = load_tomogram(tomogram_at(written(tmp_path / "a.zarr", volume)))

        z, y, x = SHAPE_ZYX
        np.testing.assert_array_equal(spec.data[0][:z, :y, :x].compute(), volume)
        shapes = [level.shape for level in spec.data]
        assert len(shapes) == 3
        assert all(tuple(2 * size for size in coarse) == fine for fine, coarse in itertools.pairwise(shapes))

    def test_contrast_is_that_of_full_resolution(self, tmp_path):
        volume = noise(mean=100, deviation=10)
        volume[10, 5, 5] = 1e6  # an outlier in the middle plane

        low, high = load_tomogram(tomogram_at(written(tmp_path / "a.zarr", volume))).options["contrast_limits"]

        assert low == pytest.approx(100 - 25.8, abs=4)
        assert high == pytest.approx(100 + 25.8, abs=4)

    def test_contrast_ignores_the_padding_and_empty_middle_planes(self, tmp_path):
        volume = noise(mean=100, deviation=10)
        volume[9:14] = 0
        volume[:, :, :20] = 0

        low, high = load_tomogram(tomogram_at(written(tmp_path / "a.zarr", volume))).options["contrast_limits"]

        assert 60 < low < 90
        assert 110 < high < 140

    @pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
    def test_a_featureless_volume_has_some_limits(self, tmp_path, value):
        volume = np.full(SHAPE_ZYX, value, np.float32)

        assert load_tomogram(tomogram_at(written(tmp_path / "a.zarr", volume))).options["contrast_limits"] == (0.0, 1.0)

    def test_an_offset_moves_the_volume(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())

        moved = load_tomogram(tomogram_at(url, voxel_spacing=10.0, offset_x=1, offset_y=2, offset_z=-3))

        assert moved.options["translate"] == (-30.0, 20.0, 10.0)

    def test_carries_its_provenance_as_plain_data(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())

        about = load_tomogram(tomogram_at(url)).options["metadata"][METADATA_KEY]

        assert json.loads(json.dumps(about)) == about
        assert about["licence"] == "CC0-1.0"
        assert about["authors"] == ["Sara Götz", "Irene de Teresa"]  # in the order of the publication
        assert about["dois"] == ["10.1038/s41592-022-01746-2"]
        assert about["database_entries"] == []
        assert about["portal_url"] == "https://cryoetdataportal.czscience.com/runs/506"
        assert about["source_url"] == url
        assert (about["dataset_id"], about["run_id"], about["tomogram_id"]) == (10000, 506, 629)
        assert about["deposition_title"] == "S. pombe"
        assert about["records"]["tomogram"]["processing"] == "raw"
        assert about["records"]["dataset"]["release_date"] == DATE.isoformat()
        assert about["records"]["run"]["name"] == "TS_026"

    def test_cites_the_dataset_where_it_has_no_publication_of_its_own(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())

        about = load_tomogram(tomogram_at(url, publications=None)).options["metadata"][METADATA_KEY]

        assert about["dois"] == ["10.1101/2022.04.12.488077"]

    def test_a_file_of_another_size_is_remarked_on(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())

        about = load_tomogram(tomogram_at(url, shape_zyx=(21, 30, 44))).options["metadata"][METADATA_KEY]

        assert "21 x 30 x 44" in about["warnings"][0]
        assert "21 x 30 x 43" in about["warnings"][0]

    def test_unknown_words_of_the_portal_are_shown_as_they_are(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())

        assert "dreamt" in load_tomogram(tomogram_at(url, processing="dreamt")).name

    def test_is_read_from_mrc_where_there_is_no_zarr(self, tmp_path):
        volume = noise()
        path = tmp_path / "TS_026.mrc"
        write_mrc(path, volume, 13.481)

        spec = load_tomogram(tomogram_at(None, https_mrc_file=path.as_uri()))

        np.testing.assert_array_equal(spec.data.compute(), volume)
        assert spec.options["multiscale"] is False
        assert spec.options["scale"] == (13.48,) * 3

    def test_without_any_file_is_an_error_in_words(self):
        with pytest.raises(FormatError, match="no OME-Zarr and no MRC"):
            load_tomogram(make_tomogram(https_omezarr_dir=None))

    def test_that_is_missing_on_the_server_is_an_error_in_words(self, tmp_path):
        with pytest.raises((FormatError, StreamError), match=r"nowhere\.zarr"):
            load_tomogram(tomogram_at((tmp_path / "nowhere.zarr").as_uri()))

    def test_can_be_stopped(self, tmp_path):
        url = written(tmp_path / "a.zarr", noise())
        stop = threading.Event()
        stop.set()

        with pytest.raises(StoppedError):
            load_tomogram(tomogram_at(url), stop=stop)


class TestBareVolume:
    def test_has_the_spacing_that_its_file_says(self, tmp_path):
        path = tmp_path / "mine.zarr"
        write_pyramid(path, noise(), 13.481)

        spec = load_tomogram(path)

        assert spec.options["scale"] == pytest.approx((13.481,) * 3)
        assert spec.options["units"] == ("angstrom",) * 3
        assert spec.name == "mine"
        assert "licence" not in spec.options["metadata"][METADATA_KEY]

    def test_that_says_1_is_in_voxels_and_says_so(self, tmp_path):
        path = tmp_path / "early.zarr"
        write_pyramid(path, noise(), 1.0)

        spec = load_tomogram(path)

        assert spec.options["units"] == ("pixel",) * 3
        assert spec.options["metadata"][METADATA_KEY]["voxel_spacing_angstrom"] is None
        assert "in voxels" in spec.options["metadata"][METADATA_KEY]["warnings"][0]

    def test_can_be_told_its_spacing(self, tmp_path):
        path = tmp_path / "early.zarr"
        write_pyramid(path, noise(), 1.0)

        assert load_tomogram(str(path), spacing_angstrom=7.84).options["scale"] == (7.84,) * 3

    def test_must_have_three_axes(self, tmp_path):
        import zarr

        zarr.create_array(tmp_path / "flat.zarr", data=np.zeros((4, 4), np.float32))

        with pytest.raises(FormatError, match=r"flat\.zarr is no volume"):
            load_tomogram(tmp_path / "flat.zarr")


@pytest.mark.parametrize("spacing", [0.0, -13.48, float("nan"), float("inf"), 1e300])
def test_a_spacing_that_cannot_be_is_refused_before_napari_meets_it(tmp_path, spacing):
    url = written(tmp_path / "TS_026.zarr", noise())
    file = points_file(tmp_path / "a.ndjson", [point(1, 2, 3)])

    for load in (
        lambda: load_tomogram(tomogram_at(url, voxel_spacing=spacing)),
        lambda: load_tomogram(url, spacing_angstrom=spacing),
        lambda: load_annotation(tmp_path / "a.ndjson", spacing),
    ):
        with pytest.raises(FormatError, match="Å wide"):
            load()
    assert load_annotation(file)[0].options["scale"] == (13.48,) * 3


@pytest.mark.parametrize("thing", [None, 5, make_file()])
def test_what_is_neither_a_record_nor_a_path_is_a_type_error(thing):
    with pytest.raises(TypeError, match="tomogram must be a path or an address, or a Tomogram of a portal, not "):
        load_tomogram(thing)


def test_a_tomogram_is_no_annotation():
    with pytest.raises(
        TypeError, match="file must be a path or an address, or an AnnotationFile of a portal, not a Tomogram"
    ):
        load_annotation(make_tomogram())
