"""A run's volumes: simulate its tilt series once, and reconstruct what the plan asks for."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from napari_cryoet.packs.demo.content import COARSENING, RunPlan, Size, TomogramPlan
from napari_cryoet.packs.demo.imaging import Geometry, Optics, Volume32, image_contrast, reconstruct, shot_noise
from napari_cryoet.packs.demo.phantom import Grid, density
from napari_cryoet.packs.demo.picks import other_alignment
from napari_cryoet.packs.demo.truth import rng_for, scene
from napari_cryoet.stopping import raise_if_stopped

TILTS_DEGREE: Final = tuple(float(tilt) for tilt in range(-60, 61, 3))
TOTAL_FLUX: Final = 123.0
NOISE_LEFT_BY_DENOISING: Final = 0.2
"""Share of the noise in a denoised tomogram: it is made from the same images with that much of their noise."""
GREY_LEVELS: Final = 12
"""Steps of grey in one standard deviation: a real tomogram is rounded too, so that it compresses."""


@dataclass(frozen=True)
class Acquisition:
    """The simulated imaging of a run, done as far as it is asked for; raises StoppedError when told to."""

    run: RunPlan
    size: Size
    stop: threading.Event | None = None

    @cached_property
    def geometry(self) -> Geometry:
        """Shapes and tilts."""
        return Geometry(self.run.shape_zyx(self.size), self.run.spacing_angstrom(self.size), TILTS_DEGREE)

    @cached_property
    def _contrast(self) -> Volume32:
        grid = Grid(self.geometry.shape_zyx, self.geometry.spacing_angstrom)
        volume = density(scene(self.run.recipe), grid, self.stop)
        raise_if_stopped(self.stop)
        # Around its mean: sampled at 45 degrees, an even density would beat with the pixels of the detector.
        projections = self.geometry.project(volume - volume.mean())
        raise_if_stopped(self.stop)
        return image_contrast(projections, self.geometry, self._optics)

    @cached_property
    def _noise(self) -> Volume32:
        raise_if_stopped(self.stop)
        return shot_noise(self.geometry, self._optics, rng_for(self.run.name, "noise"))

    @property
    def _optics(self) -> Optics:
        return Optics(defocus_angstrom=self.run.defocus_angstrom, noise=self.run.noise)

    @cached_property
    def _signal(self) -> Volume32:
        contrast = self._contrast
        raise_if_stopped(self.stop)
        return reconstruct(contrast, self.geometry)

    @cached_property
    def _grain(self) -> Volume32:
        noise = self._noise
        raise_if_stopped(self.stop)
        return reconstruct(noise, self.geometry)

    def tilt_images(self) -> Volume32:
        """The tilt series in whole counts, darker at high tilt where the ice is thicker; shape (tilt, y, x)."""
        path = 1 / np.cos(np.deg2rad(np.asarray(TILTS_DEGREE, dtype=np.float32)))
        brightness = 300 * np.exp(-0.35 * path)[:, None, None]
        return np.asarray(np.round(brightness * (1 + 0.06 * (self._contrast + self._noise))), dtype=np.float32)

    def tomogram(self, plan: TomogramPlan) -> Volume32:
        """A tomogram, float32, z, y, x: its standard deviation is `GREY_LEVELS` whole steps."""
        from scipy import ndimage

        signal, noise = self._signal, self._grain
        raise_if_stopped(self.stop)
        if plan.processing == "denoised":
            volume = ndimage.gaussian_filter(signal + NOISE_LEFT_BY_DENOISING * noise, 0.6, truncate=3)
        else:
            volume = signal + noise
        raise_if_stopped(self.stop)
        if plan.binning > 1:
            # Filtered and sampled (not averaged in blocks), so that voxel j stays at j times the coarse spacing.
            volume = ndimage.gaussian_filter(volume, 0.42 * plan.binning, truncate=3)
            volume = volume[:: plan.binning, :: plan.binning, :: plan.binning]
        if plan.alignment != 100:
            volume = self._realigned(volume, plan.binning)
        volume = (volume - volume.mean()) * (GREY_LEVELS / volume.std())
        return np.asarray(np.round(volume), dtype=np.float32)

    def _realigned(self, volume: Volume32, binning: int) -> Volume32:
        from scipy import ndimage

        matrix, offset_xyz = other_alignment(self.run)
        back = matrix.T
        flip = back[::-1, ::-1]
        spacing = self.run.spacing_angstrom(self.size, binning)
        start = (-back @ offset_xyz)[::-1] / spacing
        return np.asarray(ndimage.affine_transform(volume, flip, start, order=1, mode="reflect"))


def pixel_spacing_angstrom(run: RunPlan, size: Size) -> float:
    """Of the tilt series, which is as coarse as the tomogram."""
    return round(run.full_spacing_angstrom * COARSENING[size], 3)
