"""Citations name authors, titles and URLs, and list each dataset and deposition once."""

from __future__ import annotations

import re

import pytest

from napari_cryoet.portal.citation import PORTAL_DOI, Citation, citations, cite

ROWS = {
    "datasets": [
        {
            "id": 10000,
            "depositionId": 10301,
            "title": "S. pombe & <i>more</i> 100%",
            "releaseDate": "2023-06-01T00:00:00+00:00",
            "datasetPublications": "doi:10.1101/2022.04.12.488077, 10.1038/s41592-022-01746-2",
            "relatedDatabaseEntries": "EMPIAR-10988, EMD-14412",
        }
    ],
    "datasetAuthors": [
        {"id": 2, "datasetId": 10000, "name": "Julia Mahamid", "authorListOrder": 2},
        {"id": 1, "datasetId": 10000, "name": "Irene de Teresa-Trueba", "authorListOrder": 1},
        {"id": 3, "datasetId": 10009, "name": "Somebody Else", "authorListOrder": 1},
    ],
    "annotations": [{"id": 1, "depositionId": 10310}],
    "depositions": [
        {
            "id": 10310,
            "title": "Picks",
            "releaseDate": "2024-01-01",
            "depositionPublications": None,
        },
        {"id": 10301, "title": "Lamellae", "releaseDate": "2023-06-01"},
        {"id": 10999, "title": "Of nothing here", "releaseDate": "2023-06-01"},
    ],
    "depositionAuthors": [{"id": 1, "depositionId": 10310, "name": "Plato", "authorListOrder": 1}],
}


@pytest.fixture(scope="module")
def cited() -> tuple[Citation, ...]:
    return citations(ROWS)


def test_datasets_are_followed_by_contributing_depositions(cited):
    assert [each.name for each in cited] == ["DS-10000", "CZCDP-10301", "CZCDP-10310"]
    assert cited[0].authors == ("Irene de Teresa-Trueba", "Julia Mahamid")
    assert cited[0].dois == ("10.1101/2022.04.12.488077", "10.1038/s41592-022-01746-2")


def test_plain_text_has_authors_and_urls(cited):
    first, *_, paper = cite([*cited, *cited]).strip().split("\n\n")
    assert first.startswith("Irene de Teresa-Trueba, Julia Mahamid (2023). ")
    assert "https://cryoetdataportal.czscience.com/datasets/10000" in first
    assert "EMPIAR-10988" in first
    assert PORTAL_DOI in paper
    assert len(cite([*cited, *cited]).strip().split("\n\n")) == 4


def test_bibtex_is_balanced_and_escaped_with_unique_keys(cited):
    text = cite([*cited, *cited], "bibtex")
    keys = re.findall(r"@\w+\{(\w+),", text)
    assert keys == ["DS10000", "CZCDP10301", "CZCDP10310", "Ermel2024"]
    assert text.count("{") == text.count("}")
    assert "author = {de Teresa-Trueba, Irene and Mahamid, Julia}" in text
    assert r"\& " in text
    assert r"100\%" in text


def test_ris_has_one_line_per_author(cited):
    records = cite(cited, "ris").strip().split("\n\n")
    assert all(
        record.startswith("TY  - ") and record.endswith("ER  -")
        for record in map(str.strip, records)
    )
    assert "AU  - Mahamid, Julia\n" in records[0]
    assert all(
        re.fullmatch(r"[A-Z][A-Z0-9]  -( .*)?", line)
        for record in records
        for line in record.splitlines()
    )


def test_the_portals_paper_is_not_cited_for_other_sites():
    assert PORTAL_DOI not in cite(citations(ROWS, site=""))
    assert cite(()) == ""
