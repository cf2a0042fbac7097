"""Finds datasets in the catalogue without asking anybody, and understands ids and links that people paste."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_cryoet.portal.pages import Catalogue, CatalogueRow

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
_MAX_ID = 2**31 - 1
_WORD = re.compile(r'"([^"]*)"?|(\S+)')


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
    return _parse_link(text)


def portal_url(kind: str, record_id: int) -> str:
    """The page of a dataset, run or deposition on the portal's site."""
    if kind not in _PAGES:
        raise ValueError(f"the portal has no page of its own for a {kind}")
    return f"{PORTAL_SITE}/{_PAGES[kind]}/{record_id}"


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
    texts = _haystacks(catalogue)
    return tuple(row for row, hay in zip(catalogue.rows, texts, strict=True) if all(word in hay for word in words))


def split_words(text: str, *, simplified: bool = True) -> tuple[str, ...]:
    """The words of a search, simplified for comparison or as they are; what stands in double quotes is one word."""
    words = (quoted or plain for quoted, plain in _WORD.findall(text))
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


def _jump(kind: str | None, number: str) -> Jump | None:
    record_id = int(number)
    return Jump(kind, record_id) if 0 < record_id <= _MAX_ID else None


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
    if file is not None and (parts.netloc.startswith("files.") or parts.scheme == "s3"):
        return _jump("dataset", file[1])
    return None


_latest: tuple[Catalogue, tuple[str, ...]] | None = None  # typing a search asks the same catalogue again and again


def _haystacks(catalogue: Catalogue) -> tuple[str, ...]:
    global _latest  # noqa: PLW0603 - one entry, replaced as a whole
    latest = _latest
    if latest is None or latest[0] is not catalogue:
        latest = _latest = (catalogue, tuple(_haystack(row) for row in catalogue.rows))
    return latest[1]


def _haystack(row: CatalogueRow) -> str:
    """All that can be found in one row; line breaks keep words of different fields apart."""
    texts = (
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
    return "\n".join(simplify(text) for text in texts if text)
