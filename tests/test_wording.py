"""Numbers, dates and names as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from napari_cryoet.portal.pages import Freshness, ObjectCount, objects_text
from napari_cryoet.wording import (
    date_text,
    dimensions_text,
    joined,
    plain,
    reported,
    short_species,
    size_text,
    spacing_text,
)

TODAY = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (26_400, "26.4 KB"),
        (999_600, "1 MB"),
        (7_100_000, "7.1 MB"),
        (1_661_000_000, "1.66 GB"),
        (120_000_000_000, "120 GB"),
        (5e15, "5000 TB"),
        (None, ""),
        (-1, ""),
    ],
)
def test_sizes_have_three_digits_and_a_unit(size_bytes, text):
    assert size_text(size_bytes) == text


def test_the_year_stands_only_where_it_is_not_this_one():
    assert date_text(datetime(2026, 11, 12, tzinfo=UTC), today=TODAY) == "12 Nov"
    assert date_text(datetime(2023, 6, 1, tzinfo=UTC), today=TODAY) == "1 Jun 2023"


def test_freshness_says_offline_and_since_when():
    fetched = datetime(2020, 11, 12, tzinfo=UTC)
    assert Freshness(fetched_at=fetched).text == "online"
    assert Freshness(fetched_at=fetched, is_offline=True).text == "offline, as of 12 Nov 2020"


def test_placeholders_of_the_portal_are_not_shown_as_facts():
    texts = ("not_reported", "Unknown", None, " Homo sapiens ")
    assert [reported(text) for text in texts] == ["", "", "", "Homo sapiens"]


def test_only_species_are_shortened():
    names = ("Homo sapiens", "Tobacco virus", "not_reported", "E. coli", None)
    assert [short_species(name) for name in names] == ["H. sapiens", "Tobacco virus", "", "E. coli", ""]


def test_remote_text_stays_on_one_line():
    assert plain("Cells\nunder \x07stress\u202e  now") == "Cells under stress now"


def test_objects_beyond_the_limit_are_counted():
    objects = [ObjectCount(object_name=name, count=5) for name in ("ribosome", "FAS", "membrane", "actin", "NPC")]
    assert objects_text(objects) == "ribosome · FAS · membrane  +2"
    assert objects_text(objects[:2]) == "ribosome · FAS"
    assert objects_text(objects, 1, with_counts=True) == "ribosome 5  +4"


def test_what_is_not_known_leaves_no_trace():
    assert joined("raw", spacing_text(None), dimensions_text(1, None, 2), "default") == "raw · default"
    assert joined(spacing_text(13.48), dimensions_text(960, 928, 500)) == "13.48 Å · 960×928×500"
