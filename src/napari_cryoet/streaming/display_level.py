"""One level of a display as an array-like that can be sliced like any array, and never waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cryoet.streaming.geometry import Box, box_shape

if TYPE_CHECKING:
    from napari_cryoet.streaming.display import Display
    from napari_cryoet.streaming.fetcher import Block


class DisplayLevel:
    """One level of a display, or a part of it, as an array-like; becomes values only when it is made an array.

    Integers, slices without steps and ``...`` are followed lazily; any other index is applied to the values.
    """

    def __init__(
        self,
        display: Display,
        level: int,
        *,
        is_view: bool,
        box: Box | None = None,
        kept: tuple[int, ...] | None = None,
    ) -> None:
        self._display, self._level, self._is_view = display, level, is_view
        stored = display.pyramid.shapes[level]
        self._box = box if box is not None else tuple((0, size) for size in stored)
        self._kept = kept if kept is not None else tuple(range(len(stored)))
        self.dtype = display.pyramid.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """In voxels, without padding."""
        sizes = box_shape(self._box)
        return tuple(sizes[axis] for axis in self._kept)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._kept)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(np.prod(self.shape, dtype=int))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """A part, still lazy."""
        keys = _without_dots(key if isinstance(key, tuple) else (key,), self.ndim)
        if not all(_is_plain(k) for k in keys):
            return np.asarray(self)[key]
        if len(keys) > self.ndim:
            raise IndexError(f"{len(keys)} indices for an array of {self.ndim} axes")
        box, kept = list(self._box), list(self._kept)
        for k, axis in zip(keys, self._kept, strict=False):
            start, stop = box[axis]
            if isinstance(k, slice):
                first, last, _ = k.indices(stop - start)
                box[axis] = (start + first, start + max(first, last))
            else:
                index = int(k) + (stop - start if k < 0 else 0)
                if not 0 <= index < stop - start:
                    raise IndexError(f"index {k} is out of bounds for an axis of {stop - start}")
                box[axis] = (start + index, start + index + 1)
                kept.remove(axis)
        return DisplayLevel(self._display, self._level, is_view=self._is_view, box=tuple(box), kept=tuple(kept))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Block:
        """The best there is now, without waiting; ValueError where it may not be made for that, with ``copy=False``."""
        if copy is False:
            raise ValueError("a picture can't be had without making it: it is no array that is there already")
        if not all(box_shape(self._box)):
            return np.empty(self.shape, dtype or self.dtype)
        display, where = self._display, (self._level, self._box)
        whole = display.picture(*where).values if self._is_view else display.overview(*where)
        values: Block = whole.reshape(self.shape)
        if copy:
            return np.array(values, dtype)  # else it may be one that somebody else shows, or that can't be written to
        return values if dtype is None else values.astype(dtype, copy=False)


def _without_dots(keys: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    """The same with whole axes in place of ``...``, where nothing else is in it that would need the values."""
    dots = [at for at, key in enumerate(keys) if key is Ellipsis]
    if len(dots) != 1 or not all(_is_plain(key) for key in keys if key is not Ellipsis):
        return keys
    return (*keys[: dots[0]], *[slice(None)] * (ndim + 1 - len(keys)), *keys[dots[0] + 1 :])


def _is_plain(key: Any) -> bool:
    if isinstance(key, slice):
        return key.step in {None, 1}
    return isinstance(key, int | np.integer) and not isinstance(key, bool)
