"""From what is ticked on a run's page to what is downloaded: files in the wanted format, and their metadata."""

from __future__ import annotations

from collections.abc import Collection

from napari_cryoet.download.selection import VOLUME_FORMATS, Selection, TomogramChoice, VolumeFormat
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import AnnotationFile, Tomogram
from napari_cryoet.run.outline import AnnotationRow


def select_ticked(
    page: RunPage,
    tomograms: Collection[Tomogram],
    rows: Collection[AnnotationRow],
    *,
    volume_format: VolumeFormat = "zarr",
    with_metadata: bool = True,
) -> Selection:
    """What to download of a run, tomograms and masks in one format where it is offered.

    Parameters
    ----------
    with_metadata
        Whether the metadata files of the tomograms, annotations and alignments come along.
    """
    files = [file for row in rows for file in files_of(row, volume_format)]
    alignment_ids = {tomogram.alignment_id for tomogram in tomograms} | {file.alignment_id for file in files}
    alignments = (each for each in page.alignments if each.id in alignment_ids and each.https_alignment_metadata)
    return Selection(
        tomograms=tuple(
            TomogramChoice(tomogram_id=tomogram.id, volume_format=format_of(tomogram, volume_format))
            for tomogram in tomograms
        ),
        annotation_file_ids=tuple(file.id for file in files),
        annotation_metadata_ids=tuple(dict.fromkeys(row.annotation.id for row in rows)) if with_metadata else (),
        tomogram_metadata_ids=tuple(tomogram.id for tomogram in tomograms) if with_metadata else (),
        alignment_ids=tuple(each.id for each in alignments) if with_metadata else (),
    )


def files_of(row: AnnotationRow, volume_format: VolumeFormat) -> tuple[AnnotationFile, ...]:
    """A row's files: of a volume that comes in several formats only the wanted one."""
    wanted = [file for file in row.files if file.format == volume_format]
    volumes = wanted or [file for file in row.files if file.format in VOLUME_FORMATS]
    return (*(file for file in row.files if file.format not in VOLUME_FORMATS), *volumes)


def format_of(tomogram: Tomogram, wanted: VolumeFormat) -> VolumeFormat:
    """The wanted format if a tomogram has it, else the one that it has."""
    addresses = {"zarr": tomogram.https_omezarr_dir, "mrc": tomogram.https_mrc_file}
    return wanted if addresses[wanted] else next((other for other in VOLUME_FORMATS if addresses[other]), wanted)
