"""Pasted ids and links, and links to publications and database entries."""

from __future__ import annotations

import pytest

from napari_cryoet.locations import is_web_address
from napari_cryoet.portal.links import Jump, database_links, parse_jump, publication_links
from napari_cryoet.records import PORTAL_TERMS


@pytest.mark.parametrize(
    ("text", "kind", "record_id"),
    [
        ("10000", None, 10000),
        ("DS-10000", "dataset", 10000),
        ("RN-506", "run", 506),
        ("TS-4", "tilt series", 4),
        ("https://cryoetdataportal.czscience.com/runs/506?table-tab=Tomograms#top", "run", 506),
        ("s3://cryoet-data-portal-public/10000/TS_026/", "dataset", 10000),
        (
            "https://cryoet-data-portal-public.s3.us-west-2.amazonaws.com/10000/TS_026/x.json",
            "dataset",
            10000,
        ),
        ("(https://cryoetdataportal.czscience.com/runs/506).", "run", 506),
    ],
)
def test_ids_and_links_are_parsed(text, kind, record_id):
    assert parse_jump(text) == Jump(kind, record_id)


@pytest.mark.parametrize(
    "text",
    [
        "TS_026",
        "DS-0",
        "2147483648",
        "9" * 5000,
        "-5",
        "10000 10001",
        "https://example.org/10000",
        "506.",
        "१२",
    ],
)
def test_other_text_is_not_parsed(text):
    assert parse_jump(text) is None


def test_page_urls_can_be_parsed():
    assert PORTAL_TERMS.page_url("run", 506) == "https://cryoetdataportal.czscience.com/runs/506"
    assert parse_jump(PORTAL_TERMS.page_url("deposition", 10301)) == Jump("deposition", 10301)


def test_dois_become_unique_links():
    assert publication_links(
        "10.1101/2022.04.12.488077, doi.org/10.1038/s41592-022-01746-2,10.1101/2022.04.12.488077"
    ) == (
        ("10.1101/2022.04.12.488077", "https://doi.org/10.1101/2022.04.12.488077"),
        ("10.1038/s41592-022-01746-2", "https://doi.org/10.1038/s41592-022-01746-2"),
    )
    assert publication_links(None) == publication_links("in preparation") == ()


def test_entries_of_known_databases_become_links():
    assert database_links("EMPIAR-10988, EMD-12345,PDB-1BXN, OTHERDB-1") == (
        ("EMPIAR-10988", "https://www.ebi.ac.uk/empiar/EMPIAR-10988/"),
        ("EMD-12345", "https://www.ebi.ac.uk/emdb/EMD-12345"),
        ("PDB-1BXN", "https://www.rcsb.org/structure/1BXN"),
    )
    (link,) = database_links("EMD-1/../../x?y#z")  # which can't smuggle another address
    assert link.url == "https://www.ebi.ac.uk/emdb/EMD-1%2F..%2F..%2Fx%3Fy%23z"
    assert database_links("") == ()


def test_only_http_urls_are_web_addresses():
    for url in ("https://cryoetdataportal.czscience.com/datasets/10000", "http://127.0.0.1:8000/x"):
        assert is_web_address(url)
    for url in ("file:///etc/passwd", "javascript:alert(1)", "https://", "http://[broken", ""):
        assert not is_web_address(url)
