"""What layers are called: short, and no markup, since napari's status bar takes names for HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from napari_cryoet.records import Annotation, Run, ShapeType, TiltSeries, Tomogram
from napari_cryoet.volumes import name_of
from napari_cryoet.wording import joined, plain, spacing_text

#: Longer parts of a layer's name lose their middle.
_MAX_NAME_PART: Final = 60
_NO_MARKUP: Final = str.maketrans("<>", "‹›")

_SHAPE_WORDS: Final[dict[str, str]] = {
    ShapeType.POINT: "points",
    ShapeType.ORIENTED_POINT: "oriented points",
    ShapeType.INSTANCE_SEGMENTATION: "instances",
    ShapeType.SEGMENTATION_MASK: "mask",
    ShapeType.INSTANCE_SEGMENTATION_MASK: "instance mask",
    ShapeType.MESH: "mesh",
}


def tomogram_name(tomogram: Tomogram) -> str:
    """What tells a tomogram from the others: ``TS_026 · raw · 13.48 Å``."""
    run_name = tomogram.run.name if tomogram.run is not None else tomogram.name or f"TM-{tomogram.id}"
    return layer_name(run_name, str(tomogram.processing), spacing_text(tomogram.voxel_spacing))


def tilt_series_name(series: TiltSeries, run: Run | None) -> str:
    """What tells a tilt series from the others: ``TS_026 · tilt series · 1.35 Å``."""
    run_name = run.name if run is not None else f"TS-{series.id}"
    return layer_name(run_name, "tilt series", spacing_text(series.pixel_spacing))


def annotation_name(annotation: Annotation | None, shape_type: str | None) -> str:
    """What tells an annotation from the others: ``TS_026 · cytosolic ribosome · points · AN-1162``."""
    word = _SHAPE_WORDS.get(shape_type, "") if shape_type is not None else ""
    if annotation is None:
        return word or "annotation"
    run_name = annotation.run.name if annotation.run is not None else ""
    return layer_name(run_name, annotation.object_name, word, f"AN-{annotation.id}")


def file_layer_name(source: str | Path) -> str:
    """What the layer of a bare file is called: as the file, without its suffix."""
    name = name_of(source)
    return layer_name(name.rsplit(".", 1)[0] or name)


def layer_name(*parts: str) -> str:
    """A name of parts that may be remote text, so that it is short and no markup."""
    return joined(*(_shortened(plain(part).translate(_NO_MARKUP)) for part in parts))


def _shortened(part: str) -> str:
    half = _MAX_NAME_PART // 2
    return part if len(part) <= _MAX_NAME_PART else f"{part[:half].rstrip()}…{part[1 - half :].lstrip()}"
