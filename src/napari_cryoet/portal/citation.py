"""Citations of datasets and depositions as plain text, BibTeX or RIS."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from napari_cryoet.portal.links import database_links, publication_links
from napari_cryoet.records import PORTAL_TERMS, Record
from napari_cryoet.wording import ID_PREFIXES, plain

if TYPE_CHECKING:
    from napari_cryoet.portal.pages import CatalogueRow, DepositionRow
    from napari_cryoet.tables.database import Rows

Style = Literal["plain", "bibtex", "ris"]

PORTAL_DOI: Final = "10.1038/s41592-024-02477-2"
#: Given names, and a family name with particles such as "de".
_NAME: Final = re.compile(r"([^,]+?) ((?:[a-z]\S* )*\S+)")
_ESCAPED: Final = re.compile(r"[\\{}&%$#_~^]")
_LATEX: Final = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


class Citation(Record, frozen=True, kw_only=True):
    """The citation of a dataset or a deposition."""

    name: str  # DS-10000 or CZCDP-10301
    title: str
    authors: tuple[str, ...]
    year: str
    url: str  # its page; empty where the source has none
    dois: tuple[str, ...]  # of its publications
    entries: tuple[str, ...] = ()  # of other databases, such as EMPIAR-10988
    publisher: str = "CryoET Data Portal"


_PAPER: Final = Citation(
    name="Ermel2024",
    title="A data portal for providing standardized annotations for cryo-electron tomography",
    authors=("Utz Ermel", "others"),
    year="2024",
    url=f"https://doi.org/{PORTAL_DOI}",
    dois=(),
    publisher="Nature Methods 21, 2200-2202",
)


def citations(rows: Rows, *, site: str = PORTAL_TERMS.site) -> tuple[Citation, ...]:
    """Citations of the datasets in these rows, then of the depositions of the datasets, tomograms and annotations.

    ``site`` is the base URL of the pages, see `Terms.site`.
    """
    used = {row.get("depositionId") for table in rows for row in rows[table]} - {None}
    depositions = [row for row in rows.get("depositions", ()) if row["id"] in used]
    datasets = _all_of(rows, "dataset", rows.get("datasets", ()), site)
    return (*datasets, *_all_of(rows, "deposition", depositions, site))


def citation_of(record: CatalogueRow | DepositionRow, url: str = "") -> Citation:
    """The citation of a row of the catalogue; ``url`` is its page."""
    from napari_cryoet.portal.pages import CatalogueRow

    kind = "dataset" if isinstance(record, CatalogueRow) else "deposition"
    return _citation(kind, msgspec.to_builtins(record), [each.name for each in record.authors], url)


def cite(cited: Iterable[Citation], style: Style = "plain") -> str:
    """Write citations without repeats, and the portal's paper if any of them is from the portal."""
    each_once = [*dict.fromkeys(cited)]
    if any(each.url.startswith(PORTAL_TERMS.site) for each in each_once):
        each_once.append(_PAPER)
    write = {"plain": _plain, "bibtex": _bibtex, "ris": _ris}[style]
    return "\n\n".join(map(write, each_once)) + "\n" if each_once else ""


def _all_of(
    rows: Rows, kind: str, found: Iterable[dict[str, Any]], site: str
) -> Iterable[Citation]:
    for row in sorted(found, key=lambda row: int(row["id"])):
        of_row = [each for each in rows.get(f"{kind}Authors", ()) if each[f"{kind}Id"] == row["id"]]
        of_row.sort(key=lambda each: (each.get("authorListOrder") or 0, each["id"]))
        url = f"{site}/{kind}s/{row['id']}" if site else ""
        yield _citation(kind, row, [each["name"] for each in of_row], url)


def _citation(kind: str, row: dict[str, Any], authors: Iterable[str], url: str) -> Citation:
    return Citation(
        name=f"{ID_PREFIXES[kind]}-{row['id']}",
        title=plain(row["title"]),
        authors=tuple(dict.fromkeys(map(plain, authors))),
        year=str(row.get("releaseDate") or "")[:4],
        url=url,
        dois=tuple(link.text for link in publication_links(row.get(f"{kind}Publications"))),
        entries=tuple(link.text for link in database_links(row.get("relatedDatabaseEntries"))),
    )


def _plain(each: Citation) -> str:
    authors = ", ".join(each.authors).replace(", others", " et al.") or "Unknown authors"
    where = each.publisher if each is _PAPER else f"{each.publisher}, {each.name}"
    parts = [f"{authors} ({each.year or 'no year'}). {each.title}. {where}."]
    parts += [each.url] if each.url else []
    parts += [f"https://doi.org/{doi}" for doi in each.dois]
    return " ".join([*parts, ", ".join(each.entries)] if each.entries else parts)


def _bibtex(each: Citation) -> str:
    kind, publisher = ("article", "journal") if each is _PAPER else ("misc", "publisher")
    notes = [each.name, *(f"doi:{doi}" for doi in each.dois), *each.entries]
    fields = {
        "title": f"{{{_latex(each.title)}}}",
        "author": " and ".join(map(_latex, map(_family_first, each.authors))),
        "year": each.year,
        publisher: each.publisher,
        "url": each.url,
        "note": _latex(", ".join(notes)),
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{each.name.replace('-', '')},", *lines, "}"])


def _ris(each: Citation) -> str:
    lines = [
        ("TY", "JOUR" if each is _PAPER else "DATA"),
        ("ID", each.name),
        ("TI", each.title),
        *(("AU", _family_first(author)) for author in each.authors),
        ("PY", each.year),
        ("JO" if each is _PAPER else "PB", each.publisher),
        ("UR", each.url),
        *(
            ("N1", note)
            for note in (*(f"https://doi.org/{doi}" for doi in each.dois), *each.entries)
        ),
    ]
    return "\n".join([*(f"{tag}  - {text}" for tag, text in lines if text), "ER  - "])


def _family_first(name: str) -> str:
    """A name with the family name first, as in lists of references.

    >>> _family_first("Irene de Teresa-Trueba"), _family_first("Plato")
    ('de Teresa-Trueba, Irene', 'Plato')
    """
    found = _NAME.fullmatch(name)
    return f"{found[2]}, {found[1]}" if found else name


def _latex(text: str) -> str:
    return _ESCAPED.sub(lambda found: _LATEX.get(found[0], f"\\{found[0]}"), text)
