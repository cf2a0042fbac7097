"""Progressively loading layers for any OME-Zarr image, for other plugins and scripts.

>>> from napari_cryoet.viewer import layer_specs, make_layer
>>> from napari_cryoet.streaming import open_pyramid

`open_pyramid` and `layer_specs` don't need napari, and you can call them from any thread. Call
`make_layer` from the viewer's thread; it doesn't block.
"""

from __future__ import annotations

import re
from typing import Any, Final

from napari_cryoet.formats.ome_zarr import Channel, find_multiscales, parse_channels
from napari_cryoet.layers.specs import (
    LayerSpec,
    robust_limits,
    volume_spec,
    whole_range,
)
from napari_cryoet.locations import Location
from napari_cryoet.streaming import Pyramid
from napari_cryoet.wording import layer_name, plain

_SPATIAL_AXES: Final = 3  # images with fewer keep their channels on a slider
_SAMPLE_SIDE: Final = 1024
_ALONG_AXES: Final = ("scale", "translate", "units", "axis_labels")
_COLORS: Final = ("#00ffff", "#ff00ff", "#ffff00", "#ff0000", "#00ff00", "#0000ff")
#: Units that napari accepts.
_UNIT: Final = re.compile(
    r"(?:yotta|zetta|exa|peta|tera|giga|mega|kilo|hecto|deca|deci|centi|milli|micro|nano|pico|femto|atto|zepto|yocto)?"
    r"(?:meter|second)|angstrom|inch|foot|yard|mile|parsec|minute|hour|day"
)


def layer_specs(pyramid: Pyramid, **options: Any) -> list[LayerSpec]:
    """Create layer specs for a pyramid: one, or one per channel if it has channels and three more axes.

    Scale, translation, units, axis names, channel names, colours and contrast come from the file's
    metadata. Missing contrast limits are computed from a plane of the coarsest level, which is
    read.

    Parameters
    ----------
    pyramid
        From `open_pyramid` or `pyramid_of`. It becomes a Labels layer if `is_labels` is set and values are integers.
    **options
        Options of napari's layers; they override the file's metadata.
    """
    name, channels, common = _name_of(pyramid), parse_channels(pyramid.metadata), _world(pyramid)
    if "c" not in pyramid.axes or len(pyramid.axes) <= _SPATIAL_AXES:
        only = channels[0] if len(channels) == 1 else Channel()
        return [_spec(pyramid, {"name": name} | common, only, options)]
    from napari_cryoet.streaming import split_pyramid

    axis = pyramid.axes.index("c")
    common |= {
        key: (*common[key][:axis], *common[key][axis + 1 :]) for key in _ALONG_AXES if key in common
    }
    parts = split_pyramid(pyramid, axis)
    specs = []
    for number, part in enumerate(parts):
        channel = channels[number] if number < len(channels) else Channel()
        extra: dict[str, Any] = {"name": name}
        if len(parts) > 1:
            extra["name"] = layer_name(channel.name or str(number), name)
            extra |= (
                {}
                if _is_labels(part)
                else {"blending": "additive", "colormap": _COLORS[number % len(_COLORS)]}
            )
        specs.append(_spec(part, extra | common, channel, options))
    return specs


def _spec(
    pyramid: Pyramid, defaults: dict[str, Any], channel: Channel, options: dict[str, Any]
) -> LayerSpec:
    """Create one layer; given options override the file's metadata, which overrides defaults."""
    if _is_labels(pyramid):
        return volume_spec(pyramid.levels, defaults | options, "labels")
    from_file: dict[str, Any] = {"visible": channel.is_visible, "rgb": False}
    from_file |= {"colormap": channel.color} if channel.color else {}
    if "contrast_limits" not in options:
        from_file["contrast_limits"] = channel.window or _limits(pyramid)
    return volume_spec(pyramid.levels, defaults | from_file | options, "image")


def _is_labels(pyramid: Pyramid) -> bool:
    return pyramid.is_labels and pyramid.dtype.kind in "iu"


def _world(pyramid: Pyramid) -> dict[str, Any]:
    """Placement options from the file's metadata."""
    if not pyramid.axes:
        return {}
    world: dict[str, Any] = {"axis_labels": tuple(map(plain, pyramid.axes))}
    if pyramid.units:
        world["units"] = tuple(unit if _UNIT.fullmatch(unit) else "pixel" for unit in pyramid.units)
    if pyramid.scales[0] is not None:
        world["scale"] = pyramid.scales[0]
    if pyramid.translation is not None:
        world["translate"] = pyramid.translation
    return world


def _limits(pyramid: Pyramid) -> tuple[float, float]:
    """Contrast limits from the central plane of the coarsest level, cropped to 1024 voxels."""
    shape, box = pyramid.shapes[-1], []
    for axis, size in enumerate(shape):
        width = 1 if axis < len(shape) - 2 else min(size, _SAMPLE_SIDE)
        box.append(((size - width) // 2, (size - width) // 2 + width))
    return robust_limits(pyramid.read(len(pyramid.shapes) - 1, tuple(box))) or whole_range(
        pyramid.dtype
    )


def _name_of(pyramid: Pyramid) -> str:
    """The image's name in the metadata, else the file name without suffix."""
    images = find_multiscales(pyramid.metadata)
    name = str(images[0].get("name") or "") if images else ""
    return layer_name(name.strip("/")) or layer_name(Location.of(pyramid.url).stem)
