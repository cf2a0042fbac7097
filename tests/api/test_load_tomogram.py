"""Tomograms and bare volumes as layer specs: scale, levels, contrast, laziness, provenance, and errors."""

from __future__ import annotations

import json
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import zarr

from api.files import METADATA, SHAPE_ZYX, noise, with_fields, write_mrc, write_zarr
from napari_cryoet import (
    FormatError,
    StoppedError,
    StreamError,
    load_annotation,
    load_tomogram,
    open_volume,
)
from napari_cryoet.task import Task
from server import Server


@pytest.fixture
def tomogram_at(tomogram):
    """The demo's tomogram with other files, with the size of `noise`."""
    z, y, x = SHAPE_ZYX
    sizes = {"size_z": z, "size_y": y, "size_x": x, "https_mrc_file": None}
    return lambda url, **fields: with_fields(
        tomogram, **(sizes | {"https_omezarr_dir": url} | fields)
    )


def about(spec):
    return spec.options["metadata"][METADATA]


class TestTomogram:
    def test_matches_the_file_in_angstrom(self, tomogram):
        spec = load_tomogram(tomogram)
        stored = zarr.open_group(tomogram.https_omezarr_dir.removeprefix("file://"), mode="r")["0"][
            :
        ]

        assert spec.kind == "image"
        np.testing.assert_array_equal(np.asarray(spec.data[0]), stored)
        assert spec.options["scale"] == (tomogram.voxel_spacing,) * 3
        assert tuple(spec.options["units"]) == ("angstrom",) * 3
        assert tuple(spec.options["axis_labels"]) == ("z", "y", "x")
        assert tomogram.name in spec.name

    def test_levels_match_the_file(self, tomogram_at, tmp_path):
        volume = noise()
        levels = load_tomogram(
            tomogram_at(write_zarr(tmp_path / "a.zarr", volume, n_levels=3))
        ).data

        assert len(levels) == 3
        for number, level in enumerate(levels):
            stored = volume[(slice(None, None, 2**number),) * 3]
            assert level.shape == stored.shape
            np.testing.assert_array_equal(level.compute(), stored)
            np.testing.assert_array_equal(level[3, 2:5, -1].compute(), stored[3, 2:5, -1])

    def test_reads_only_the_requested_chunks(self, tomogram_at, tmp_path):
        write_zarr(tmp_path / "a.zarr", noise((3, 600, 600)))
        with Server(tmp_path) as server:
            spec = load_tomogram(tomogram_at(f"{server.url}/a.zarr"))
            server.reset()
            assert spec.data[0][0, :100, :100].compute().shape == (100, 100)
            read = {request.path for request in server.requests}

        assert read <= {"/a.zarr/0/0/0/0"}  # of nine chunks

    def test_contrast_ignores_outliers_and_empty_regions(self, tomogram_at, tmp_path):
        volume = noise(mean=100, deviation=10)
        volume[9:14] = 0
        volume[:, :, :20] = 0
        volume[10, 5, 5] = 1e6
        low, high = load_tomogram(tomogram_at(write_zarr(tmp_path / "a.zarr", volume))).options[
            "contrast_limits"
        ]
        assert 60 < low < 90
        assert 110 < high < 140

        for value in (0.0, 7.0, np.nan):
            url = write_zarr(tmp_path / f"{value}.zarr", np.full(SHAPE_ZYX, value, np.float32))
            low, high = load_tomogram(tomogram_at(url)).options["contrast_limits"]
            assert low < high

    def test_placement_comes_from_the_portal_not_the_file(self, tomogram_at, tmp_path):
        url = write_zarr(tmp_path / "a.zarr", noise(), 13.481)
        record = tomogram_at(url, voxel_spacing=10.0, offset_x=1, offset_y=2, offset_z=-3)
        moved = load_tomogram(record)

        assert moved.options["scale"] == (10.0,) * 3
        assert moved.options["translate"] == (-30.0, 20.0, 10.0)
        volume = open_volume(record)
        assert volume.spacing_angstrom == (10.0,) * 3
        assert volume.start_angstrom == (-30.0, 20.0, 10.0)
        assert open_volume(url).spacing_angstrom == (13.481,) * 3
        assert open_volume(url, spacing_angstrom=20).spacing_angstrom == (20,) * 3

    def test_says_where_it_is_from(self, tomogram, portal, demo_pack):
        data = about(load_tomogram(tomogram))
        within = urlsplit(data.source_url).path.partition("/files/")[2]

        assert data.source == portal.source.name == str(demo_pack.resolve())
        assert (data.dataset_id, data.run_name) == (tomogram.run.dataset_id, tomogram.run.name)
        assert (data.tomogram_id, data.path) == (tomogram.id, unquote(within))

    def test_has_provenance_as_json(self, tomogram):
        data = about(load_tomogram(tomogram)).to_dict()

        assert json.loads(json.dumps(data)) == data
        assert (data["tomogram_id"], data["run_id"], data["dataset_id"]) == (
            tomogram.id,
            tomogram.run_id,
            90001,
        )
        assert data["alignment_id"] == tomogram.alignment_id
        assert data["source_url"] == tomogram.https_omezarr_dir
        assert data["records"]["tomogram"]["id"] == tomogram.id
        authors = sorted(tomogram.authors, key=lambda author: author.author_list_order)
        assert data["authors"] == [author.name for author in authors]

    def test_is_read_from_mrc_without_a_zarr(self, tomogram_at, tmp_path):
        url = write_mrc(tmp_path / "a.mrc", noise())
        spec = load_tomogram(tomogram_at(None, https_mrc_file=url, voxel_spacing=13.48))

        np.testing.assert_array_equal(np.asarray(spec.data[0]), noise())
        assert spec.options["scale"] == (13.48,) * 3

    def test_missing_files_raise_an_error(self, tomogram_at, tmp_path):
        with pytest.raises(FormatError, match="MRC"):
            load_tomogram(tomogram_at(None))
        with pytest.raises((FormatError, StreamError), match=r"nowhere\.zarr"):
            load_tomogram(tomogram_at((tmp_path / "nowhere.zarr").as_uri()))

    def test_can_be_stopped(self, tomogram):
        task = Task()
        task.stop()
        with pytest.raises(StoppedError):
            load_tomogram(tomogram, task=task)


class TestBareVolume:
    @pytest.mark.parametrize("kind", ["zarr", "mrc"])
    def test_has_the_spacing_of_its_file(self, tmp_path, kind):
        path = tmp_path / f"mine.{kind}"
        {"zarr": write_zarr, "mrc": write_mrc}[kind](path, noise(), 13.481)
        spec = load_tomogram(path)

        assert spec.options["scale"] == pytest.approx((13.481,) * 3)
        assert tuple(spec.options["units"]) == ("angstrom",) * 3
        assert spec.name == "mine"
        assert not about(spec).licence

    def test_is_in_voxels_without_a_spacing(self, tmp_path):
        write_zarr(tmp_path / "early.zarr", noise(), None)
        unknown, given = (
            load_tomogram(tmp_path / "early.zarr", spacing_angstrom=each) for each in (None, 7.84)
        )

        assert tuple(unknown.options["units"]) == ("pixel",) * 3
        assert about(unknown).voxel_spacing_angstrom is None
        assert "voxels" in about(unknown).warnings[0]
        assert given.options["scale"] == (7.84,) * 3


def test_invalid_spacings_are_refused(tomogram_at, tmp_path):
    url = write_zarr(tmp_path / "a.zarr", noise())
    for spacing in (0.0, -13.48, float("nan"), float("inf")):
        with pytest.raises(FormatError, match="Å"):
            load_tomogram(tomogram_at(url, voxel_spacing=spacing))
        with pytest.raises(FormatError, match="Å"):
            load_tomogram(url, spacing_angstrom=spacing)


def test_other_types_raise_a_type_error():
    with pytest.raises(TypeError, match="tomogram"):
        load_tomogram(None)
    with pytest.raises(TypeError, match="file"):
        load_annotation(5)
