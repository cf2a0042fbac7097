"""Word search for datasets and depositions in the catalogue, which loads before the index."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import not_
from typing import Any, Generic, TypeVar

import numpy as np

from napari_cryoet.discovery.columns import RowMask
from napari_cryoet.discovery.texts import Column, common_names, find_text, terms_of
from napari_cryoet.portal.pages import Catalogue, CatalogueRow, DepositionRow, ObjectCount
from napari_cryoet.words import split_words

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
    column = Column.of("object", [each.object_name for each in objects])
    named = np.zeros(len(column.words.words), np.bool_)
    for term in terms_of(text):
        for word in term.words:
            named |= column.having(word)
        if term.known is not None:
            named |= column.naming(term.known)
    is_named = column.words.rows_at(named).tolist()
    return (*compress(objects, is_named), *compress(objects, map(not_, is_named)))


class _Rows(Generic[R]):
    """Rows with their texts by field."""

    def __init__(self, rows: Sequence[R], texts: Iterable[Mapping[str, Iterable[Any]]]) -> None:
        self._rows: Sequence[R] = rows
        cells: dict[str, list[str | None]] = defaultdict(list)
        owners: dict[str, list[int]] = defaultdict(list)
        for position, by_field in enumerate(texts):
            for field, several in by_field.items():
                for cell in several:
                    cells[field].append(cell)
                    owners[field].append(position)
        self._columns = [Column.of(field, of_field) for field, of_field in cells.items()]
        self._owners = {field: np.array(of_field) for field, of_field in owners.items()}

    def find(self, text: str) -> tuple[R, ...]:
        found, _ = find_text(text, self._columns, self._rows_with)
        words = split_words(text)
        return tuple(sorted(compress(self._rows, found), key=lambda row: str(row.id) not in words))

    def _rows_with(self, wanted: Iterable[tuple[Column, list[bool]]]) -> RowMask:
        mask = np.zeros(len(self._rows), np.bool_)
        for column, is_wanted in wanted:
            mask[self._owners[column.field][column.words.rows_at(is_wanted)]] = True
        return mask


def _about_dataset(row: CatalogueRow) -> Mapping[str, Iterable[str | None]]:
    sample = (row.sample_type or "").replace("_", " ")
    return {
        "title": [row.title],
        "organism": [row.organism_name, common_names(row.organism_name or "")],
        "sample": [sample, row.cell_name, row.tissue_name],
        "publication": [row.dataset_publications, row.related_database_entries],
        "id": [f"DS-{row.id}", f"CZCDP-{row.deposition_id}"],
        "author": [each for author in row.authors for each in (author.name, author.orcid)],
        "object": [each.object_name for each in row.objects],
        "shape": row.shapes,
    }


def _about_deposition(
    row: DepositionRow, organisms: dict[int, str]
) -> Mapping[str, Iterable[str | None]]:
    dataset_ids = row.dataset_ids + row.enriched_dataset_ids
    return {
        "title": [row.title],
        "tag": [row.tag],
        "organism": [organisms.get(each) for each in dataset_ids],
        "publication": [row.deposition_publications, row.related_database_entries],
        "id": [f"CZCDP-{row.id}", *(f"DS-{each}" for each in dataset_ids)],
        "author": [each for author in row.authors for each in (author.name, author.orcid)],
        "object": [each.object_name for each in row.objects],
        "kind": row.kinds,
    }
