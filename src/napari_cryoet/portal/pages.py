"""The content of each screen as frozen data: the catalogue, a dataset, a run, a deposition, a look-up."""

from __future__ import annotations

from datetime import datetime
from html import escape
from typing import TYPE_CHECKING

import msgspec

from napari_cryoet.exceptions import NotFoundError
from napari_cryoet.records import (
    AnnotationFile,
    Author,
    Dataset,
    Deposition,
    Id,
    Record,
    Tomogram,
    dataframe,
)
from napari_cryoet.runs.outline import RunOutline, outline_run
from napari_cryoet.runs.runs import RunRecords
from napari_cryoet.wording import day_text, plain

if TYPE_CHECKING:
    import pandas as pd


class Freshness(Record, frozen=True, kw_only=True):
    """When an answer was fetched, and why it is shown if the portal doesn't answer now.

    Attributes
    ----------
    fetched_at
        When the portal sent it.
    is_offline
        Whether it is cached because the portal can't be reached.
    is_failing
        Whether it is cached because the portal answered with an error, as after a change.
    reason
        What happened; empty for an answer that isn't cached.
    """

    fetched_at: datetime
    is_offline: bool = False
    is_failing: bool = False
    reason: str = ""

    @property
    def is_cached(self) -> bool:
        """Whether the portal gave no answer, so that this is an earlier one."""
        return self.is_offline or self.is_failing

    @property
    def text(self) -> str:
        """``online``, ``offline, as of 12 Nov`` or ``portal error, as of 12 Nov``."""
        if not self.is_cached:
            return "online"
        state = "offline" if self.is_offline else "portal error"
        return f"{state}, as of {day_text(self.fetched_at)}"


class ObjectCount(Record, frozen=True, kw_only=True):
    """The number of annotations of an object; in a deposition, those made by one type of method."""

    object_name: str
    count: int
    method_type: str = ""


class Counted(Record, frozen=True, kw_only=True):
    """What the rows of all lists have in common; missing counts are 0."""

    tomogram_count: int = 0
    annotation_count: int = 0
    objects: tuple[ObjectCount, ...] = ()  # most annotated first
    key_photo_thumbnail_url: str | None = None


class SubmissionRow(Counted, frozen=True, kw_only=True):
    """What a dataset and a deposition have in common in the lists of all."""

    id: Id
    title: str
    release_date: datetime
    related_database_entries: str | None = None
    authors: tuple[Author, ...] = ()  # names and ORCIDs only


class CatalogueRow(SubmissionRow, frozen=True, kw_only=True):
    """A dataset in the list of all datasets."""

    deposition_id: Id
    organism_name: str | None = None
    sample_type: str | None = None
    cell_name: str | None = None
    tissue_name: str | None = None
    dataset_publications: str | None = None
    run_count: int = 0
    shapes: tuple[str, ...] = ()


class DepositionRow(SubmissionRow, frozen=True, kw_only=True):
    """A deposition in the list of all depositions."""

    tag: str | None = None
    deposition_publications: str | None = None
    kinds: tuple[str, ...] = ()
    dataset_ids: tuple[int, ...] = ()  # its own
    enriched_dataset_ids: tuple[
        int, ...
    ] = ()  # of other depositions, to which it added tomograms or annotations


class Catalogue(Record, frozen=True, kw_only=True):
    """All datasets and depositions of a portal, newest first."""

    rows: tuple[CatalogueRow, ...]
    freshness: Freshness
    depositions: tuple[DepositionRow, ...] = ()

    def to_dataframe(self) -> pd.DataFrame:
        """The datasets as a pandas table, one row each."""
        return dataframe(self.rows)

    def _repr_html_(self) -> str:
        columns = ["id", "title", "run_count", "objects"]
        return str(self.to_dataframe()[columns].to_html(max_rows=8))


class RunRow(Counted, frozen=True, kw_only=True):
    """A run in the list of a dataset, or of a deposition, whose counts cover only what it added.

    In the list of a dataset, spacing and sizes are those of the default tomogram.
    """

    id: Id
    name: str
    dataset_id: Id
    voxel_spacing: float | None = None
    size_x: int | None = None
    size_y: int | None = None
    size_z: int | None = None
    file_size_omezarr: float | None = None

    @property
    def title(self) -> str:
        """The run's name, or its id if the name is blank."""
        return plain(self.name) or f"RN-{self.id}"


class DatasetPage(Record, frozen=True, kw_only=True):
    """A dataset and one page of its runs."""

    dataset: Dataset
    runs: tuple[RunRow, ...]
    run_total: int  # on all pages, with the same filter
    offset: int
    freshness: Freshness

    def to_dataframe(self) -> pd.DataFrame:
        """The runs of this page as a pandas table, one row each."""
        return dataframe(self.runs)

    @property
    def is_last(self) -> bool:
        """Whether this is the last page."""
        return self.offset + len(self.runs) >= self.run_total


class RunPage(RunRecords, frozen=True, kw_only=True):
    """A run with all its records."""

    freshness: Freshness

    def tomogram(self, processing: str = "default") -> Tomogram:
        """The run's default tomogram, or the first of a processing, such as "denoised".

        NotFoundError if there is none.
        """
        found = self.tomogram_of(processing)
        if found is None:
            known = sorted({each.processing for each in self.tomograms})
            hint = f"It has {', '.join(known)}." if known else "It has no tomograms."
            raise NotFoundError(f"{self.run.name} has no {processing} tomogram.", hint=hint)
        return found

    def outline(self, tomogram: Tomogram | None = None) -> RunOutline:
        """The annotations in the order of the run's page, for a tomogram or the default one."""
        return outline_run(self, tomogram or self.default_tomogram)

    def file(
        self, object_name: str, *, shape: str | None = None, tomogram: Tomogram | None = None
    ) -> AnnotationFile:
        """The first file of an object that fits a tomogram, or the default one.

        Parameters
        ----------
        object_name
            Any part of the object's name.
        shape
            A shape type, such as "Point"; by default any that can be drawn.

        Raises
        ------
        NotFoundError
            If there is none; the hint names the objects that there are.
        """
        rows = [row for row in self.outline(tomogram).rows() if row.shown_file and row.fits]
        for row in rows:
            is_named = object_name.casefold() in row.annotation.object_name.casefold()
            if is_named and row.shown_file and shape in {None, row.shape_type}:
                return row.shown_file
        known = sorted({f"{row.annotation.object_name} ({row.shape_type})" for row in rows})
        raise NotFoundError(
            f"{self.run.name} has no {shape or 'file'} of {object_name!r} that fits.",
            hint=f"It has {', '.join(known) or 'no annotations'}.",
        )

    def _repr_html_(self) -> str:
        rows = [[row.annotation.object_name, row.summary] for row in self.outline().rows()]
        cells = "".join(f"<tr><td>{escape(a)}</td><td>{escape(b)}</td></tr>" for a, b in rows)
        return f"<p>{escape(repr(self))}</p><table>{cells}</table>"


class DatasetCount(Counted, frozen=True, kw_only=True):
    """The part of a deposition in one dataset."""

    dataset_id: Id = msgspec.field(name="id")
    title: str
    organism_name: str | None = None
    run_count: int = 0  # of the deposition's own dataset, all; of another, those that it added to
    is_own: bool = False  # the dataset belongs to the deposition


class DepositionPage(Record, frozen=True, kw_only=True):
    """A deposition with its own datasets, and those of others that it added to."""

    deposition: Deposition
    datasets: tuple[DatasetCount, ...]
    objects: tuple[ObjectCount, ...]
    tomogram_count: int
    annotation_count: int
    freshness: Freshness
    runs: tuple[
        RunRow, ...
    ] = ()  # in others' datasets, by name; only the first if there are very many

    def runs_of(self, dataset_id: int) -> tuple[RunRow, ...]:
        """The runs of another deposition's dataset that this one added to."""
        return tuple(run for run in self.runs if run.dataset_id == dataset_id)


class LookupHit(Record, frozen=True, kw_only=True):
    """A record with the looked-up id; ids of different kinds overlap."""

    kind: str = (
        ""  # "deposition", "dataset", "run", "tomogram", "annotation", "alignment" or "tilt series"
    )
    id: Id
    title: str | None = None
    run_id: Id | None = None
