"""The OME-Zarr metadata of one image (0.1 to 0.5): axes, levels with their scales, and channels.

Versions to 0.4 keep it in the group's attributes, 0.5 in their ``ome`` part; see https://ngff.openmicroscopy.org.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

import msgspec

from napari_cryoet.exceptions import FormatError

#: Where a coarse voxel is: amid the voxels it was averaged from, or on the one it was picked from.
CoarseOffset = Literal["mean", "strided"]

_MAX_LEVELS: Final = 32
_MAX_CHANNELS: Final = 4096
#: Products and ratios of what is beyond may be no numbers any more.
_LARGEST, _SMALLEST = 1e50, 1e-50


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the arrays, in their order."""

    name: str
    kind: str = ""
    unit: str = ""


_OLD_AXES: Final = (Axis("t", "time"), Axis("c", "channel"), *(Axis(name, "space") for name in "zyx"))


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution.

    Attributes
    ----------
    path
        The array, relative to the image.
    scale
        Voxel size along each axis, in the unit of the axis; None if the file doesn't say.
    translation
        Position of the first voxel; None if the file doesn't say.
    """

    path: str
    scale: tuple[float, ...] | None = None
    translation: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Multiscale:
    """An image: its axes and its levels, finest first.

    Attributes
    ----------
    is_labels
        Whether the file says that its values are labels.
    coarse_offset
        Where the file puts coarse voxels; None if it doesn't say.
    """

    version: str
    name: str
    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    is_labels: bool
    coarse_offset: CoarseOffset | None


@dataclass(frozen=True, slots=True)
class Channel:
    """How a channel is to be shown; empty or None where the file doesn't say.

    Attributes
    ----------
    color
        As ``#rrggbb``.
    window
        The values that are drawn darkest and brightest.
    """

    name: str = ""
    color: str = ""
    window: tuple[float, float] | None = None
    is_visible: bool = True


_Number = Annotated[float, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]


class _Transformation(msgspec.Struct):
    type: str = ""
    scale: tuple[Annotated[float, msgspec.Meta(ge=_SMALLEST, le=_LARGEST)], ...] | None = None
    translation: tuple[_Number, ...] | None = None


class _Axis(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    type: str | None = None
    unit: str | None = None


class _Dataset(msgspec.Struct, rename="camel"):
    path: str
    coordinate_transformations: list[_Transformation] | None = None


class _Image(msgspec.Struct, rename="camel"):
    datasets: Annotated[list[_Dataset], msgspec.Meta(min_length=1, max_length=_MAX_LEVELS)]
    axes: list[str | _Axis] | None = None
    coordinate_transformations: list[_Transformation] | None = None
    name: Any = None
    version: Any = None
    type: Any = None
    metadata: Any = None


def find_multiscales(attributes: dict[str, Any]) -> list[Any]:
    """The ``multiscales`` of a group's attributes, in any version; empty if there are none."""
    ome = attributes.get("ome")
    multiscales = (ome if isinstance(ome, dict) else attributes).get("multiscales")
    return multiscales if isinstance(multiscales, list) else []


def parse_multiscale(attributes: dict[str, Any], where: str) -> Multiscale:
    """Read the first image of a group's attributes.

    Parameters
    ----------
    attributes
        The content of ``.zattrs``, or ``attributes`` of ``zarr.json``.
    where
        What to call it in messages.

    Raises
    ------
    FormatError
        Naming the field that is wrong.
    """
    multiscales = find_multiscales(attributes)
    if not multiscales or not isinstance(multiscales[0], dict):
        raise FormatError(f"{where} holds no OME-Zarr image: there are no multiscales in its attributes.")
    try:
        image = msgspec.convert(multiscales[0], _Image)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: multiscales[0] can't be used ({error}).") from error
    axes = tuple(
        Axis(axis) if isinstance(axis, str) else Axis(axis.name, axis.type or "", axis.unit or "")
        for axis in image.axes or ()
    )
    common = _scale_and_translation(image.coordinate_transformations)
    levels = tuple(_level(dataset, common, len(axes), where) for dataset in image.datasets)
    ome = attributes.get("ome")
    version = image.version or (ome.get("version") if isinstance(ome, dict) else None) or ""
    # some writers leave image-label in the nested places
    is_labels = any(
        isinstance(place, dict) and "image-label" in place
        for place in (attributes, ome, multiscales[0], image.metadata)
    )
    offset = _coarse_offset(str(image.type or ""), levels) or ("strided" if is_labels else None)
    return Multiscale(str(version), str(image.name or ""), axes, levels, is_labels, offset)


def with_old_axes(multiscale: Multiscale, n_axes: int) -> Multiscale:
    """An image with names for its axes: those of versions 0.1 and 0.2 have none and are always the same five."""
    is_old = not multiscale.axes and multiscale.levels[0].scale is None and n_axes == len(_OLD_AXES)
    return replace(multiscale, axes=_OLD_AXES) if is_old else multiscale


def as_labels(multiscale: Multiscale) -> Multiscale:
    """An image whose values are labels; its coarse voxels were picked, unless it says otherwise."""
    return replace(multiscale, is_labels=True, coarse_offset=multiscale.coarse_offset or "strided")


def is_safe_path(path: str) -> bool:
    """Whether a relative path stays below where it starts."""
    is_relative = not path.startswith("/") and "\\" not in path and ":" not in path
    return is_relative and path.isprintable() and not {"", ".", ".."} & set(path.strip("/").split("/"))


def parse_channels(attributes: dict[str, Any]) -> tuple[Channel, ...]:
    """The channels of a group's ``omero`` attributes, in their order; anything odd counts as not said."""
    ome = attributes.get("ome")
    omero = (ome if isinstance(ome, dict) else attributes).get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    return tuple(map(_channel, channels[:_MAX_CHANNELS])) if isinstance(channels, list) else ()


def _level(dataset: _Dataset, common: tuple[Any, Any], n_axes: int, where: str) -> Level:
    """A level, with what holds for all levels applied after what holds for it alone."""
    if not is_safe_path(dataset.path):
        raise FormatError(
            f"{where}: a path of its datasets, {dataset.path!r}, isn't the name of an array in this image."
        )
    scale, translation = _scale_and_translation(dataset.coordinate_transformations)
    for values in (scale, translation, *common):
        if values is not None and n_axes and len(values) != n_axes:
            raise FormatError(f"{where}: level {dataset.path!r} has {len(values)} numbers for {n_axes} axes.")
    common_scale, common_translation = common
    if common_scale is not None:
        scale = tuple(a * b for a, b in zip(scale or (1.0,) * len(common_scale), common_scale, strict=False))
        if translation is not None:
            translation = tuple(a * b for a, b in zip(translation, common_scale, strict=False))
    if common_translation is not None:
        start = translation or (0.0,) * len(common_translation)
        translation = tuple(a + b for a, b in zip(start, common_translation, strict=False))
    return Level(dataset.path.strip("/"), scale, translation)


def _scale_and_translation(transformations: list[_Transformation] | None) -> tuple[Any, Any]:
    scale = translation = None
    for each in transformations or ():
        scale = each.scale if each.type == "scale" else scale
        translation = each.translation if each.type == "translation" else translation
    return scale, translation


def _coarse_offset(method: str, levels: tuple[Level, ...]) -> CoarseOffset | None:
    """Where coarse voxels are, by the translations of the levels, or by the method's name."""
    first, last = levels[0], levels[-1]
    if first.scale and last.scale and first.translation and last.translation and last.scale != first.scale:
        shifts = [b - a for a, b in zip(first.translation, last.translation, strict=False)]
        means = [(b - a) / 2 for a, b in zip(first.scale, last.scale, strict=False)]
        return "mean" if sum(map(abs, shifts)) > sum(means) / 2 else "strided"
    if re.search("nearest|stride", method, re.IGNORECASE):
        return "strided"
    return "mean" if re.search("mean|gauss", method, re.IGNORECASE) else None


def _channel(entry: Any) -> Channel:
    if not isinstance(entry, dict):
        return Channel()
    label, color, window = entry.get("label"), entry.get("color"), entry.get("window")
    limits: list[Any] = [window.get("start"), window.get("end")] if isinstance(window, dict) else []
    are_limits = limits and all(type(limit) in {int, float} and math.isfinite(limit) for limit in limits)
    return Channel(
        name=label if isinstance(label, str) else "",
        color=f"#{color.lower()}" if isinstance(color, str) and re.fullmatch("[0-9A-Fa-f]{6}", color) else "",
        window=(float(limits[0]), float(limits[1])) if are_limits and limits[0] < limits[1] else None,
        is_visible=entry.get("active") is not False,
    )
