"""A dask array of which a box computes in one go, as a script expects it that reads much of a level.

dask reads block by block and then copies all blocks into one array: twice the memory, and on one core. A box that
nothing was done to yet is read into its array straight away instead. In everything else this is the dask array it is
made from: it has its graph, its chunks and its name, and whatever is derived from it is an ordinary dask array.

What numpy's functions, or its own methods, sum up of it (a mean or a least value, as of a projection) is without
the padding that levels of odd sizes have: that would count as so many voxels more.

What is written into a box of it, as where somebody paints, is kept beside the level and put over what is read of it:
dask would add a step to all that is computed, for each dab of a brush. See `paint`.
"""

from __future__ import annotations

import functools
import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import dask
import dask.array as da
import numpy as np
from dask.base import is_dask_collection
from dask.callbacks import Callback

from napari_cryoet.forks import FreshLock
from napari_cryoet.streaming.exact import ExactLevel
from napari_cryoet.streaming.geometry import box_shape
from napari_cryoet.streaming.origin import process_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_cryoet.streaming.fetcher import Block
    from napari_cryoet.streaming.geometry import Box
    from napari_cryoet.streaming.paint import Mask, Paint
    from napari_cryoet.streaming.pyramid import Pyramid

_paintings = itertools.count()
_SUMMED_UP = ("argmax", "argmin", "max", "mean", "median", "min", "percentile", "prod", "quantile", "std", "sum", "var")
_OF_TWO_NAMES: dict[Any, Any] = {np.amax: np.max, np.amin: np.min}  # dask knows one of them
#: Functions of numpy's that make fewer values of the values along some axes.
_SUMMING_UP = {np.all, np.any, *(getattr(np, f"{kind}{name}") for kind in ("", "nan") for name in _SUMMED_UP)}


@dataclass(frozen=True, slots=True)
class Part:
    """A box of a level, of which some axes are left out.

    Attributes
    ----------
    box
        Along axes that are left out it is one voxel wide.
    is_kept
        For each axis of the level, whether the part has it.
    """

    box: Box
    is_kept: tuple[bool, ...]

    @property
    def key(self) -> tuple[int | slice, ...]:
        """What cuts the part out of the level."""
        return tuple(slice(*span) if is_kept else span[0] for span, is_kept in zip(self.box, self.is_kept, strict=True))

    @property
    def shape(self) -> tuple[int, ...]:
        """Along the axes that it has."""
        return tuple(stop - start for (start, stop), is_kept in zip(self.box, self.is_kept, strict=True) if is_kept)

    def cut(self, index: Any) -> Part | None:
        """The part that is left of this one; None where that has axes more, is no box, or leaves voxels out."""
        index = index if isinstance(index, tuple) else (index,)
        axes = [axis for axis, is_kept in enumerate(self.is_kept) if is_kept]
        rest = [slice(None)] * (len(axes) - sum(each is not Ellipsis for each in index))
        if (at := next((i for i, each in enumerate(index) if each is Ellipsis), None)) is not None:
            index = (*index[:at], *rest, *index[at + 1 :])
        if len(index) > len(axes):
            return None
        box, is_kept = list(self.box), list(self.is_kept)
        for axis, each in zip(axes, index, strict=False):
            start, stop = box[axis]
            if isinstance(each, slice) and each.step in {None, 1}:
                first, last, _ = each.indices(stop - start)
                box[axis] = start + first, start + max(first, last)
            elif (
                isinstance(each, int | np.integer)
                and not isinstance(each, bool)
                and start - stop <= each < stop - start
            ):
                at = int(each) % (stop - start)
                box[axis], is_kept[axis] = (start + at, start + at + 1), False
            else:
                return None
        return Part(tuple(box), tuple(is_kept))


def exact_array(pyramid: Pyramid, level: int, blocks_of_a_task: int, name: str) -> ExactArray:
    """A level as a dask array of a name; see `ExactLevel`."""
    exact = ExactLevel(pyramid, level, blocks_of_a_task)
    return ExactArray.of(_dask_array(exact, name), exact, _whole(exact))


def _dask_array(exact: ExactLevel, name: str) -> da.Array:
    meta = np.empty((0,) * exact.ndim, exact.dtype)
    array: da.Array
    array = da.from_array(exact, exact.chunks, name, asarray=False, inline_array=True, meta=meta)  # type: ignore[no-untyped-call]
    return array


def _whole(exact: ExactLevel) -> Part:
    return Part(tuple((0, size) for size in exact.shape), (True,) * exact.ndim)


class ExactArray(da.Array):
    """A level of a pyramid, or a part of one."""

    _exact: ExactLevel
    _part: Part
    _original_name: str
    _lock: FreshLock  # of what changes where somebody paints
    _written_into: ExactArray | None = None  # instead of this one

    @classmethod
    def of(cls, array: da.Array, exact: ExactLevel, part: Part) -> Self:
        """What computes as ``array`` does, whose values are a part of a level."""
        made: Self = cls(array.dask, array.name, array.chunks, meta=array._meta)
        made._exact, made._part, made._original_name = exact, part, array.name
        made._lock = FreshLock()
        return made

    def _now(self) -> tuple[da.Array, ExactLevel | None]:
        """What dask knows of it, and the level; None where it was written into by dask, which gives it another name.

        Other threads may read it while somebody paints. What they read is of one moment, and dask reads it in steps.
        """
        with self._lock:
            graph, name, exact = self.dask, self.name, self._exact if self._is_original else None
        return da.Array(graph, name, self.chunks, meta=self._meta), exact  # type: ignore[no-untyped-call]

    @property
    def _is_original(self) -> bool:
        """Whether dask wrote nothing into it since it was made."""
        return bool(self.name == self._original_name)

    def __getitem__(self, index: Any) -> da.Array:
        """A part of it."""
        whole, exact = self._now()
        array: da.Array = whole[index]
        if array is whole:
            return self
        part = None if exact is None else self._part.cut(index)
        return array if exact is None or part is None else ExactArray.of(array, exact, part)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Have dask do what one of numpy's functions does; what sums up leaves out the padding."""
        func = _OF_TWO_NAMES.get(func, func)
        if func not in _SUMMING_UP or not args or args[0] is not self:
            return super().__array_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        at = 2 if func.__name__.endswith(("quantile", "percentile")) else 1
        axis = args[at] if len(args) > at else kwargs.get("axis")
        stored = self._stored_along(axis)
        found = super().__array_function__(func, types, (stored, *args[1:]), kwargs)  # type: ignore[no-untyped-call]
        return self._placed(found, stored) if axis is None and "arg" in func.__name__ else found

    def _placed(self, number: da.Array, stored: da.Array) -> Any:
        """The number of a voxel of this array that has another one in the part that is stored."""
        if stored.shape == self.shape:
            return number
        return da.map_blocks(_place, number, stored.shape, self.shape, dtype=number.dtype)  # type: ignore[no-untyped-call]

    def _stored_along(self, axis: Any) -> da.Array:
        """It without the padding along an axis, or several, or all where none is named."""
        whole, exact = self._now()
        if exact is None:
            return whole
        named = range(self.ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
        axes = {int(each) % self.ndim for each in named if -self.ndim <= each < self.ndim}  # dask refuses others
        kept = [at for at, is_kept in enumerate(self._part.is_kept) if is_kept]
        index = []
        for number, at in enumerate(kept):
            (start, stop), size = self._part.box[at], exact.stored_shape[at]
            index.append(slice(size - start) if number in axes and start < size < stop else slice(None))
        part: da.Array = whole[tuple(index)]
        return part

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write into it; what was derived from it before stays as it was."""
        if self._written_into is not None:
            self._write_through(self._written_into, key, value)
            return
        index, where = _parted(key, self.ndim)
        part = self._part.cut(index) if self._is_original and self._part == _whole(self._exact) else None
        values = None if part is None else _cast(value, self.dtype)
        if part is None or values is None:
            self._write_by_dask(key, value)
            return
        shape = box_shape(part.box)
        if where is None:
            self._paint(part.box, _spread(values, part.shape).reshape(shape))
            return
        if where.shape != part.shape[-where.ndim :]:
            raise IndexError(f"truths of shape {where.shape} don't fit voxels of shape {part.shape}")
        if values.ndim:
            spread = np.empty(part.shape, self.dtype)
            spread[..., where] = values
            values = spread.reshape(shape)
        where = np.broadcast_to(where, part.shape).reshape(shape)
        self._paint(part.box, np.broadcast_to(values, shape), where)

    def _write_by_dask(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)  # type: ignore[no-untyped-call]

    def _write_through(self, whole: ExactArray, key: Any, value: Any) -> None:
        part = self._part.cut(key)
        if part is None:
            raise NotImplementedError("only boxes of what has no padding can be written")
        whole[part.key] = value

    def without_padding(self) -> da.Array:
        """The part that is stored; what is written into it is written into this one."""
        whole, exact = self._now()
        if exact is None or self._part != _whole(exact) or exact.shape == exact.stored_shape:
            return self
        part = Part(tuple((0, size) for size in exact.stored_shape), self._part.is_kept)
        stored = ExactArray.of(whole[part.key], exact, part)
        stored._written_into = self
        return stored

    def as_stored(self) -> ExactArray:
        """A level without padding, an array of its own; this one where it has none, is a part, or was painted."""
        _, exact = self._now()
        if exact is None or exact.paint is not None or self._part != _whole(exact) or exact.shape == exact.stored_shape:
            return self
        stored = exact.as_stored()
        return ExactArray.of(_dask_array(stored, exact.stored_name), stored, _whole(stored))

    @contextmanager
    def draft(self) -> Iterator[ExactArray]:
        """One for many small changes, all of which are then in this one, too; for a single thread.

        Its boxes are values. To make dask's array of a level takes longer than to read a box and write it, and is done
        once here, or where something else than a box is written.
        """
        array, exact = self._now()
        if exact is None or self._part != _whole(exact) or self._written_into is not None:
            yield self
            return
        draft = _Draft.of(array, exact, self._part)
        try:
            yield draft
        finally:
            draft.catch_up()
            with self._lock:
                self.dask, self._name = draft.dask, draft.name
                self._exact, self._original_name = draft._exact, draft._original_name

    def _paint(self, box: Box, values: Block, where: Mask | None = None) -> None:
        """Have a box be of other values."""
        self._become(self._exact.painted(box, values, where))

    def _become(self, exact: ExactLevel) -> None:
        """Be another level; the name is another one then, since dask may keep what it computed by it."""
        array = _dask_array(exact, f"napari-cryoet-painted-{process_name()}-{next(_paintings)}")
        with self._lock:
            self.dask, self._name = array.dask, array.name
            self._exact, self._original_name = exact, array.name

    @property
    def paint(self) -> Paint | None:
        """What was painted over it; None where nothing was, where it is no whole level, or was written into by dask."""
        if self._written_into is not None:
            return self._written_into.paint
        with self._lock:
            return self._exact.paint if self._is_original and self._part == _whole(self._exact) else None

    @property
    def painted_image(self) -> Pyramid | None:
        """What it is the finest level of, but for what was painted over it."""
        if self._written_into is not None:
            return self._written_into._exact.image if self._written_into._is_original else None
        return None if self.paint is None else self._exact.image

    def copy(self) -> da.Array:
        """Another one: what is written into one of them isn't in the other."""
        array, exact = self._now()
        return array if exact is None else ExactArray.of(array, exact, self._part)

    def __reduce__(self) -> Any:
        """For other processes it is an ordinary dask array."""
        return self._now()[0].__reduce__()  # type: ignore[no-untyped-call]

    def compute(self, **options: Any) -> Any:
        """The values, read in one go unless a scheduler of dask's is asked for by name or watched."""
        is_daskly = "scheduler" in options or dask.config.get("scheduler", None) is not None or Callback.active
        array, exact = self._now()
        if is_daskly or exact is None:
            return array.compute(**options)  # type: ignore[no-untyped-call]
        return np.asarray(exact.read(self._part.key))  # an array also of one voxel, as dask's


def _place(number: Any, part: tuple[int, ...], whole: tuple[int, ...]) -> Any:
    """The number in a whole of a voxel that has another one in the part at its beginning."""
    return np.asarray(np.ravel_multi_index(np.unravel_index(number, part), whole))


def _summing_up(name: str) -> Callable[..., Any]:
    """A method of dask's arrays, of an array without its padding along the axes that are summed up."""
    method = getattr(da.Array, name)

    @functools.wraps(method)
    def sum_up(self: ExactArray, axis: Any = None, *args: Any, **options: Any) -> Any:
        stored = self._stored_along(axis)
        found = method(stored, axis, *args, **options)
        return self._placed(found, stored) if axis is None and name.startswith("arg") else found

    return sum_up


for _name in ("all", "any", "argmax", "argmin", "max", "mean", "min", "prod", "std", "sum", "var"):
    setattr(ExactArray, _name, _summing_up(_name))


class _Draft(ExactArray):
    """Knows by itself what it has become, and is dask's array of that only where it must be; see `ExactArray.draft`."""

    _is_behind = False

    def __getitem__(self, index: Any) -> Any:
        part = self._part.cut(index) if self._is_original else None
        if part is not None:
            return np.asarray(self._exact.read(part.key))
        self.catch_up()
        return super().__getitem__(index)

    def _become(self, exact: ExactLevel) -> None:
        self._exact, self._is_behind = exact, True

    def _write_by_dask(self, key: Any, value: Any) -> None:
        self.catch_up()
        super()._write_by_dask(key, value)

    def catch_up(self) -> None:
        """Be dask's array of what it has become."""
        if self._is_behind:
            self._is_behind = False
            super()._become(self._exact)


def _parted(key: Any, ndim: int) -> tuple[Any, Mask | None]:
    """What to write into: a box, and where along its last axes, where an array of truths that is here says so."""
    index = key if isinstance(key, tuple) else (key,)
    where = index[-1] if index else None
    if not isinstance(where, np.ndarray) or where.dtype != bool or where.ndim == 0:
        return key, None
    box = (*index[:-1], *[slice(None)] * where.ndim)
    is_of_last_axes = len(box) == ndim or any(each is Ellipsis for each in box)
    return (box, where) if is_of_last_axes else (key, None)


def _spread(values: Block, shape: tuple[int, ...]) -> Block:
    while values.ndim > len(shape) and len(values) == 1:  # which numpy leaves out, too
        values = values[0]
    return np.broadcast_to(values, shape)


def _cast(value: Any, dtype: np.dtype[Any]) -> Block | None:
    """What is written, in a level's type; None for what dask does better."""
    if is_dask_collection(value) or isinstance(value, np.ma.MaskedArray):
        return None
    kind = np.asarray(value).dtype.kind
    if kind not in "biu" and not kind == dtype.kind == "f":
        return None
    return np.asarray(value, dtype)  # an error where a number is too large
