"""Finds datasets and depositions without asking anybody, and understands ids and links that people paste."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_cryoet.portal.pages import Catalogue, CatalogueRow, DepositionRow

PORTAL_SITE = "https://cryoetdataportal.czscience.com"

_PREFIXES = {
    "CZCDP": "deposition",
    "DS": "dataset",
    "RN": "run",
    "TS": "tilt series",
    "AL": "alignment",
    "TM": "tomogram",
    "AN": "annotation",
}
_PAGES = {"dataset": "datasets", "run": "runs", "deposition": "depositions"}
_ID = re.compile(r"(?:([A-Za-z]+)-)?([0-9]{1,10})")
_PAGE_PATH = re.compile(r"/(?:.*/)?(datasets|runs|depositions)/([0-9]{1,10})(?:/.*)?")
_FILE_PATH = re.compile(r"/([0-9]{5,10})(?:/.*)?")
MAX_ID = 2**31 - 1  # GraphQL's Int
_WORD = re.compile(r'"([^"]*)"?|(\S+)')
_AROUND = "<>()[]{}'\"“”‘’«».,;"  # what stands around an address in a text
_BUCKET_HOST = re.compile(r"files\..+|cryoet-data-portal-public\.s3\..+")
#: What stands before the name of a paper, of an entry of a database or of a person where its address is pasted.
_ADDRESS = re.compile(
    r"(?:https?://)?(?:(?:dx\.|www\.)?doi\.org/|(?:www\.)?orcid\.org/"
    r"|(?:www\.)?ebi\.ac\.uk/(?:emdb/entry|emdb|pdbe/entry/emdb|empiar/entry|empiar|pdbe/emdb/empiar/entry)/)",
    re.IGNORECASE,
)
_NAMED = re.compile(r"10\.\d{4,9}/\S+|EMD-\d+|EMPIAR-\d+|\d{4}-\d{4}-\d{4}-\d{3}[\dX]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Jump:
    """A record that was named outright; ``kind`` is None where only a number was."""

    kind: str | None
    id: int


def parse_jump(text: str) -> Jump | None:
    """What an id or a link of the portal leads to, or None for ordinary search words.

    >>> parse_jump("DS-10000"), parse_jump("https://cryoetdataportal.czscience.com/runs/506?tab=x").kind
    (Jump(kind='dataset', id=10000), 'run')
    """
    text = text.strip()
    if len(text) > 2000:
        return None
    found = _ID.fullmatch(text)
    if found is not None:
        prefix, number = found.groups()
        kind = None if prefix is None else _PREFIXES.get(prefix.upper())
        return None if prefix and kind is None else _jump(kind, number)
    return _parse_link(text.strip(_AROUND))


def is_link(text: str) -> bool:
    """Whether a text is a link to a record: a word that no title has in it."""
    return "/" in text and parse_jump(text) is not None


def portal_url(kind: str, record_id: int) -> str:
    """The page of a dataset, run or deposition on the portal's site."""
    if kind not in _PAGES:
        raise ValueError(f"the portal has no page of its own for a {kind}")
    return f"{PORTAL_SITE}/{_PAGES[kind]}/{record_id}"


class Found(NamedTuple):
    """What a search finds."""

    datasets: tuple[CatalogueRow, ...]
    depositions: tuple[DepositionRow, ...]


def find(catalogue: Catalogue, text: str) -> Found:
    """The datasets and the depositions in which every word occurs."""
    return Found(search_catalogue(catalogue, text), search_depositions(catalogue, text))


def search_depositions(catalogue: Catalogue, text: str) -> tuple[DepositionRow, ...]:
    """The depositions in which every word occurs, in the catalogue's order, one with that very id first.

    Looked through are id, title, tag, kinds, authors and their ORCIDs, annotated objects, DOIs, entries of databases,
    and the ids and organisms of the datasets that it brought or added to. Words are those of `search_catalogue`.
    """
    words = split_words(text)
    if not words:
        return catalogue.depositions
    texts = _haystacks(catalogue).depositions
    pairs = zip(catalogue.depositions, texts, strict=True)
    found = [row for row, hay in pairs if all(word in hay for word in words)]
    return tuple(sorted(found, key=lambda row: str(row.id) not in words))


def search_catalogue(catalogue: Catalogue, text: str) -> tuple[CatalogueRow, ...]:
    """The datasets in which every word occurs, in the catalogue's order, a dataset with that very id first.

    Looked through are id, title, organism, sample, cell, tissue, authors and their ORCIDs, annotated objects, DOIs,
    EMPIAR and EMDB entries and the deposition's id. Case and accents don't matter; words in "double quotes" belong
    together.
    """
    words = split_words(text)
    if not words:
        return catalogue.rows
    return tuple(sorted(rows_with(catalogue, words), key=lambda row: str(row.id) not in words))


def rows_with(catalogue: Catalogue, words: Sequence[str]) -> tuple[CatalogueRow, ...]:
    """The datasets in which every one of some simplified words occurs, in the catalogue's order."""
    texts = _haystacks(catalogue).datasets
    return tuple(row for row, hay in zip(catalogue.rows, texts, strict=True) if all(word in hay for word in words))


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
    plain = text
    if not text.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(plain.casefold().split())


def _named(word: str) -> str:
    """What the address of a paper, an entry or a person names; another word as it is."""
    lower = word.lower()
    if lower.startswith("doi:10."):
        return word[len("doi:") :]
    address = _ADDRESS.match(word)
    if address is None:
        return word
    name = unquote(re.split("[?#]", word[address.end() :])[0]).rstrip(f"{_AROUND}/")
    return name if _NAMED.fullmatch(name) else word


def _jump(kind: str | None, number: str) -> Jump | None:
    record_id = int(number)
    return Jump(kind, record_id) if 0 < record_id <= MAX_ID else None


def _parse_link(text: str) -> Jump | None:
    """A link to one of the portal's pages, or to a file of a dataset; the host doesn't matter, nothing is fetched."""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError:
        return None
    if parts.scheme not in {"http", "https", "s3"} or "." not in parts.netloc + "." * (parts.scheme == "s3"):
        return None
    page = _PAGE_PATH.fullmatch(parts.path)
    if page is not None:
        return _jump(page[1].removesuffix("s"), page[2])
    file = _FILE_PATH.fullmatch(parts.path)
    if file is not None and (parts.scheme == "s3" or _BUCKET_HOST.fullmatch(parts.netloc.lower())):
        return _jump("dataset", file[1])
    return None


class _Haystacks(NamedTuple):
    """All that can be found, one text a row of a catalogue."""

    catalogue: Catalogue
    datasets: tuple[str, ...]
    depositions: tuple[str, ...]


_latest: _Haystacks | None = None  # typing a search asks the same catalogue again and again


def _haystacks(catalogue: Catalogue) -> _Haystacks:
    global _latest  # noqa: PLW0603 - one entry, replaced as a whole
    latest = _latest
    if latest is None or latest.catalogue is not catalogue:
        organisms = {row.id: row.organism_name for row in catalogue.rows}
        latest = _latest = _Haystacks(
            catalogue,
            tuple(_dataset_haystack(row) for row in catalogue.rows),
            tuple(_deposition_haystack(row, organisms) for row in catalogue.depositions),
        )
    return latest


def _dataset_haystack(row: CatalogueRow) -> str:
    return _joined(
        f"DS-{row.id}",
        f"CZCDP-{row.deposition_id}",
        row.title,
        row.organism_name,
        row.sample_type and str(row.sample_type).replace("_", " "),
        row.cell_name,
        row.tissue_name,
        row.dataset_publications,
        row.related_database_entries,
        *(author.name for author in row.authors),
        *(author.orcid for author in row.authors),
        *(each.object_name for each in row.objects),
    )


def _deposition_haystack(row: DepositionRow, organisms: Mapping[int, str | None]) -> str:
    dataset_ids = (*row.dataset_ids, *row.enriched_dataset_ids)
    return _joined(
        f"CZCDP-{row.id}",
        row.title,
        row.tag,
        row.deposition_publications,
        row.related_database_entries,
        *(str(kind) for kind in row.kinds),
        *(author.name for author in row.authors),
        *(author.orcid for author in row.authors),
        *(each.object_name for each in row.objects),
        *(f"DS-{dataset_id}" for dataset_id in dataset_ids),
        *dict.fromkeys(organisms.get(dataset_id) for dataset_id in dataset_ids),
    )


def _joined(*texts: str | None) -> str:
    """All that can be found in one row; line breaks keep words of different fields apart."""
    return "\n".join(simplify(text) for text in texts if text)
