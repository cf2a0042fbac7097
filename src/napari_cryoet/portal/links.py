"""Links in texts: to the portal's records, to papers and to entries of other databases."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import quote

from napari_cryoet.records import MAX_ID
from napari_cryoet.wording import ID_PREFIXES
from napari_cryoet.words import AROUND

_KINDS: Final = {prefix: kind for kind, prefix in ID_PREFIXES.items()}
_ID: Final = re.compile(rf"(?:({'|'.join(_KINDS)})-)?([0-9]{{1,10}})", re.IGNORECASE)
#: A page of a portal on any host, and a file in the portal's bucket.
_PAGE: Final = re.compile(
    r"(?:https?://)?[\w-]+\.[\w.:-]+/(?:\S+/)?(dataset|run|deposition)s/([0-9]{1,10})(?:[/?#]\S*)?"
)
_FILE: Final = re.compile(
    r"(?:s3://[^/\s]+|(?:https?://)?(?:files|cryoet-data-portal-public\.s3)\.[^/\s]+)/([0-9]{5,10})(?:/\S*)?"
)
_DOI: Final = re.compile(r"10\.\d{4,9}/[^\s,]+")
_DATABASES: Final = {
    "EMPIAR": "https://www.ebi.ac.uk/empiar/EMPIAR-{}/",
    "EMD": "https://www.ebi.ac.uk/emdb/EMD-{}",
    "PDB": "https://www.rcsb.org/structure/{}",
    "CZCDP": "https://cryoetdataportal.czscience.com/depositions/{}",
}


@dataclass(frozen=True, slots=True)
class Jump:
    """A record given by its id; ``kind`` is None if there was only a number."""

    kind: str | None
    id: int


class Link(NamedTuple):
    """A name to show and an address to open."""

    text: str
    url: str


def parse_jump(text: str) -> Jump | None:
    """The record that an id or a portal link refers to, or None for other search text.

    >>> parse_jump("DS-10000"), parse_jump("https://cryoetdataportal.czscience.com/runs/506?tab=x").kind
    (Jump(kind='dataset', id=10000), 'run')
    """
    text = text.strip()
    link = text.strip(AROUND)
    kind: str | None
    if match := _ID.fullmatch(text):
        kind, number = _KINDS.get((match[1] or "").upper()), int(match[2])
    elif match := _PAGE.fullmatch(link):
        kind, number = match[1], int(match[2])
    elif match := _FILE.fullmatch(link):
        kind, number = "dataset", int(match[1])
    else:
        return None
    return Jump(kind, number) if 0 < number <= MAX_ID else None


def publication_links(publications: str | None) -> tuple[Link, ...]:
    """Links to papers, from the portal's comma-separated DOIs; other text is skipped."""
    dois = dict.fromkeys(doi.rstrip(".") for doi in _DOI.findall(publications or ""))
    return tuple(Link(doi, f"https://doi.org/{quote(doi, safe='/')}") for doi in dois)


def database_links(entries: str | None) -> tuple[Link, ...]:
    """Links to entries of other databases, from the portal's comma-separated names.

    Unknown databases are skipped.
    """
    links = []
    for entry in dict.fromkeys(part.strip() for part in (entries or "").split(",")):
        database, _, number = entry.partition("-")
        address = _DATABASES.get(database.upper())
        if address and number:
            links.append(Link(entry, address.format(quote(number, safe=""))))
    return tuple(links)
