"""Colours of objects: stable, distinct, and safe for colour-blind people."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from napari_cryoet.appearance.colors import (
    OWN_PALETTE,
    PALETTE,
    annotation_colors,
    color_of,
    instance_colormap,
    instance_colors,
    rgba_of,
)
from napari_cryoet.appearance.objects import object_key
from samples import make_annotation

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
# linear RGB as seen without one kind of cone, after Machado, Oliveira and Fernandes (2009),
# severity 1
EYES = {
    "ordinary": np.eye(3),
    "protanope": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranope": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanope": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def perceived(colors, eye):
    rgb = np.asarray(colors)[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(np.clip(linear @ np.transpose(EYES[eye]), 0, 1) @ TO_CONES.T) @ TO_LAB.T


def annotations(*names):
    return [
        make_annotation(id=number, object_id="", object_name=name)
        for number, name in enumerate(names, 1)
    ]


@pytest.mark.parametrize("eye", EYES)
def test_palette_colours_are_distinct_from_each_other_and_greys(eye):
    colors = perceived([rgba_of(code) for code in PALETTE.values()], eye)
    greys = perceived(np.repeat(np.linspace(0.2, 0.72, 40)[:, None], 3, axis=1), eye)
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=2)
    assert distances[np.triu_indices(len(colors), 1)].min() > (0.07 if eye == "tritanope" else 0.1)
    assert np.linalg.norm(colors[:, None] - greys[None], axis=2).min() > 0.09


def test_colours_are_the_same_in_every_session():
    code = "from napari_cryoet.appearance.colors import color_of; print(color_of('Snoopy complex'))"
    printed = {subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(2)}
    assert printed == {f"{color_of('Snoopy complex')}\n"}


def test_objects_are_identified_by_id_or_normalised_name():
    assert object_key("unknown", "Cytosolic_Ribosome ") == "cytosolic ribosome"
    assert color_of("GO:0022626") == color_of("80S ribosomes") == rgba_of(PALETTE["yellow"])
    assert color_of("CDPO:1234567", "ferritin complex") == rgba_of(PALETTE["orange"])


def test_objects_of_a_run_have_distinct_colours_in_any_order():
    run = annotations("ribosome", "membrane", *(f"protein {number}" for number in range(10)))
    colors = annotation_colors(run)
    assert len(set(colors.values())) == len(run)
    assert colors[1] == color_of("ribosome")
    assert colors[2] == color_of("membrane")
    random.Random(0).shuffle(run)
    assert annotation_colors(run) == colors


def test_annotations_of_the_same_object_have_different_colours():
    colors = annotation_colors(annotations("ribosome", "ribosome", "membrane", "ribosome"))
    assert colors[1] == color_of("ribosome")
    assert colors[3] == color_of("membrane")
    assert len(set(colors.values())) == 4


def test_instances_have_the_same_colour_in_picks_and_masks():
    background, *cycle = instance_colormap()
    assert background[3] == 0
    np.testing.assert_allclose(
        instance_colors([1, 2, len(cycle) + 1]), [cycle[0], cycle[1], cycle[0]]
    )


def test_no_instance_looks_like_an_object_or_another_instance():
    _, *instances = instance_colormap()
    others = [rgba_of(code) for code in (*PALETTE.values(), *OWN_PALETTE)]
    own = perceived(np.array(instances)[:, :3], "ordinary")
    theirs = perceived(np.array(others)[:, :3], "ordinary")
    assert np.linalg.norm(own[:, None] - theirs, axis=2).min() > 0.1
    between = np.linalg.norm(own[:, None] - own, axis=2)
    assert between[~np.eye(len(own), dtype=bool)].min() > 0.1
