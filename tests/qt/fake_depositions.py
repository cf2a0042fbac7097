"""Depositions of the fake portal: one with all datasets, and one that only adds annotations to the first."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from napari_cryoet.portal.pages import (
    CatalogueRow,
    DatasetCount,
    DepositionPage,
    DepositionRow,
    Freshness,
    ObjectCount,
    RunRow,
)
from napari_cryoet.records import PORTAL_TERMS, Deposition

DAY = datetime(2023, 6, 1, tzinfo=UTC)
FRESH = Freshness(fetched_at=DAY)

RIBOSOME, FAS, MEMBRANE = (
    ("cytosolic ribosome", "GO:0022626"),
    ("fatty acid synthase", "GO:0005835"),
    ("membrane", "GO:0016020"),
)


def owning_row(rows: tuple[CatalogueRow, ...]) -> DepositionRow:
    """The deposition that contains every dataset."""
    return DepositionRow(
        id=10300,
        title="S. pombe lamellae",
        release_date=DAY,
        dataset_ids=tuple(row.id for row in rows),
        annotation_count=309,
        objects=(ObjectCount(object_name=RIBOSOME[0], count=132),),
    )


def enriching_row(rows: tuple[CatalogueRow, ...]) -> DepositionRow:
    """The deposition that only adds annotations to the first dataset, with markup in its texts."""
    return DepositionRow(
        id=10310,
        title="Picks by <b>deep</b> learning & more",
        release_date=DAY.replace(year=2024),
        enriched_dataset_ids=tuple(row.id for row in rows[:1]),
        annotation_count=5,
        objects=(
            ObjectCount(object_name=RIBOSOME[0], count=4),
            ObjectCount(object_name=MEMBRANE[0], count=1),
        ),
    )


def deposition_page(
    row: DepositionRow,
    rows: tuple[CatalogueRow, ...],
    runs: tuple[RunRow, ...],
    freshness: Freshness = FRESH,
) -> DepositionPage:
    """A deposition's page with its own datasets, or with two runs of the first dataset, of which one is listed."""
    own = [dataset for dataset in rows if dataset.id in row.dataset_ids]
    others = [dataset for dataset in rows if dataset.id in row.enriched_dataset_ids]
    ribosomes = ObjectCount(object_name=RIBOSOME[0], method_type="automated", count=4)
    membranes = ObjectCount(object_name=MEMBRANE[0], method_type="manual", count=1)
    return DepositionPage(
        deposition=Deposition(
            terms=PORTAL_TERMS,
            id=row.id,
            title=row.title,
            description="Template matching.",
            deposition_date=DAY,
            release_date=row.release_date,
            last_modified_date=DAY,
        ),
        datasets=(
            *(dataset_count(dataset, is_own=True) for dataset in own),
            *(
                dataset_count(dataset, is_own=False, objects=(ribosomes, membranes))
                for dataset in others
            ),
        ),
        objects=row.objects,
        tomogram_count=len(own),
        annotation_count=row.annotation_count,
        freshness=freshness,
        runs=tuple(
            replace(run, tomogram_count=1, annotation_count=5) for run in runs[6:7] if others
        ),
    )


def dataset_count(
    dataset: CatalogueRow, *, is_own: bool, objects: tuple[ObjectCount, ...] = ()
) -> DatasetCount:
    return DatasetCount(
        dataset_id=dataset.id,
        title=dataset.title,
        organism_name=dataset.organism_name,
        run_count=dataset.run_count if is_own else 2,
        tomogram_count=1,
        annotation_count=sum(item.count for item in objects),
        is_own=is_own,
        objects=objects,
    )
