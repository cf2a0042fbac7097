"""Finds datasets and depositions in a catalogue, without asking anybody."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import msgspec

from napari_cryoet.portal.links import AROUND
from napari_cryoet.portal.pages import Catalogue, CatalogueRow, DepositionRow, ObjectCount

T = TypeVar("T", CatalogueRow, DepositionRow)

_WORD: Final = re.compile(r'"([^"]*)"?|(\S+)')
#: A paper, an entry of EMDB or EMPIAR, or a person, in an address.
_NAMED: Final = re.compile(r"10\.\d{4,9}/[^?#]+|EMD-\d+|EMPIAR-\d+|(?:\d{4}-){3}\d{3}[\dX]", re.IGNORECASE)


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
    found = []
    for row in catalogue.depositions:
        dataset_ids = row.dataset_ids + row.enriched_dataset_ids
        about_datasets = [(f"DS-{each}", organisms.get(each)) for each in dataset_ids]
        if _has_all(words, (row, f"CZCDP-{row.id}", *about_datasets)):
            found.append(row)
    return _id_first(found, words)


def rows_with(catalogue: Catalogue, words: Sequence[str]) -> tuple[CatalogueRow, ...]:
    """The datasets in which every one of some words occurs, in the catalogue's order."""
    found = []
    for row in catalogue.rows:
        sample = (row.sample_type or "").replace("_", " ")
        if _has_all(words, (row, sample, f"DS-{row.id}", f"CZCDP-{row.deposition_id}")):
            found.append(row)
    return tuple(found)


def found_first(objects: tuple[ObjectCount, ...], words: Sequence[str]) -> tuple[ObjectCount, ...]:
    """Objects in their order, but first those that a word of a search names."""
    words = [word.casefold() for word in words]
    found = [each for each in objects if words and any(word in each.object_name.casefold() for word in words)]
    return (*found, *(each for each in objects if each not in found)) if found else objects


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


def _has_all(words: Sequence[str], found_in: Any) -> bool:
    """Whether all words occur in some texts and in those of some records."""
    texts = _simplified("\0".join(_texts(found_in)))  # no blank, so that words of two texts stay apart
    return all(_simplified(word) in texts for word in words)


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case tuple():
            for each in value:
                yield from _texts(each)
        case msgspec.Struct():
            for name in value.__struct_fields__:
                if not name.endswith("_url"):
                    yield from _texts(getattr(value, name))


def _id_first(rows: Sequence[T], words: Sequence[str]) -> tuple[T, ...]:
    return tuple(sorted(rows, key=lambda row: str(row.id) not in words))


def _simplified(text: str) -> str:
    """Text without case, accents and the many kinds of blanks."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(text.casefold().split())


#: The orders in which lists can be read, by name.
DATASET_ORDERS: Final[Mapping[str, Callable[[CatalogueRow], Any]]] = {
    "newest": lambda row: (-row.release_date.timestamp(), row.id),
    "title": lambda row: (row.title.casefold(), row.id),
    "most runs": lambda row: (-row.run_count, row.id),
    "most annotations": lambda row: (-row.annotation_count, row.id),
}
DEPOSITION_ORDERS: Final[Mapping[str, Callable[[DepositionRow], Any]]] = {
    "newest": lambda row: (-row.release_date.timestamp(), row.id),
    "title": lambda row: (row.title.casefold(), row.id),
    "most datasets": lambda row: (-len(row.dataset_ids), -len(row.enriched_dataset_ids), row.id),
    "most annotations": lambda row: (-row.annotation_count, row.id),
}
