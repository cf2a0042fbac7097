"""Colours as people see them who lack one kind of cone."""

import numpy as np
import pytest

from napari_cryoet import color_vision
from napari_cryoet.color_vision import are_alike, contrast, seen_apart, which_are_alike
from napari_cryoet.colors import OWN_PALETTE, PALETTE, looks_of, outline_of, rgba_of


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


def test_contrast_is_the_ratio_of_wcag():
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast((1, 1, 1), (1, 1, 1)) == 1
    assert contrast(rgba_of("#777777"), (1, 1, 1)) == pytest.approx(4.478, abs=1e-3)  # as WebAIM has it
    assert contrast(rgba_of("#ff0000"), (0, 0, 0)) == pytest.approx(5.252, abs=1e-3)


GREYS = [(float(grey),) * 3 for grey in np.linspace(0, 1, 101)]


def over(front, back):
    return tuple(front[3] * a + (1 - front[3]) * b for a, b in zip(front, back, strict=False))


@pytest.mark.parametrize("code", [*PALETTE.values(), *OWN_PALETTE.values()])
def test_of_a_mark_and_its_outline_one_stands_out_whatever_is_below(code):
    color = rgba_of(code)
    outline = outline_of(color)
    ratios = [max(contrast(color, grey), contrast(over(outline, grey), grey)) for grey in GREYS]
    distances = [max(seen_apart(color, grey), seen_apart(over(outline, grey), grey)) for grey in GREYS]

    assert min(ratios[0], ratios[-1]) > 4.5, "on a black canvas and a white one"
    assert min(ratios) > 2
    assert min(distances) > 0.19, "as far as yellow is from orange to who sees that least"


def test_yellow_mint_and_white_need_their_outline_on_a_white_canvas():
    for code in (PALETTE["yellow"], PALETTE["mint"], OWN_PALETTE["white"]):
        assert contrast(rgba_of(code), (1, 1, 1)) < 1.2


def test_many_colours_are_looked_at_together_as_one_by_one():
    colors = np.random.default_rng(0).uniform(0.3, 0.6, size=(60, 4))
    for one in colors[:10]:
        expected = [are_alike(one, other) for other in colors]
        assert which_are_alike(one, colors) == expected
        assert 0 < sum(expected) < len(colors)
    assert which_are_alike(colors[0], []) == []


def test_each_colour_of_a_run_of_many_objects_is_worked_out_once():
    """A page would stand still: of 300 objects there are 40,000 pairs."""
    color_vision._seen.cache_clear()
    given = looks_of(f"object {number}" for number in range(300))

    assert color_vision._seen.cache_info().misses <= len({color for color, _symbol in given.values()})
