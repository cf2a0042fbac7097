"""The page of a run: rows of its tomograms, annotations and tilt series, and what a button opens."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from napari_cryoet.appearance.colors import RGBA
from napari_cryoet.pages.rows import RecordRow
from napari_cryoet.records import (
    Alignment,
    AnnotationFile,
    DepositionTitle,
    IdentifiedObject,
    MethodLink,
    TiltSeries,
    Tomogram,
)
from napari_cryoet.runs.outline import (
    AnnotationRow,
    ObjectGroup,
    RunOutline,
    first_sight_bytes,
)
from napari_cryoet.runs.runs import RunRecords
from napari_cryoet.wording import (
    count_text,
    dimensions_text,
    joined,
    labelled,
    lines_text,
    plain,
    reported,
    size_text,
    spacing_text,
)

#: A tomogram's layer in the viewer.
LayerState: TypeAlias = Literal["none", "loading", "visible", "hidden"]
RECOMMENDED: Final = "★ recommended by the portal's curators"
NOTHING_EDITED: Final[Mapping[int, int]] = MappingProxyType({})

# rows


def tomogram_rows(
    tomograms: Sequence[Tomogram],
    chosen: Tomogram | None,
    visible_ids: Collection[int],
    alignments: Iterable[Alignment] = (),
) -> list[RecordRow]:
    """A run's tomograms, the default one first, with a mark at those that are visible as layers.

    Tooltips describe those of the run's alignments that are given.
    """
    known = {alignment.id: alignment for alignment in alignments}
    has_several_alignments = len({tomogram.alignment_id for tomogram in tomograms}) > 1
    rows = []
    for number, tomogram in enumerate(tomograms):
        alignment = ""
        if has_several_alignments and tomogram.alignment_id is not None:
            alignment = f"AL-{tomogram.alignment_id}"
        short = joined(processing_text(tomogram), alignment)
        size = dimensions_text(tomogram.size_x, tomogram.size_y, tomogram.size_z)
        rows.append(
            RecordRow(
                record=tomogram,
                key=tomogram.id,
                title=(joined(short, size), short),
                badge="default" if number == 0 and len(tomograms) > 1 else "",
                is_chosen=chosen is not None and chosen.id == tomogram.id,
                icon="eye" if tomogram.id in visible_ids else "",
                tooltip=about_tomogram(tomogram, known.get(tomogram.alignment_id or 0)),
            )
        )
    return rows


def annotation_rows(
    outline: RunOutline, colors: Mapping[int, RGBA], edited: Mapping[int, int] = NOTHING_EDITED
) -> list[RecordRow]:
    """Rows of objects with their annotations as children, then annotations of other alignments.

    The record of an object's row is the tuple of its `AnnotationRow`. ``edited`` has the number of
    picks in the user's version of a file, by the file's id.
    """
    rows = [_object_row(group, colors, edited) for group in outline.groups]
    if outline.other_alignment:
        rows.append(
            RecordRow(
                record=outline.other_alignment,
                key="on another alignment",
                title=f"On another alignment ({len(outline.other_alignment)})",
                is_dim=True,
                tooltip="Their positions don't fit this tomogram.",
                opens=False,
                is_unfolded=False,
                children=tuple(_annotation_row(row, edited) for row in outline.other_alignment),
            )
        )
    if outline.identified_only:
        count = count_text(len(outline.identified_only), "object")
        rows.append(
            RecordRow(
                record=(),
                key="identified",
                title=f"Identified, not annotated ({len(outline.identified_only)})",
                is_dim=True,
                tooltip=f"{count} identified in this run, without an annotation.",
                opens=False,
                children=tuple(map(_identified_row, outline.identified_only)),
            )
        )
    return rows


def _object_row(
    group: ObjectGroup, colors: Mapping[int, RGBA], edited: Mapping[int, int]
) -> RecordRow:
    name = plain(group.object_name)
    count = count_text(len(group.rows), "annotation")
    badge = "identified" if group.is_identified else ""
    return RecordRow(
        record=group.rows,
        key=(group.object_name, group.object_id),
        title=name,
        is_bold=True,
        badge=badge,
        color=colors.get(min(row.annotation.id for row in group.rows)),
        tooltip=f"{name}\n{joined(plain(group.object_id), count, badge)}",
        spoken=f"{name}, {count}",
        opens=False,
        children=tuple(_annotation_row(row, edited) for row in group.rows),
    )


def _identified_row(identified: IdentifiedObject) -> RecordRow:
    """The row of an object without annotations: there is nothing to show or to tick."""
    name = joined(plain(identified.object_name), plain(identified.object_state or ""))
    description = plain(identified.object_description or "")
    return RecordRow(
        record=(),
        key=("identified", identified.id),
        title=name,
        is_dim=True,
        tooltip=lines_text(name, plain(identified.object_id), description),
        spoken=f"{name}, identified, not annotated",
        opens=False,
    )


def _annotation_row(row: AnnotationRow, edited: Mapping[int, int]) -> RecordRow:
    annotation = row.annotation
    titles = titles_of(row, None if row.shown_file is None else edited.get(row.shown_file.id))
    method = plain(str(annotation.method_type))
    truth = "ground truth" if annotation.ground_truth_status else ""
    star = RECOMMENDED if annotation.is_curator_recommended else ""
    can_show = row.shown_file is not None or row.caption_file is not None
    return RecordRow(
        record=row,
        key=row.key,
        title=titles,
        badge=truth,
        right=(method, f"{method[:5]}…", ""),
        icon="star" if star else "",
        is_dim=not row.fits or not can_show,
        tooltip=about_annotation(row),
        spoken=joined(titles[0], truth, method, star, row.reason),
    )


def tilt_series_rows(series: Sequence[TiltSeries]) -> list[RecordRow]:
    """Rows of a run's tilt series."""
    return [
        RecordRow(
            record=each,
            key=each.id,
            title=(
                f"Tilt series · {tilt_series_text(each)}",
                f"Tilt series · {tilt_series_text(each, is_short=True)}",
            ),
            is_dim=not each.url,
            tooltip=about_tilt_series(each),
        )
        for each in series
    ]


# what a button does


class OpenButton(NamedTuple):
    """The text of the button that opens a tomogram, and what it does."""

    text: str
    purpose: str
    is_enabled: bool = True


def open_button(tomogram: Tomogram, state: LayerState, *, progress: str = "") -> OpenButton:
    """*Open* with the size, *Stop* with the progress, or *Show* for a hidden layer."""
    match state:
        case "loading":
            return OpenButton(joined("Stop", progress), "Stop opening the tomogram")
        case "visible":
            return OpenButton("Shown", "This tomogram is shown in the viewer", is_enabled=False)
        case "hidden":
            return OpenButton("Show", "Show the hidden tomogram again (Enter)")
    if not tomogram.url:
        purpose = "The portal lists no file for this tomogram"
        return OpenButton("No file to open", purpose, is_enabled=False)
    cost = size_text(first_sight_bytes(tomogram))
    purpose = f"Open the tomogram as a layer (Enter); loads about {cost} at first"
    return OpenButton(f"Open · {cost}", purpose)


# texts


def processing_text(tomogram: Tomogram) -> str:
    """How a tomogram was made: ``denoised · WBP · 13.48 Å``."""
    return joined(
        plain(str(tomogram.processing)),
        plain(str(tomogram.reconstruction_method)),
        spacing_text(tomogram.voxel_spacing),
        "CTF corrected" if tomogram.ctf_corrected else "",
    )


def about_tomogram(tomogram: Tomogram, alignment: Alignment | None = None) -> str:
    """The details of a tomogram and of its alignment, one per line."""
    size = dimensions_text(tomogram.size_x, tomogram.size_y, tomogram.size_z)
    return lines_text(
        joined(tomogram.name or "", f"TM-{tomogram.id}"),
        joined(processing_text(tomogram), size and f"{size} voxels"),
        labelled("Alignment", _alignment_text(tomogram.alignment_id, alignment)),
        f"Reconstructed with {tomogram.reconstruction_software}",
        f"Processed with {tomogram.processing_software}" if tomogram.processing_software else "",
        labelled("Fiducials", tomogram.fiducial_alignment_status.replace("_", "-").lower()),
        f"Authors: {', '.join(author.name for author in tomogram.authors)}"
        if tomogram.authors
        else "",
        labelled("Publications", tomogram.publications),
        labelled("Database entries", tomogram.related_database_entries),
        deposition_text(tomogram.deposition_id, tomogram.deposition),
        f"OME-Zarr {size_text(tomogram.file_size_omezarr)}" if tomogram.file_size_omezarr else "",
        f"MRC {size_text(tomogram.file_size_mrc)}" if tomogram.file_size_mrc else "",
    )


def _alignment_text(alignment_id: int | None, alignment: Alignment | None) -> str:
    """An alignment: ``AL-17 · local · patch tracking``; empty if it is unknown."""
    name = "" if alignment_id is None else f"AL-{alignment_id}"
    if alignment is None:
        return name
    kind = reported(alignment.alignment_type).lower()
    return joined(name, kind, reported(alignment.alignment_method).replace("_", " "))


def titles_of(row: AnnotationRow, edited_count: int | None = None) -> tuple[str, ...]:
    """Titles of an annotation row, longest first: ``85 oriented``, or ``81 oriented · edited``.

    On another alignment, where rows aren't grouped by object, they name the object: ``ribosome · 9
    points · AL-17``.
    """
    summary = row.summary
    if edited_count is not None:
        summary = joined(row.summary_of(edited_count), "edited")
    if row.fit is None or not row.fit.is_unaligned or not row.files:
        return (summary,)
    alignment_id = row.files[0].alignment_id
    alignment = "alignment unknown" if alignment_id is None else f"AL-{alignment_id}"
    named = joined(plain(row.annotation.object_name), summary)
    return joined(named, alignment), named


def tomogram_of(page: RunRecords, row: AnnotationRow) -> Tomogram | None:
    """The tomogram that an annotation was made on, or another one with the same alignment.

    None if there is none.
    """
    if not row.files or row.files[0].alignment_id is None:
        return None
    file = row.files[0]
    aligned = [
        tomogram for tomogram in page.tomograms if tomogram.alignment_id == file.alignment_id
    ]
    spacing_id = file.tomogram_voxel_spacing_id
    return min(
        aligned, key=lambda tomogram: tomogram.tomogram_voxel_spacing_id != spacing_id, default=None
    )


def about_annotation(row: AnnotationRow) -> str:
    """The details of an annotation, one per line."""
    annotation = row.annotation
    precision, recall = annotation.confidence_precision, annotation.confidence_recall
    return lines_text(
        joined(
            annotation.object_name,
            annotation.object_state or "",
            annotation.object_id,
            f"AN-{annotation.id}",
        ),
        joined(
            titles_of(row)[0],
            "ground truth" if annotation.ground_truth_status else "",
            plain(str(annotation.method_type)),
        ),
        RECOMMENDED if annotation.is_curator_recommended else "",
        annotation.object_description or "",
        f"Method: {annotation.annotation_method}",
        labelled("Software", annotation.annotation_software),
        labelled("Links", ", ".join(map(_link_text, annotation.method_links))),
        f"Authors: {', '.join(author.name for author in annotation.authors)}"
        if annotation.authors
        else "",
        labelled("Publication", annotation.annotation_publication),
        labelled("Judged against", annotation.ground_truth_used),
        deposition_text(annotation.deposition_id, annotation.deposition),
        f"Precision {precision:g} %" if precision is not None else "",
        f"Recall {recall:g} %" if recall is not None else "",
        f"Files: {', '.join(map(_file_text, row.files))}" if row.files else "",
        row.reason,
    )


def _link_text(link: MethodLink) -> str:
    return joined(link.name or "", plain(link.link_type), link.link)


def _file_text(file: AnnotationFile) -> str:
    return " ".join(part for part in (file.format, size_text(file.file_size)) if part)


def tilt_series_text(series: TiltSeries, *, is_short: bool = False) -> str:
    """A tilt series in one line: ``41 images · −60…60° by 3° · 3.37 Å · 1.2 GB``."""
    size_bytes = series.file_size_omezarr if series.https_omezarr_dir else series.file_size_mrc
    return joined(
        "" if series.url else "no images on the portal",
        f"{series.size_z} images" if series.size_z else "",
        f"{series.tilt_min:.3g}…{series.tilt_max:.3g}°".replace("-", "−")
        + ("" if is_short else f" by {series.tilt_step:.3g}°"),
        "" if is_short else spacing_text(series.pixel_spacing),
        size_text(size_bytes),
    )


def about_tilt_series(series: TiltSeries) -> str:
    """The details of a tilt series, one per line."""
    microscope = f"{series.microscope_manufacturer} {series.microscope_model}"
    camera = f"{series.camera_manufacturer} {series.camera_model}"
    return lines_text(
        joined(
            f"TS-{series.id}",
            tilt_series_text(series),
            f"quality {series.tilt_series_quality} of 5",
        ),
        joined(plain(microscope), f"{series.acceleration_voltage / 1000:g} kV", plain(camera)),
        joined(
            f"Cs {series.spherical_aberration_constant:g} mm",
            plain(series.microscope_energy_filter),
            plain(series.microscope_phase_plate or ""),
            plain(series.microscope_image_corrector or ""),
            plain(series.microscope_additional_info or ""),
        ),
        joined(
            f"{series.total_flux:g} e⁻/Å²",
            plain(series.tilting_scheme),
            f"tilt axis {series.tilt_axis:g}°",
        ),
        plain(series.data_acquisition_software),
        labelled("Database entry", series.related_empiar_entry),
        "Opens in its own window, because its images aren't in the tomogram's space.",
    )


def tilt_text(
    step: int, n_images: int, angles: Sequence[float] | None, warnings: Sequence[str] = ()
) -> str:
    """The number and tilt of an image: ``image 21 of 41 · tilt −3°``.

    >>> tilt_text(20, 41, None, ["There are 40 tilt angles for 41 images."])
    'image 21 of 41 · There are 40 tilt angles for 41 images.'
    """
    tilt = (
        f"tilt {angles[step]:.4g}°".replace("-", "−")
        if angles is not None and step < len(angles)
        else ""
    )
    return joined(f"image {step + 1} of {n_images}", tilt, *map(plain, warnings))


def deposition_text(deposition_id: int | None, deposition: DepositionTitle | None) -> str:
    """The deposition of a record: ``Deposition: S. pombe lamellae (CZCDP-10301)``.

    Empty if unknown.
    """
    if deposition_id is None:
        return ""
    number = f"CZCDP-{deposition_id}"
    return (
        f"Deposition: {deposition.title} ({number})"
        if deposition is not None
        else f"Deposition: {number}"
    )
