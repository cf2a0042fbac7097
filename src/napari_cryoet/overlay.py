"""Which annotation fits which tomogram: the alignment is the frame of its positions, the spacing only scales them.

Same alignment: drawn over the tomogram, each with its own spacing in ångström. Another or an unknown alignment: listed
with the reason and drawn only when a person insists. Nothing is dropped in silence, and nothing is transformed: the
portal's affine matrices are placeholders.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from napari_cryoet.expecting import expect
from napari_cryoet.records import AnnotationFile, Tomogram
from napari_cryoet.vocabulary import ShapeType
from napari_cryoet.wording import plain, spacing_text

FitKind = Literal["same", "rescaled", "other_alignment", "unknown_alignment", "text", "not_drawable"]

_POINT_SHAPES: Final = frozenset({ShapeType.POINT, ShapeType.ORIENTED_POINT, ShapeType.INSTANCE_SEGMENTATION})
_CAPTION_SHAPES: Final = frozenset({ShapeType.GLOBAL_CAPTION, ShapeType.ANNOTATION_CAPTION})
_MASK_SHAPES: Final = frozenset({ShapeType.SEGMENTATION_MASK, ShapeType.INSTANCE_SEGMENTATION_MASK})
#: Which formats a shape can be drawn from, what is best to stream first.
_DRAWABLE_FORMATS: Final = {
    **dict.fromkeys(_POINT_SHAPES, ("ndjson",)),
    **dict.fromkeys(_MASK_SHAPES, ("zarr", "mrc")),
    ShapeType.MESH: ("glb",),
}
_UNKNOWN_MARK: Final = "unaligned (alignment unknown)"
_UNKNOWN_TOMOGRAM: Final = (
    "The portal doesn't say on which alignment this tomogram was made, so the positions may not fit."
)


@dataclass(frozen=True, slots=True)
class Fit:
    """How an annotation file lies over a tomogram.

    Attributes
    ----------
    kind
        ``"same"`` grid; ``"rescaled"`` from another voxel spacing; made on an ``"other_alignment"`` or an
        ``"unknown_alignment"``; a ``"text"``, which lies nowhere; ``"not_drawable"``.
    reason
        Why, in a sentence for the person; empty for ``"same"``.
    """

    kind: FitKind
    reason: str = ""

    @property
    def fits(self) -> bool:
        """Whether it may be drawn over the tomogram without anybody insisting."""
        return self.kind in {"same", "rescaled"}

    @property
    def is_drawable(self) -> bool:
        """Whether it can be drawn at all, if somebody insists."""
        return self.kind not in {"text", "not_drawable"}

    @property
    def is_unaligned(self) -> bool:
        """Whether its positions don't belong over the tomogram, or nobody knows whether they do."""
        return self.kind in {"other_alignment", "unknown_alignment"}


def fit(file: AnnotationFile, tomogram: Tomogram) -> Fit:
    """How an annotation file lies over a tomogram of its run."""
    expect(file, AnnotationFile, "file")
    expect(tomogram, Tomogram, "tomogram")
    if is_caption(file):
        return Fit("text", why_not_drawable(file))
    obstacle = why_not_drawable(file)
    if obstacle:
        return Fit("not_drawable", obstacle)
    spacing = spacing_angstrom(file, tomogram)
    if spacing is None:
        return Fit("not_drawable", "The portal doesn't say at which voxel spacing this annotation was made.")
    misfit = _misfit(file, tomogram)
    if misfit is not None:
        return misfit
    if not math.isclose(spacing, tomogram.voxel_spacing, rel_tol=1e-6):
        return Fit(
            "rescaled",
            f"Made at {spacing_text(spacing)} and drawn to scale over this tomogram "
            f"({spacing_text(tomogram.voxel_spacing)}).",
        )
    return Fit("same")


def is_caption(file: AnnotationFile) -> bool:
    """Whether a file is a text to read, in the portal's form."""
    return file.shape is not None and file.shape.shape_type in _CAPTION_SHAPES and file.format == "json"


def unaligned_mark(file: AnnotationFile, tomogram: Tomogram) -> str:
    """What the name of a file's layer has to say of its place: ``unaligned (AL-17)``; empty where it fits."""
    if not fit(file, tomogram).is_unaligned:
        return ""
    if _is_of_another_run(file, tomogram):
        return "unaligned (another run)"
    if file.alignment_id is None or tomogram.alignment_id is None:
        return _UNKNOWN_MARK
    return _mark(file.alignment_id)


def marks_of(alignment_id: int) -> tuple[str, ...]:
    """What `unaligned_mark` may have said of an annotation of an alignment, over a tomogram of the same run."""
    return _mark(alignment_id), _UNKNOWN_MARK


def reasons_of(alignment_id: int) -> tuple[str, ...]:
    """The reasons that `fit` may have given for these."""
    return _on_another_alignment(alignment_id), _UNKNOWN_TOMOGRAM


def _mark(alignment_id: int) -> str:
    return f"unaligned (AL-{alignment_id})"


def _is_of_another_run(file: AnnotationFile, tomogram: Tomogram) -> bool:
    run_id = _run_id(file)
    return run_id is not None and tomogram.run_id is not None and run_id != tomogram.run_id


def _misfit(file: AnnotationFile, tomogram: Tomogram) -> Fit | None:
    """Why a file's frame isn't, or may not be, the tomogram's; None where it is."""
    if _is_of_another_run(file, tomogram):
        return Fit("other_alignment", "This annotation belongs to another run: its positions don't fit this tomogram.")
    if file.alignment_id is None or tomogram.alignment_id is None:
        return Fit("unknown_alignment", _unknown_alignment(file, tomogram))
    if file.alignment_id != tomogram.alignment_id:
        return Fit("other_alignment", _on_another_alignment(file.alignment_id))
    return None


def _on_another_alignment(alignment_id: int) -> str:
    return (
        f"This annotation was made on another alignment of this run (AL-{alignment_id}), "
        "so its positions don't fit this tomogram."
    )


def why_not_drawable(file: AnnotationFile) -> str:
    """Why no layer can be made of a file, in a sentence; empty where one can."""
    if file.shape is None or file.shape.shape_type is None:
        return "The portal doesn't say what shape this annotation has."
    shape = file.shape.shape_type
    formats = _DRAWABLE_FORMATS.get(shape)
    if formats is None:
        return {
            ShapeType.GLOBAL_CAPTION: "This is a text about the whole tomogram: it can be read, not drawn.",
            ShapeType.ANNOTATION_CAPTION: "This is a text about an annotation: it can be read, not drawn.",
        }.get(shape, f"This kind of annotation ({plain(str(shape))!r}) is unknown to this version of napari-cryoet.")
    if file.format not in formats:
        article = "An" if str(shape)[:1] in "AEIOU" else "A"
        return f"{article} {shape} in the format {plain(file.format)!r} can be downloaded but not drawn."
    return ""


def spacing_angstrom(file: AnnotationFile, tomogram: Tomogram | None = None) -> float | None:
    """The voxel spacing of the grid in which a file's positions are counted; None where nothing says it.

    It is the file's own. A tomogram helps only where the file names the tomogram's voxel spacing without its value.
    """
    if file.voxel_spacing is not None:
        return _usable(file.voxel_spacing.voxel_spacing)
    if tomogram is None or file.tomogram_voxel_spacing_id is None:
        return None
    is_same = file.tomogram_voxel_spacing_id == tomogram.tomogram_voxel_spacing_id
    return _usable(tomogram.voxel_spacing) if is_same else None


def shape_zyx(file: AnnotationFile, tomograms: Iterable[Tomogram]) -> tuple[int, int, int] | None:
    """The size of the grid in which a file's positions are counted, in its voxels, as the run's tomograms say it.

    None where no tomogram has that grid (the same alignment and voxel spacing, from the same first voxel on), or those
    that have it differ.
    """
    sizes = {
        tomogram.shape_zyx
        for tomogram in tomograms
        if fit(file, tomogram).kind == "same" and not (tomogram.offset_x or tomogram.offset_y or tomogram.offset_z)
    }
    size = sizes.pop() if len(sizes) == 1 else None
    return size if size is not None and min(size) > 0 else None


def _usable(spacing: float) -> float | None:
    return float(spacing) if math.isfinite(spacing) and spacing > 0 else None


def _run_id(file: AnnotationFile) -> int | None:
    annotation = file.shape.annotation if file.shape is not None else None
    return annotation.run_id if annotation is not None else None


def _unknown_alignment(file: AnnotationFile, tomogram: Tomogram) -> str:
    if file.alignment_id is None and tomogram.alignment_id is None:
        known = "on which alignments this annotation and this tomogram were made"
    elif file.alignment_id is None:
        known = "on which alignment this annotation was made"
    else:
        return _UNKNOWN_TOMOGRAM
    return f"The portal doesn't say {known}, so the positions may not fit."
