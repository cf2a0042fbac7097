"""Parsing of command lines, and usage errors."""

from __future__ import annotations

import shlex
import sys

import pytest
import typer

from napari_cryoet.cli import main
from napari_cryoet.cli.app import app
from napari_cryoet.cli.options import record_id, shape, window_size

Captured = pytest.CaptureFixture[str]


def test_examples_in_the_help_are_valid(capsys: Captured) -> None:
    group = typer.main.get_command(app)
    commands = group.commands | {
        f"basket {name}": each for name, each in group.commands["basket"].commands.items()
    }
    for words in commands.keys() - {"basket", "cache", "serve"}:
        assert main([*words.split(), "-h"]) == 0
        lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
        examples = [line for line in lines if line.startswith(f"napari-cryoet {words} ")]
        assert examples
        for line in examples:
            given = shlex.split(line, comments=True)[1 + len(words.split()) :]
            assert commands[words].make_context(words, given).params


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "fly",
        "download live",
        "download live --run 1 --to y --what nonsense",
        "download live --run 1 --dataset 2 --to y",
        "download live --run DS-10000 --to y",
        "open live --deposition 1 --dataset 2",
        "open live --annotations some",
        "open live --max-mb 0",
        "compare a.ndjson b.ndjson --radius inf",
        "compare a.ndjson b.ndjson --radius 0",
        "compare a.ndjson b.ndjson --spacing 1,2,3",
        "convert a.ndjson b.star --shape 1,2",
        "compare a.ndjson b.ndjson --iou 2",
        "compare a.ndjson b.ndjson --region 9:2",
        "demo --size 10x10",
        "demo --timeout -1",
        "cache clear everything",
        "cache limit much",
        "serve pack --port 99999",
    ],
)
def test_usage_errors_exit_with_2(arguments: str, capsys: Captured) -> None:
    assert main(arguments.split()) == 2
    assert "Usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "number"), [("506", 506), ("RN-506", 506), ("rn-12", 12), (" 7 ", 7)]
)
def test_ids_may_have_the_portals_prefix(text: str, number: int) -> None:
    assert record_id("run")(text) == number


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "RN-", "10000000000", "1 2", "٣"])
def test_invalid_ids_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        record_id("run")(text)


def test_sizes_are_positive_integers() -> None:
    assert shape("1000, 928,960") == (1000, 928, 960)
    assert window_size("1280x800") == (1280, 800)
    for text in ("1,2", "1,2,3,4", "0,1,1", "1,,2", "a,b,c"):
        with pytest.raises(typer.BadParameter):
            shape(text)


def test_debug_works_before_and_after_the_command() -> None:
    for arguments in (
        ["--debug", "list", "runs", "no/such"],
        ["list", "runs", "no/such", "--debug"],
    ):
        with pytest.raises(Exception, match="no folder"):
            main(arguments)
    assert main(["list", "runs", "no/such"]) == 1


def test_a_missing_extra_is_one_line(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "napari_cryoet.packs.serve", raising=False)
    assert main(["serve", "pack"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip install 'napari-cryoet[serve]'" in line
