"""A portal in memory with canned pages; its answers can be delayed or replaced by an error."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from napari_cryoet.exceptions import CryoETError, NotFoundError
from napari_cryoet.portal.pages import (
    Catalogue,
    CatalogueRow,
    DatasetPage,
    DepositionPage,
    Freshness,
    LookupHit,
    ObjectCount,
    RunPage,
    RunRow,
)
from napari_cryoet.portal.portal import Source
from napari_cryoet.records import (
    PORTAL_TERMS,
    AnnotationFile,
    AnnotationShape,
    Dataset,
    DepositionTitle,
    Run,
    ShapeType,
    TiltSeries,
)
from napari_cryoet.task import UNWATCHED, Task
from qt.fake_depositions import (
    DAY,
    FAS,
    FRESH,
    MEMBRANE,
    RIBOSOME,
    deposition_page,
    enriching_row,
    owning_row,
)
from samples import (
    make_annotation,
    make_dataset,
    make_file,
    make_run,
    make_run_page,
    make_tomogram,
    make_voxel_spacing,
)

OWNING = DepositionTitle(id=10300, title="S. pombe lamellae")
ENRICHING = DepositionTitle(id=10310, title="Picks by <b>deep</b> learning & more")


class FakePortal:
    """Returns canned answers like a portal.

    Attributes
    ----------
    gate
        Clear it to block all answers until it is set or the request is stopped.
    says
        What requests say while they are blocked.
    error
        Raised instead of answering, if set.
    requests
        All requests so far, such as ``("run_page", 506)``.
    """

    def __init__(self, *, n_runs: int = 120) -> None:
        self.source = Source("live", "https://portal.invalid/graphql", "Fake portal", PORTAL_TERMS)
        self.rows = tuple(
            dataset_row(10000 + number, n_runs=n_runs) for number in range(len(TITLES))
        )
        self.runs = tuple(run_row(500 + number, f"TS_{number:03}") for number in range(n_runs))
        self.depositions = (owning_row(self.rows), enriching_row(self.rows))
        self.gate = threading.Event()
        self.gate.set()
        self.says = ""
        self.error: CryoETError | None = None
        self.freshness = FRESH
        self.cached: Catalogue | None = None
        self.requests: list[tuple[Any, ...]] = []
        self.is_closed = False

    def catalogue(self, *, refresh: bool = False, task: Task = UNWATCHED) -> Catalogue:
        self._answer(task, "catalogue")
        return Catalogue(rows=self.rows, freshness=self.freshness, depositions=self.depositions)

    def cached_catalogue(self) -> Catalogue | None:
        return self.cached

    def dataset_page(
        self,
        dataset_id: int,
        *,
        offset: int = 0,
        limit: int = 50,
        name_contains: str = "",
        task: Task = UNWATCHED,
    ) -> DatasetPage:
        self._answer(task, "dataset_page", dataset_id, offset, name_contains)
        matches = [run for run in self.runs if name_contains.casefold() in run.name.casefold()]
        return DatasetPage(
            dataset=dataset(dataset_id),
            runs=tuple(matches[offset : offset + limit]),
            run_total=len(matches),
            offset=offset,
            freshness=self.freshness,
        )

    def run_page(self, run_id: int, *, task: Task = UNWATCHED) -> RunPage:
        self._answer(task, "run_page", run_id)
        name = next((run.name for run in self.runs if run.id == run_id), "")
        if not name:
            raise NotFoundError(f"The portal has no run {run_id}.")
        return run_page(run_id, name, self.freshness)

    def deposition_page(self, deposition_id: int, *, task: Task = UNWATCHED) -> DepositionPage:
        self._answer(task, "deposition_page", deposition_id)
        row = next(row for row in self.depositions if row.id == deposition_id)
        return deposition_page(row, self.rows, self.runs, self.freshness)

    def lookup(self, record_id: int, *, task: Task = UNWATCHED) -> tuple[LookupHit, ...]:
        self._answer(task, "lookup", record_id)
        return tuple(self._hits(record_id))

    def close(self) -> None:
        self.is_closed = True

    def _hits(self, record_id: int) -> Iterator[LookupHit]:
        for run in self.runs:
            if run.id == record_id:
                yield LookupHit(kind="run", id=run.id, title=run.name, run_id=run.id)
        for deposition in self.depositions:
            if deposition.id == record_id:
                yield LookupHit(kind="deposition", id=record_id, title=deposition.title)
        if record_id in (506, 69546):
            yield LookupHit(kind="annotation", id=record_id, title="cytosolic ribosome", run_id=506)

    def _answer(self, task: Task, *request: Any) -> None:
        self.requests.append(request)
        while not self.gate.wait(0.01):
            task.step(0.0, self.says)
        if self.error is not None:
            raise self.error


def dataset_row(dataset_id: int, *, n_runs: int = 10) -> CatalogueRow:
    number = dataset_id - 10000
    title, organism = TITLES[number]
    return CatalogueRow(
        id=dataset_id,
        title=title,
        deposition_id=10300,
        release_date=DAY.replace(day=1 + number),
        organism_name=organism,
        run_count=n_runs,
        tomogram_count=n_runs,
        annotation_count=103 + number,
        objects=tuple(
            ObjectCount(object_name=name, count=30) for name, _ in (RIBOSOME, FAS, MEMBRANE)
        ),
    )


TITLES = (
    (
        "S. pombe cryo-FIB lamellae acquired with defocus-only, and with a Volta phase plate",
        "Schizosaccharomyces pombe",
    ),
    ("Chlamydomonas reinhardtii thylakoids <b>in situ</b> & more", "Chlamydomonas reinhardtii"),
    ("HIV-1 virus-like particles", "not_reported"),
)


def dataset(dataset_id: int) -> Dataset:
    row = dataset_row(dataset_id)
    return make_dataset(
        terms=PORTAL_TERMS,
        id=dataset_id,
        deposition_id=row.deposition_id,
        title=row.title,
        description="Cells were plunge-frozen.\nThen <i>milled</i>.",
        organism_name=row.organism_name,
        deposition=OWNING,
    )


def run_row(run_id: int, name: str) -> RunRow:
    return RunRow(
        id=run_id,
        name=name,
        dataset_id=10000,
        tomogram_count=2,
        annotation_count=7,
        objects=tuple(
            ObjectCount(object_name=name, count=2) for name, _ in (RIBOSOME, FAS, MEMBRANE)
        ),
        voxel_spacing=13.48,
        file_size_omezarr=1.66e9,
    )


def run_page(run_id: int, name: str, freshness: Freshness = FRESH) -> RunPage:
    """Two tomograms, and eight annotations that cover all cases of the page."""
    run = make_run(id=run_id, name=name, dataset=dataset(10000))
    files = [
        annotation_file(
            run, 1, RIBOSOME, ShapeType.POINT, "ndjson", object_count=838, is_default=True
        ),
        annotation_file(
            run,
            2,
            RIBOSOME,
            ShapeType.ORIENTED_POINT,
            "ndjson",
            object_count=795,
            deposition=ENRICHING,
        ),
        annotation_file(run, 3, FAS, ShapeType.POINT, "ndjson", object_count=17, spacing=7.84),
        annotation_file(run, 4, MEMBRANE, ShapeType.SEGMENTATION_MASK, "zarr"),
        annotation_file(run, 5, FAS, ShapeType.POINT, "ndjson", object_count=9, alignment_id=18),
        annotation_file(run, 6, MEMBRANE, ShapeType.MESH, "glb"),
        annotation_file(run, 8, RIBOSOME, ShapeType.ANNOTATION_CAPTION, "json"),
        annotation_file(run, 7, RIBOSOME, ShapeType.INSTANCE_SEGMENTATION, "", object_count=40),
    ]
    tomograms = [
        make_tomogram(
            id=run_id * 10 + number,
            deposition_id=10300,
            run_id=run_id,
            run=run,
            processing=processing,
            size_x=960,
            size_y=928,
            size_z=500,
            is_visualization_default=number == 1,
            file_size_omezarr=1.66e9,
        )
        for number, processing in ((1, "raw"), (2, "denoised"))
    ]
    page = make_run_page(tomograms=tomograms, files=files, run=run)
    with_files = tuple(
        file for file in files if file.format
    )  # the portal lists no files of the last one
    return replace(
        page, annotation_files=with_files, tilt_series=(tilt_series(run_id),), freshness=freshness
    )


def annotation_file(
    run: Run,
    number: int,
    named_object: tuple[str, str],
    shape_type: ShapeType,
    file_format: str,
    *,
    is_default: bool = False,
    alignment_id: int = 17,
    spacing: float = 13.48,
    deposition: DepositionTitle = OWNING,
    **fields: Any,
) -> AnnotationFile:
    """The file of an annotation with one shape."""
    annotation = make_annotation(
        id=run.id * 10 + number,
        run_id=run.id,
        run=run,
        object_name=named_object[0],
        object_id=named_object[1],
        method_type="automated" if deposition is ENRICHING else "manual",
        annotation_method="template matching + <b>expert</b> curation",
        ground_truth_status=is_default,
        is_curator_recommended=is_default,
        deposition_id=deposition.id,
        deposition=deposition,
        **({"object_count": None} | fields),
    )
    shape = AnnotationShape(
        id=annotation.id, annotation_id=annotation.id, shape_type=shape_type, annotation=annotation
    )
    return make_file(
        shape_type,
        id=annotation.id * 10,
        format=file_format,
        alignment_id=alignment_id,
        voxel_spacing=make_voxel_spacing(id=round(spacing), voxel_spacing=spacing, run_id=run.id),
        tomogram_voxel_spacing_id=round(spacing),
        annotation_shape_id=shape.id,
        shape=shape,
        file_size=26_000,
        is_visualization_default=is_default,
    )


def tilt_series(run_id: int) -> TiltSeries:
    return TiltSeries(
        id=run_id,
        run_id=run_id,
        acceleration_voltage=300_000,
        spherical_aberration_constant=2.7,
        microscope_manufacturer="TFS",
        microscope_model="TITAN KRIOS",
        microscope_energy_filter="GATAN",
        camera_manufacturer="Gatan",
        camera_model="K2",
        tilt_min=-60,
        tilt_max=60,
        tilt_range=120,
        tilt_step=3,
        tilting_scheme="dose symmetric",
        tilt_axis=84.7,
        total_flux=120,
        data_acquisition_software="SerialEM",
        tilt_series_quality=4,
        is_aligned=True,
        pixel_spacing=3.37,
        size_z=41,
    )
