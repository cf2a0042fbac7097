"""What can be typed: help, versions, ids, and what is not understood."""

from __future__ import annotations

import argparse
import shlex
import time

import pytest

from command_line import COMMANDS, modules_after, run_process
from napari_cryoet.cli import main
from napari_cryoet.cli.arguments import annotation_id, run_id
from napari_cryoet.cli.parser import build_parser
from napari_cryoet.demo.content import RUNS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"  napari-cryoet {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_every_example_is_understood_and_names_what_the_demo_has(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    _, _, examples = capsys.readouterr().out.partition("examples:\n")
    lines = examples.splitlines()
    assert lines
    for line in lines:
        options = build_parser().parse_args(shlex.split(line, comments=True)[1:])
        if getattr(options, "source", "") == "demo" and getattr(options, "run", None) is not None:
            assert options.run in {run.id for run in RUNS}


def test_help_names_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(f"    {command} " in text for command in COMMANDS)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from napari_cryoet._version import __version__

    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"napari-cryoet {__version__}\n"


def test_help_comes_at_once() -> None:
    def duration_s() -> float:
        begun_s = time.perf_counter()
        run_process("--help")
        return time.perf_counter() - begun_s

    assert any(duration_s() < 2 for _ in range(20))  # about 0.05 on a machine that does nothing else


def test_help_imports_nothing_heavy() -> None:
    heavy = {"numpy", "zarr", "dask", "gql", "graphql", "urllib3", "cryoet_data_portal", "scipy", "napari", "qtpy"}
    assert not modules_after(["download", "--help"]) & heavy


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["download", "live"],
        ["download", "live", "--run", "x", "--to", "y"],
        ["download", "live", "--run", "1", "--to", "y", "--what", "frames"],
        ["download", "live", "--run", "1", "--to", "y", "--what", ","],
        ["download", "live", "--run", "1", "--to", "y", "--format", "tiff"],
        ["open", "live", "--run", "1", "--dataset", "2"],
        ["open", "live", "--deposition", "1", "--dataset", "2"],
        ["open", "live", "--annotations", "some"],
        ["compare", "a.ndjson"],
        ["compare", "a.ndjson", "b.ndjson", "--radius", "0"],
        ["compare", "a.ndjson", "b.ndjson", "--radius", "inf"],
        ["compare", "a.ndjson", "b.ndjson", "--method", "best"],
        ["compare", "a.ndjson", "b.ndjson", "--symmetry", "D7"],
        ["compare", "a.ndjson", "b.ndjson", "--spacing", "1,2,3"],
        ["compare", "a.ndjson", "b.ndjson", "--iou", "2"],
        ["compare", "a.star", "b.star", "--shape", "20,20"],
        ["demo", "--size", "3"],
        ["demo", "--size", "10x10"],
        ["demo", "--timeout", "-1"],
        ["serve", "pack", "--port", "99999"],
        ["pack", "live", "folder"],
    ],
)
def test_what_is_not_understood_ends_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "number"), [("506", 506), ("RN-506", 506), ("rn-12", 12), (" 7 ", 7)])
def test_ids_are_taken_as_the_portal_writes_them(text: str, number: int) -> None:
    assert run_id(text) == number
    assert annotation_id("AN-12") == 12


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "RN-", "10000000000", "1 2"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        run_id(text)


@pytest.mark.parametrize(
    "arguments", [["--run", "DS-10000"], ["--dataset", "RN-506"], ["--deposition", "DS-1"], ["--annotations", "RN-506"]]
)
def test_an_id_of_another_kind_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["open", "demo", *arguments])
    assert end.value.code == 2
    assert "ids of those look like" in capsys.readouterr().err


def test_debug_is_understood_before_and_after_the_command() -> None:
    parser = build_parser()
    assert parser.parse_args(["--debug", "cache"]).debug
    assert parser.parse_args(["cache", "--debug"]).debug
    assert not parser.parse_args(["cache"]).debug
