"""From density to tomogram: tilted projections, contrast transfer, noise and weighted back-projection.

The volume is projected along z at every tilt about the y axis; each image gets the contrast transfer of an
underfocused microscope (weak phase approximation: Reimer & Kohl, *Transmission Electron Microscopy*, ch. 6) and white
noise; the images are ramp filtered and back-projected. So the missing wedge, the streaks of dense objects, the halos
around protein and the grain of the noise come about as they do in a real tomogram. Protein is dark.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Volume32 = NDArray[np.float32]

WAVELENGTH_ANGSTROM: Final = 0.0197
"""Of electrons at 300 kV."""
FFT_WORKERS: Final = 2
_CUTOFF: Final = 0.35  # cycles a pixel


@dataclass(frozen=True, slots=True)
class Optics:
    """How the images are formed; noise is relative to the contrast of 100 Å of solid protein."""

    defocus_angstrom: float = 46_000.0
    amplitude_contrast: float = 0.12
    b_factor: float = 900.0
    noise: float = 1.0


@dataclass(frozen=True)
class Geometry:
    """The shape of volume and images, and the tilts in degrees about y."""

    shape_zyx: tuple[int, int, int]
    spacing_angstrom: float
    tilts_degree: tuple[float, ...]

    @property
    def detector_width(self) -> int:
        """Pixels along x of an image: wide enough for every voxel at every tilt."""
        z, _, x = self.shape_zyx
        reach = max(x * np.cos(np.deg2rad(t)) + z * abs(np.sin(np.deg2rad(t))) for t in self.tilts_degree)
        return int(np.ceil(reach)) + 3

    @cached_property
    def _projector(self) -> csr_matrix[Any]:
        """Sparse matrix from the voxels of an x-z plane to the pixels of one line of all images."""
        from scipy.sparse import csr_matrix

        z_size, _, x_size = self.shape_zyx
        width = self.detector_width
        z, x = np.meshgrid(np.arange(z_size) - z_size // 2, np.arange(x_size) - x_size // 2, indexing="ij")
        rows, weights = [], []
        for number, tilt in enumerate(np.deg2rad(self.tilts_degree)):
            position = (x * np.cos(tilt) + z * np.sin(tilt)).ravel() + width // 2
            low = np.floor(position).astype(np.int32)
            fraction = (position - low).astype(np.float32)
            rows += [number * width + low, number * width + low + 1]
            weights += [1 - fraction, fraction]
        voxels = np.tile(np.arange(z_size * x_size, dtype=np.int32), len(rows))
        shape = (len(self.tilts_degree) * width, z_size * x_size)
        return csr_matrix((np.concatenate(weights), (np.concatenate(rows), voxels)), shape=shape)

    def project(self, volume: Volume32) -> Volume32:
        """Sums along the beam at every tilt; shape (tilt, y, x of the detector)."""
        z_size, y_size, x_size = self.shape_zyx
        planes = np.ascontiguousarray(volume.transpose(0, 2, 1)).reshape(z_size * x_size, y_size)
        lines = self._projector @ planes
        images = lines.reshape(len(self.tilts_degree), self.detector_width, y_size)
        return np.ascontiguousarray(images.transpose(0, 2, 1))

    def back_project(self, images: Volume32) -> Volume32:
        """The mean over all tilts of what each image says about each voxel."""
        z_size, y_size, x_size = self.shape_zyx
        lines = np.ascontiguousarray(images.transpose(0, 2, 1)).reshape(-1, y_size)
        planes = self._projector.T.tocsr() @ lines
        planes /= np.float32(len(self.tilts_degree))
        return np.ascontiguousarray(planes.reshape(z_size, x_size, y_size).transpose(0, 2, 1))


def image_contrast(projections: Volume32, geometry: Geometry, optics: Optics) -> Volume32:
    """What the microscope makes of the projections: protein dark, ringed by Fresnel fringes; ice is 0."""
    from scipy import fft

    count, height, width = projections.shape
    shape = fft.next_fast_len(height + 24, real=True), fft.next_fast_len(width + 24, real=True)
    frequency = np.hypot(
        np.fft.fftfreq(shape[0], geometry.spacing_angstrom)[:, None],
        np.fft.rfftfreq(shape[1], geometry.spacing_angstrom)[None, :],
    ).astype(np.float32)
    transfer = _contrast_transfer(frequency, optics)
    images = np.empty_like(projections)
    for number in range(count):
        padded = np.pad(projections[number], [(0, shape[0] - height), (0, shape[1] - width)], mode="reflect")
        spectrum = fft.rfft2(padded, workers=FFT_WORKERS) * transfer
        images[number] = fft.irfft2(spectrum, s=shape, workers=FFT_WORKERS)[:height, :width]
    images *= np.float32(geometry.spacing_angstrom / 100)
    return images


def shot_noise(geometry: Geometry, optics: Optics, rng: np.random.Generator) -> Volume32:
    """Noise of every image, softened by the detector, stronger where the ice is thicker on the beam's way."""
    from scipy import ndimage

    _, height, _ = geometry.shape_zyx
    shape = len(geometry.tilts_degree), height, geometry.detector_width
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (0, 0.5, 0.5), truncate=3)
    path = 1 / np.cos(np.deg2rad(np.asarray(geometry.tilts_degree)))
    strength = optics.noise * path**0.75 * (10 / geometry.spacing_angstrom)
    return np.asarray(noise * strength.astype(np.float32)[:, None, None])


def reconstruct(images: Volume32, geometry: Geometry) -> Volume32:
    """Weighted back-projection; high frequencies fall off smoothly."""
    from scipy import fft

    width = fft.next_fast_len(2 * images.shape[2], real=True)
    frequency = np.fft.rfftfreq(width).astype(np.float32)
    ramp = frequency * np.exp(-((np.maximum(frequency - _CUTOFF, 0) / 0.05) ** 2) / 2)
    ramp[0] = ramp[1] / 4
    spectrum = fft.rfft(images, width, axis=2, workers=FFT_WORKERS)
    spectrum *= ramp
    filtered = fft.irfft(spectrum, width, axis=2, workers=FFT_WORKERS)[:, :, : images.shape[2]]
    return geometry.back_project(np.ascontiguousarray(filtered, dtype=np.float32))


def _contrast_transfer(frequency: Volume32, optics: Optics) -> Volume32:
    phase = np.float32(np.pi * WAVELENGTH_ANGSTROM * optics.defocus_angstrom) * frequency**2
    sine, cosine = np.sqrt(1 - optics.amplitude_contrast**2), optics.amplitude_contrast
    envelope = np.exp(-optics.b_factor * frequency**2 / 4)
    return np.asarray(-(sine * np.sin(phase) + cosine * np.cos(phase)) * envelope, dtype=np.float32)
