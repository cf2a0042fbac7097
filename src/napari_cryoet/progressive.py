"""Layers that sharpen while they load, of any OME-Zarr image: the public names for other plugins and for scripts.

>>> from napari_cryoet.progressive import layer_specs, make_layer
>>> from napari_cryoet.streaming import open_pyramid

`open_pyramid` and `layer_specs` need no napari and may be called from any thread; `make_layer` is for the thread that
the viewer lives in, and waits for nothing. What napari makes of such a layer in the viewer that is named, as its
*Duplicate* and *Convert to Image* do, streams as well.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from napari_cryoet.contrast import robust_limits
from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.ome_zarr import Channel, find_multiscales, parse_channels, parse_multiscale
from napari_cryoet.layer_spec import LayerSpec
from napari_cryoet.streaming.sources import path_in
from napari_cryoet.wording import joined, plain

if TYPE_CHECKING:
    from napari_cryoet._qt.streaming.progressive import StreamState, StreamStatus, make_layer
    from napari_cryoet.streaming.pyramid import Pyramid

__all__ = ["LayerSpec", "StreamState", "StreamStatus", "layer_specs", "make_layer"]

_IN_QT = frozenset({"StreamState", "StreamStatus", "make_layer"})
_SPATIAL_AXES = 3  # channels of images with fewer stay on a slider
_SAMPLE_SIDE = 1024
_ALONG_AXES = ("scale", "translate", "units", "axis_labels")
_NO_MARKUP: Final = str.maketrans("<>", "‹›")  # napari's status bar takes names for HTML
_COLORS = ("#00ffff", "#ff00ff", "#ffff00", "#ff0000", "#00ff00", "#0000ff")
_UNIT = re.compile(
    r"(?:yotta|zetta|exa|peta|tera|giga|mega|kilo|hecto|deca|deci|centi|milli|micro|nano|pico|femto|atto|zepto|yocto)?"
    r"(?:meter|second)|angstrom|inch|foot|yard|mile|parsec|minute|hour|day"
)


def __getattr__(name: str) -> Any:
    """Import Qt and napari only for what needs them."""
    if name in _IN_QT:
        from napari_cryoet._qt.streaming import progressive

        return getattr(progressive, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def layer_specs(pyramid: Pyramid, **options: Any) -> list[LayerSpec]:
    """What layers show a pyramid: one, or one for each channel where it has channels and three more axes.

    Scale, translation, units, axis names, channel names, colours and contrast are those of the file, as far as it says
    them. A contrast that it doesn't say is found in a plane of the coarsest level, which is read for that.

    Parameters
    ----------
    pyramid
        From `open_pyramid` or `pyramid_of`. Its values are shown as labels where its `is_labels` says so and they are
        whole numbers.
    **options
        Of napari's layers; they come before what the file says.

    Raises
    ------
    FormatError
        If the values are complex numbers, or have a single axis.
    StreamError
        If that plane can't be read.
    """
    if pyramid.dtype.kind == "c":
        raise FormatError(f"{pyramid.place} holds complex numbers, which can't be shown.")
    if len(pyramid.shapes[0]) == 1:
        raise FormatError(f"{pyramid.place} is a line of values, and no image.")
    name, channels = _name_of(pyramid), parse_channels(pyramid.metadata)
    common = _world(pyramid) | {"multiscale": len(pyramid.shapes) > 1}
    axis = _channel_axis(pyramid) if len(pyramid.axes) > _SPATIAL_AXES else None
    if axis is None or len({shape[axis] for shape in pyramid.shapes}) != 1:
        only = channels[0] if len(channels) == 1 else Channel()
        return [_spec(pyramid, {"name": name} | common, only, options)]
    from napari_cryoet.streaming import split_pyramid

    common |= {key: (*common[key][:axis], *common[key][axis + 1 :]) for key in _ALONG_AXES if key in common}
    parts = split_pyramid(pyramid, axis)
    specs = []
    for number, part in enumerate(parts):
        channel = channels[number] if number < len(channels) else Channel()
        own: dict[str, Any] = {"name": name}
        if len(parts) > 1:
            own["name"] = joined(name, _text(channel.name) or str(number))
            own |= {} if _is_labels(part) else {"blending": "additive", "colormap": _COLORS[number % len(_COLORS)]}
        specs.append(_spec(part, own | common, channel, options))
    return specs


def _channel_axis(pyramid: Pyramid) -> int | None:
    """Along which axis channels are: by its kind, where the file says one, or by its usual name."""
    axes = parse_multiscale(pyramid.metadata, pyramid.place).axes
    names = [axis.name for axis in axes if axis.kind == "channel"] or ["c"]
    return pyramid.axes.index(names[0]) if names[0] in pyramid.axes else None


def _spec(pyramid: Pyramid, defaults: dict[str, Any], channel: Channel, given: dict[str, Any]) -> LayerSpec:
    """One layer: what is given comes before what the file says, and that before defaults."""
    levels = pyramid.levels
    data = levels if len(levels) > 1 else levels[0]
    if _is_labels(pyramid):
        return LayerSpec(data, defaults | given, "labels")
    said: dict[str, Any] = {"visible": channel.is_visible, "rgb": False}
    said |= {"colormap": channel.color} if channel.color else {}
    if "contrast_limits" not in given:
        said["contrast_limits"] = channel.window or _limits(pyramid)
    return LayerSpec(data, defaults | said | given, "image")


def _is_labels(pyramid: Pyramid) -> bool:
    return pyramid.is_labels and pyramid.dtype.kind in "iu"


def _world(pyramid: Pyramid) -> dict[str, Any]:
    """Where the voxels are and how large, as far as the file says it."""
    if not pyramid.axes:
        return {}
    world: dict[str, Any] = {"axis_labels": tuple(map(_text, pyramid.axes))}
    if pyramid.units:
        world["units"] = tuple(unit if _UNIT.fullmatch(unit) else "pixel" for unit in pyramid.units)
    if pyramid.scales[0] is not None:
        world["scale"] = pyramid.scales[0]
    if pyramid.translation is not None:
        world["translate"] = pyramid.translation
    return world


def _limits(pyramid: Pyramid) -> tuple[float, float]:
    """By the middle plane of the coarsest level, at most 1024 voxels wide."""
    coarsest = len(pyramid.shapes) - 1
    box = []
    for axis, size in enumerate(pyramid.shapes[coarsest]):
        width = 1 if axis < len(pyramid.shapes[coarsest]) - 2 else min(size, _SAMPLE_SIDE)
        box.append(((size - width) // 2, (size - width) // 2 + width))
    limits = robust_limits(pyramid.read(coarsest, tuple(box)))
    if limits is not None:
        return limits
    if pyramid.dtype.kind in "iu":
        info = np.iinfo(pyramid.dtype)
        return float(info.min), float(info.max)
    return 0.0, 1.0


def _name_of(pyramid: Pyramid) -> str:
    is_image = bool(pyramid.axes and find_multiscales(pyramid.metadata))  # and no MRC file, which has axes, too
    said = parse_multiscale(pyramid.metadata, pyramid.place).name if is_image else ""
    place = path_in(pyramid.url) if "://" in pyramid.url else pyramid.url.replace("\\", "/")
    return _text(said.strip("/")) or _text(PurePosixPath(place).stem)


def _text(text: str) -> str:
    return plain(text).translate(_NO_MARKUP)
