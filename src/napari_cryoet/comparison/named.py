"""Which annotation file of a portal is meant by an id: of a file, of an annotation, or a bare number."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Final

from napari_cryoet.comparison.inputs import COMPARABLE_FORMATS
from napari_cryoet.exceptions import ComparisonError, NotFoundError
from napari_cryoet.records import AnnotationFile
from napari_cryoet.run.fit import why_not_drawable
from napari_cryoet.run.outline import outline_run
from napari_cryoet.wording import joined, plain, spacing_text

if TYPE_CHECKING:
    from napari_cryoet.portal.portal import Portal

_ID: Final = re.compile(r"(?:(AN|AF)-)?([0-9]{1,9})", re.IGNORECASE)


def is_annotation_id(text: str) -> bool:
    """Whether a text is an id: ``AN-9003`` of an annotation, ``AF-9004`` of a file, ``9004`` of either.

    >>> is_annotation_id("AN-12"), is_annotation_id("af-7"), is_annotation_id("12"), is_annotation_id("12.star")
    (True, True, True, False)
    """
    return _ID.fullmatch(text) is not None


def named_file(portal: Portal, text: str, *, stop: threading.Event | None = None) -> AnnotationFile:
    """The annotation file that an id means; of the same content in several formats, what is read first elsewhere too.

    Raises
    ------
    ComparisonError
        If it may mean several: an annotation with several shapes, spacings or alignments, or a number that both an
        annotation and another's file have. It asks which one.
    NotFoundError
        If the portal has no such record.
    """
    match = _ID.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no id of an annotation or of its file")
    prefix, number = (match[1] or "").upper(), int(match[2])
    if prefix == "AF":
        return portal.annotation_file(number, stop=stop)
    files = _files_of(portal, number, stop)
    file = None if prefix else _file_or_none(portal, number, stop)
    if not files and file is None:
        also = "" if prefix else f" and no annotation file {number}"
        raise NotFoundError(f"The portal has no annotation {number}{also}.")
    if not files:
        assert file is not None  # noqa: S101
        return file
    if file is not None and [each.id for each in files] != [file.id]:
        raise ComparisonError(
            f"{number} is both an annotation, AN-{number} ({_object_of(files[0])}), and a file of "
            f"{'it' if _annotation_id(file) == number else f'AN-{_annotation_id(file)}'}, {_described(file)}.",
            hint=f"Which one? Say AN-{number} or AF-{number}.",
        )
    return _only(files, number)


def _only(files: tuple[AnnotationFile, ...], annotation_id: int) -> AnnotationFile:
    comparable = [file for file in files if file.format in COMPARABLE_FORMATS and not why_not_drawable(file)]
    if len(comparable) > 1:
        raise ComparisonError(
            f"AN-{annotation_id} ({_object_of(files[0])}) has {len(comparable)} files that can be compared: "
            f"{'; '.join(map(_described, comparable))}.",
            hint=f"Which one? Say its id, such as AF-{comparable[0].id}.",
        )
    return (comparable or files)[0]  # what can't be compared says why once it is opened


def _files_of(portal: Portal, annotation_id: int, stop: threading.Event | None) -> tuple[AnnotationFile, ...]:
    """One file for each content that an annotation has; empty where there is no such annotation."""
    hits = [hit for hit in portal.lookup(annotation_id, stop=stop) if hit.kind == "annotation"]
    if not hits or hits[0].run_id is None:
        return ()
    rows = outline_run(portal.run_page(hits[0].run_id, stop=stop), None).rows()
    files = tuple(row.files[0] for row in rows if row.annotation.id == annotation_id and row.files)
    if not files:
        raise NotFoundError(f"The portal lists no file for the annotation AN-{annotation_id}.")
    return tuple(sorted(files, key=lambda file: file.id))


def _file_or_none(portal: Portal, file_id: int, stop: threading.Event | None) -> AnnotationFile | None:
    try:
        return portal.annotation_file(file_id, stop=stop)
    except NotFoundError:
        return None


def _described(file: AnnotationFile) -> str:
    shape = plain(str(file.shape.shape_type)) if file.shape is not None and file.shape.shape_type is not None else ""
    spacing = spacing_text(file.voxel_spacing.voxel_spacing) if file.voxel_spacing is not None else ""
    alignment = "" if file.alignment_id is None else f"AL-{file.alignment_id}"
    return f"AF-{file.id} ({joined(shape, plain(file.format), spacing, alignment)})"


def _annotation_id(file: AnnotationFile) -> int | None:
    annotation = file.shape.annotation if file.shape is not None else None
    return None if annotation is None else annotation.id


def _object_of(file: AnnotationFile) -> str:
    annotation = file.shape.annotation if file.shape is not None else None
    return plain(annotation.object_name) if annotation is not None else "of an unknown object"
