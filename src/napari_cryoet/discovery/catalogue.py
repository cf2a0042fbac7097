"""Word search for datasets and depositions in the catalogue, which loads before the index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Generic, TypeVar

import numpy as np

from napari_cryoet.discovery.index import RowMask, all_of
from napari_cryoet.discovery.objects import Term, common_names, is_kind, terms_of
from napari_cryoet.discovery.texts import find_terms
from napari_cryoet.discovery.words import Texts, simplified, split_words
from napari_cryoet.portal.pages import Catalogue, CatalogueRow, DepositionRow, ObjectCount

R = TypeVar("R", CatalogueRow, DepositionRow)


class CatalogueSearch:
    """Finds the rows of a catalogue that contain every word, like `texts.text_match` in an index.

    A record whose id is one of the words comes first.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._datasets = _Rows(catalogue.rows, map(_about_dataset, catalogue.rows))
        organisms = {row.id: row.organism_name or "" for row in catalogue.rows}
        about = (_about_deposition(row, organisms) for row in catalogue.depositions)
        self._depositions = _Rows(catalogue.depositions, about)

    def datasets(self, text: str) -> tuple[CatalogueRow, ...]:
        """The matching datasets, in the catalogue's order."""
        return self._datasets.find(text)

    def depositions(self, text: str) -> tuple[DepositionRow, ...]:
        """The depositions that match, also by the ids and organisms of their datasets."""
        return self._depositions.find(text)


def found_first(objects: tuple[ObjectCount, ...], text: str) -> tuple[ObjectCount, ...]:
    """Objects in the same order, but those that the search names first."""
    terms = terms_of(text)
    return tuple(
        sorted(objects, key=lambda each: not any(_names(term, each.object_name) for term in terms))
    )


class _Rows(Generic[R]):
    """Rows, each with one text that has everything to search."""

    def __init__(self, rows: Sequence[R], texts: Iterable[Iterable[str | None]]) -> None:
        self._rows: Sequence[R] = rows
        self._texts = Texts("\0".join(each for each in parts if each) for parts in texts)

    def find(self, text: str) -> tuple[R, ...]:
        found, _ = find_terms(text, len(self._rows), self._having, self._texts.like)
        words = split_words(text)
        return tuple(sorted(compress(self._rows, found), key=lambda row: str(row.id) not in words))

    def _having(self, term: Term) -> RowMask:
        """For each row, whether it contains all words of a term or the object that it names."""
        found = all_of([np.array(self._texts.having(word)) for word in term.words], len(self._rows))
        if (concept := term.concept) is None:
            return found
        named: RowMask = np.any([self._texts.having_whole(name) for name in concept.names], axis=0)
        kinds = [
            any(is_kind(each.object_name, concept) for each in row.objects) for row in self._rows
        ]
        return found | named | np.array(kinds, np.bool_)


def _about_dataset(row: CatalogueRow) -> Iterable[str | None]:
    sample = (row.sample_type or "").replace("_", " ")
    yield from (row.title, row.organism_name, common_names(row.organism_name or ""), sample)
    yield from (row.cell_name, row.tissue_name)
    yield from (
        row.dataset_publications,
        row.related_database_entries,
        f"DS-{row.id}",
        f"CZCDP-{row.deposition_id}",
    )
    yield from (each for author in row.authors for each in (author.name, author.orcid))
    yield from (each.object_name for each in row.objects)
    yield from row.shapes


def _about_deposition(row: DepositionRow, organisms: dict[int, str]) -> Iterable[str | None]:
    yield from (
        row.title,
        row.tag,
        row.deposition_publications,
        row.related_database_entries,
        f"CZCDP-{row.id}",
    )
    for each in row.dataset_ids + row.enriched_dataset_ids:
        yield from (f"DS-{each}", organisms.get(each))
    yield from (each for author in row.authors for each in (author.name, author.orcid))
    yield from (each.object_name for each in row.objects)
    yield from row.kinds


def _names(term: Term, name: str) -> bool:
    is_kind_of_it = term.concept is not None and is_kind(name, term.concept)
    return is_kind_of_it or any(
        simplified(word.strip('"')) in simplified(name) for word in term.words
    )
