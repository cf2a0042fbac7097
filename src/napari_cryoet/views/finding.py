"""Find what a view shows: the source of its runs, their records, and files beside the view's file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from math import isclose
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, TypeVar

from napari_cryoet.exceptions import FormatError, NotFoundError, PackError
from napari_cryoet.locations import Location, host_of, is_web_address
from napari_cryoet.packs.pack import Pack, is_pack, is_safe, open_pack
from napari_cryoet.portal.provenance import path_of
from napari_cryoet.records import Annotation, AnnotationFile, TiltSeries, Tomogram
from napari_cryoet.runs.fit import why_not_drawable
from napari_cryoet.runs.outline import first_sight_bytes
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.views.view import (
    View,
    ViewedAnnotation,
    ViewedLayer,
    ViewedRun,
    ViewedTomogram,
)
from napari_cryoet.wording import count_text, plain

if TYPE_CHECKING:
    from napari_cryoet.portal.pages import RunPage
    from napari_cryoet.portal.portal import Portal
    from napari_cryoet.runs.runs import RunRecords

Shown: TypeAlias = "Tomogram | AnnotationFile | TiltSeries"
R = TypeVar("R", Tomogram, AnnotationFile, TiltSeries)

#: The sources that a view may name without a question to the user.
OWN_SOURCES: Final = frozenset({"live", "demo"})

_MAX_RUNS: Final = 500
_SAME_SPACING: Final = 0.005  # the portal and a file may round it
_PORTAL_HOST: Final = ".cryoetdataportal.czscience.com"
_VOLUME_BYTES: Final = 8_000_000  # until the first plane of a typical tomogram is sharp
_ANNOTATION_BYTES: Final = 500_000


class FoundLayer(NamedTuple):
    """A layer of a view that can be opened: its number in the view, its run, and its record."""

    number: int
    page: RunPage
    record: Shown


class Finding(NamedTuple):
    """What of a view was found, and sentences about the rest."""

    layers: tuple[FoundLayer, ...]
    remarks: tuple[str, ...]


# sources


def is_portal(source: str) -> bool:
    """Whether a source is the live portal, the demo, or a server's address: the same everywhere."""
    return source in OWN_SOURCES or is_web_address(source)


def source_to_open(run: ViewedRun, packs: Iterable[Path | str], folder: Path | None) -> str:
    """What `open_portal` takes to open the data of a run.

    Parameters
    ----------
    packs
        The packs that the user has opened.
    folder
        The folder of the view's file, which may lie in a pack. A pack of the run's source, such as a class pack, is
        preferred to the source.

    Raises
    ------
    NotFoundError
        If the run is of a pack that isn't here, or its source is none.
    """
    above = () if folder is None else (folder, *folder.parents)
    for folder_above in above:
        with suppress(PackError):
            if _has_run(open_pack(folder_above), run):
                return str(folder_above)
    for pack in (*above, *packs) if run.pack_id else ():
        with suppress(PackError):
            if open_pack(pack).id == run.pack_id:
                return str(pack)
    if is_portal(run.source):
        return run.source
    if run.source == "pack" and folder is not None and is_pack(folder):
        return str(folder)
    name = plain(run.run_name) or "A run"
    if run.source != "pack":
        raise NotFoundError(f"{name} is of an unknown source, {plain(run.source) or 'none'!r}.")
    raise NotFoundError(
        f"{name} is of a pack that isn't known here.",
        hint="Open the pack, or put the view's file into its folder.",
    )


def _has_run(pack: Pack, run: ViewedRun) -> bool:
    """Whether a pack is of a run's source, and has the run."""
    if not run.source or run.source != pack.manifest.origin:
        return False
    return any(
        row["datasetId"] == run.dataset_id and row["name"] == run.run_name
        for row in pack.tables["runs"]
    )


def foreign_host(source: str) -> str:
    """The host that a view's source names, which needs the user's consent; empty if it needs none."""
    return host_of(source) if source not in OWN_SOURCES and is_web_address(source) else ""


def guessed_bytes(view: View) -> int:
    """About how many bytes a view loads at first, before the sizes of its files are known."""
    n_annotations = sum(layer.kind == "annotation" for layer in view.layers)
    n_volumes = len(view.layers) - n_annotations
    return n_volumes * _VOLUME_BYTES + n_annotations * _ANNOTATION_BYTES


def bytes_by_host(found: Iterable[FoundLayer], agreed: Iterable[str]) -> dict[str, int]:
    """The bytes that layers load at first from hosts that aren't the portal's or agreed to."""
    known = {"", *agreed}
    sizes: dict[str, int] = {}
    for layer in found:
        host = host_of_record(layer.record)
        if host not in known and not host.endswith(_PORTAL_HOST):
            sizes[host] = sizes.get(host, 0) + _first_bytes(layer.record)
    return sizes


def host_of_record(record: Shown) -> str:
    """The host of a record's file; empty if it is on this computer."""
    url = record.https_path if isinstance(record, AnnotationFile) else record.url or ""
    return host_of(url) if url and Location.of(url).is_remote else ""


def _first_bytes(record: Shown) -> int:
    match record:
        case Tomogram():
            return first_sight_bytes(record)
        case AnnotationFile():
            return int(record.file_size or 0)
    return _VOLUME_BYTES


# runs


def find_run(portal: Portal, run: ViewedRun, task: Task = UNWATCHED) -> RunPage:
    """The page of a run, by its dataset and name; its id is tried first, and must agree.

    NotFoundError if the source has no such run.
    """
    if run.run_id is not None:
        with suppress(NotFoundError):
            page = portal.run_page(run.run_id, task=task)
            is_dataset = run.dataset_id in {None, page.run.dataset_id}
            if is_dataset and run.run_name in {"", page.run.name}:
                return page
    if run.dataset_id is not None and run.run_name:
        listed = portal.dataset_page(
            run.dataset_id, name_contains=run.run_name, limit=_MAX_RUNS, task=task
        )
        for row in listed.runs:
            if row.name == run.run_name:
                return portal.run_page(row.id, task=task)
    name = plain(run.run_name) or f"RN-{run.run_id}"
    where = f" of DS-{run.dataset_id}" if run.dataset_id is not None else ""
    raise NotFoundError(f"{portal.source.label} has no run {name}{where}.")


# layers


def alignment_text(method: str | None, kind: str | None) -> str:
    """What a view calls an alignment: ``projection_matching, LOCAL``."""
    return ", ".join(filter(None, (method, kind)))


def find_layers(view: View, pages: Mapping[int, RunPage]) -> Finding:
    """The records of a view's layers in the pages of its runs, by the run's number in the view.

    A record has the layer's path, or else its names. Runs without a page are left out silently.
    """
    found: list[FoundLayer] = []
    remarks: list[str] = []
    for number, layer in enumerate(view.layers):
        page = pages.get(layer.run)
        if page is None or layer.kind == "file":
            continue
        record = _record_of(layer, page)
        if record is None:
            remarks.append(f"{page.run.name} has no {_name_of(layer)} any more.")
            continue
        found.append(FoundLayer(number, page, record))
        if path_of(record) != layer.path:
            remarks.append(f"{_name_of(layer)} was found by its name; its file has changed.")
    return Finding(tuple(found), tuple(remarks))


def _record_of(layer: ViewedLayer, page: RunRecords) -> Shown | None:
    if layer.annotation is not None:
        files = [each for each in page.annotation_files if not why_not_drawable(each)]
        return _best(files, layer.annotation.path, _named_files(layer.annotation, files))
    if layer.tomogram is None:
        return None
    if layer.kind == "tilt series":
        series = page.tilt_series
        by_id = [each for each in series if len(series) == 1 or each.id == layer.tomogram.id]
        return _best(series, layer.tomogram.path, by_id)
    tomograms = [each for each in page.tomograms if each.url]
    return _best(tomograms, layer.tomogram.path, _named_tomograms(layer.tomogram, tomograms))


def _best(records: Iterable[R], path: str, named: Iterable[R]) -> R | None:
    """The record with a path, or else the first of those with the right names."""
    by_path = (each for each in records if path and path_of(each) == path)
    return next(by_path, None) or next(iter(named), None)


def _named_tomograms(wanted: ViewedTomogram, tomograms: Iterable[Tomogram]) -> list[Tomogram]:
    """The tomograms of a processing and spacing, those with the same alignment and id first."""
    spacing = wanted.voxel_spacing_angstrom

    def is_named(tomogram: Tomogram) -> bool:
        if not wanted.processing or spacing is None:
            return tomogram.id == wanted.id
        is_spacing = isclose(tomogram.voxel_spacing, spacing, rel_tol=_SAME_SPACING)
        return is_spacing and tomogram.processing == wanted.processing

    def rank(tomogram: Tomogram) -> tuple[bool, ...]:
        return (
            wanted.reconstruction not in {"", tomogram.reconstruction_method},
            wanted.alignment not in {"", _alignment_of(tomogram)},
            wanted.alignment_id not in {None, tomogram.alignment_id},
            tomogram.id != wanted.id,
        )

    return sorted(filter(is_named, tomograms), key=rank)


def _alignment_of(tomogram: Tomogram) -> str:
    alignment = tomogram.alignment
    if alignment is None:
        return ""
    return alignment_text(alignment.alignment_method, alignment.alignment_type)


def _named_files(
    wanted: ViewedAnnotation, files: Iterable[AnnotationFile]
) -> Iterator[AnnotationFile]:
    """The files of an object with the same shape, method and deposition, that with the id first."""
    suffix = PurePosixPath(wanted.path).suffix

    def rank(file: AnnotationFile) -> tuple[bool, bool]:
        return file.id != wanted.id, PurePosixPath(file.s3_path).suffix != suffix

    for file in sorted(files, key=rank):
        annotation = file.annotation
        if annotation is None:
            continue
        is_object = _is_same_object(wanted, annotation)
        is_same = (
            wanted.shape in {"", file.shape_type}
            and wanted.method in {"", annotation.method_type}
            and wanted.deposition_id in {None, annotation.deposition_id}
        )
        is_hinted = not wanted.object_name and not wanted.object_id and file.id == wanted.id
        if is_same and (is_object or is_hinted):
            yield file


def _is_same_object(wanted: ViewedAnnotation, annotation: Annotation) -> bool:
    name = wanted.object_name.casefold()
    is_named = bool(name) and annotation.object_name.casefold() == name
    is_identified = bool(wanted.object_id) and annotation.object_id == wanted.object_id
    return is_named or is_identified


def _name_of(layer: ViewedLayer) -> str:
    """What a sentence calls a layer."""
    annotation = layer.annotation
    stated = annotation.object_name if annotation is not None else ""
    return plain(layer.name or stated or PurePosixPath(layer.path).name) or layer.kind


# files


def file_of(layer: ViewedLayer, folder: Path | None) -> Path:
    """The file of a layer, by its path within the folder of the view's file.

    FormatError if the path leads out of the folder, NotFoundError if there is no such file.
    """
    name = plain(layer.file)
    if not layer.file or not is_safe(layer.file):
        raise FormatError(f"A view can't name the file {name!r}: it isn't in the view's folder.")
    if folder is None:
        raise NotFoundError(f"{name} lies beside a view's file, and this view isn't one.")
    path = folder / layer.file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FormatError(f"{name} leads out of the view's folder.")
    if not path.exists():
        raise NotFoundError(f"{name} isn't beside the view's file.")
    return path


def runs_text(view: View) -> str:
    """What a view shows, for a question: ``TS_026 with 3 layers``."""
    names = [plain(run.run_name) or f"RN-{run.run_id}" for run in view.runs]
    return f"{', '.join(names)} with {count_text(len(view.layers), 'layer')}"
