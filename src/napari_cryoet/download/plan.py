"""What a download will do, before it does it: files, sizes, where they go and what they are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from napari_cryoet.download.names import NameSpace, key_segments, url_segments
from napari_cryoet.download.provenance import (
    Provenance,
    of_alignment,
    of_annotation,
    of_annotation_file,
    of_tomogram,
)
from napari_cryoet.download.selection import Selection, VolumeFormat
from napari_cryoet.exceptions import DownloadError
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.records import Run

MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """One file to fetch; ``path`` is relative to the folder, clean, with ``/`` between names."""

    url: str
    path: str
    size_bytes: int | None = None  # as the portal lists it
    estimate_bytes: int = 0  # of a chunk: its share of the OME-Zarr's listed size
    may_be_missing: bool = False  # a chunk that isn't stored holds nothing but the fill value
    comes_last: bool = False  # metadata of a Zarr: once it is there, the volume opens


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedItem:
    """One thing of the portal to download: a single file, or an OME-Zarr, which is a folder of them.

    Attributes
    ----------
    files
        The one file; or the files of the OME-Zarr, which are known once its metadata was read (`expand_plan`).
    size_bytes
        As the portal lists it, or None.
    problem
        Why the files of an OME-Zarr can't be named, or empty.
    is_missing
        Whether the problem is that the server doesn't have it.
    """

    url: str
    path: str
    provenance: Provenance
    is_zarr: bool
    size_bytes: int | None = None
    files: tuple[PlannedFile, ...] = ()
    problem: str = ""
    is_missing: bool = False

    @property
    def is_expanded(self) -> bool:
        """Whether all files are named, or can't be."""
        return bool(self.files or self.problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a download will fetch."""

    run: Run
    items: tuple[PlannedItem, ...]
    context: dict[str, Any] = field(default_factory=dict)  # the run and its dataset, for the manifest

    @property
    def total_bytes(self) -> int:
        """Sum of the sizes that the portal lists."""
        return sum(item.size_bytes or 0 for item in self.items)

    @property
    def n_unknown_sizes(self) -> int:
        """Number of items whose size the portal doesn't list; small metadata files, as a rule."""
        return sum(item.size_bytes is None for item in self.items)

    @property
    def is_expanded(self) -> bool:
        """Whether the files of every item are known."""
        return all(item.is_expanded for item in self.items)

    def files(self) -> Iterator[PlannedFile]:
        """Yield every file that is known so far."""
        for item in self.items:
            yield from item.files


def plan_download(page: RunPage, selection: Selection) -> Plan:
    """Return what to fetch for a selection, laid out as in the portal's bucket.

    Raises
    ------
    DownloadError
        If something is selected that the run doesn't have, not in that format, or nothing is.
    """
    if not selection:
        raise DownloadError("Nothing is selected to download.", hint="Choose a tomogram or an annotation first.")
    layout = _Layout(page.run)
    items = [*_tomogram_items(page, selection, layout), *_annotation_items(page, selection, layout)]
    items += _alignment_items(page, selection, layout)
    unique = {item.path: item for item in items}  # several records may share one file
    return Plan(run=page.run, items=tuple(unique.values()), context=_context(page))


class _Layout:
    """Turns the places of a run's files in the bucket into places in the folder."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._scheme_is_file = urlsplit(run.https_prefix).scheme == "file"
        self._root = key_segments(run.s3_prefix) or (str(run.dataset_id), run.name)
        self._names = NameSpace(taken=(MANIFEST_NAME,))

    def item(
        self, url: str, s3_path: str | None, provenance: Provenance, size_bytes: float | None = None
    ) -> PlannedItem:
        """Return the item for a URL that the portal gave."""
        scheme = urlsplit(url).scheme
        if (scheme == "file") != self._scheme_is_file or scheme not in ("file", "http", "https"):
            raise DownloadError(f"The portal names a file that can't be fetched from there: {url!r}.")
        path = self._names.path(self._segments(url, s3_path or ""))
        size = None if size_bytes is None else max(0, int(size_bytes))
        is_zarr = provenance.format == "zarr"
        file = PlannedFile(url=url, path=path, size_bytes=size)
        return PlannedItem(
            url=url,
            path=path,
            provenance=provenance,
            is_zarr=is_zarr,
            size_bytes=size,
            files=() if is_zarr else (file,),
        )

    def _segments(self, url: str, s3_path: str) -> tuple[str, ...]:
        if key := key_segments(s3_path):
            return key
        segments, prefix = url_segments(url), url_segments(self._run.https_prefix)
        if segments[: len(prefix)] == prefix:
            return self._root + segments[len(prefix) :]
        return self._root + segments[-1:]


def _tomogram_items(page: RunPage, selection: Selection, layout: _Layout) -> Iterator[PlannedItem]:
    for choice in selection.tomograms:
        tomogram = _by_id(page.tomograms, choice.tomogram_id, "tomogram", page)
        match choice.volume_format:
            case "zarr":
                url, s3_path, size = tomogram.https_omezarr_dir, tomogram.s3_omezarr_dir, tomogram.file_size_omezarr
            case "mrc":
                url, s3_path, size = tomogram.https_mrc_file, tomogram.s3_mrc_file, tomogram.file_size_mrc
        if not url:
            raise _not_offered(tomogram.id, choice.volume_format)
        yield layout.item(url, s3_path, of_tomogram(tomogram, choice.volume_format), size)
    for tomogram_id in selection.tomogram_metadata_ids:
        tomogram = _by_id(page.tomograms, tomogram_id, "tomogram", page)
        url = tomogram.https_omezarr_dir or tomogram.https_mrc_file
        if not url:
            raise _not_offered(tomogram.id, "zarr")
        # the API doesn't name this file; it lies beside the volumes
        s3_path = tomogram.s3_omezarr_dir or tomogram.s3_mrc_file
        beside = _metadata_beside(s3_path) if s3_path else None
        yield layout.item(_metadata_beside(url), beside, of_tomogram(tomogram, "json"))


def _annotation_items(page: RunPage, selection: Selection, layout: _Layout) -> Iterator[PlannedItem]:
    for file_id in selection.annotation_file_ids:
        file = _by_id(page.annotation_files, file_id, "annotation file", page)
        yield layout.item(file.https_path, file.s3_path, of_annotation_file(file, page), file.file_size)
    for annotation_id in selection.annotation_metadata_ids:
        annotation = _by_id(page.annotations, annotation_id, "annotation", page)
        yield layout.item(annotation.https_metadata_path, annotation.s3_metadata_path, of_annotation(annotation))


def _alignment_items(page: RunPage, selection: Selection, layout: _Layout) -> Iterator[PlannedItem]:
    for alignment_id in selection.alignment_ids:
        alignment = _by_id(page.alignments, alignment_id, "alignment", page)
        if not alignment.https_alignment_metadata:
            raise DownloadError(f"Alignment {alignment_id} has no metadata file.")
        url, s3_path = alignment.https_alignment_metadata, alignment.s3_alignment_metadata
        yield layout.item(url, s3_path, of_alignment(alignment))


def _metadata_beside(volume: str) -> str:
    return volume.rstrip("/").rpartition("/")[0] + "/tomogram_metadata.json"


def _not_offered(tomogram_id: int, volume_format: VolumeFormat) -> DownloadError:
    other = "MRC" if volume_format == "zarr" else "OME-Zarr"
    wanted = "OME-Zarr" if volume_format == "zarr" else "MRC"
    return DownloadError(f"Tomogram {tomogram_id} isn't offered as {wanted}.", hint=f"Try {other}.")


class _HasId(Protocol):
    @property
    def id(self) -> int: ...


_Record = TypeVar("_Record", bound=_HasId)


def _by_id(records: Iterable[_Record], record_id: int, kind: str, page: RunPage) -> _Record:
    for record in records:
        if record.id == record_id:
            return record
    raise DownloadError(f"Run {page.run.name} has no {kind} {record_id}.")


def _context(page: RunPage) -> dict[str, Any]:
    """Return what the manifest says of the run and its dataset."""
    run, dataset = page.run, page.run.dataset
    context: dict[str, Any] = {"run_id": run.id, "run_name": run.name, "dataset_id": run.dataset_id}
    context["https_prefix"] = run.https_prefix
    context["licence"] = run.terms.licence if run.terms is not None else ""
    if dataset:
        context["dataset_title"] = dataset.title
        context["dataset_authors"] = [author.name for author in dataset.authors]
        context["dataset_publications"] = dataset.dataset_publications
        context["deposition_id"] = dataset.deposition_id
    return context
