"""A volume from any file or array: lazy levels in z, y, x, and where their voxels are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_cryoet.exceptions import FormatError, require_positive
from napari_cryoet.provenance import Provenance
from napari_cryoet.task import UNWATCHED, Task

if TYPE_CHECKING:
    from napari_cryoet.formats.mrc import Triple
    from napari_cryoet.streaming import Pyramid
    from napari_cryoet.streaming.grid import Box

#: Largest size along y and x of the planes for contrast and content.
_MIDDLE_SIDE: Final = 1024
#: Files state voxel spacings with few digits.
_SAME_WIDTH: Final = 1.001
#: The number of voxels that are read at a time.
SLAB_VOXELS: Final = 2**23


@dataclass(frozen=True, slots=True, eq=False)
class LevelGrid:
    """The voxels of a level, or blocks of ``binned_by`` of them along each axis.

    Attributes
    ----------
    level
        The number of the level; 0 is the finest.
    shape_zyx
        The number of voxels.
    factor_zyx
        The size of a voxel in voxels of the finest level.
    first_zyx
        The centre of the first voxel, in voxels of the finest level.
    spacing_zyx
        The size of a voxel in ångström, or in voxels of the finest level if the volume's voxel
        spacing is unknown.
    """

    level: int
    shape_zyx: tuple[int, int, int]
    factor_zyx: NDArray[np.float64]
    first_zyx: NDArray[np.float64]
    spacing_zyx: NDArray[np.float64]
    binned_by: int = 1

    @property
    def voxel_angstrom(self) -> float:
        """The longest side of a voxel."""
        return float(self.spacing_zyx.max())

    def from_finest(self, finest_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert positions (..., 3) from voxels of the finest level to voxels of this grid."""
        return np.asarray((finest_zyx - self.first_zyx) / self.factor_zyx)

    def binned(self, by: int) -> LevelGrid:
        """Combine ``by`` voxels along each axis; an incomplete block at the end is left out."""
        size_z, size_y, size_x = (max(1, size // by) for size in self.shape_zyx)
        return LevelGrid(
            self.level,
            (size_z, size_y, size_x),
            self.factor_zyx * by,
            self.first_zyx + self.factor_zyx * (by - 1) / 2,
            self.spacing_zyx * by,
            by,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """A volume whose voxels are read on demand.

    Attributes
    ----------
    levels
        Arrays in z, y, x, finest first: dask for files; any array that can be sliced.
    spacing_angstrom
        The size of a finest voxel along z, y, x; negative along axes that a layer flips; None if
        unknown.
    is_labels
        Whether the file says that the values are labels.
    origin_angstrom
        The position of the first voxel according to the file, z, y, x, which isn't applied; None
        if it is 0 or in no known unit.
    proportions
        The size of a voxel relative to its smallest side, for files in no known unit.
    start_angstrom
        The position of the first voxel among those of the run's annotations, z, y, x.
    remarks
        Messages about metadata that isn't applied.
    """

    levels: list[Any]
    spacing_angstrom: Triple | None = None
    is_labels: bool = False
    origin_angstrom: Triple | None = None
    proportions: Triple = (1.0, 1.0, 1.0)
    start_angstrom: Triple = (0.0, 0.0, 0.0)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n_axes = len(self.levels[0].shape)
        if n_axes != 3 or not isinstance(self.levels, list):
            raise ValueError(f"levels must be a list of arrays with three axes, not {n_axes}")
        if self.spacing_angstrom is not None and np.shape(self.spacing_angstrom) != (3,):
            given = self.spacing_angstrom
            raise ValueError(f"spacing_angstrom must be three lengths (z, y, x), not {given!r}")

    def __repr__(self) -> str:
        size_z, size_y, size_x = self.shape_zyx
        spacing = self.spacing_angstrom
        width = "unknown spacing" if spacing is None else f"{spacing[-1]:g} Å"
        shape = f"{size_z} × {size_y} × {size_x}"
        return f"<Volume {shape} {self.dtype}, {width}, {len(self.levels)} levels>"

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the finest level."""
        size_z, size_y, size_x = self.levels[0].shape
        return int(size_z), int(size_y), int(size_x)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the values."""
        dtype: np.dtype[Any] = self.levels[0].dtype
        return dtype

    @property
    def spacing_zyx(self) -> NDArray[np.float64]:
        """The voxel spacing as an array; FormatError if it is unknown."""
        if self.spacing_angstrom is None:
            raise FormatError(
                "The voxel spacing of the volume is unknown.", hint="Give the voxel spacing."
            )
        return np.array(self.spacing_angstrom, dtype=np.float64)

    @property
    def pyramid(self) -> Pyramid | None:
        """The pyramid of the levels if they are streamed, else None."""
        from napari_cryoet.streaming import pyramid_of

        return pyramid_of(self.levels)

    @property
    def is_local(self) -> bool:
        """Whether reads are cheap, because no server is asked."""
        pyramid = self.pyramid
        return pyramid is None or not pyramid.server

    def grid(self, level: int) -> LevelGrid:
        """The voxels of a level.

        A coarse voxel is at the centre of the finest voxels that it spans, or at the first one of
        them in a pyramid that says so.
        """
        pyramid = self.pyramid
        size_z, size_y, size_x = map(int, self.levels[level].shape)
        shape = (size_z, size_y, size_x)
        if pyramid is None:
            factor = np.divide(self.shape_zyx, shape)
        else:
            factor = np.array(pyramid.factors[level], dtype=np.float64)
        is_mean = pyramid is None or pyramid.coarse_offset == "mean"
        first = (factor - 1) / 2 if is_mean else np.zeros(3)
        spacing = factor * np.abs(self.spacing_angstrom or (1.0,) * 3)
        return LevelGrid(level, shape, factor, first, spacing)

    def grid_for(self, voxel_angstrom: float) -> LevelGrid:
        """The coarsest level whose voxels are at most this wide, else the finest; of the whole ones."""
        whole = self.whole_levels
        return next(grid for grid in self.grids_for(voxel_angstrom) if grid.level in whole)

    def grids_for(self, voxel_angstrom: float) -> list[LevelGrid]:
        """The coarsest level whose voxels are at most this wide, else the finest, and all coarser ones."""
        grids = [self.grid(level) for level in range(len(self.levels))]
        fine = [grid for grid in grids if grid.voxel_angstrom <= voxel_angstrom * _SAME_WIDTH]
        return grids[max(0, len(fine) - 1) :]

    @property
    def whole_levels(self) -> list[int]:
        """The numbers of the levels that are here whole; a pack may leave out parts of fine ones."""
        pyramid = self.pyramid
        numbers = range(len(self.levels))
        return [level for level in numbers if pyramid is None or pyramid.is_here(level)]

    def read(self, level: int, box: Box, *, task: Task = UNWATCHED) -> NDArray[Any]:
        """Read a box of a level: start and stop (exclusive) on each axis, z, y, x."""
        pyramid = self.pyramid
        if pyramid is not None:
            return pyramid.read(level, box, task=task)
        return np.asarray(self.levels[level][tuple(slice(*span) for span in box)])

    def read_planes(self, planes: slice, *, task: Task = UNWATCHED) -> NDArray[Any]:
        """Read whole z planes of the finest level."""
        size_z, size_y, size_x = self.shape_zyx
        start, end, _ = planes.indices(size_z)
        return self.read(0, ((start, end), (0, size_y), (0, size_x)), task=task)

    def read_middle(
        self, *, level: int = 0, at: float = 0.5, task: Task = UNWATCHED
    ) -> NDArray[Any]:
        """Read two adjacent planes of a level, or only the middle of large ones.

        ``at`` is the relative position along z, from 0 to 1. The default planes are those shown
        first, so nothing is read twice.
        """
        size_z, size_y, size_x = self.levels[level].shape
        first = int((size_z - 1) * at) // 2 * 2
        planes = (first, min(first + 2, size_z))
        return self.read(level, (planes, _middle(size_y), _middle(size_x)), task=task)

    def sample(
        self,
        points_zyx: NDArray[np.float64],
        level: int = 0,
        *,
        task: Task = UNWATCHED,
    ) -> NDArray[np.float32]:
        """Interpolate a level linearly at positions (..., 3) in voxels of the finest level.

        NaN outside the volume.
        """
        from scipy.ndimage import map_coordinates

        # axis-major memory layout makes the following steps three times as fast
        points_zyx = np.moveaxis(np.ascontiguousarray(np.moveaxis(points_zyx, -1, 0)), 0, -1)
        is_inside = are_inside(points_zyx, self.shape_zyx)
        if not is_inside.any():
            return np.full(is_inside.shape, np.nan, dtype=np.float32)
        grid = self.grid(level)
        last = np.asarray(grid.shape_zyx) - 1
        positions = np.clip(grid.from_finest(points_zyx), 0, last)
        axes = tuple(range(positions.ndim - 1))
        low = np.floor(positions.min(axis=axes)).astype(int)
        high = np.minimum(np.floor(positions.max(axis=axes)).astype(int) + 1, last)
        box = tuple(zip(low.tolist(), (high + 1).tolist(), strict=True))
        content = self.read(level, box, task=task).astype(np.float32, copy=False)
        offsets = np.moveaxis(positions - low, -1, 0)
        values = map_coordinates(content, offsets, order=1, mode="nearest", output=np.float32)
        values[~is_inside] = np.nan
        return np.asarray(values, dtype=np.float32)

    def close(self) -> None:
        """Free fetched data; the volume can't be read afterwards."""
        pyramid = self.pyramid
        if pyramid is not None:
            pyramid.close()


def are_inside(points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which positions in voxels are in a volume.

    It extends half a voxel beyond the outermost voxel centres.
    """
    is_in = (points_zyx >= -0.5) & (points_zyx <= np.array(shape_zyx) - 0.5)
    return np.asarray(is_in.all(axis=-1))


def edge_distances(
    points_zyx: NDArray[np.float64], shape_zyx: tuple[int, ...], spacing_zyx: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """Distances of positions in voxels to the nearest face, in the unit of ``spacing_zyx``.

    Negative outside.
    """
    inwards = np.minimum(points_zyx + 0.5, np.array(shape_zyx) - 0.5 - points_zyx)
    return np.asarray((inwards * np.abs(spacing_zyx)).min(axis=1), dtype=np.float64)


def _middle(size: int) -> tuple[int, int]:
    start = max(0, (size - _MIDDLE_SIDE) // 2)
    return start, min(size, start + _MIDDLE_SIDE)


# masks


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Mask:
    """A segmentation, read lazily: 0 is background, other integers are objects.

    Attributes
    ----------
    data
        An array in z, y, x: NumPy, dask or zarr.
    spacing_angstrom
        The voxel size; None if unknown.
    alignment_id
        The portal's alignment that it belongs to, if known.
    about
        Provenance, or its plain data.
    """

    data: Any
    spacing_angstrom: float | None = None
    alignment_id: int | None = None
    about: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        object.__setattr__(self, "about", Provenance.of(self.about))
        if self.spacing_angstrom is not None:
            require_positive("spacing_angstrom", self.spacing_angstrom)

    def __repr__(self) -> str:
        return f"<Mask of {self.volume!r}>"

    @property
    def volume(self) -> Volume:
        """The mask as a volume of one level."""
        width = self.spacing_angstrom
        return Volume([self.data], None if width is None else (width, width, width))

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Size in voxels."""
        return self.volume.shape_zyx

    def read(self, start: int, end: int, *, task: Task = UNWATCHED) -> NDArray[Any]:
        """Read planes ``start`` to ``end`` (exclusive) as integers from 0 to 2³¹ - 1."""
        values = self.volume.read_planes(slice(start, end), task=task)
        if values.dtype in (np.uint8, np.uint16):
            return values
        with np.errstate(invalid="ignore"):
            labels = values.astype(np.int32) if values.dtype.kind in "biuf" else None
        if labels is None or (labels != values).any() or labels.min(initial=0) < 0:
            raise FormatError(
                "This isn't a mask: its values must be whole numbers from 0 to 2,147,483,647.",
                hint="Number its objects 1, 2, 3, …",
            )
        return labels

    def slabs(self, task: Task = UNWATCHED) -> Iterator[tuple[int, NDArray[Any]]]:
        """Read all planes in slabs of bounded size, each with the number of its first plane."""
        for start, end in slabs(self.shape_zyx, task):
            yield start, self.read(start, end, task=task)


def slabs(shape_zyx: tuple[int, int, int], task: Task) -> Iterator[tuple[int, int]]:
    """Divide a volume into ranges of planes; ``task`` gets the fraction done."""
    size_z, size_y, size_x = shape_zyx
    planes = max(1, SLAB_VOXELS // max(1, size_y * size_x))
    for start in range(0, size_z, planes):
        task.step(start / size_z)
        yield start, min(start + planes, size_z)
