"""Loading tilt series: axes, scale, angles, tiles, provenance, and what is refused."""

import json

import numpy as np
import pytest
import zarr

from loading_files import noise
from napari_cryoet import load_tilt_series
from napari_cryoet.exceptions import FormatError, StreamError
from napari_cryoet.layer_spec import METADATA_KEY
from napari_cryoet.packs.portal_zarr import write_mrc, write_pyramid
from napari_cryoet.records import TiltSeries
from napari_cryoet.streaming import pyramid_of
from samples import make_run
from stream_server import StreamServer

SHAPE = (5, 30, 43)
ANGLES = (-60.0, -30.1, 0.0, 29.9, 60.0)


def make_tilt_series(**fields):
    defaults = {
        "id": 77,
        "run_id": 506,
        "deposition_id": 10301,
        "acceleration_voltage": 300,
        "spherical_aberration_constant": 2.7,
        "microscope_manufacturer": "TFS",
        "microscope_model": "Krios",
        "microscope_energy_filter": "GIF",
        "camera_manufacturer": "Gatan",
        "camera_model": "K3",
        "tilt_min": -60.0,
        "tilt_max": 60.0,
        "tilt_range": 120.0,
        "tilt_step": 30.0,
        "tilting_scheme": "dose symmetric",
        "tilt_axis": 84.7,
        "total_flux": 120.0,
        "data_acquisition_software": "SerialEM",
        "tilt_series_quality": 4,
        "is_aligned": False,
        "pixel_spacing": 2.17,
        "related_empiar_entry": "EMPIAR-10988",
    }
    return TiltSeries(**(defaults | fields))


def series_at(folder, images, angles=ANGLES, **fields):
    write_pyramid(folder / "a.zarr", images, 2.17, "tiltseries")
    (folder / "a.rawtlt").write_text("".join(f"{angle}\n" for angle in angles))
    where = {"https_omezarr_dir": (folder / "a.zarr").as_uri(), "https_angle_list": (folder / "a.rawtlt").as_uri()}
    return make_tilt_series(**(where | fields))


def about(spec):
    return spec.options["metadata"][METADATA_KEY]


def test_is_a_multiscale_image_over_tilt_in_degrees_and_angstrom(tmp_path):
    images = noise(SHAPE)
    spec = load_tilt_series(series_at(tmp_path, images), run=make_run())
    assert spec.kind == "image"
    assert spec.name == "TS_026 · tilt series · 2.17 Å"
    assert spec.options["axis_labels"] == ("tilt", "y", "x")
    assert spec.options["units"] == ("degree", "angstrom", "angstrom")
    assert spec.options["scale"] == (30.0, 2.17, 2.17)
    assert spec.options["translate"] == (-60.0, 0.0, 0.0)
    assert [level.shape[0] for level in spec.data] == [5, 5, 5]
    np.testing.assert_array_equal(spec.data[0][:, :30, :43].compute(), images)
    low, high = spec.options["contrast_limits"]
    assert low < high


def test_says_where_it_comes_from(tmp_path):
    spec = load_tilt_series(series_at(tmp_path, noise(SHAPE)), run=make_run())
    found = about(spec)
    assert (found["kind"], found["tilt_series_id"], found["dataset_id"]) == ("tilt series", 77, 10000)
    assert found["tilt_angles_degree"] == list(ANGLES)
    assert found["warnings"] == []
    assert found["database_entries"] == ["EMPIAR-10988"]
    json.dumps(found)


@pytest.mark.parametrize(
    ("angles", "words"),
    [
        ((0.0, 3.0, -3.0, 6.0, -6.0), None),
        ((60.0, 30.0, 0.0, -30.0, -60.0), None),
        ((0.0,) * 5, None),
        ((-60.0, 60.0), "2 tilt angles for 5 images"),
        (("x",), "no tilt in degrees"),
    ],
)
def test_images_are_counted_where_tilts_do_not_rise_evenly(tmp_path, angles, words):
    spec = load_tilt_series(series_at(tmp_path, noise(SHAPE), angles))
    assert spec.options["units"][0] == "pixel"
    assert (spec.options["scale"][0], spec.options["translate"][0]) == (1.0, 0.0)
    assert about(spec)["tilt_angles_degree"] == (list(angles) if words is None else None)
    assert [words in warning for warning in about(spec)["warnings"]] == ([] if words is None else [True])
    assert spec.name == "TS-77 · tilt series · 2.17 Å"


@pytest.mark.parametrize("where", [None, "missing"])
def test_opens_without_an_angle_list(tmp_path, where):
    address = (tmp_path / where).as_uri() if where else None
    spec = load_tilt_series(series_at(tmp_path, noise(SHAPE), https_angle_list=address))
    assert spec.options["units"][0] == "pixel"
    assert "tilt angles" in about(spec)["warnings"][0] or "no file" in about(spec)["warnings"][0]


def test_opens_the_mrc_twin_where_there_is_no_zarr(tmp_path):
    images = noise(SHAPE)
    write_mrc(tmp_path / "a.mrc", images, 2.17)
    spec = load_tilt_series(make_tilt_series(https_mrc_file=(tmp_path / "a.mrc").as_uri()))
    np.testing.assert_array_equal(spec.data.compute(), images)


def test_what_has_no_images_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no OME-Zarr and no MRC"):
        load_tilt_series(make_tilt_series())
    with pytest.raises((FormatError, StreamError)):
        load_tilt_series(make_tilt_series(https_omezarr_dir=(tmp_path / "nothing.zarr").as_uri()))


def test_an_image_streams_in_tiles(tmp_path):
    images = np.zeros((3, 1500, 2100), "f4")
    images[1, 1200, 2050] = 5
    series = series_at(tmp_path, images, (-1.0, 0.0, 1.0))
    pyramid = pyramid_of(load_tilt_series(series).data)
    assert pyramid.grid(0).borders == ((0, 1, 2, 3), (0, 1024, 1500), (0, 1024, 2048, 2100))
    with StreamServer(tmp_path) as server:
        served = pyramid_of(load_tilt_series(make_tilt_series(https_omezarr_dir=f"{server.url}/a.zarr")).data)
        served.read(0, ((2, 3), (0, 10), (0, 10)))
        server.requests.clear()
        assert served.read(0, ((1, 2), (1100, 1500), (2000, 2100))).max() == 5
        assert {path for path, _ in server.requests} <= {"/a.zarr/0/1/1/1", "/a.zarr/0/1/1/2"}
    stored = zarr.open_array(str(tmp_path / "a.zarr" / "0"), mode="r")
    assert stored.chunks == (1, 1024, 1024)
