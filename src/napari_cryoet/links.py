"""Web addresses of what records refer to: papers, and entries of other databases."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, urlsplit

_DOI = re.compile(r"10\.\d{4,9}/\S+")

# how an entry begins, the address of its page, and whether the address holds all of its name or what follows the start
_DATABASES = (
    ("EMPIAR-", "https://www.ebi.ac.uk/empiar/{}/", True),
    ("EMD-", "https://www.ebi.ac.uk/emdb/{}", True),
    ("PDB-", "https://www.rcsb.org/structure/{}", False),
    ("CZCDP-", "https://cryoetdataportal.czscience.com/depositions/{}", False),
)


class Link(NamedTuple):
    """A name to show and an address to open."""

    text: str
    url: str


def publication_links(publications: str | None) -> tuple[Link, ...]:
    """Links to papers, from the portal's comma-separated DOIs; what is no DOI has no link."""
    found = (_DOI.search(part) for part in _parts(publications))
    dois = dict.fromkeys(match.group().rstrip(".") for match in found if match)
    return tuple(Link(doi, f"https://doi.org/{quote(doi, safe='/')}") for doi in dois)


def database_links(entries: str | None) -> tuple[Link, ...]:
    """Links to entries of other databases, from the portal's comma-separated names; unknown databases have no link."""
    links = []
    for entry in dict.fromkeys(_parts(entries)):
        for prefix, address, is_whole in _DATABASES:
            if entry.upper().startswith(prefix) and len(entry) > len(prefix):
                name = entry.upper() if is_whole else entry[len(prefix) :]
                links.append(Link(entry, address.format(quote(name, safe=""))))
    return tuple(links)


def is_web_address(url: str) -> bool:
    """Whether a link leads to the web, and not to a file, a script or another program."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _parts(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]
