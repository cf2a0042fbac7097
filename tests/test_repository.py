"""The repository keeps its promises: what has to agree agrees, and what must never be committed isn't."""

from __future__ import annotations

import argparse
import importlib
import importlib.resources
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import napari_cryoet
from napari_cryoet import http_bodies, progressive, streaming
from napari_cryoet.http import Http
from napari_cryoet.streaming import (
    cache,
    cached_source,
    disk_index,
    disk_settings,
    display,
    failures,
    frame_reader,
    line,
    orders,
    plain_reader,
    plan,
    read_ahead,
    readers,
    right_of_way,
    slabs,
    traffic,
    undivided,
    watch,
)
from napari_cryoet.streaming.admission import lowest_priority
from napari_cryoet.streaming.fetcher import THREADS
from napari_cryoet.streaming.flights import Flight
from napari_cryoet.streaming.wishes import Priority, Run

#: Read by CI, which runs the tests a second time against the installed wheel.
EXPECTS_INSTALLED = "NAPARI_CRYOET_TEST_INSTALLED" in os.environ


@pytest.fixture(scope="module")
def tracked_files(project_folder) -> list[Path]:
    """Every file of the checkout that git knows or would add."""
    if not (project_folder / ".git").exists():
        pytest.skip("these tests don't stand in a git checkout")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=project_folder,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    return [path for name in names if name and (path := project_folder / name).is_file()]


@pytest.fixture(scope="module")
def project(project_folder) -> dict:
    """What pyproject.toml says."""
    return tomllib.loads((project_folder / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def readme(project_folder) -> str:
    return (project_folder / "README.md").read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def run_python(code: str) -> str:
    command = [sys.executable, "-I", "-c", code]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=100).stdout.strip()


# ---- the package ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not EXPECTS_INSTALLED, reason="only CI's second round of tests runs against the wheel")
def test_the_tests_see_the_installed_wheel(project_folder):
    assert not Path(napari_cryoet.__file__).is_relative_to(project_folder)


def test_the_package_says_that_it_is_typed_and_brings_its_manifest():
    package = importlib.resources.files("napari_cryoet")
    assert (package / "py.typed").is_file()
    assert (package / "napari.yaml").is_file()


def test_the_manifest_at_the_top_is_the_packaged_one(project_folder):
    link = project_folder / "napari.yaml"
    packaged = project_folder / "src" / "napari_cryoet" / "napari.yaml"
    if link.is_symlink():
        assert link.resolve() == packaged.resolve()
    else:  # git writes the target's path into a file where links are not to be had, as on many Windows machines
        assert link.read_text(encoding="utf-8") in {
            "src/napari_cryoet/napari.yaml",
            packaged.read_text(encoding="utf-8"),
        }


@pytest.mark.parametrize("module", ["napari_cryoet", "napari_cryoet.cli"])
def test_importing_it_costs_neither_qt_nor_napari_nor_the_heavy_libraries(module):
    heavy = ["napari", "qtpy", "PyQt6", "PySide6", "vispy", "zarr", "dask", "scipy", "cryoet_data_portal"]
    loaded = run_python(f"import sys, {module}; print(*(name for name in {heavy!r} if name in sys.modules))")
    assert loaded == ""


# ---- versions ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def constraints(project_folder) -> dict[str, str]:
    """The tested version of each library."""
    lines = (project_folder / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def test_the_constraints_are_plain_versions(project_folder):
    lines = (project_folder / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line)] == []


def test_what_is_tested_is_what_the_package_allows(project, constraints):
    texts = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        texts += extra
    requirements = [Requirement(text) for text in texts]
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        if name != "napari-cryoet":
            assert requirement.specifier.contains(constraints[name], prereleases=True), requirement


def test_every_dependency_says_the_lowest_version_that_works(project):
    texts = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["all"]]
    assert [text for text in texts if ">=" not in text] == []


def test_pre_commit_and_ci_run_the_same_ruff(project_folder, constraints):
    config = (project_folder / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert f"rev: v{constraints['ruff']}" in config


# ---- what is never committed ------------------------------------------------------------------------------------

#: Spelled so that this file doesn't match itself.
FORBIDDEN_TEXTS = {
    "a package registry's host": r"(?:pyp[i]|pythonhoste[d]|npmj[s]|deb\.debia[n]|anacond[a])\.(?:org|com)",
    "a path of somebody's machine": r"(?<![\w.])/(?:wor[k]|roo[t]|hom[e]/\w+|Use[r]s/\w+)/",
}
LOCK_FILES = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml", "package-lock.json", "pixi.lock"}


def text_of(path: Path) -> str:
    content = path.read_bytes()
    return "" if b"\0" in content[:8000] else content.decode("utf-8", errors="replace")


@pytest.mark.parametrize("what", FORBIDDEN_TEXTS)
def test_no_file_names(tracked_files, project_folder, what):
    found = [
        f"{path.relative_to(project_folder)}: {match.group()}"
        for path in tracked_files
        for match in re.finditer(FORBIDDEN_TEXTS[what], text_of(path))
    ]
    assert found == []


def test_there_is_no_lock_file(tracked_files):
    assert [path.name for path in tracked_files if path.name in LOCK_FILES] == []


def test_no_file_is_huge(tracked_files):
    assert [path.name for path in tracked_files if path.stat().st_size > 2_000_000] == []


# ---- README and docs --------------------------------------------------------------------------------------------


def test_the_scripts_can_be_run(project_folder):
    for name in ("scripts/demo", "scripts/test", ".ci/run"):
        path = project_folder / name
        assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
        assert os.name == "nt" or os.access(path, os.X_OK), name


def test_every_file_that_the_readme_points_to_exists(readme, project_folder):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", readme)
    assert targets
    assert [target for target in targets if not (project_folder / target).exists()] == []


def test_the_python_of_the_readme_is_the_example(readme, project_folder):
    example = (project_folder / "examples" / "open_run.py").read_text(encoding="utf-8")
    assert code_blocks(readme, "python") == [example.partition('"""\n\n')[2]]


def shell_commands(project_folder: Path, program: str) -> list[list[str]]:
    """Every command line of the README and the docs that starts a program."""
    pages = [*project_folder.glob("*.md"), *(project_folder / "docs").rglob("*.md")]
    blocks = [block for page in pages for block in code_blocks(page.read_text(encoding="utf-8"), "bash")]
    commands = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [command for command in commands if command and command[0] == program]


def test_the_command_lines_of_readme_and_docs_are_understood(project_folder):
    from napari_cryoet.cli import build_parser

    commands = [command for command in shell_commands(project_folder, "napari-cryoet") if "COMMAND" not in command]
    assert len(commands) > 10
    for command in commands:
        if "--help" not in command:
            build_parser().parse_args(command[1:])


def test_the_page_of_the_command_line_names_every_option_and_no_other(project_folder):
    from napari_cryoet.cli import build_parser

    def parsers(parser):
        yield parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for each in action.choices.values():
                    yield from parsers(each)

    actions = [action for parser in parsers(build_parser()) for action in parser._actions]
    options = {name for action in actions for name in action.option_strings if name.startswith("--")}
    page = (project_folder / "docs" / "command-line.md").read_text(encoding="utf-8")

    assert set(re.findall(r"--[a-z][a-z-]+", page)) == options


def test_every_picture_of_the_docs_is_drawn_by_the_script_and_shown_with_words(project_folder):
    docs = project_folder / "docs"
    script = (project_folder / "scripts" / "pictures.py").read_text(encoding="utf-8")
    names = set(re.findall(r'^    "([a-z-]+)": \(', script, re.MULTILINE))
    shown = {
        name
        for page in docs.rglob("*.md")
        for words, name in re.findall(r"!\[([^\]]*)\]\([./]*images/([a-z-]+)\.png\)", page.read_text(encoding="utf-8"))
        if len(words) > 20
    }

    assert names == {path.stem for path in (docs / "images").glob("*.png")} == shown


def test_examples_in_the_docs_are_included_by_a_line_that_no_formatter_touched(project_folder):
    pages = {page.name: page.read_text(encoding="utf-8") for page in (project_folder / "docs").rglob("*.md")}

    assert [name for name, text in pages.items() if re.search(r"^--8\s*<", text, re.MULTILINE)] == [
        name for name, text in pages.items() if re.search(r'^--8<-- "', text, re.MULTILINE)
    ]


def test_every_public_name_is_in_the_reference(project_folder):
    import napari_cryoet

    reference = (project_folder / "docs" / "reference.md").read_text(encoding="utf-8")
    shown = {path.rpartition(".")[2] for path in re.findall(r"^::: (\S+)", reference, re.MULTILINE)}
    names = [name for name in napari_cryoet.__all__ if not name.endswith(("Error", "__"))]

    assert "exceptions" in shown
    assert [name for name in names if name not in shown] == []


def test_the_reference_has_all_that_other_viewers_and_plugins_stream_with(project_folder):
    page = (project_folder / "docs/reference.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^::: [\w.]+\.(\w+)$", page, flags=re.MULTILINE))
    assert {*streaming.__all__, *progressive.__all__} <= documented


def test_what_the_reference_has_of_streaming_is_had_from_there_by_its_name(project_folder):
    page = (project_folder / "docs/reference.md").read_text(encoding="utf-8")
    homes = re.findall(r"^::: (napari_cryoet\.streaming\.\w+)\.(\w+)$", page, flags=re.MULTILINE)
    assert sorted(name for _, name in homes) == sorted(streaming.__all__)
    for home, name in homes:
        assert getattr(streaming, name) is getattr(importlib.import_module(home), name)


def test_the_page_on_streaming_says_what_each_of_its_modules_is_for(project_folder):
    page = (project_folder / "docs/streaming.md").read_text(encoding="utf-8")
    rows = [row for row in page[page.index("| module |") :].split("\n\n")[0].splitlines() if row.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    modules = {path.stem for path in (project_folder / "src/napari_cryoet/streaming").glob("[!_]*.py")}
    assert named == modules


def test_the_sizes_on_the_page_on_streaming_are_those_of_the_code(project_folder):
    page = (project_folder / "docs/streaming.md").read_text(encoding="utf-8")
    table = page[page.index("**Sizes** that were chosen") :].split("\n\n")[1]
    ahead = [Flight(Run((), lambda *_: {}), (), priority=Priority.AHEAD) for _ in range(THREADS)]
    least = [lowest_priority(ahead[:count], THREADS) for count in range(THREADS)]
    code = [
        *(THREADS, THREADS // 2),
        THREADS // traffic._SHARE_OF_OTHERS,
        *(least.index(Priority.VIEW), least.index(Priority.AHEAD)),
        *(in_words(slabs._WHOLE_CHUNK_BYTES), in_words(frame_reader._SMALL_CHUNK_BYTES)),
        *(in_words(slabs._SMALLEST_SLAB_BYTES), in_words(frame_reader._SLAB_BYTES_IN_SMALL_CHUNKS)),
        *(in_words(frame_reader._SMALL_CHUNK_BYTES), in_words(plain_reader._BLOCK_BYTES)),
        *(in_words(frame_reader._MAX_GAP_BYTES), in_words(plain_reader._MAX_GAP_BYTES)),
        *(in_words(readers._RUN_BYTES), in_words(orders._REQUEST_BYTES)),
        *(cache._SMALLEST_BYTES >> 20, in_words(cache._LARGEST_BYTES)),
        *(in_words(undivided._LARGEST_BYTES), in_words(undivided._HELD_BYTES)),
        in_words(undivided._MOST_ON_ITS_WAY_BYTES),
        *(in_words(display._LARGEST_VIEW_BYTES), plan._WASTEFUL),
    ]
    assert re.findall(r"\d+(?: [KM]iB)?", table) == list(map(str, code))
    assert readers._MAX_GAP_BYTES == frame_reader._MAX_GAP_BYTES


def test_the_times_and_counts_on_the_page_on_streaming_are_those_of_the_code(project_folder):
    page = " ".join((project_folder / "docs/streaming.md").read_text(encoding="utf-8").split())
    http = inspect.signature(Http).parameters
    said = [
        f"first {in_words(frame_reader.HEAD_BYTES)} of the first chunk",
        f"({line._RECONNECT_ROUND_TRIPS} round trips)".replace("3", "three"),
        f"within the time of an answer and {line._SLACK_S:g} s",
        f"with {line._GROWTH:g} times as much in the time of {line._ANSWERS_TO_GROW} answers".replace("10", "ten"),
        f"the next {plan._COARSE_LEAD_S:g} s at its present pace",
        f"{plan._LEAD_S:g} s of that pace need, from {plan._FEWEST_BLOCKS_AHEAD} to {plan._MOST_BLOCKS_AHEAD}",
        f"no more than {in_words(orders._LARGEST_BACKGROUND_BYTES)}, and no more than a quarter",
        f"where there are no more than {plan._MOST_TABLES}.",
        f"{display._SETTLE_S * 1000:g} ms after it was sliced",
        f"more than {in_words(plan._LARGEST_AHEAD_BYTES)} are not fetched",
        f"looked at for {display._COSTLY_SETTLE_S:g} s",
        f"at most {disk_settings._LARGEST_BYTES / 10**9:g} GB, and a tenth of the free disk",
        f"for the first {in_words(cached_source._COMPARED_BYTES)} of the file nearest to the root",
        f"{right_of_way._LONGEST_WAIT_S * 1000:g} ms at most",
        f"(less than {in_words(http_bodies.PIECE_BYTES)} in {http['timeout_s'].default:g} s)",
        f"no more than {in_words(disk_index.MAX_PART_BYTES)}: slow, but exact",
        f"in the first {in_words(http_bodies._MAX_SKIP_BYTES)} is cut",
        f"beyond {in_words(http_bodies._MAX_UNPACKED_BYTES)} it is refused",
        f"not sent for again within {failures._FAILED_S:g} s",
        f"it is asked for again every {watch._OWED_AGAIN_S:g} s",
        f"as many as that, up to {read_ahead._FARTHEST}, are fetched ahead",
    ]
    assert [words for words in said if words not in page] == []
    assert (disk_settings._SHARE_OF_FREE, read_ahead._SHORTEST, plan._SOON_S) == (0.1, 3, 1.0)
    assert http["attempts"].default == 4


def in_words(size_bytes: int) -> str:
    return f"{size_bytes >> 20} MiB" if size_bytes >= 2**20 else f"{size_bytes >> 10} KiB"
