"""Our links: the whole view in a text that mail programs and desktops may change a little."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.portal.links import Jump
from napari_cryoet.views.links import parse_link
from napari_cryoet.views.packing import MAX_UNPACKED, pack
from napari_cryoet.views.view import View, read_view


@pytest.fixture
def view() -> View:
    return read_view(Path(__file__).parent / "version_1.view.json")


def test_a_link_holds_the_whole_view(view: View) -> None:
    data = view.to_dict() | {"version": 2, "future": [1]}
    newer = View.of(data)
    link = newer.link()
    assert parse_link(link) == newer
    head, _, packed = link.rpartition("/")
    for changed in (
        f" <{link}>.\n",
        link.replace("napari-cryoet", "NAPARI-CRYOET"),
        link.replace("://v1/", ":v1/"),
        f"{link[:200]}\r\n {link[200:]}",
        f"{head}/{quote(packed + '==')}",
    ):
        assert parse_link(changed) == newer


def test_links_that_cannot_be_read_or_written_say_why(view: View) -> None:
    link = view.link()
    for text in (
        link[:-20],
        link.replace("//v1/", "//v2/"),
        "napari-cryoet:",
        "napari-cryoet:v1/!",
    ):
        with pytest.raises(FormatError):
            parse_link(text)
    with pytest.raises(FormatError, match="large"):
        parse_link(f"napari-cryoet:v1/{pack(bytes(MAX_UNPACKED + 1))}")
    words = replace(view.words, text="å" * 10_000, citation="Å" * 10_000)
    large = replace(view, words=words, layers=view.layers * 40)
    with pytest.raises(SaveError):
        large.link()


def test_pages_and_ids_lead_to_records_and_other_text_to_nothing() -> None:
    page = "https://cryoetdataportal.czscience.com/{}/506?tab=x"
    assert parse_link(page.format("depositions")) == Jump("deposition", 506)
    assert parse_link(page.format("view/runs")) == Jump("run", 506)
    assert parse_link("DS-10000") == Jump("dataset", 10000)
    for text in ("ribosome", "", "#!/bin/sh", "https://example.org/#top", "ribosome #!"):
        assert parse_link(text) is None
