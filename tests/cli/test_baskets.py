"""Tests of ``napari-cryoet basket`` and ``napari-cryoet download``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_cryoet.basket.basket import read_basket, write_basket
from napari_cryoet.basket.store import BasketStore
from napari_cryoet.cli import main
from napari_cryoet.portal.portal import open_portal

Captured = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return main([*map(str, arguments)])


@pytest.fixture
def basket(demo_pack: Path, tmp_path: Path, capsys: Captured) -> Path:
    """A basket file with all membranes of the demo."""
    run("basket", "add", demo_pack, "--object", "membrane", "--format", "mrc")
    run("basket", "save", demo_pack, tmp_path / "membranes.toml")
    capsys.readouterr()
    return tmp_path / "membranes.toml"


def test_basket_commands_accept_a_file(basket: Path, demo_pack: Path, capsys: Captured) -> None:
    before = read_basket(basket)
    assert run("basket", "add", basket, "--id", "AN-9001", "--with-tomogram", "default") == 0
    assert read_basket(basket).annotations == (*before.annotations, 9001)
    assert BasketStore().current(str(demo_pack)) == before

    capsys.readouterr()
    assert run("basket", "show", basket, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["basket"]["annotations"][-1] == 9001
    assert shown["contents"]["parts"]["tomograms"]["n_files"] > 0


def test_a_split_is_recorded(basket: Path, capsys: Captured) -> None:
    assert run("basket", "split", basket, "50,25,25", "--seed", 3) == 0
    split = read_basket(basket).split
    assert split is not None
    assert (split.seed, split.shares) == (3, (50.0, 25.0, 25.0))
    assert run("basket", "show", basket) == 0
    assert "seed 3" in capsys.readouterr().out
    assert run("basket", "split", basket, "x") == 2


def test_check_exits_with_1_until_the_basket_is_updated(basket: Path, capsys: Captured) -> None:
    before = read_basket(basket)
    assert run("basket", "check", basket) == 0
    gone = before.with_ids("annotations", [77])
    aged = gone.with_ids(
        "annotations", before.annotations[:1], modified={before.annotations[0]: "1999-01-01"}
    )
    write_basket(aged, basket)
    assert run("basket", "check", basket) == 1
    assert "1 changed, 1 withdrawn" in capsys.readouterr().out
    assert run("basket", "check", basket, "--update") == 0
    assert run("basket", "check", basket) == 0
    assert read_basket(basket).annotations == before.annotations


def test_dry_run_prints_files_and_sizes(basket: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run("download", basket, "--to", tmp_path / "to", "--dry-run") == 0
    assert not (tmp_path / "to").exists()
    assert " KB" in (output := capsys.readouterr().out)
    assert ".mrc" in output
    (tmp_path / "file").touch()
    assert run("download", basket, "--to", tmp_path / "file" / "to", "--dry-run") == 0
    assert "! " in capsys.readouterr().err
    assert run("download", basket, "--to", tmp_path / "to", "--scripts") == 1


def test_downloading_an_empty_basket_fails(
    demo_pack: Path, tmp_path: Path, capsys: Captured
) -> None:
    run("basket", "add", demo_pack, "--id", "RN-9001")
    assert run("basket", "clear", demo_pack) == 0
    assert run("download", demo_pack, "--to", tmp_path / "to") == 1
    assert "fill the basket" in capsys.readouterr().err
    assert run("download", demo_pack, "--to", tmp_path, "--what", "metadata") == 2


def test_retry_failed_fetches_only_failed_files(
    demo_pack: Path, tmp_path: Path, capsys: Captured
) -> None:
    command = (
        "download",
        demo_pack,
        "--run",
        9001,
        "--to",
        tmp_path / "to",
        "--what",
        "annotations",
    )
    assert run(*command) == 0
    assert run(*command, "--retry-failed") == 0
    assert "Everything is complete" in capsys.readouterr().out


def test_download_selects_annotations_by_object(
    demo_pack: Path, tmp_path: Path, capsys: Captured
) -> None:
    command = (
        "download",
        demo_pack,
        "--run",
        9001,
        "--what",
        "annotations",
        "--to",
        tmp_path / "to",
    )
    assert run(*command, "--object", "Membranes") == 0
    annotations = open_portal(tmp_path / "to").run_page(9001).annotations
    assert {each.object_name for each in annotations} == {"membrane"}
    saved = read_basket(tmp_path / "to" / "basket.toml")
    assert (saved.name, saved.source) == ("RN-9001", str(demo_pack))
    assert run(*command, "--object", "unheard of") == 1


def test_download_cuts_a_region_of_a_tomogram(
    demo_pack: Path, tmp_path: Path, capsys: Captured
) -> None:
    command = ("download", demo_pack, "--to", tmp_path / "to", "--region", "0:8,2:9,4:20")
    assert run(*command) == 2
    assert run(*command, "--run", 9001) == 0
    (tomogram,) = open_portal(tmp_path / "to").run_page(9001).tomograms
    assert (tomogram.shape_zyx, tomogram.offset_x) == ((8, 7, 16), 4)
    assert run(*command[:-1], "1,2,3", "--run", 9001) == 2
