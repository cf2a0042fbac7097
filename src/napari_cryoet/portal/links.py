"""What ids and links that people paste lead to, and the web addresses of what records refer to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit

from napari_cryoet.records import MAX_ID

_PREFIXES: Final = {
    "CZCDP": "deposition",
    "DS": "dataset",
    "RN": "run",
    "TS": "tilt series",
    "AL": "alignment",
    "TM": "tomogram",
    "AN": "annotation",
}
_ID: Final = re.compile(r"(?:([A-Za-z]+)-)?([0-9]{1,10})")
_PAGE_PATH: Final = re.compile(r"/(?:.*/)?(datasets|runs|depositions)/([0-9]{1,10})(?:/.*)?")
_FILE_PATH: Final = re.compile(r"/([0-9]{5,10})(?:/.*)?")
_BUCKET_HOST: Final = re.compile(r"files\..+|cryoet-data-portal-public\.s3\..+")
_DOI: Final = re.compile(r"10\.\d{4,9}/\S+")
#: What may stand around an address in a text.
AROUND: Final = "<>()[]{}'\"“”‘’«».,;"
#: How an entry begins, the address of its page, and whether the address holds all of its name or what follows.
_DATABASES: Final = (
    ("EMPIAR-", "https://www.ebi.ac.uk/empiar/{}/", True),
    ("EMD-", "https://www.ebi.ac.uk/emdb/{}", True),
    ("PDB-", "https://www.rcsb.org/structure/{}", False),
    ("CZCDP-", "https://cryoetdataportal.czscience.com/depositions/{}", False),
)


@dataclass(frozen=True, slots=True)
class Jump:
    """A record that was named outright; ``kind`` is None where only a number was."""

    kind: str | None
    id: int


class Link(NamedTuple):
    """A name to show and an address to open."""

    text: str
    url: str


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
    return _parse_link(text.strip(AROUND))


def is_link(text: str) -> bool:
    """Whether a text is a link to a record: a word that no title has in it."""
    return "/" in text and parse_jump(text) is not None


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
