"""Checks of the whole checkout: package, versions, committed files, README and docs."""

from __future__ import annotations

import ast
import importlib.resources
import itertools
import os
import re
import runpy
import subprocess
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import napari_cryoet

PYTHON_VERSIONS = ("3.11", "3.12", "3.13", "3.14")
LOCK_FILES = {
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "pylock.toml",
    "package-lock.json",
    "pixi.lock",
}
#: Spelled so that this file doesn't match itself.
FORBIDDEN_TEXTS = {
    "a package registry's host": r"(?:pyp[i]|pythonhoste[d]|npmj[s]|deb\.debia[n]|anacond[a])\.(?:org|com)",
    "a path of one machine": r"(?<![\w.])/(?:wor[k]|roo[t]|hom[e]/\w+|Use[r]s/\w+)/",
}


@pytest.fixture(scope="module")
def pyproject(project_folder) -> dict[str, Any]:
    return tomllib.loads((project_folder / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def requirements(pyproject) -> list[Requirement]:
    """Those of the package, its extras and its groups; others than the package itself."""
    extras = pyproject["project"]["optional-dependencies"]
    groups = pyproject["dependency-groups"]
    texts = itertools.chain(
        pyproject["project"]["dependencies"], *extras.values(), *groups.values()
    )
    found = [Requirement(text) for text in texts if isinstance(text, str)]
    return [each for each in found if each.name != "napari-cryoet"]


@pytest.fixture(scope="module")
def tracked_files(project_folder) -> list[Path]:
    """All files that git tracks or would add."""
    if not (project_folder / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(
        command, cwd=project_folder, capture_output=True, check=True, text=True
    ).stdout
    return [
        path for name in listed.split("\0") if name and (path := project_folder / name).is_file()
    ]


@pytest.mark.skipif(
    "NAPARI_CRYOET_TEST_INSTALLED" not in os.environ, reason="not run against the wheel"
)
def test_the_tests_import_the_installed_wheel(project_folder):
    assert not Path(napari_cryoet.__file__).is_relative_to(project_folder / "src")


def test_the_package_is_typed_and_contains_its_manifest(project_folder):
    package = importlib.resources.files("napari_cryoet")
    assert (package / "py.typed").is_file()
    # without symbolic links, git writes the target's path into the file
    link = project_folder / "napari.yaml"
    manifest = (package / "napari.yaml").read_text(encoding="utf-8")
    assert link.read_text(encoding="utf-8") in {manifest, "src/napari_cryoet/napari.yaml"}


@pytest.mark.parametrize("python_version", PYTHON_VERSIONS)
def test_each_requirement_has_one_tested_version(
    project_folder, pyproject, requirements, python_version
):
    environment = {
        "python_version": python_version,
        "python_full_version": f"{python_version}.0",
    }
    lines = (project_folder / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    used = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
    tested = {pin.name: str(pin.specifier).removeprefix("==") for pin in used}
    assert len(tested) == len(used)
    assert set(tested) == {pin.name for pin in pins}

    assert (
        f"Programming Language :: Python :: {python_version}" in pyproject["project"]["classifiers"]
    )
    for requirement in requirements:
        version = tested[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), requirement


def test_each_dependency_has_a_lowest_version(requirements):
    assert [each for each in requirements if ">=" not in str(each.specifier)] == []


def test_the_address_makes_links_of_the_readme_absolute(project_folder):
    pytest.importorskip("hatchling", reason="only needed to build the package")
    hook_class = runpy.run_path(str(project_folder / "hatch_build.py"))["RepositoryHook"]
    address = "https://host/napari-cryoet"

    released = {"version": "1.2.0"}
    hook_class(str(project_folder), {"repository": address}).update(released)
    text = released["readme"]["text"]
    targets = re.findall(r"\]\((.+?)\)", text)
    assert f"{address}/raw/v1.2.0/docs/images/demo.png" in targets
    assert f"{address}/blob/v1.2.0/docs/tutorial.md" in targets
    assert [target for target in targets if not target.startswith("https://")] == []
    assert released["urls"]["Source"] == address

    unnamed = {"version": "1.2.0"}
    hook_class(str(project_folder), {"repository": ""}).update(unnamed)
    assert "urls" not in unnamed


@pytest.fixture
def check_release(project_folder, tmp_path, capsys):
    """Run scripts/check_release.py on a copy of the files that it reads, with some texts replaced."""
    names = ("pyproject.toml", "CITATION.cff", "CHANGELOG.md", "scripts/check_release.py")
    replaced = {
        'repository = ""': 'repository = "https://host/our/napari-cryoet"',
        "(unreleased)": f"({date_in_citation(project_folder)})",
    }

    def run(tag="v0.1.0", address="https://host/our/napari-cryoet", **changes):
        for name in names:
            text = (project_folder / name).read_text(encoding="utf-8")
            for old, new in (replaced | changes).items():
                text = text.replace(old, new)
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        main = runpy.run_path(str(tmp_path / "scripts" / "check_release.py"))["main"]
        return main(tag, address), *capsys.readouterr()

    return run


def date_in_citation(project_folder):
    text = (project_folder / "CITATION.cff").read_text(encoding="utf-8")
    return re.search(r"^date-released: (\S+)$", text, re.MULTILINE)[1]


def test_a_release_needs_an_address_a_version_and_a_date(check_release):
    code, notes, _problems = check_release()
    assert code == 0
    assert notes.startswith("### Added")

    for problem, arguments in {
        "address": {'repository = ""': 'repository = ""'},
        "https://host/fork": {"address": "https://host/fork"},
        "CITATION.cff": {"tag": "v0.2.0"},
        "CHANGELOG.md": {"(unreleased)": "(unreleased)"},
    }.items():
        code, notes, problems = check_release(**arguments)
        assert (code, notes) == (1, "")
        assert problem in problems


def test_no_forbidden_content_is_committed(tracked_files):
    assert [path.name for path in tracked_files if path.name in LOCK_FILES] == []
    assert [path.name for path in tracked_files if path.stat().st_size > 2_000_000] == []
    for path in tracked_files:
        content = path.read_bytes()
        text = "" if b"\0" in content[:8000] else content.decode("utf-8", errors="replace")
        for what, pattern in FORBIDDEN_TEXTS.items():
            assert re.search(pattern, text) is None, f"{path} names {what}"


def test_files_linked_in_the_readme_exist(project_folder):
    readme = (project_folder / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", readme)
    assert targets
    assert [target for target in targets if not (project_folder / target).exists()] == []


def test_modules_in_the_map_from_screen_to_module_exist(project_folder):
    package = project_folder / "src" / "napari_cryoet"
    page = (project_folder / "docs" / "developers" / "map.md").read_text(encoding="utf-8")
    cells = [cell for line in page.splitlines() for cell in line.split("|")[2:4]]
    named = 0
    for cell in cells:
        folder = package
        for name in re.findall(r"`([^`]+)`", cell):
            path = package / name if (package / name).exists() else folder / name
            assert path.exists(), name
            folder = path.parent
            named += 1
    assert named > 40


def test_every_public_name_is_in_the_reference(project_folder):
    pages = (project_folder / "docs").rglob("*.md")
    shown = {
        name
        for page in pages
        for name in re.findall(r"^::: \S+\.(\w+)$", page.read_text(), re.MULTILINE)
    }
    public = [name for name in napari_cryoet.__all__ if not name.endswith(("Error", "__"))]
    assert [name for name in public if name not in shown] == []


def test_no_files_import_each_other_in_a_circle(project_folder):
    """Also not inside functions or for types, which import-linter allows within a room."""
    package = project_folder / "src"
    files = {}
    for path in package.rglob("*.py"):
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        files[name.removesuffix(".__init__")] = path
    imports = {name: set() for name in files}
    for name, path in files.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                targets = {f"{node.module}.{alias.name}" for alias in node.names}
                modules = {each if each in files else node.module for each in targets}
                imports[name] |= modules & files.keys() - {name}
    TopologicalSorter(imports).prepare()  # CycleError names them
