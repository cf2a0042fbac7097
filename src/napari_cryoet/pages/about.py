"""Texts about a dataset or deposition, from the catalogue at first and from its page later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from napari_cryoet.pages.lists import added_text
from napari_cryoet.portal.pages import (
    CatalogueRow,
    DepositionPage,
    DepositionRow,
    ObjectCount,
)
from napari_cryoet.records import Author, Dataset, DepositionTitle
from napari_cryoet.wording import (
    count_text,
    date_text,
    joined,
    kinds_text,
    labelled,
    lines_text,
    plain,
    reported,
    short_species,
    size_text,
)


@dataclass(frozen=True, slots=True)
class About:
    """The header of a record's page; unknown fields are empty or None."""

    title: str
    authors: tuple[str, ...] = ()
    facts: str = ""
    counts: str = ""
    deposition: DepositionTitle | None = None
    description: str = ""
    details: str = ""  # the other fields, one per line
    portal_page: str = ""
    publications: str | None = None
    entries: str | None = None


def about_listed_dataset(
    dataset_id: int, row: CatalogueRow | None, deposition: DepositionRow | None
) -> About:
    """A dataset's header, from the catalogue."""
    if row is None:
        return About(f"DS-{dataset_id}")
    return About(
        row.title,
        authors=tuple(author.name for author in row.authors),
        facts=joined(short_species(row.organism_name), date_text(row.release_date)),
        deposition=DepositionTitle(id=deposition.id, title=deposition.title)
        if deposition is not None
        else None,
    )


def about_dataset(dataset: Dataset, portal_page: str) -> About:
    """A dataset's header; ``portal_page`` is its URL on the portal, or empty."""
    licence = plain(dataset.terms.licence) if dataset.terms is not None else ""
    organism, released = short_species(dataset.organism_name), date_text(dataset.release_date)
    return About(
        dataset.title,
        authors=tuple(author.name for author in dataset.authors),
        facts=joined(organism, released, size_text(dataset.file_size), licence),
        deposition=dataset.deposition,
        description=dataset.description,
        details=_dataset_details(dataset),
        portal_page=portal_page,
        publications=dataset.dataset_publications,
        entries=dataset.related_database_entries,
    )


def about_listed_deposition(deposition_id: int, row: DepositionRow | None) -> About:
    """A deposition's header, from the catalogue."""
    if row is None:
        return About(f"CZCDP-{deposition_id}")
    return About(
        row.title,
        authors=tuple(author.name for author in row.authors),
        facts=joined(date_text(row.release_date), kinds_text(row.kinds)),
    )


def about_deposition(page: DepositionPage, portal_page: str) -> About:
    """A deposition's header; ``portal_page`` is its URL on the portal, or empty."""
    deposition = page.deposition
    licence = plain(deposition.terms.licence) if deposition.terms is not None else ""
    released, kinds = date_text(deposition.release_date), kinds_text(deposition.kinds)
    return About(
        deposition.title,
        authors=tuple(author.name for author in deposition.authors),
        facts=joined(released, licence, kinds),
        counts=_counts_text(page),
        description=deposition.description,
        details=_deposition_details(page),
        portal_page=portal_page,
        publications=deposition.deposition_publications,
        entries=deposition.related_database_entries,
    )


def _dataset_details(dataset: Dataset) -> str:
    taxid = f"taxid {dataset.organism_taxid}" if dataset.organism_taxid else ""
    grants = (
        f"{each.funding_agency_name or ''} {each.grant_id or ''}".strip()
        for each in dataset.funding_sources
    )
    facts = (
        ("Sample", str(dataset.sample_type).replace("_", " ") if dataset.sample_type else ""),
        ("Organism", joined(reported(dataset.organism_name), taxid)),
        ("Development stage", reported(dataset.development_stage_name)),
        ("Disease", reported(dataset.disease_name)),
        ("Assay", reported(dataset.assay_label)),
        ("Tissue", reported(dataset.tissue_name)),
        ("Cell", joined(reported(dataset.cell_name), reported(dataset.cell_strain_name))),
        ("Cell component", reported(dataset.cell_component_name)),
        ("Sample preparation", reported(dataset.sample_preparation)),
        ("Grid preparation", reported(dataset.grid_preparation)),
        ("Other", reported(dataset.other_setup)),
        *_people(dataset.authors),
        ("Funding", ", ".join(grant for grant in grants if grant)),
        ("Publications", reported(dataset.dataset_publications)),
        ("Database entries", reported(dataset.related_database_entries)),
        (
            "Deposition",
            f"{dataset.deposition.title} (CZCDP-{dataset.deposition.id})"
            if dataset.deposition
            else "",
        ),
    )
    return lines_text(*(labelled(name, text) for name, text in facts))


def _deposition_details(page: DepositionPage) -> str:
    deposition = page.deposition
    dates = (
        f"deposited {date_text(deposition.deposition_date)}",
        f"released {date_text(deposition.release_date)}",
        f"last modified {date_text(deposition.last_modified_date)}",
    )
    facts = (
        ("Holds", kinds_text(deposition.kinds)),
        ("Tag", reported(deposition.tag)),
        *_people(deposition.authors),
        ("Dates", ", ".join(dates)),
        ("Publications", reported(deposition.deposition_publications)),
        ("Database entries", reported(deposition.related_database_entries)),
        (
            "Annotated objects",
            ", ".join(f"{each.object_name} {each.count:,}" for each in page.objects),
        ),
        (
            "Methods",
            ", ".join(_methods(each for dataset in page.datasets for each in dataset.objects)),
        ),
    )
    return lines_text(*(labelled(name, text) for name, text in facts))


def _people(authors: Iterable[Author]) -> tuple[tuple[str, str], ...]:
    """The names of authors, and the ORCIDs of those who have one."""
    names = []
    orcids = []
    for author in authors:
        names.append(author.name)
        if author.orcid:
            orcids.append(f"{author.name} {author.orcid}")
    return ("Authors", ", ".join(names)), ("ORCID", ", ".join(orcids))


def _counts_text(page: DepositionPage) -> str:
    """The counts of a deposition in one line."""
    own = sum(dataset.is_own for dataset in page.datasets)
    enriched = len(page.datasets) - own
    counts = ((page.tomogram_count, "tomogram"), (page.annotation_count, "annotation"))
    return joined(
        count_text(own, "dataset") if own else "",
        added_text(enriched, own),
        *(count_text(count, noun) for count, noun in counts if count),
    )


def _methods(contributions: Iterable[ObjectCount]) -> list[str]:
    """The number of annotations by method type, in descending order."""
    counts: dict[str, int] = {}
    for each in contributions:
        counts[str(each.method_type)] = counts.get(str(each.method_type), 0) + each.count
    return [
        f"{method} {count:,}"
        for method, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
