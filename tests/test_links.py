"""Web addresses of what records refer to."""

from __future__ import annotations

import pytest

from napari_cryoet.links import database_links, is_web_address, publication_links


def test_dois_become_links_once_each():
    assert publication_links(
        "10.1101/2022.04.12.488077, doi.org/10.1038/s41592-022-01746-2,10.1101/2022.04.12.488077"
    ) == (
        ("10.1101/2022.04.12.488077", "https://doi.org/10.1101/2022.04.12.488077"),
        ("10.1038/s41592-022-01746-2", "https://doi.org/10.1038/s41592-022-01746-2"),
    )


def test_entries_of_known_databases_become_links():
    assert database_links("EMPIAR-10988, EMD-12345,PDB-1BXN, OTHERDB-1") == (
        ("EMPIAR-10988", "https://www.ebi.ac.uk/empiar/EMPIAR-10988/"),
        ("EMD-12345", "https://www.ebi.ac.uk/emdb/EMD-12345"),
        ("PDB-1BXN", "https://www.rcsb.org/structure/1BXN"),
    )


def test_nothing_gives_no_links():
    assert publication_links(None) == database_links("") == publication_links("in preparation") == ()


def test_an_entry_cannot_smuggle_another_address():
    (link,) = database_links("EMD-1/../../x?y#z")
    assert link.url == "https://www.ebi.ac.uk/emdb/EMD-1%2F..%2F..%2FX%3FY%23Z"


@pytest.mark.parametrize(
    ("url", "is_web"),
    [
        ("https://cryoetdataportal.czscience.com/datasets/10000", True),
        ("http://127.0.0.1:8000/x", True),
        ("file:///etc/passwd", False),
        ("javascript:alert(1)", False),
        ("https://", False),
        ("http://[broken", False),
        ("", False),
    ],
)
def test_only_web_addresses_may_be_opened(url, is_web):
    assert is_web_address(url) is is_web
