"""Finds datasets and depositions in a catalogue, without asking anybody."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar
from urllib.parse import unquote

from napari_cryoet.portal.links import AROUND
from napari_cryoet.portal.pages import Catalogue, CatalogueRow, DepositionRow

T = TypeVar("T", CatalogueRow, DepositionRow)

_WORD: Final = re.compile(r'"([^"]*)"?|(\S+)')
#: A paper, an entry of EMDB or EMPIAR, or a person, in an address.
_NAMED: Final = re.compile(r"10\.\d{4,9}/[^?#]+|EMD-\d+|EMPIAR-\d+|(?:\d{4}-){3}\d{3}[\dX]", re.IGNORECASE)


class Found(NamedTuple):
    """What a search finds."""

    datasets: tuple[CatalogueRow, ...]
    depositions: tuple[DepositionRow, ...]


def search_catalogue(catalogue: Catalogue, text: str) -> tuple[CatalogueRow, ...]:
    """The datasets in which every word occurs, in the catalogue's order, a dataset with that very id first.

    Case and accents don't matter; words in "double quotes" belong together.
    """
    words = split_words(text)
    return _id_first(rows_with(catalogue, words), words)


def search_depositions(catalogue: Catalogue, text: str) -> tuple[DepositionRow, ...]:
    """The depositions in which every word occurs, or in the ids and organisms of their datasets."""
    words = split_words(text)
    organisms = {row.id: row.organism_name for row in catalogue.rows}
    found = [row for row in catalogue.depositions if _has_all(words, _deposition_text(row, organisms))]
    return _id_first(found, words)


def rows_with(catalogue: Catalogue, words: Sequence[str]) -> tuple[CatalogueRow, ...]:
    """The datasets in which every one of some words occurs, in the catalogue's order."""
    return tuple(row for row in catalogue.rows if _has_all(words, _dataset_text(row)))


def split_words(text: str) -> tuple[str, ...]:
    """The words of a search; what stands in double quotes is one word.

    Of the address of a paper, of an entry of EMDB or EMPIAR and of an ORCID, what it names is the word.

    >>> split_words('"fission yeast" https://doi.org/10.1038/s41592-022-01746-2')
    ('fission yeast', '10.1038/s41592-022-01746-2')
    """
    words = ((quoted or _named(plain)).strip() for quoted, plain in _WORD.findall(text))
    return tuple(word for word in words if word)


def _named(word: str) -> str:
    """What the address of a paper, an entry or a person names; another word as it is."""
    found = _NAMED.search(unquote(word)) if "/" in word else None
    return word if found is None else found[0].rstrip(f"{AROUND}/")


def _has_all(words: Sequence[str], text: str) -> bool:
    return all(_simplified(word) in text for word in words)


def _id_first(rows: Sequence[T], words: Sequence[str]) -> tuple[T, ...]:
    return tuple(sorted(rows, key=lambda row: str(row.id) not in words))


def _dataset_text(row: CatalogueRow) -> str:
    return _joined(
        f"DS-{row.id}",
        f"CZCDP-{row.deposition_id}",
        row.title,
        row.organism_name,
        row.sample_type and row.sample_type.replace("_", " "),
        row.cell_name,
        row.tissue_name,
        row.dataset_publications,
        row.related_database_entries,
        *(author.name for author in row.authors),
        *(author.orcid for author in row.authors),
        *(each.object_name for each in row.objects),
    )


def _deposition_text(row: DepositionRow, organisms: Mapping[int, str | None]) -> str:
    dataset_ids = (*row.dataset_ids, *row.enriched_dataset_ids)
    return _joined(
        f"CZCDP-{row.id}",
        row.title,
        row.tag,
        row.deposition_publications,
        row.related_database_entries,
        *row.kinds,
        *(author.name for author in row.authors),
        *(author.orcid for author in row.authors),
        *(each.object_name for each in row.objects),
        *(f"DS-{dataset_id}" for dataset_id in dataset_ids),
        *dict.fromkeys(organisms.get(dataset_id) for dataset_id in dataset_ids),
    )


def _joined(*texts: str | None) -> str:
    """All that can be found in one row; line breaks keep words of different fields apart."""
    return "\n".join(_simplified(text) for text in texts if text)


def _simplified(text: str) -> str:
    """Text without case, accents and the many kinds of blanks."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(text.casefold().split())
