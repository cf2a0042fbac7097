"""Which annotations fit which tomogram: the alignment defines the frame of positions, the spacing only their scale.

Annotations of the same alignment are drawn over the tomogram, each at its own spacing. Those of
another or an unknown alignment are listed with the reason and drawn only on request. The portal's
affine matrices are placeholders, so nothing is transformed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from napari_cryoet.records import AnnotationFile, ShapeType, Tomogram
from napari_cryoet.wording import count_text, plain, spacing_text

FitKind = Literal[
    "same", "rescaled", "other_alignment", "unknown_alignment", "text", "not_drawable"
]

_CAPTIONS: Final[dict[str, str]] = {
    ShapeType.GLOBAL_CAPTION: "This is a text about the whole tomogram: it can be read, not drawn.",
    ShapeType.ANNOTATION_CAPTION: "This is a text about an annotation: it can be read, not drawn.",
}
#: Drawable shapes: singular and plural name, and formats, the best for streaming first.
SHAPES: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    ShapeType.POINT: ("point", "points", ("ndjson",)),
    ShapeType.ORIENTED_POINT: ("oriented point", "oriented points", ("ndjson",)),
    ShapeType.INSTANCE_SEGMENTATION: ("instance", "instances", ("ndjson",)),
    ShapeType.SEGMENTATION_MASK: ("mask", "masks", ("zarr", "mrc")),
    ShapeType.INSTANCE_SEGMENTATION_MASK: ("instance mask", "instance masks", ("zarr", "mrc")),
    ShapeType.MESH: ("mesh", "meshes", ("glb",)),
}
_UNCOUNTED: Final[dict[str, str]] = {
    ShapeType.SEGMENTATION_MASK: "mask",
    ShapeType.GLOBAL_CAPTION: "text about the tomogram",
    ShapeType.ANNOTATION_CAPTION: "text about the annotation",
}


@dataclass(frozen=True, slots=True)
class Fit:
    """How an annotation file fits a tomogram.

    Attributes
    ----------
    kind
        ``"same"`` grid; ``"rescaled"`` from another voxel spacing; made on an ``"other_alignment"`` or an
        ``"unknown_alignment"``; a ``"text"``; ``"not_drawable"``.
    reason
        An explanation for the user; empty for ``"same"``.
    mark
        The end of the layer's name if it doesn't fit: ``made on AL-17``.
    """

    kind: FitKind
    reason: str = ""
    mark: str = ""

    @property
    def fits(self) -> bool:
        """Whether to draw it over the tomogram without asking."""
        return self.kind in {"same", "rescaled"}

    @property
    def is_drawable(self) -> bool:
        """Whether it can be drawn at all, on request."""
        return self.kind not in {"text", "not_drawable"}

    @property
    def is_unaligned(self) -> bool:
        """Whether its positions don't fit the tomogram, or might not."""
        return self.kind in {"other_alignment", "unknown_alignment"}


def fit(file: AnnotationFile, tomogram: Tomogram) -> Fit:
    """How an annotation file fits a tomogram of its run."""
    if obstacle := why_not_drawable(file):
        return Fit("text" if is_caption(file) else "not_drawable", obstacle)
    spacing = spacing_angstrom(file, tomogram)
    if spacing is None:
        return Fit(
            "not_drawable",
            "The portal doesn't say at which voxel spacing this annotation was made.",
        )
    run_ids = {tomogram.run_id, file.annotation.run_id if file.annotation is not None else None}
    if None not in run_ids and len(run_ids) > 1:
        reason = "This annotation belongs to another run: its positions don't fit this tomogram."
        return Fit("other_alignment", reason, "of another run")
    mark = "alignment unknown" if file.alignment_id is None else f"made on AL-{file.alignment_id}"
    if file.alignment_id is None or tomogram.alignment_id is None:
        what = "annotation" if file.alignment_id is None else "tomogram"
        reason = f"The portal doesn't say on which alignment this {what} was made, so the positions may not fit."
        return Fit("unknown_alignment", reason, mark)
    if file.alignment_id != tomogram.alignment_id:
        reason = (
            f"This annotation was made on another alignment of this run (AL-{file.alignment_id}), "
        )
        return Fit("other_alignment", reason + "so its positions don't fit this tomogram.", mark)
    if not math.isclose(spacing, tomogram.voxel_spacing, rel_tol=1e-6):
        here = spacing_text(tomogram.voxel_spacing)
        return Fit(
            "rescaled",
            f"Made at {spacing_text(spacing)} and drawn to scale over this tomogram ({here}).",
        )
    return Fit("same")


def shape_text(shape: str, count: int | None) -> str:
    """An annotation's count and kind: ``838 points``, ``85 oriented``, ``mask``."""
    if shape in _UNCOUNTED:
        return _UNCOUNTED[shape]
    singular, plural = SHAPES[shape][:2] if shape in SHAPES else (plain(shape),) * 2
    if shape == ShapeType.ORIENTED_POINT and count is not None:
        return count_text(count, "oriented", "oriented")
    return plural if count is None else count_text(count, singular, plural)


def is_caption(file: AnnotationFile) -> bool:
    """Whether a file is a caption in the portal's format."""
    return file.shape_type in _CAPTIONS and file.format == "json"


def why_not_drawable(file: AnnotationFile) -> str:
    """Why a file can't be drawn as a layer, in a sentence; empty if it can."""
    shape = file.shape_type
    if shape is None:
        return "The portal doesn't say what shape this annotation has."
    if shape in _CAPTIONS:
        return _CAPTIONS[shape]
    if shape not in SHAPES:
        return f"This version of napari-cryoet doesn't know this kind of annotation ({plain(str(shape))!r})."
    if file.format not in SHAPES[shape][2]:
        return (
            f"{shape} files in the format {plain(file.format)!r} can be downloaded but not drawn."
        )
    return ""


def spacing_angstrom(file: AnnotationFile, tomogram: Tomogram | None = None) -> float | None:
    """The voxel spacing of a file's positions, or None if unknown.

    ``tomogram`` supplies the value if the file gives only the id of its voxel spacing.
    """
    spacing_id = file.tomogram_voxel_spacing_id
    if file.voxel_spacing is not None:
        spacing = file.voxel_spacing.voxel_spacing
    elif (
        tomogram is not None
        and spacing_id is not None
        and spacing_id == tomogram.tomogram_voxel_spacing_id
    ):
        spacing = tomogram.voxel_spacing
    else:
        return None
    return float(spacing) if 0 < spacing < math.inf else None


def shape_zyx(file: AnnotationFile, tomograms: Iterable[Tomogram]) -> tuple[int, int, int] | None:
    """The shape in voxels of the grid of a file's positions.

    None if no tomogram of the run has that grid, or if those that do differ in shape.
    """
    sizes = {
        tomogram.shape_zyx
        for tomogram in tomograms
        if fit(file, tomogram).kind == "same"
        and not (tomogram.offset_x or tomogram.offset_y or tomogram.offset_z)
    }
    size = sizes.pop() if len(sizes) == 1 else None
    return size if size is not None and min(size) > 0 else None
