"""The OME-Zarr metadata of one image (0.4 and 0.5): its axes, and its levels with their scales.

Versions 0.1 to 0.4 keep it in the group's attributes, 0.5 in their ``ome`` part. The specification is at
https://ngff.openmicroscopy.org. Nothing is read here; the attributes come from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from napari_cryoet.exceptions import FormatError

#: Where a coarse voxel sits: in the middle of the voxels it was averaged from, or on the one it was picked from.
CoarseOffset = Literal["mean", "strided"]

_MAX_LEVELS = 32
_LARGEST_NUMBER, _SMALLEST_SCALE = 1e50, 1e-50  # products and ratios of what is beyond may be no numbers any more


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of the arrays, in their order."""

    name: str
    kind: str = ""
    unit: str = ""


_OLD_AXES = (Axis("t", "time"), Axis("c", "channel"), Axis("z", "space"), Axis("y", "space"), Axis("x", "space"))


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution.

    Attributes
    ----------
    path
        The array, relative to the image.
    scale
        Size of a voxel along each axis, in the unit of the axis, or None where the file doesn't say.
    translation
        Position of the first voxel, or None where the file doesn't say.
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
        Where the file puts coarse voxels, or None where it doesn't say.
    """

    version: str
    name: str
    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    is_labels: bool
    coarse_offset: CoarseOffset | None


def find_multiscales(attributes: dict[str, Any]) -> list[Any]:
    """The ``multiscales`` of a group's attributes, in whichever version; empty where there are none."""
    ome = attributes.get("ome")
    place = ome if isinstance(ome, dict) else attributes
    multiscales = place.get("multiscales")
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
    image = multiscales[0]
    datasets = image.get("datasets")
    if not isinstance(datasets, list) or not datasets or len(datasets) > _MAX_LEVELS:
        raise FormatError(f"{where}: multiscales[0].datasets is not a list of levels.")
    common_scale, common_translation = _transformations(image, f"{where}: multiscales[0]")
    levels = tuple(_level(dataset, f"{where}: datasets[{i}]") for i, dataset in enumerate(datasets))
    levels = tuple(_combined(level, common_scale, common_translation) for level in levels)
    axes = _axes(image, where)
    for level in levels:
        for values in (level.scale, level.translation):
            if values is not None and axes and len(values) != len(axes):
                raise FormatError(f"{where}: level {level.path!r} has {len(values)} numbers for {len(axes)} axes.")
    ome = attributes.get("ome")
    version = image.get("version") or (ome.get("version") if isinstance(ome, dict) else None) or ""
    is_labels = _is_labels(attributes, image)
    return Multiscale(
        version=str(version),
        name=str(image.get("name") or ""),
        axes=axes,
        levels=levels,
        is_labels=is_labels,
        coarse_offset=_coarse_offset(image, levels, is_labels=is_labels),
    )


def with_old_axes(multiscale: Multiscale, n_axes: int) -> Multiscale:
    """An image with its axes also where they have no names: those of versions 0.1 and 0.2 are always the same five."""
    is_old = not multiscale.axes and multiscale.levels[0].scale is None
    return replace(multiscale, axes=_OLD_AXES) if is_old and n_axes == len(_OLD_AXES) else multiscale


def as_labels(multiscale: Multiscale) -> Multiscale:
    """An image whose values are labels, whatever it says; its coarse voxels were picked, unless it says otherwise."""
    return replace(multiscale, is_labels=True, coarse_offset=multiscale.coarse_offset or "strided")


def _level(dataset: Any, where: str) -> Level:
    path = dataset.get("path") if isinstance(dataset, dict) else None
    if not isinstance(path, str) or not is_safe_path(path):
        raise FormatError(f"{where}.path is {path!r}, which is not the name of an array in this image.")
    scale, translation = _transformations(dataset, where)
    return Level(path.strip("/"), scale, translation)


def is_safe_path(path: str) -> bool:
    """Whether a relative path stays below where it starts."""
    parts = path.strip("/").split("/")
    is_relative = not path.startswith("/") and "\\" not in path and ":" not in path
    return is_relative and path.isprintable() and not {"", ".", ".."} & set(parts)


def _transformations(place: dict[str, Any], where: str) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Scale and translation, where there are any."""
    found: dict[str, tuple[float, ...]] = {}
    transformations = place.get("coordinateTransformations") or []
    if not isinstance(transformations, list):
        raise FormatError(f"{where}.coordinateTransformations is not a list.")
    for transformation in transformations:
        kind = transformation.get("type") if isinstance(transformation, dict) else None
        if kind not in ("scale", "translation"):
            continue  # see `other_transformations`
        values = transformation.get(kind)
        if not isinstance(values, list) or not all(_is_number(value) for value in values):
            raise FormatError(f"{where}.coordinateTransformations: {kind} is not a list of numbers.")
        if kind == "scale" and not all(value >= _SMALLEST_SCALE for value in values):
            raise FormatError(
                f"{where}.coordinateTransformations: a scale is not positive, or next to nothing: {values}."
            )
        found[kind] = tuple(map(float, values))
    return found.get("scale"), found.get("translation")


def other_transformations(attributes: dict[str, Any]) -> tuple[str, ...]:
    """The kinds of transformations of an image that version 0.5 doesn't have, such as rotations; none is followed."""
    image = find_multiscales(attributes)[0] if find_multiscales(attributes) else {}
    datasets = image.get("datasets") if isinstance(image, dict) else None
    found: dict[str, None] = {}
    for place in [image, *(datasets if isinstance(datasets, list) else [])]:
        transformations = place.get("coordinateTransformations") if isinstance(place, dict) else None
        for each in transformations if isinstance(transformations, list) else []:
            kind = each.get("type") if isinstance(each, dict) else None
            if kind not in ("identity", "scale", "translation"):
                found[str(kind)] = None
    return tuple(found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST_NUMBER


def _combined(level: Level, scale: tuple[float, ...] | None, translation: tuple[float, ...] | None) -> Level:
    """A level with what holds for all levels applied after what holds for it alone."""
    own_scale, own_translation = level.scale, level.translation
    if scale is not None:
        own_scale = tuple(a * b for a, b in zip(own_scale or (1.0,) * len(scale), scale, strict=False))
        if own_translation is not None:
            own_translation = tuple(a * b for a, b in zip(own_translation, scale, strict=False))
    if translation is not None:
        start = own_translation or (0.0,) * len(translation)
        own_translation = tuple(a + b for a, b in zip(start, translation, strict=False))
    return Level(level.path, own_scale, own_translation)


def _axes(image: dict[str, Any], where: str) -> tuple[Axis, ...]:
    axes = image.get("axes") or []
    if not isinstance(axes, list) or not all(isinstance(axis, str | dict) for axis in axes):
        raise FormatError(f"{where}: multiscales[0].axes is not a list of axes.")
    found = []
    for axis in axes:
        entry = {"name": axis} if isinstance(axis, str) else axis
        texts = [entry.get(field) or "" for field in ("name", "type", "unit")]
        if not all(isinstance(text, str) for text in texts) or not texts[0]:
            raise FormatError(f"{where}: multiscales[0].axes has an axis without a name.")
        found.append(Axis(*texts))
    return tuple(found)


def _is_labels(attributes: dict[str, Any], image: dict[str, Any]) -> bool:
    """Whether there is an ``image-label``, in its place or in the nested one where some writers leave it."""
    ome, metadata = attributes.get("ome"), image.get("metadata")
    places = (attributes, ome, image, metadata)
    return any(isinstance(place, dict) and "image-label" in place for place in places)


def _coarse_offset(image: dict[str, Any], levels: tuple[Level, ...], *, is_labels: bool) -> CoarseOffset | None:
    """Where coarse voxels sit, by the translations of the levels, by the method's name, or for labels by custom."""
    first, last = levels[0], levels[-1]
    if first.scale and last.scale and first.translation and last.translation and last.scale != first.scale:
        shifts = [b - a for a, b in zip(first.translation, last.translation, strict=False)]
        means = [(b - a) / 2 for a, b in zip(first.scale, last.scale, strict=False)]
        return "mean" if sum(map(abs, shifts)) > sum(means) / 2 else "strided"
    method = str(image.get("type") or "").lower()
    if "nearest" in method or "stride" in method:
        return "strided"
    if "mean" in method or "gauss" in method:
        return "mean"
    return "strided" if is_labels else None
