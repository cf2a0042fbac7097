"""What rooms add to the dock: names of code, names of docks, and the links that they open."""

from __future__ import annotations

from pkgutil import resolve_name

import pytest
from npe2 import PluginManifest

from napari_cryoet._qt import rooms
from napari_cryoet._qt.widgets.dock import PLUGIN_NAME


def test_every_target_exists():
    entries = (*rooms.START, *rooms.OPTIONS, *rooms.RUN_BUTTONS, *rooms.BASKET_FILES)
    targets = [entry.target for entry in entries]
    targets += [offer.entry.target for offer in rooms.OFFERS]
    targets += [opener.target for opener in rooms.OPENERS]
    targets += [*rooms.KEYS.values(), *rooms.SOURCE, *rooms.LATER]
    for target in targets:
        assert callable(resolve_name(target)), target


def test_layers_open_docks_of_the_manifest():
    manifest = PluginManifest.from_distribution(PLUGIN_NAME)
    names = {each.display_name for each in manifest.contributions.widgets}
    assert {entry.dock for entry in rooms.LAYERS} <= names


@pytest.mark.parametrize(
    ("text", "room"),
    [
        ("a/lesson.md", "lessons"),
        ("lesson.md", "lessons"),
        ("an-other-lesson.md", None),
        ("a/membrane.view.json", "views"),
        ("napari-cryoet://v1/abc", "views"),
        ("<napari-cryoet:v1/abc>", "views"),
        ("https://cryoetdataportal.czscience.com/view/runs/506#!%7B%7D", "views"),
        ("https://cryoetdataportal.czscience.com/runs/506", None),
        ("#!/bin/sh", None),
        ("DS-10000", None),
        ("ribosome", None),
    ],
)
def test_a_link_or_path_belongs_to_one_room(text, room):
    opener = rooms.opener_of(text)
    assert (room is None) == (opener is None)
    assert opener is None or f"._qt.{room}." in opener.target
