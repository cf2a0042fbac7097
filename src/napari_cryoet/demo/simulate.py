"""Render a scene as density, label masks, tomograms and tilt images.

To simulate a tomogram, the Fourier transform of the density is multiplied by the contrast transfer
function of an underfocused microscope (weak phase approximation: Reimer & Kohl, *Transmission
Electron Microscopy*, ch. 6) and by the missing wedge of a tilt series about y. Noise has the same
wedge. Protein is dark.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.demo.rows import RunPlan, Size, TomogramPlan
from napari_cryoet.demo.scenes import (
    BEAD_PITCH_ANGSTROM,
    MICROTUBULE_RADIUS_ANGSTROM,
    MOLECULES,
    Floats,
    Membrane,
    Scene,
    Vector,
    beads_of,
    rng_for,
    scene,
)
from napari_cryoet.task import UNWATCHED, Task

Volume32 = NDArray[np.float32]
BoxSlices = tuple[slice, slice, slice]

TILTS_DEGREE: Final = tuple(range(-60, 61, 3))
_GREY_LEVELS: Final = (
    12  # per standard deviation: rounded, like real tomograms, so that they compress
)
_MASK_HALF_THICKNESS_ANGSTROM: Final = 32.0
_NOISE_LEFT_BY_DENOISING: Final = 0.2
_WAVELENGTH_ANGSTROM: Final = 0.0197  # of electrons at 300 kV
_AMPLITUDE_CONTRAST: Final = 0.12
_B_FACTOR: Final = 900.0
_CUTOFF: Final = 0.35  # cycles per voxel; higher frequencies are damped
_PADDING: Final = 24  # voxels, against wrap-around
_BEAD_SIGMA_ANGSTROM: Final = 7.0
_LEAFLET_GAP_ANGSTROM: Final = 40.0
_GOLD_RADIUS_ANGSTROM: Final = 50.0
_SHOT_NOISE: Final = 0.3  # of a tilt image, relative to the contrast of 100 Å of solid protein
_CROWD_PER_CUBIC_ANGSTROM: Final = 1.7e-6
_CUBIC_ANGSTROM_PER_DALTON: Final = 1 / 0.81


@dataclass(frozen=True, slots=True)
class VoxelGrid:
    """A voxel grid; the centre of its first voxel is the world's origin."""

    shape_zyx: tuple[int, int, int]
    spacing_angstrom: float

    def box(self, low_xyz: Floats, high_xyz: Floats) -> BoxSlices:
        """The voxels between two corners."""
        low = np.clip(
            np.ceil(np.asarray(low_xyz)[::-1] / self.spacing_angstrom), 0, self.shape_zyx
        ).astype(int)
        high = np.clip(
            np.floor(np.asarray(high_xyz)[::-1] / self.spacing_angstrom) + 1, low, self.shape_zyx
        )
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return z, y, x

    def coordinates(self, box: BoxSlices) -> tuple[Volume32, Volume32, Volume32]:
        """Broadcastable coordinates x, y, z of a box in ångström."""
        z, y, x = (
            np.arange(s.start, s.stop, dtype=np.float32) * np.float32(self.spacing_angstrom)
            for s in box
        )
        return x[None, None, :], y[None, :, None], z[:, None, None]

    def ball(self, centre_xyz: Vector | Floats, radius: float) -> tuple[BoxSlices, Volume32]:
        """The bounding box of a ball, and distances to its centre in that box."""
        centre = np.asarray(centre_xyz, dtype=float)
        box = self.box(centre - radius, centre + radius)
        x, y, z = self.coordinates(box)
        return box, np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)

    def around(self, membrane: Membrane) -> tuple[BoxSlices, NDArray[np.floating]]:
        """The bounding box of a membrane, and distances to its mid-surface in that box."""
        box = self.box(*membrane.bounds(100.0))
        x, y, z = self.coordinates(box)
        # plane by plane, since temporary arrays that fit the processor's cache take half the time
        planes = [membrane.distance(x, y, plane[None]) for plane in z]
        return box, np.concatenate(planes)


def density(truth: Scene, grid: VoxelGrid, task: Task = UNWATCHED) -> Volume32:
    """Render a scene's density, float32, z, y, x: solid protein is 1, vitreous ice is 0."""
    clouds = [tube.beads() for tube in truth.recipe.microtubules]
    for kind in truth.recipe.particles:
        task.check()
        beads_xyz, weights = beads_of(kind)
        beads = np.einsum("nij,bj->nbi", truth.rotations[kind], beads_xyz)
        beads += truth.positions_angstrom_xyz[kind][:, None]
        clouds.append((beads.reshape(-1, 3), np.tile(weights * BEAD_PITCH_ANGSTROM**3, len(beads))))
    points, masses = (np.concatenate(parts) for parts in zip(*clouds, strict=True))
    volume = _blobs(points, masses, grid, task)
    for membrane in truth.recipe.membranes:
        task.check()
        _add_bilayer(volume, membrane, grid)
    task.check()
    volume += _blobs(*_crowd(truth, volume, grid), grid, task)
    for centre in truth.recipe.gold_beads:
        box, distance = grid.ball(centre, _GOLD_RADIUS_ANGSTROM + grid.spacing_angstrom)
        volume[box] += 11 * np.clip(
            (_GOLD_RADIUS_ANGSTROM - distance) / grid.spacing_angstrom + 0.5, 0, 1
        )
    return volume


def labels(
    truth: Scene, subject: str, grid: VoxelGrid, task: Task = UNWATCHED
) -> NDArray[np.uint16]:
    """Render label masks; objects are numbered from 1 in the order of the ground truth."""
    result = np.zeros(grid.shape_zyx, np.uint16)
    match subject:
        case "membranes":
            half = max(_MASK_HALF_THICKNESS_ANGSTROM, 0.6 * grid.spacing_angstrom)
            for number, membrane in enumerate(truth.recipe.membranes, start=1):
                task.check()
                box, distance = grid.around(membrane)
                result[box][np.abs(distance) <= half] = number
        case "mitochondrion":
            box, distance = grid.around(truth.recipe.membranes[0])
            result[box] = distance <= _MASK_HALF_THICKNESS_ANGSTROM
        case "microtubules":
            for number, tube in enumerate(truth.recipe.microtubules, start=1):
                for centre in tube.points(grid.spacing_angstrom / 2):
                    box, distance = grid.ball(centre, MICROTUBULE_RADIUS_ANGSTROM + 22)
                    result[box][distance <= MICROTUBULE_RADIUS_ANGSTROM + 22] = number
        case _:
            radius = 0.95 * MOLECULES[subject].radius
            for number, centre in enumerate(truth.positions_angstrom_xyz[subject], start=1):
                box, distance = grid.ball(centre, radius)
                result[box][distance <= radius] = number
    return result


class Imaging:
    """Simulates the imaging of a run; raises StoppedError if ``task`` is set."""

    def __init__(self, run: RunPlan, size: Size, task: Task = UNWATCHED) -> None:
        self._run, self._size, self._stop = run, size, task
        self.grid = VoxelGrid(run.shape_zyx(size), run.spacing_angstrom(size))

    @cached_property
    def _padded_shape(self) -> list[int]:
        from scipy.fft import next_fast_len

        return [next_fast_len(n + _PADDING, real=True) for n in self.grid.shape_zyx]

    @cached_property
    def _density(self) -> Volume32:
        volume = density(scene(self._run.scene), self.grid, self._stop)
        self._stop.check()
        return np.asarray(volume - volume.mean())

    @cached_property
    def _frequencies(self) -> tuple[Volume32, Volume32, Volume32]:
        """Broadcastable frequencies z, y, x of a spectrum, in cycles per voxel."""
        depth, height, width = self._padded_shape
        kz = np.fft.fftfreq(depth).astype(np.float32)[:, None, None]
        ky = np.fft.fftfreq(height).astype(np.float32)[None, :, None]
        kx = np.fft.rfftfreq(width).astype(np.float32)[None, None, :]
        return kz, ky, kx

    @cached_property
    def _spectra(self) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        """Spectra of signal and noise with the wedge applied."""
        from scipy import fft

        shape = self._padded_shape
        signal = fft.rfftn(self._density, shape, workers=2)
        self._stop.check()
        rng = rng_for(self._run.name, "noise")
        noise = fft.rfftn(rng.standard_normal(shape, dtype=np.float32), workers=2)
        all_kz, ky, kx = self._frequencies
        edge = np.float32(1 / shape[2])
        steepest = math.tan(math.radians(TILTS_DEGREE[-1]))
        for number, kz in enumerate(all_kz):
            self._stop.check()
            frequency = np.sqrt(kz**2 + ky[0] ** 2 + kx[0] ** 2)
            across = np.hypot(kz, kx[0])  # perpendicular to the tilt axis
            seen = np.clip((kx[0] * steepest - np.abs(kz)) / edge + 1, 0, 1)
            seen = seen * np.exp(-(np.maximum(frequency - _CUTOFF, 0) ** 2) / (2 * 0.05**2))
            per_angstrom = frequency / np.float32(self.grid.spacing_angstrom)
            signal[number] *= seen * self._contrast_transfer(per_angstrom)
            # stronger at high tilt, where the ice is thicker; weighted like back-projection
            noise[number] *= (
                seen
                * np.sqrt(across)
                * (across / np.maximum(kx[0], edge)) ** 0.75
                * np.float32(self._run.dataset.noise)
            )
        return signal, noise

    def tomogram(self, plan: TomogramPlan) -> Volume32:
        """Simulate a tomogram, float32, z, y, x, rounded to integers."""
        from scipy import fft, ndimage

        signal, noise = self._spectra
        is_denoised = plan.processing == "denoised"
        noise_left = np.float32(_NOISE_LEFT_BY_DENOISING if is_denoised else 1)
        blur = math.hypot(0.6 if is_denoised else 0, 0.42 * plan.binning if plan.binning > 1 else 0)
        damping = np.float32(-2 * (np.pi * blur) ** 2)
        spectrum = np.empty_like(signal)
        all_kz, ky, kx = self._frequencies
        for number, kz in enumerate(all_kz):
            self._stop.check()
            frequency = np.sqrt(kz**2 + ky[0] ** 2 + kx[0] ** 2)
            spectrum[number] = signal[number] + noise[number] * noise_left
            spectrum[number] *= np.exp(damping * frequency**2)
        volume = fft.irfftn(spectrum, self._padded_shape, workers=2, overwrite_x=True)[
            tuple(slice(n) for n in self.grid.shape_zyx)
        ]
        # subsampled rather than averaged, so that voxel j is at j times the coarse spacing
        volume = volume[:: plan.binning, :: plan.binning, :: plan.binning]
        self._stop.check()
        if plan.alignment != 100:
            matrix, offset_xyz = other_alignment(self._run)
            start = (-matrix.T @ offset_xyz)[::-1] / self._run.spacing_angstrom(
                self._size, plan.binning
            )
            volume = ndimage.affine_transform(
                volume, matrix.T[::-1, ::-1], start, order=1, mode="reflect"
            )
        mean, deviation = volume.mean(), volume.std()
        volume = volume - mean
        volume *= _GREY_LEVELS / deviation
        return np.asarray(np.round(volume, out=volume), dtype=np.float32)

    def tilt_images(self) -> Volume32:
        """Simulate the tilt series (tilt, y, x) in integer counts, darker at high tilt, where the ice is thicker."""
        from scipy import fft

        _, height, width = self.grid.shape_zyx
        shape = self._padded_shape[1:]
        frequency = np.hypot(
            np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None, :]
        ).astype(np.float32)
        transfer = self._contrast_transfer(frequency / np.float32(self.grid.spacing_angstrom))
        rng = rng_for(self._run.name, "tilt series")
        columns = self._density.transpose(0, 2, 1).reshape(-1, height)
        images = []
        for tilt in np.deg2rad(TILTS_DEGREE):
            self._stop.check()
            spectrum = fft.rfft2((self._projector(tilt) @ columns).T, shape) * transfer
            contrast = fft.irfft2(spectrum, shape)[:height, :width] * (
                self.grid.spacing_angstrom / 100
            )
            contrast += (
                _SHOT_NOISE * rng.standard_normal(contrast.shape, dtype=np.float32) / math.cos(tilt)
            )
            images.append(np.round(300 * math.exp(-0.35 / math.cos(tilt)) * (1 + 0.06 * contrast)))
        return np.asarray(images, dtype=np.float32)

    def _projector(self, tilt: float) -> Any:
        """The projection along the beam after a tilt about y, as a matrix from voxels of an x-z plane to a line."""
        from scipy.sparse import csr_array

        depth, _, width = self.grid.shape_zyx
        z, x = np.indices((depth, width)).reshape(2, -1)
        position = (
            (x - width // 2) * math.cos(tilt) + (z - depth // 2) * math.sin(tilt) + width // 2
        )
        low = np.clip(np.floor(position), 0, width - 2).astype(int)
        weights = np.maximum(1 - np.abs(position - np.stack([low, low + 1])), 0).astype(np.float32)
        indices = np.concatenate([low, low + 1]), np.tile(np.arange(depth * width), 2)
        return csr_array((weights.ravel(), indices), shape=(width, depth * width))

    def _contrast_transfer(self, frequency: Volume32) -> Volume32:
        """The contrast transfer function for frequencies in cycles per ångström."""
        phase = (
            np.float32(np.pi * _WAVELENGTH_ANGSTROM * self._run.dataset.defocus_angstrom)
            * frequency**2
        )
        sine = np.float32(math.sqrt(1 - _AMPLITUDE_CONTRAST**2))
        envelope = np.exp(np.float32(-_B_FACTOR / 4) * frequency**2)
        return np.asarray(
            -(sine * np.sin(phase) + np.float32(_AMPLITUDE_CONTRAST) * np.cos(phase)) * envelope
        )


def other_alignment(run: RunPlan) -> tuple[Floats, Floats]:
    """Rotation and offset (ångström, x, y, z) from the first alignment of a run to its second."""
    cos, sin = math.cos(math.radians(5)), math.sin(math.radians(5))
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    middle = np.asarray(scene(run.scene).recipe.extent_xyz) / 2
    return matrix, middle - matrix @ middle + (60, -45, 25)


def _crowd(truth: Scene, volume: Volume32, grid: VoxelGrid) -> tuple[Floats, Floats]:
    """Beads of about 4 kDa, and their masses, for small proteins in empty parts of the volume.

    Fewer in vesicles.
    """
    rng = rng_for(truth.name, "crowd")
    extent = np.asarray(truth.recipe.extent_xyz)
    count = round(truth.recipe.crowding * _CROWD_PER_CUBIC_ANGSTROM * float(np.prod(extent)))
    centres = rng.uniform(0, 1, (count, 3)) * extent
    x, y, z = np.round(centres.T / grid.spacing_angstrom).astype(int)
    kept = np.abs(volume[z, y, x]) < 0.02
    for tube in truth.recipe.microtubules:
        kept &= tube.distance(centres) > MICROTUBULE_RADIUS_ANGSTROM
    for membrane in truth.recipe.membranes:
        if membrane.name == "vesicle":
            kept &= (membrane.distance(*centres.T) > 0) | (rng.uniform(0, 1, count) < 0.3)
    centres = centres[kept]
    beads = np.maximum(
        1, np.minimum(rng.lognormal(np.log(60e3), 0.7, len(centres)), 350e3) / 4e3
    ).astype(int)
    owner = np.repeat(np.arange(len(centres)), beads)
    directions = rng.normal(size=(len(owner), 3))
    directions *= np.cbrt(rng.uniform(0, 1, len(owner)) / (directions**2).sum(axis=1) ** 1.5)[
        :, None
    ]
    radii = 11.5 * np.cbrt(beads)[:, None] * rng.uniform(0.7, 1.4, (len(centres), 3))
    return centres[owner] + directions * radii[owner], np.full(
        len(owner), 4e3 * _CUBIC_ANGSTROM_PER_DALTON
    )


def _blobs(points_xyz: Floats, masses: Floats, grid: VoxelGrid, task: Task) -> Volume32:
    """Render beads: distribute each to the eight surrounding voxels, then blur.

    Beads outside are ignored.
    """
    from scipy import ndimage

    points = (points_xyz[:, ::-1] / grid.spacing_angstrom).T
    low = np.floor(points).astype(np.int64)
    high_share = points - low
    volume = np.zeros(math.prod(grid.shape_zyx), np.float32)
    strides = math.prod(grid.shape_zyx[1:]), grid.shape_zyx[2], 1
    for corner in np.ndindex(2, 2, 2):
        task.check()
        flat = np.zeros(points.shape[1], np.int64)
        weights = masses / grid.spacing_angstrom**3
        for axis, is_high in enumerate(corner):
            index = low[axis] + is_high
            share = high_share[axis] if is_high else 1 - high_share[axis]
            is_inside = (index >= 0) & (index < grid.shape_zyx[axis])
            weights *= share * is_inside
            flat += index * is_inside * strides[axis]
        np.add.at(volume, flat, weights.astype(np.float32))
    task.check()
    sigma = _BEAD_SIGMA_ANGSTROM / grid.spacing_angstrom
    return np.asarray(
        ndimage.gaussian_filter(volume.reshape(grid.shape_zyx), sigma, mode="constant", truncate=3)
    )


def _add_bilayer(volume: Volume32, membrane: Membrane, grid: VoxelGrid) -> None:
    """Add two leaflets of head groups, with slightly less density than ice between them."""
    box, distance = grid.around(membrane)
    # voxels average over their size: widen the leaflets on a coarse grid, keeping their mass
    sigma = math.hypot(7.0, 0.29 * grid.spacing_angstrom)
    for offset, height in (
        (-_LEAFLET_GAP_ANGSTROM / 2, 1.0),
        (_LEAFLET_GAP_ANGSTROM / 2, 1.0),
        (0.0, -0.15),
    ):
        squares = np.square(distance - np.float32(offset))
        volume[box] += np.exp(squares * np.float32(-0.5 / sigma**2)) * np.float32(
            height * 7.0 / sigma
        )
