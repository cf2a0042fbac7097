"""Numbers, dates and names as displayed."""

from __future__ import annotations

from datetime import UTC, datetime

from napari_cryoet.portal.pages import Freshness
from napari_cryoet.wording import (
    day_text,
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


def test_dates_omit_the_current_year():
    today = datetime(2026, 11, 24, tzinfo=UTC)
    assert day_text(datetime(2026, 11, 12, tzinfo=UTC), today=today) == "12 Nov"
    assert day_text(datetime(2023, 6, 1, tzinfo=UTC), today=today) == "1 Jun 2023"
    assert Freshness(fetched_at=datetime(2020, 11, 12, tzinfo=UTC), is_offline=True).text.endswith(
        "12 Nov 2020"
    )


def test_unknown_values_are_left_out():
    assert [reported(text) for text in ("not_reported", "Unknown", None, " Homo ")] == [
        "",
        "",
        "",
        "Homo",
    ]
    assert (
        joined("raw", spacing_text(None), dimensions_text(1, None, 2), "default") == "raw · default"
    )
    assert joined(spacing_text(13.48), dimensions_text(960, 928, 500)) == "13.48 Å · 960×928×500"


def test_only_species_names_are_shortened():
    names = {
        "Homo sapiens": "H. sapiens",
        "Tobacco virus": "Tobacco virus",
        "E. coli": "E. coli",
        "not_reported": "",
    }
    assert {name: short_species(name) for name in names} == names


def test_remote_text_stays_on_one_line():
    assert plain("Cells\nunder \x07stress\u202e  now") == "Cells under stress now"
