"""What the rows of a run's page say: its tomograms, its annotations by object, and its tilt series."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from qtpy.QtCore import Qt

from napari_cryoet._qt.layers.colors import Appearance
from napari_cryoet._qt.layers.ownership import LayerKey
from napari_cryoet._qt.widgets.record_model import Row, Tick, TickColumn
from napari_cryoet.appearance.colors import RGBA
from napari_cryoet.records import AnnotationFile, DepositionTitle, TiltSeries, Tomogram
from napari_cryoet.run.outline import AnnotationRow, ObjectGroup, RunOutline
from napari_cryoet.wording import count_text, dimensions_text, joined, plain, size_text, spacing_text

SHOW, SAVE = 0, 1  # the columns of ticks of annotations
ANNOTATION_TICKS: Final = (
    TickColumn("Show", "Show as a layer (Space)", Qt.Key.Key_Space),
    TickColumn("Save", "Include in the download (D)", Qt.Key.Key_D),
)
TOMOGRAM_TICKS: Final = ANNOTATION_TICKS[SAVE:]
TILT_SERIES_TICKS: Final = (TickColumn("Show", "Show in a window of its own (Space)", Qt.Key.Key_Space),)
RECOMMENDED: Final = "★ recommended by the portal's curators"
_STATES: Final = {True: Qt.CheckState.Checked, False: Qt.CheckState.Unchecked}


@dataclass(frozen=True, slots=True)
class Shown:
    """Which parts of a run are shown as layers or windows, and which are loading."""

    looks: Mapping[LayerKey, Appearance] = field(default_factory=dict)
    coming: Set[LayerKey] = frozenset()

    def is_visible(self, key: LayerKey) -> bool:
        look = self.looks.get(key)
        return look is not None and look.is_visible

    def tick(self, key: LayerKey) -> Tick:
        """On where it is visible, half on its way, framed in its colour where it is hidden."""
        look = self.looks.get(key)
        if key in self.coming:
            return Tick(Qt.CheckState.PartiallyChecked)
        if look is None:
            return Tick()
        return Tick(_STATES[look.is_visible], look.color, is_hollow=not look.is_visible)


def key_of_row(row: AnnotationRow) -> LayerKey | None:
    """The layer or the text that a row shows; None where there is nothing to show."""
    file = row.shown_file or row.caption_file
    return None if file is None else LayerKey("annotation", file.id)


# tomograms


def tomogram_rows(
    tomograms: Sequence[Tomogram], chosen: Tomogram | None, shown: Shown, saved: Set[Hashable]
) -> list[Row]:
    """A run's tomograms, the default one first; one is chosen."""
    several_alignments = len({tomogram.alignment_id for tomogram in tomograms}) > 1
    rows = []
    for number, tomogram in enumerate(tomograms):
        key = LayerKey("tomogram", tomogram.id)
        alignment = f"AL-{tomogram.alignment_id}" if several_alignments and tomogram.alignment_id is not None else ""
        short = joined(_processing(tomogram), alignment)
        size = dimensions_text(tomogram.size_x, tomogram.size_y, tomogram.size_z)
        rows.append(
            Row(
                record=tomogram,
                key=key,
                title=(joined(short, size), short),
                badges=("default",) if number == 0 and len(tomograms) > 1 else (),
                is_chosen=chosen is not None and chosen.id == tomogram.id,
                icon="eye" if shown.is_visible(key) else "",
                ticks=(Tick(_STATES[key in saved]),),
                tooltip=_about_tomogram(tomogram),
            )
        )
    return rows


def _processing(tomogram: Tomogram) -> str:
    return joined(
        plain(str(tomogram.processing)),
        plain(str(tomogram.reconstruction_method)),
        spacing_text(tomogram.voxel_spacing),
        "CTF corrected" if tomogram.ctf_corrected else "",
    )


def _about_tomogram(tomogram: Tomogram) -> str:
    alignment = "" if tomogram.alignment_id is None else f"AL-{tomogram.alignment_id}"
    size = dimensions_text(tomogram.size_x, tomogram.size_y, tomogram.size_z)
    return _lines(
        joined(tomogram.name or "", f"TM-{tomogram.id}"),
        joined(_processing(tomogram), size and f"{size} voxels", alignment),
        f"Reconstructed with {tomogram.reconstruction_software}",
        f"Processed with {tomogram.processing_software}" if tomogram.processing_software else "",
        f"Authors: {', '.join(author.name for author in tomogram.authors)}" if tomogram.authors else "",
        f"Publications: {tomogram.publications}" if tomogram.publications else "",
        deposition_text(tomogram.deposition_id, tomogram.deposition),
        f"OME-Zarr {size_text(tomogram.file_size_omezarr)}" if tomogram.file_size_omezarr else "",
        f"MRC {size_text(tomogram.file_size_mrc)}" if tomogram.file_size_mrc else "",
    )


# annotations


def annotation_rows(outline: RunOutline, colors: Mapping[int, RGBA], shown: Shown, saved: Set[Hashable]) -> list[Row]:
    """Objects with their annotations below, then what was made on another alignment.

    The record of an object's row is the tuple of its `AnnotationRow`.
    """
    rows = [_object_row(group, colors, shown, saved) for group in outline.groups]
    if outline.other_alignment:
        rows.append(
            Row(
                record=outline.other_alignment,
                key="on another alignment",
                title=f"On another alignment ({len(outline.other_alignment)})",
                is_dim=True,
                ticks=(None, _saved_tick(outline.other_alignment, saved)),
                tooltip="Their positions don't fit this tomogram.",
                opens=False,
                is_unfolded=False,
                children=tuple(_annotation_row(row, shown, saved) for row in outline.other_alignment),
            )
        )
    return rows


def titles_of(row: AnnotationRow) -> tuple[str, ...]:
    """How much of what: ``85 oriented``; on another alignment, where no object stands above: ``ribosome · 9 points``.

    The first of several also names the alignment.
    """
    if row.fit is None or not row.fit.is_unaligned or not row.files:
        return (row.summary,)
    alignment_id = row.files[0].alignment_id
    alignment = "alignment unknown" if alignment_id is None else f"AL-{alignment_id}"
    named = joined(plain(row.annotation.object_name), row.summary)
    return joined(named, alignment), named


def _object_row(group: ObjectGroup, colors: Mapping[int, RGBA], shown: Shown, saved: Set[Hashable]) -> Row:
    count = count_text(len(group.rows), "annotation")
    return Row(
        record=group.rows,
        key=(group.object_name, group.object_id),
        title=plain(group.object_name),
        is_bold=True,
        color=colors.get(min(row.annotation.id for row in group.rows)),
        ticks=(None, _saved_tick(group.rows, saved)),
        tooltip=_lines(plain(group.object_name), joined(plain(group.object_id), count)),
        spoken=f"{plain(group.object_name)}, {count}",
        opens=False,
        children=tuple(_annotation_row(row, shown, saved) for row in group.rows),
    )


def _annotation_row(row: AnnotationRow, shown: Shown, saved: Set[Hashable]) -> Row:
    annotation, key = row.annotation, key_of_row(row)
    method = plain(str(annotation.method_type))
    truth = "ground truth" if annotation.ground_truth_status else ""
    star = RECOMMENDED if annotation.is_curator_recommended else ""
    return Row(
        record=row,
        key=row.key,
        title=titles_of(row),
        badges=(truth,) if truth else (),
        right=(method, f"{method[:5]}…", ""),
        icon="star" if star else "",
        is_dim=not row.fits or key is None,
        ticks=(None if key is None else shown.tick(key), _saved_tick((row,), saved)),
        tooltip=_about_annotation(row),
        spoken=joined(titles_of(row)[0], truth, method, star, row.reason),
    )


def _saved_tick(rows: Sequence[AnnotationRow], saved: Set[Hashable]) -> Tick | None:
    ticks = {row.key in saved for row in rows if row.files}
    if len(ticks) == 2:
        return Tick(Qt.CheckState.PartiallyChecked)
    return Tick(_STATES[ticks.pop()]) if ticks else None


def _about_annotation(row: AnnotationRow) -> str:
    annotation = row.annotation
    precision, recall = annotation.confidence_precision, annotation.confidence_recall
    return _lines(
        joined(annotation.object_name, annotation.object_state or "", annotation.object_id, f"AN-{annotation.id}"),
        joined(
            titles_of(row)[0],
            "ground truth" if annotation.ground_truth_status else "",
            plain(str(annotation.method_type)),
        ),
        RECOMMENDED if annotation.is_curator_recommended else "",
        annotation.object_description or "",
        f"Method: {annotation.annotation_method}",
        f"Software: {annotation.annotation_software}" if annotation.annotation_software else "",
        f"Authors: {', '.join(author.name for author in annotation.authors)}" if annotation.authors else "",
        f"Publication: {annotation.annotation_publication}" if annotation.annotation_publication else "",
        deposition_text(annotation.deposition_id, annotation.deposition),
        f"Precision {precision:g} %" if precision is not None else "",
        f"Recall {recall:g} %" if recall is not None else "",
        f"Files: {', '.join(map(_file_text, row.files))}" if row.files else "",
        row.reason,
    )


def _file_text(file: AnnotationFile) -> str:
    return " ".join(part for part in (file.format, size_text(file.file_size)) if part)


# tilt series


def tilt_series_rows(series: Sequence[TiltSeries], shown: Shown) -> list[Row]:
    """A run's tilt series."""
    return [
        Row(
            record=each,
            key=each.id,
            title=(f"Tilt series · {tilt_series_text(each)}", f"Tilt series · {tilt_series_text(each, is_short=True)}"),
            is_dim=not has_images(each),
            ticks=(shown.tick(LayerKey("tilt series", each.id)) if has_images(each) else None,),
            tooltip=_about_tilt_series(each),
        )
        for each in series
    ]


def has_images(series: TiltSeries) -> bool:
    """Whether the portal has the images of a tilt series."""
    return bool(series.https_omezarr_dir or series.https_mrc_file)


def tilt_series_text(series: TiltSeries, *, is_short: bool = False) -> str:
    """A tilt series in one line: ``41 images · −60…60° by 3° · 3.37 Å · 1.2 GB``."""
    size_bytes = series.file_size_omezarr if series.https_omezarr_dir else series.file_size_mrc
    return joined(
        "" if has_images(series) else "no images on the portal",
        f"{series.size_z} images" if series.size_z else "",
        f"{series.tilt_min:.3g}…{series.tilt_max:.3g}°".replace("-", "−")
        + ("" if is_short else f" by {series.tilt_step:.3g}°"),
        "" if is_short else spacing_text(series.pixel_spacing),
        size_text(size_bytes),
    )


def _about_tilt_series(series: TiltSeries) -> str:
    microscope = f"{series.microscope_manufacturer} {series.microscope_model}"
    camera = f"{series.camera_manufacturer} {series.camera_model}"
    return _lines(
        joined(f"TS-{series.id}", tilt_series_text(series), f"quality {series.tilt_series_quality} of 5"),
        joined(plain(microscope), f"{series.acceleration_voltage / 1000:g} kV", plain(camera)),
        joined(f"{series.total_flux:g} e⁻/Å²", plain(series.tilting_scheme), f"tilt axis {series.tilt_axis:g}°"),
        plain(series.data_acquisition_software),
        "Opens in a window of its own: its images don't lie in the tomogram's space.",
    )


def deposition_text(deposition_id: int | None, deposition: DepositionTitle | None) -> str:
    """Which deposition a record belongs to: ``Deposition: S. pombe lamellae (CZCDP-10301)``; empty without one."""
    if deposition_id is None:
        return ""
    number = f"CZCDP-{deposition_id}"
    return f"Deposition: {deposition.title} ({number})" if deposition is not None else f"Deposition: {number}"


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)
