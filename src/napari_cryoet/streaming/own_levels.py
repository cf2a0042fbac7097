"""Which pyramid an array is a level of: dask keeps the names of arrays, and those of levels say whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from napari_cryoet.streaming.origin import process_name

if TYPE_CHECKING:
    from napari_cryoet.streaming.pyramid import Pyramid

_by_array_name: WeakValueDictionary[str, Pyramid] = WeakValueDictionary()


def named_level(pyramid: Pyramid, owner: int, level: int, *, is_padded: bool = True) -> str:
    """What to call the array of a level, so that the pyramid is found behind it."""
    name = f"napari-cryoet-pyramid-{process_name()}-{owner}{'' if is_padded else '-stored'}-{level}"
    _by_array_name[name] = pyramid
    return name


def pyramid_of(levels: Any) -> Pyramid | None:
    """The pyramid behind its own ``levels``, from the finest on, or behind the finest alone; else None."""
    is_alone = not isinstance(levels, Sequence) or not levels  # an item of an array would be read from its file
    pyramid, level = _behind(levels if is_alone else levels[0])
    if level != 0 or not (is_alone or all(_behind(each) == (pyramid, at) for at, each in enumerate(levels))):
        return None  # a coarse level by itself is an image of its own, with larger voxels
    return pyramid


def pyramid_below(levels: Any) -> Pyramid | None:
    """As `pyramid_of`, also where something was painted over the finest level alone: see `exact_array`."""
    return pyramid_of(levels) or getattr(levels, "painted_image", None)


def unpadded_shape(array: Any) -> tuple[int, ...]:
    """The shape of an array; of a pyramid's own level, without what was added to make the levels' ratios exact."""
    pyramid, level = _behind(array) if hasattr(array, "dask") else (None, -1)
    if pyramid is None:
        pyramid, level = getattr(array, "painted_image", None), 0
    return tuple(int(size) for size in array.shape) if pyramid is None else pyramid.shapes[level]


def level_of(array: Any) -> tuple[Pyramid, int] | None:
    """The pyramid and the level that an array is; None where it is none, or something was painted over it."""
    pyramid, level = _behind(array)
    return None if pyramid is None else (pyramid, level)


def _behind(array: Any) -> tuple[Pyramid | None, int]:
    """The pyramid and the level that an array is, or None."""
    name = getattr(array, "name", "")
    pyramid = _by_array_name.get(name)
    return pyramid, -1 if pyramid is None else int(name.rpartition("-")[2])
