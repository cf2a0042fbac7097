"""Numbers, dates and names as displayed."""

from __future__ import annotations

from datetime import UTC, datetime

from napari_cryoet.portal.pages import Freshness
from napari_cryoet.wording import (
    dimensions_text,
    joined,
    plain,
    reported,
    short_species,
    size_text,
    spacing_text,
)


def test_sizes_have_three_digits_and_a_unit():
    sizes = {
        0: "0 B",
        999: "999 B",
        26_400: "26.4 KB",
        999_600: "1 MB",
        1_661_000_000: "1.66 GB",
        5e15: "5000 TB",
    }
    assert {size_bytes: size_text(size_bytes) for size_bytes in sizes} == sizes
    assert size_text(None) == size_text(-1) == ""


def test_dates_have_their_year_unless_it_is_the_current_one():
    november = datetime(2020, 11, 12, tzinfo=UTC)
    assert Freshness(fetched_at=november, is_offline=True).text.endswith("12 Nov 2020")


def test_unknown_values_are_left_out():
    assert not any(map(reported, ("not_reported", "Unknown", None)))
    assert joined("raw", spacing_text(None), dimensions_text(1, None, 2), " x ") == "raw ·  x "
    assert joined(spacing_text(13.48), dimensions_text(960, 928, 500)) == "13.48 Å · 960×928×500"


def test_only_species_names_are_shortened():
    kept = ("Tobacco virus", "E. coli", "")
    assert tuple(map(short_species, kept)) == kept


def test_remote_text_stays_on_one_line():
    assert plain("Cells\nunder \x07stress\u202e  now") == "Cells under stress now"
