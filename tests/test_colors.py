import os
import subprocess
import sys

import numpy as np
import pytest

from napari_cryoet.color_vision import are_alike
from napari_cryoet.colors import (
    FURTHER_PALETTE,
    OWN_PALETTE,
    PALETTE,
    another_color,
    color_of,
    colors_of,
    instance_colormap,
    instance_colors,
    looks_of,
    object_key,
    own_color,
    rgba_of,
    symbol_beside,
)

# linear RGB to cone response to OKLab, after B. Ottosson
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
# linear RGB as seen without one kind of cone, after Machado, Oliveira and Fernandes (2009), severity 1
EYES = {
    "ordinary": np.eye(3),
    "protanope": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranope": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanope": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
OKABE_ITO = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000"]


def seen(rgb, eye):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(np.clip(linear @ EYES[eye].T, 0, 1) @ TO_CONES.T) @ TO_LAB.T


def rgb_of(codes):
    return np.array([[int(code[at : at + 2], 16) / 255 for at in (1, 3, 5)] for code in codes])


def closest_pair(codes, eye):
    colors = seen(rgb_of(codes), eye)
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=2)
    return distances[np.triu_indices(len(codes), 1)].min()


@pytest.mark.parametrize("eye", EYES)
def test_every_two_colours_are_told_apart_by_every_eye(eye):
    assert len(PALETTE) == 12
    assert closest_pair(list(PALETTE.values()), eye) > (0.07 if eye == "tritanope" else 0.1)


def test_twelve_colours_are_farther_apart_than_the_eight_of_okabe_and_ito():
    common = ("ordinary", "protanope", "deuteranope")
    ours = min(closest_pair(list(PALETTE.values()), eye) for eye in common)

    assert ours > min(closest_pair(OKABE_ITO, eye) for eye in common)


@pytest.mark.parametrize(("palette", "least"), [(PALETTE, 0.09), (FURTHER_PALETTE, 0.059)])
@pytest.mark.parametrize("eye", EYES)
def test_every_colour_stands_out_from_the_greys_of_a_tomogram(eye, palette, least):
    greys = seen(np.repeat(np.linspace(0.2, 0.72, 40)[:, None], 3, axis=1), eye)
    colors = seen(rgb_of(palette.values()), eye)

    assert np.linalg.norm(colors[:, None] - greys[None], axis=2).min() > least


def test_an_object_has_the_same_colour_in_every_session():
    code = "from napari_cryoet.colors import color_of; print(color_of('Snoopy complex'), color_of('UniProtKB:Q12345'))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert printed == {f"{color_of('Snoopy complex')} {color_of('UniProtKB:Q12345')}\n"}


def test_how_a_name_is_written_does_not_matter():
    assert color_of("Cytosolic_Ribosome") == color_of("  cytosolic   ribosome ") == color_of("GO:0022626")
    assert color_of("my object") == color_of("My Object")


def test_an_object_goes_by_its_id_where_it_has_one():
    assert object_key("GO:0022626", "80S ribosome") == "go:0022626"
    assert object_key("PDB-6VZ8", "enzyme") == "pdb-6vz8"
    assert object_key("not_reported", "Enzyme") == "enzyme"
    assert object_key(None, "Enzyme") == object_key("", "enzyme")


DATASET_10000 = [
    "GO:0016020", "GO:0005835", "GO:0022626", "GO:0005737", "GO:0031982", "GO:0005783", "GO:0005773", "GO:0005794",
    "GO:0005635", "GO:0005634", "GO:0005771", "GO:0005739",
]  # fmt: skip
CHALLENGE = ["ferritin complex", "Beta-amylase", "Beta-galactosidase", "cytosolic ribosome", "Thyroglobulin", "virus-like capsid"]  # fmt: skip # noqa: E501


@pytest.mark.parametrize("objects", [DATASET_10000, CHALLENGE, [f"object {number}" for number in range(12)]])
def test_objects_of_a_run_never_share_a_colour_while_there_are_enough(objects):
    assert len(set(colors_of(objects).values())) == len(objects)


def test_more_objects_than_colours_get_further_ones_and_another_symbol():
    looks = looks_of(f"object {number}" for number in range(30))
    palette = {rgba_of(code) for code in PALETTE.values()}

    assert len({color for color, _symbol in looks.values()}) == 30
    assert sum(symbol == "disc" for _color, symbol in looks.values()) >= 12
    assert {looks[key] for key in looks if looks[key][0] in palette} == {(color, "disc") for color in palette}
    assert colors_of(looks) == {key: color for key, (color, _symbol) in looks.items()}


@pytest.mark.parametrize("eye", EYES)
def test_24_objects_have_colours_that_are_apart_to_every_eye(eye):
    """Lighter ones of the same twelve came to 0.003."""
    colors = [code_of(color) for color in colors_of(f"object {number}" for number in range(24)).values()]

    assert closest_pair(colors, eye) > 0.053
    assert closest_pair([*colors, *OWN_PALETTE.values()], eye) > 0.044
    assert closest_pair([*FURTHER_PALETTE.values(), "#000000"], eye) > 0.053


@pytest.mark.parametrize(("count", "most"), [(24, 0), (36, 0), (40, 1), (48, 12)])
def test_picks_of_36_objects_are_told_apart_by_colour_or_symbol(count, most):
    """And what the docs say of more."""
    looks = list(looks_of(f"object {number}" for number in range(count)).values())
    pairs = [(one, other) for number, one in enumerate(looks) for other in looks[:number] if one[1] == other[1]]

    assert sum(are_alike(one, other) for (one, _), (other, _) in pairs) <= most


def test_a_symbol_tells_picks_apart_whose_colours_are_alike():
    yellow, sky = color_of("ribosome"), color_of("membrane")

    assert symbol_beside(yellow, [(sky, "disc")]) == "disc"
    assert symbol_beside(yellow, [(yellow, "disc")]) == "diamond"
    assert symbol_beside(yellow, [(yellow, "disc"), (yellow, "diamond"), (sky, "square")]) == "square"
    assert symbol_beside(yellow, [(yellow, "diamond")], first="diamond") == "disc"


def test_the_order_of_objects_does_not_change_their_colours():
    assert colors_of(DATASET_10000) == colors_of(reversed(DATASET_10000))


def test_well_known_objects_keep_their_colour_among_strangers():
    strangers = [f"object {number}" for number in range(11)]

    assert colors_of([*strangers, "GO:0022626"])["go:0022626"] == color_of("cytosolic ribosome")


def test_well_known_objects_that_are_annotated_together_differ():
    assert len({color_of(name) for name in CHALLENGE}) == len(CHALLENGE)
    assert {key: color_of(key) for key in ("go:0016020", "go:0005835")}.items() <= colors_of(DATASET_10000).items()


def test_instances_have_the_same_colour_as_points_and_in_a_mask():
    colormap = instance_colormap()

    assert colormap[0][3] == 0
    np.testing.assert_array_equal(
        instance_colors([1, 2, 12, 13]), [colormap[1], colormap[2], colormap[12], colormap[1]]
    )
    assert instance_colors([-1, 0]).shape == (2, 4)


@pytest.mark.parametrize("eye", EYES)
def test_colours_of_own_files_are_told_from_all_of_annotations(eye):
    own, theirs = (seen(rgb_of(palette.values()), eye) for palette in (OWN_PALETTE, PALETTE))
    greys = seen(np.repeat(np.linspace(0.2, 0.72, 40)[:, None], 3, axis=1), eye)

    assert closest_pair(list(OWN_PALETTE.values()), eye) > 0.1
    assert np.linalg.norm(own[:, None] - theirs[None], axis=2).min() > (0.11 if eye == "ordinary" else 0.05)
    assert np.linalg.norm(own[:, None] - greys[None], axis=2).min() > 0.09


def test_an_own_file_never_has_the_colour_of_an_annotation_while_there_are_enough():
    theirs = [color_of_code(code) for code in PALETTE.values()]
    lighter = list(colors_of(f"object {number}" for number in range(24)).values())
    given = []
    for _ in OWN_PALETTE:
        given.append(own_color(given))

    distances = np.linalg.norm(np.array(given)[:, None] - np.array([*theirs, *lighter])[None], axis=2)
    assert distances.min() > 0.15


def test_an_own_file_gets_a_colour_that_nothing_has_however_faint_that_is():
    first = own_color([])
    nearly = (first[0], first[1] - 0.05, first[2], 0.2)

    assert own_color([nearly]) not in (first, nearly)
    assert own_color([color_of("ribosome"), (1.0, 1.0, 1.0, 1.0)]) == first


def test_colours_that_are_asked_for_one_after_another_all_differ():
    given = []
    for _ in range(30):
        given.append(own_color(given))

    assert len(set(given)) == 30
    assert set(given[:4]) == {color_of_code(code) for code in OWN_PALETTE.values()}


def color_of_code(code):
    return (*(int(code[at : at + 2], 16) / 255 for at in (1, 3, 5)), 1.0)


def test_a_colour_of_ones_own_can_be_wished_for():
    first = own_color([], ["#00d494"])
    assert first == rgba_of("#00d494")
    assert own_color([first], ["#00d494"]) == rgba_of("#00d494", lighter=1)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("first", PALETTE)
def test_further_annotations_of_an_object_are_told_from_each_other_and_from_other_objects(first, eye):
    run = [rgba_of(PALETTE["sky"]), rgba_of(PALETTE["mint"])]
    same = [rgba_of(PALETTE[first])]
    for _ in range(3):
        same.append(another_color(same, run))

    assert closest_pair([code_of(color) for color in same], eye) > 0.09
    told = seen(np.array([color[:3] for color in [*same[1:], *run]]), eye)
    assert np.linalg.norm(told[:3, None] - told[None, 3:], axis=2).min() > 0.07


def test_a_further_annotation_of_an_object_has_another_colour_even_if_every_colour_is_taken():
    all_of_them = [color_of_code(code) for code in PALETTE.values()]

    assert another_color([color_of("ribosome")], all_of_them) in [rgba_of(code) for code in FURTHER_PALETTE.values()]
    every = [*all_of_them, *(rgba_of(code) for code in FURTHER_PALETTE.values())]
    assert another_color([color_of("ribosome")], every) in all_of_them
    assert another_color([color_of("ribosome")], every) != color_of("ribosome")


def test_a_further_annotation_of_an_object_stands_out_from_a_dark_canvas():
    for first in PALETTE:
        second = another_color([rgba_of(PALETTE[first])], [])
        assert np.linalg.norm(seen(np.array(second[:3]), "ordinary") - seen(np.zeros(3), "ordinary")) > 0.6


def code_of(color):
    return "#" + "".join(f"{round(255 * part):02x}" for part in color[:3])
