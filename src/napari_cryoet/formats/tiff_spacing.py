"""What a TIFF file says of its voxels and axes, in the words of ImageJ or of OME; what isn't said is never guessed.

ImageJ keeps pixels per unit in the tags XResolution and YResolution, and in the description of the first plane the unit
and the distance of planes (``unit``, ``spacing``), as https://imagej.net/ij/developer/source/ij/io/FileSaver.java.html
has it. OME keeps all of it as XML in that description (``PhysicalSizeX`` …, in µm where no unit is said):
https://www.openmicroscopy.org/Schemas/OME/2016-06. The resolution of any other file is one for printing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final
from xml.etree import ElementTree

from napari_cryoet.exceptions import FormatError, OtherKindError

_PREFIXES: Final = {"": 1e10, "milli": 1e7, "micro": 1e4, "nano": 10.0, "pico": 0.01, "centi": 1e8}
_ANGSTROM_PER: Final = (
    {"m": 1e10, "cm": 1e8, "mm": 1e7, "um": 1e4, "µm": 1e4, "μm": 1e4, "nm": 10.0, "pm": 0.01}
    | {"micron": 1e4, "microns": 1e4, "å": 1.0, "angstrom": 1.0, "angstroms": 1.0, "ångström": 1.0, "ångströms": 1.0}
    | {f"{prefix}{unit}": factor for prefix, factor in _PREFIXES.items() for unit in ("meter", "metre", "meters")}
)
#: Megametres and petametres, which OME knows: they are no mm and pm.
_LARGE: Final = frozenset({"Mm", "Pm", "MM", "PM"})
_ESCAPED: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
_SHOWN: Final = 30


def imagej_spacing(
    description: Mapping[str, Any], pixels_per_unit_yx: tuple[float, float]
) -> tuple[tuple[float, float, float] | None, str]:
    """Widths of a voxel along z, y, x in ångström, or None with a remark on what isn't said, if anything is.

    Parameters
    ----------
    description
        The names and values in the description.
    pixels_per_unit_yx
        By the tags; 0 where there are none.
    """
    unit = str(description.get("unit", ""))
    if not unit or unit.lower() in {"pixel", "pixels", "voxel", "voxels"}:
        return None, ""
    units = [str(description.get(key, unit)) for key in ("zunit", "yunit", "unit")]
    factors = [_factor(each) for each in units]
    if not all(factors):
        unknown = next(each for each, factor in zip(units, factors, strict=True) if not factor)
        return None, f"The file gives its voxels widths in a unit that is not known here ({unknown[:_SHOWN]!r})."
    y, x = (1 / pixels if pixels > 0 else 0.0 for pixels in pixels_per_unit_yx)
    widths = [
        _width(length, factor) for length, factor in zip((description.get("spacing"), y, x), factors, strict=True)
    ]
    if all(widths):
        return (widths[0], widths[1], widths[2]), ""
    missing = ", ".join(axis for axis, width in zip("zyx", widths, strict=True) if not width)
    return None, f"The file names a unit ({unit[:_SHOWN]}), but doesn't say how wide its voxels are along {missing}."


def imagej_remarks(description: Mapping[str, Any]) -> str:
    """What else ImageJ says that isn't gone by: another origin, and another scale of values."""
    origin = [description.get(f"{axis}origin", 0) for axis in "zyx"]
    scale = [description.get(key, least) for key, least in (("c0", 0), ("c1", 1))]
    is_elsewhere = any(_number(place) for place in origin)
    is_scaled = description.get("cf") == 0 and (_number(scale[0]) != 0 or _number(scale[1]) != 1)
    said = [
        f"ImageJ counts from another origin ({', '.join(str(n)[:_SHOWN] for n in origin)} voxels), which isn't applied."
        if is_elsewhere
        else "",
        f"ImageJ shows values otherwise ({str(scale[0])[:_SHOWN]} + {str(scale[1])[:_SHOWN]} times what is stored); "
        "they are taken as they are stored."
        if is_scaled
        else "",
    ]
    return " ".join(filter(None, said))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def is_ome(description: str) -> bool:
    """Whether a description is OME's."""
    return description[-10:].rstrip("\0 \r\n\t").endswith("OME>")


def ome_spacing(
    description: str, name: str, planes: int
) -> tuple[tuple[float, float, float] | None, tuple[tuple[str, int], ...]]:
    """Widths of a voxel along z, y, x in ångström, or None; and the axes before y with their sizes, slowest first.

    Raises
    ------
    FormatError
        If it can't be read; an OtherKindError if the planes are those of several images, of several files, or in
        another order than they lie.
    """
    try:
        root = ElementTree.fromstring(description.rstrip("\0"))  # noqa: S314 - expat bounds what entities make
        images = root.findall("./{*}Image/{*}Pixels")
        if len(images) != 1:
            raise OtherKindError(f"{name} holds {len(images)} images, not one volume.", hint="Save one as a file.")
        pixels = images[0]
        sizes = {axis: int(pixels.get(f"Size{axis}", "1")) for axis in "ZCT"}
        data = [
            (each.get("IFD", "0"), each.get("FirstZ", "0"), each.find("./{*}UUID") is not None)
            for each in pixels.findall("./{*}TiffData")
        ]
        order = pixels.get("DimensionOrder", "XYZCT")[:1:-1]
        if math.prod(sizes.values()) == sizes["Z"] and any(int(ifd) != int(first_z) for ifd, first_z, _ in data):
            raise OtherKindError(f"{name} keeps its planes in another order than z.", hint="Save it in order.")
        spacing = tuple(_ome_width(pixels, axis) for axis in "ZYX")
    except (ElementTree.ParseError, ValueError) as error:
        raise FormatError(f"{name} describes itself in OME's form, but that can't be read ({error}).") from error
    if math.prod(sizes.values()) != planes:
        said = math.prod(sizes.values())
        raise OtherKindError(
            f"{name} holds {planes:,} of the {said:,} planes of which it says that there are.",
            hint="Save all of them in one file.",
        )
    z, y, x = spacing
    axes = tuple((axis, sizes[axis]) for axis in order if axis in sizes)
    return ((z, y, x) if all(spacing) else None), axes


def _ome_width(pixels: ElementTree.Element, axis: str) -> float:
    factor = _factor(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return _width(pixels.get(f"PhysicalSize{axis}"), factor)


def _factor(unit: str) -> float:
    """How many ångström a unit has, 0 where it is unknown; ImageJ escapes what isn't ASCII."""
    name = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), unit).strip()
    return 0.0 if name in _LARGE else _ANGSTROM_PER.get(name.lower().replace("\u212b", "å"), 0.0)


def _width(length: Any, factor: float) -> float:
    """A length in ångström, 0 where it is none."""
    if isinstance(length, bool):
        return 0.0
    try:
        angstrom = float(f"{float(length) * factor:.6g}")  # what programs keep of it are fractions, or few digits
    except (TypeError, ValueError):
        return 0.0
    return angstrom if 0 < angstrom < math.inf else 0.0
