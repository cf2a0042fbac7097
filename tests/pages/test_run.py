"""Rows of a run's page, and the text of its button."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from napari_cryoet.appearance.colors import annotation_colors
from napari_cryoet.pages.rows import RecordRow
from napari_cryoet.pages.run import annotation_rows, open_button, tomogram_rows
from napari_cryoet.records import IdentifiedObject
from napari_cryoet.runs.outline import outline_run
from qt.fake_portal import run_page
from samples import make_tomogram


@pytest.fixture
def rows() -> list[RecordRow]:
    """Rows of a canned run's annotations."""
    page = run_page(506, "TS_006")
    outline = outline_run(page, page.default_tomogram)
    return annotation_rows(outline, annotation_colors(page.annotations))


def annotation(rows: list[RecordRow], annotation_id: int) -> RecordRow:
    children = (
        child
        for row in rows
        for child in row.children
        if child.record.annotation.id == annotation_id
    )
    return next(children)


def test_annotations_are_grouped_by_object_with_misfits_folded_last(rows):
    assert [row.title for row in rows] == [
        "cytosolic ribosome",
        "fatty acid synthase",
        "membrane",
        "On another alignment (1)",
    ]
    assert [row.is_unfolded for row in rows] == [True, True, True, False]
    assert rows[0].color is not None


def test_objects_are_annotated_identified_or_both() -> None:
    objects = [("cytosolic ribosome", "GO:0022626", None), ("spike", "PDB-1", "closed")]
    identified = [
        IdentifiedObject(id=number, object_name=name, object_id=object_id, object_state=state)
        for number, (name, object_id, state) in enumerate(objects, start=1)
    ]
    page = replace(run_page(506, "TS_006"), identified_objects=tuple(identified))
    outline = outline_run(page, page.default_tomogram)
    ribosomes, synthases, *_, others = annotation_rows(outline, {})
    assert (ribosomes.badge, synthases.badge) == ("identified", "")
    assert "identified" in ribosomes.tooltip
    assert others.title == "Identified, not annotated (1)"
    assert [row.title for row in others.children] == ["spike · closed"]


def test_a_row_shows_a_summary_and_its_tooltip_the_details(rows):
    row = annotation(rows, 5061)
    assert (row.badge, row.icon) == ("ground truth", "star")
    assert row.title[0].startswith("838 ")
    assert "recommended by the portal's curators" in row.tooltip
    assert "<b>expert</b>" in row.tooltip
    assert annotation(rows, 5065).title == (
        "fatty acid synthase · 9 points · AL-18",
        "fatty acid synthase · 9 points",
    )


def test_a_tomogram_is_marked_as_default_chosen_and_visible():
    tomograms = run_page(506, "TS_006").tomograms
    first, second = tomogram_rows(tomograms, tomograms[1], {tomograms[0].id})
    assert (first.badge, first.is_chosen, first.icon) == ("default", False, "eye")
    assert (second.badge, second.is_chosen, second.icon) == ("", True, "")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"file_size_omezarr": 9_000.0}, "Open · 9 KB"),
        ({"https_omezarr_dir": None}, "No file to open"),
    ],
)
def test_the_button_shows_what_opening_costs(fields, text):
    button = open_button(make_tomogram(**fields), "none")
    assert (button.text, button.is_enabled) == (text, text.startswith("Open"))
