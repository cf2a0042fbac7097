"""Colours as people see them who lack one kind of cone."""

import pytest

from napari_cryoet.color_vision import are_alike, seen_apart
from napari_cryoet.colors import PALETTE, rgba_of


def test_a_colour_is_not_apart_from_itself_however_opaque_it_is():
    assert seen_apart((1, 0, 0, 1), (1, 0, 0, 0.2)) == 0
    assert are_alike((1, 0, 0, 1), (1, 0, 0, 0.2))


@pytest.mark.parametrize(
    ("one", "other"),
    [("#d62728", "#7b7b00"), ("#808080", "#00a37f"), ("#ffff11", "#ffff88")],
    ids=["red and olive", "grey and green", "yellow and light yellow"],
)
def test_what_some_people_take_for_one_another_is_alike(one, other):
    assert are_alike(rgba_of(one), rgba_of(other))


def test_the_colours_of_the_palette_are_told_apart():
    colors = [rgba_of(code) for code in PALETTE.values()]

    assert not any(are_alike(one, other) for number, one in enumerate(colors) for other in colors[:number])
