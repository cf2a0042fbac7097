"""The engine could be a package of its own: it speaks of arrays and blocks, not of one portal's data."""

import importlib.resources
import re

#: Words of the portal and its field; the package's own name is none.
FOREIGN = re.compile(r"\b(portal|cryo-?et|cryo|tomogra\w+|annotation\w*|tilt ?series|ångström|particle\w*)\b", re.I)
INNOCENT = re.compile(r"napari[-_]cryoet|CryoETError|from __future__ import annotations", re.I)


def test_its_words_are_not_those_of_the_portal():
    found = []
    for file in importlib.resources.files("napari_cryoet.streaming").iterdir():
        if file.name.endswith(".py"):
            lines = enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
            matches = ((number, FOREIGN.search(INNOCENT.sub("", line))) for number, line in lines)
            found += [f"{file.name}:{number}: {match[0]}" for number, match in matches if match]
    assert found == ["__init__.py:3: portal"]  # which says so
