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
#: What stands before the name of a paper, of an entry of a database or of a person where its address is pasted.
_ADDRESS: Final = re.compile(
    r"(?:https?://)?(?:(?:dx\.|www\.)?doi\.org/|(?:www\.)?orcid\.org/"
    r"|(?:www\.)?ebi\.ac\.uk/(?:emdb/entry|emdb|pdbe/entry/emdb|empiar/entry|empiar|pdbe/emdb/empiar/entry)/)",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(r"10\.\d{4,9}/\S+|EMD-\d+|EMPIAR-\d+|\d{4}-\d{4}-\d{4}-\d{3}[\dX]", re.IGNORECASE)


class Found(NamedTuple):
    """What a search finds."""

    datasets: tuple[CatalogueRow, ...]
    depositions: tuple[DepositionRow, ...]


def find(catalogue: Catalogue, text: str) -> Found:
    """The datasets and the depositions in which every word occurs."""
    return Found(search_catalogue(catalogue, text), search_depositions(catalogue, text))


def search_catalogue(catalogue: Catalogue, text: str) -> tuple[CatalogueRow, ...]:
    """The datasets in which every word occurs, in the catalogue's order, a dataset with that very id first.

    Looked through are id, title, organism, sample, cell, tissue, authors and their ORCIDs, annotated objects, DOIs,
    EMPIAR and EMDB entries and the deposition's id. Case and accents don't matter; words in "double quotes" belong
    together.
    """
    words = split_words(text)
    return _id_first(rows_with(catalogue, words), words)


def search_depositions(catalogue: Catalogue, text: str) -> tuple[DepositionRow, ...]:
    """The depositions in which every word occurs, in the catalogue's order, one with that very id first.

    Looked through are id, title, tag, kinds, authors and their ORCIDs, annotated objects, DOIs, entries of databases,
    and the ids and organisms of the datasets that it brought or added to. Words are those of `search_catalogue`.
    """
    words = split_words(text)
    organisms = {row.id: row.organism_name for row in catalogue.rows}
    found = [row for row in catalogue.depositions if _has_all(words, _deposition_text(row, organisms) if words else "")]
    return _id_first(found, words)


def rows_with(catalogue: Catalogue, words: Sequence[str]) -> tuple[CatalogueRow, ...]:
    """The datasets in which every one of some simplified words occurs, in the catalogue's order."""
    return tuple(row for row in catalogue.rows if _has_all(words, _dataset_text(row) if words else ""))


def split_words(text: str, *, simplified: bool = True) -> tuple[str, ...]:
    """The words of a search, simplified for comparison or as they are; what stands in double quotes is one word.

    Of the address of a paper, of an entry of EMDB or EMPIAR and of an ORCID, what it names is the word.

    >>> split_words("yeast https://doi.org/10.1038/s41592-022-01746-2 doi:10.1038/x")
    ('yeast', '10.1038/s41592-022-01746-2', '10.1038/x')
    """
    words = (quoted or _named(plain) for quoted, plain in _WORD.findall(text))
    return tuple(word for word in ((simplify(each) if simplified else each).strip() for each in words) if word)


def simplify(text: str) -> str:
    """Text without case, accents and the many kinds of blanks.

    >>> simplify("Schäfer  J.")
    'schafer j.'
    """
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(text.casefold().split())


def _named(word: str) -> str:
    """What the address of a paper, an entry or a person names; another word as it is."""
    if word.lower().startswith("doi:10."):
        return word[len("doi:") :]
    address = _ADDRESS.match(word)
    if address is None:
        return word
    name = unquote(re.split("[?#]", word[address.end() :])[0]).rstrip(f"{AROUND}/")
    return name if _NAMED.fullmatch(name) else word


def _has_all(words: Sequence[str], text: str) -> bool:
    return all(word in text for word in words)


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
    return "\n".join(simplify(text) for text in texts if text)
