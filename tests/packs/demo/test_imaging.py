"""The simulated microscope: geometry, contrast, noise and the missing wedge."""

from itertools import pairwise

import numpy as np
import pytest

from napari_cryoet.packs.demo.imaging import (
    WAVELENGTH_ANGSTROM,
    Geometry,
    Optics,
    image_contrast,
    reconstruct,
    shot_noise,
)

TILTS = tuple(float(t) for t in range(-60, 61, 3))
SHAPE = (21, 26, 41)


@pytest.fixture(scope="module")
def geometry():
    return Geometry(SHAPE, 10.0, TILTS)


def point(z, y, x):
    volume = np.zeros(SHAPE, np.float32)
    volume[z, y, x] = 1
    return volume


def test_a_projection_sums_along_z(geometry):
    volume = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    untilted = geometry.project(volume)[TILTS.index(0.0)]
    margin = geometry.detector_width // 2 - SHAPE[2] // 2
    np.testing.assert_allclose(untilted[:, margin : margin + SHAPE[2]], volume.sum(axis=0), rtol=1e-5)


def test_every_projection_holds_all_the_mass(geometry):
    volume = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
    assert geometry.project(volume).sum(axis=(1, 2)) == pytest.approx(np.full(len(TILTS), volume.sum()), rel=1e-4)


def test_tilting_is_about_y_and_moves_what_is_above_the_middle_along_x(geometry):
    images = geometry.project(point(15, 7, 20))
    rows, columns = zip(*(np.unravel_index(image.argmax(), image.shape) for image in images), strict=True)
    assert set(rows) == {7}
    expected = geometry.detector_width // 2 + 5 * np.sin(np.deg2rad(TILTS))
    assert np.array(columns) == pytest.approx(expected, abs=0.6)


def test_back_projection_is_the_adjoint_of_projection(geometry):
    rng = np.random.default_rng(1)
    volume = rng.random(SHAPE, dtype=np.float32)
    images = rng.random((len(TILTS), SHAPE[1], geometry.detector_width), dtype=np.float32)
    forward = (geometry.project(volume) * images).sum(dtype=np.float64)
    backward = (volume * geometry.back_project(images)).sum(dtype=np.float64) * len(TILTS)
    assert forward == pytest.approx(backward, rel=1e-4)


@pytest.mark.parametrize("place", [(10, 13, 20), (15, 5, 9), (4, 20, 33)])
def test_a_point_is_reconstructed_where_it_was(geometry, place):
    volume = reconstruct(geometry.project(point(*place)), geometry)
    assert np.unravel_index(volume.argmax(), SHAPE) == place


def test_the_wedge_that_was_not_imaged_is_missing(geometry):
    volume = reconstruct(geometry.project(point(10, 13, 20)), geometry)
    power = np.abs(np.fft.fftn(volume)) ** 2
    kz, kx = np.fft.fftfreq(SHAPE[0])[:, None, None], np.fft.fftfreq(SHAPE[2])[None, None, :]
    radius = np.broadcast_to(np.hypot(kz, kx), SHAPE)
    ring = (radius > 0.1) & (radius < 0.3)
    angle = np.broadcast_to(np.degrees(np.arctan2(np.abs(kz), np.abs(kx))), SHAPE)
    missing = power[ring & (angle > 72)].mean()
    measured = power[ring & (angle < 55)].mean()
    assert missing < 0.05 * measured


def test_protein_is_dark_with_a_bright_ring(geometry):
    y, x = np.mgrid[:120, :120] - 60
    disc, ring = np.hypot(x, y) < 6, (np.hypot(x, y) > 7) & (np.hypot(x, y) < 14)
    projection = np.float32(12) * disc[None]
    contrast = image_contrast(projection, Geometry((1, 120, 120), 10.0, (0.0,)), Optics(defocus_angstrom=46_000))[0]
    assert contrast[disc].mean() < -0.2
    assert contrast[ring].max() > 0.2
    assert contrast[ring].mean() > 0.02


def test_the_first_zero_of_the_transfer_is_where_the_defocus_puts_it():
    defocus, spacing = 46_000.0, 10.0
    images = np.random.default_rng(2).normal(size=(1, 400, 400)).astype(np.float32)
    contrast = image_contrast(
        images, Geometry((1, 400, 400), spacing, (0.0,)), Optics(defocus_angstrom=defocus, amplitude_contrast=0.0)
    )[0]
    power = np.abs(np.fft.fft2(contrast)) ** 2
    frequency = np.hypot(np.fft.fftfreq(400, spacing)[:, None], np.fft.fftfreq(400, spacing)[None])
    edges = np.linspace(0.02, 0.045, 26)
    radial = [power[(frequency >= a) & (frequency < b)].mean() for a, b in pairwise(edges)]
    assert edges[int(np.argmin(radial))] == pytest.approx(1 / np.sqrt(WAVELENGTH_ANGSTROM * defocus), abs=0.002)


def test_noise_grows_with_tilt_and_with_the_setting(geometry):
    noise = shot_noise(geometry, Optics(noise=0.5), np.random.default_rng(3))
    spread = noise.std(axis=(1, 2))
    assert spread[0] > 1.4 * spread[len(TILTS) // 2]
    double = shot_noise(geometry, Optics(noise=1.0), np.random.default_rng(3))
    np.testing.assert_allclose(double, 2 * noise, rtol=1e-5)
