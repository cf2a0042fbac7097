"""Acquiring the demo: what the way of simulating must not leave in the data."""

import numpy as np

from napari_cryoet.packs.demo.acquire import Acquisition
from napari_cryoet.packs.demo.content import run_plan


def test_the_grid_of_voxels_does_not_beat_with_the_pixels_of_the_detector():
    run = run_plan("DEMO_003")
    volume = Acquisition(run, "full").tomogram(run.tomograms[0])
    planes = volume.mean(axis=1)  # a beat doesn't vary along the tilt axis
    windows = [np.hanning(n) for n in planes.shape]
    power = np.abs(np.fft.fft2(planes * windows[0][:, None] * windows[1][None, :])) ** 2
    beat = 1 - np.sqrt(0.5)  # at 45 degrees, in cycles a voxel along x and z
    z, x = (np.abs(np.abs(np.fft.fftfreq(n)) - beat) for n in power.shape)
    around = power[(z < 0.04)[:, None] & (x < 0.04)[None, :]]
    assert around.max() < 250 * np.median(around)
