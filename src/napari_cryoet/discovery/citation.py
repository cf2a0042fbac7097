"""Whom to cite: datasets and depositions as plain text, BibTeX or RIS, each once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from napari_cryoet.portal.links import database_links, publication_links
from napari_cryoet.portal.pages import CatalogueRow, DepositionRow
from napari_cryoet.records import PORTAL_TERMS, Record
from napari_cryoet.tables.database import Rows
from napari_cryoet.wording import plain

Style = Literal["plain", "bibtex", "ris"]

PORTAL_DOI: Final = "10.1038/s41592-024-02477-2"
_PORTAL_PAPER: Final = "A data portal for providing standardized annotations for cryo-electron tomography"
#: What belongs to the family name after it.
_PARTICLES: Final = frozenset(
    {"da", "de", "del", "della", "den", "der", "di", "dos", "la", "le", "ten", "ter", "van", "von"}
)
_ESCAPED: Final = re.compile(r"[\\{}&%$#_~^]")
_LATEX: Final = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


class Citation(Record, frozen=True, kw_only=True):
    """A dataset or a deposition with all that a citation says."""

    name: str  # DS-10000 or CZCDP-10301
    title: str
    authors: tuple[str, ...]
    year: str
    url: str  # its page; empty where the source has none
    dois: tuple[str, ...]  # of its publications
    entries: tuple[str, ...]  # of other databases, such as EMPIAR-10988


def citations(rows: Rows, *, site: str = PORTAL_TERMS.site) -> tuple[Citation, ...]:
    """The datasets in some rows, then the depositions that they or their runs' tomograms and annotations belong to.

    ``site`` has the pages, see `Terms.site`.
    """
    used = {row.get("depositionId") for table in rows for row in rows[table]} - {None}
    depositions = [row for row in rows.get("depositions", ()) if row["id"] in used]
    return (
        *_all_of(rows, "DS", "dataset", rows.get("datasets", ()), site),
        *_all_of(rows, "CZCDP", "deposition", depositions, site),
    )


def citation_of(record: CatalogueRow | DepositionRow, url: str = "") -> Citation:
    """A dataset or a deposition as the catalogue knows it, with the address of its page."""
    if isinstance(record, CatalogueRow):
        name, publications = f"DS-{record.id}", record.dataset_publications
    else:
        name, publications = f"CZCDP-{record.id}", record.deposition_publications
    return Citation(
        name=name,
        title=plain(record.title),
        authors=tuple(dict.fromkeys(plain(each.name) for each in record.authors)),
        year=str(record.release_date.year),
        url=url,
        dois=tuple(link.text for link in publication_links(publications)),
        entries=tuple(link.text for link in database_links(record.related_database_entries)),
    )


def cite(cited: Iterable[Citation], style: Style = "plain") -> str:
    """Citations one after the other, each once, and the portal's paper where something of the portal is among them."""
    each_once = tuple(dict.fromkeys(cited))
    write = {"plain": _plain, "bibtex": _bibtex, "ris": _ris}[style]
    texts = [write(each) for each in each_once]
    if any(each.url.startswith(PORTAL_TERMS.site) for each in each_once):
        texts.append(_PAPER[style])
    return "\n\n".join(texts) + "\n" if texts else ""


def _all_of(rows: Rows, prefix: str, kind: str, found: Iterable[dict[str, Any]], site: str) -> Iterable[Citation]:
    for row in sorted(found, key=lambda row: int(row["id"])):
        of_row = [each for each in rows.get(f"{kind}Authors", ()) if each[f"{kind}Id"] == row["id"]]
        of_row.sort(key=lambda each: (each.get("authorListOrder") or 0, each["id"]))
        yield Citation(
            name=f"{prefix}-{row['id']}",
            title=plain(row["title"]),
            authors=tuple(dict.fromkeys(plain(each["name"]) for each in of_row)),
            year=str(row.get("releaseDate") or "")[:4],
            url=f"{site}/{kind}s/{row['id']}" if site else "",
            dois=tuple(link.text for link in publication_links(row.get(f"{kind}Publications"))),
            entries=tuple(link.text for link in database_links(row.get("relatedDatabaseEntries"))),
        )


def _plain(each: Citation) -> str:
    authors = ", ".join(each.authors) or "Unknown authors"
    parts = [f"{authors} ({each.year or 'no year'}). {each.title}. CryoET Data Portal, {each.name}."]
    parts += [each.url] if each.url else []
    parts += [f"https://doi.org/{doi}" for doi in each.dois]
    return " ".join([*parts, ", ".join(each.entries)] if each.entries else parts)


def _bibtex(each: Citation) -> str:
    notes = [each.name, *(f"doi:{doi}" for doi in each.dois), *each.entries]
    fields = {
        "title": f"{{{_latex(each.title)}}}",
        "author": " and ".join(map(_latex, map(_family_first, each.authors))),
        "year": each.year,
        "publisher": "CryoET Data Portal",
        "url": each.url,
        "note": _latex(", ".join(notes)),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{each.name.replace('-', '')},", *lines, "}"])


def _ris(each: Citation) -> str:
    lines = [
        "TY  - DATA",
        f"ID  - {each.name}",
        f"TI  - {each.title}",
        *(f"AU  - {_family_first(author)}" for author in each.authors),
        *([f"PY  - {each.year}"] if each.year else []),
        "PB  - CryoET Data Portal",
        *([f"UR  - {each.url}"] if each.url else []),
        *(f"N1  - https://doi.org/{doi}" for doi in each.dois),
        *(f"N1  - {entry}" for entry in each.entries),
        "ER  - ",
    ]
    return "\n".join(lines)


def _family_first(name: str) -> str:
    """A name as lists of references sort it.

    >>> _family_first("Irene de Teresa-Trueba"), _family_first("Plato")
    ('de Teresa-Trueba, Irene', 'Plato')
    """
    given: Sequence[str] = name.split()
    if len(given) < 2 or "," in name:
        return name
    start = len(given) - 1
    while start > 1 and given[start - 1].casefold() in _PARTICLES:
        start -= 1
    return f"{' '.join(given[start:])}, {' '.join(given[:start])}"


def _latex(text: str) -> str:
    return _ESCAPED.sub(lambda found: _LATEX.get(found[0], f"\\{found[0]}"), text)


_PAPER: Final[dict[Style, str]] = {
    "plain": f"Ermel, U. et al. (2024). {_PORTAL_PAPER}. Nature Methods 21, 2200–2202. https://doi.org/{PORTAL_DOI}",
    "bibtex": (
        f"@article{{Ermel2024,\n  title = {{{{{_PORTAL_PAPER}}}}},\n  author = {{Ermel, Utz and others}},\n"
        "  journal = {Nature Methods},\n  volume = {21},\n  pages = {2200--2202},\n  year = {2024},\n"
        f"  doi = {{{PORTAL_DOI}}},\n}}"
    ),
    "ris": (
        f"TY  - JOUR\nID  - Ermel2024\nTI  - {_PORTAL_PAPER}\nAU  - Ermel, Utz\nAU  - others\nJO  - Nature Methods\n"
        f"VL  - 21\nSP  - 2200\nEP  - 2202\nPY  - 2024\nDO  - {PORTAL_DOI}\nER  - "
    ),
}
