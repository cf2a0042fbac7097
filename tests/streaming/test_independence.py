"""The engine could be a package of its own: it speaks of arrays and blocks, not of one portal's data."""

import ast
import importlib.resources
import re

#: Words of the portal and its field, and of its viewer; the package's own name is none.
FOREIGN = re.compile(
    r"\b(portal|cryo-?et|cryo|tomogra\w+|annotation\w*|tilt ?series|[åa]ngstr[öo]m|particle\w*|napari|qt\w*)\b", re.I
)
INNOCENT = re.compile(r"napari[-_]cryoet|CryoETError|from __future__ import annotations", re.I)
#: What docs/streaming.md says that it needs of the rest of the package.
NEEDED = {"exceptions", "formats.ome_zarr", "http", "logins", "files", "policy"}
NEEDED |= {"errand", "forks", "shared", "short_turns", "stopping", "this_computer"}


def imports_of(source):
    """The modules of the package that a module imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    outright = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "napari_cryoet"]
    names |= {f"napari_cryoet.{alias.name}" for node in outright for alias in node.names}
    return {name.removeprefix("napari_cryoet.") for name in names if name.startswith("napari_cryoet.")}


def test_it_needs_little_of_the_package():
    found = set()
    for file in importlib.resources.files("napari_cryoet.streaming").iterdir():
        if file.name.endswith(".py"):
            found |= imports_of(file.read_text(encoding="utf-8"))
    assert {name for name in found if not name.startswith("streaming")} == NEEDED


def test_its_words_are_not_those_of_the_portal():
    found = []
    for file in importlib.resources.files("napari_cryoet.streaming").iterdir():
        if file.name.endswith(".py"):
            lines = enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
            matches = ((number, FOREIGN.search(INNOCENT.sub("", line))) for number, line in lines)
            found += [f"{file.name}:{number}: {match[0]}" for number, match in matches if match]
    assert found == ["__init__.py:3: portal"]  # which says so
