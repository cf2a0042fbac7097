"""Tests of ``napari-cryoet basket`` and ``napari-cryoet download``."""

from __future__ import annotations

import json
import shutil
import socket
from itertools import chain
from pathlib import Path

import pytest
from msgspec.structs import replace

from napari_cryoet.basket.basket import BasketStore, read_basket, write_basket
from napari_cryoet.cli import main
from napari_cryoet.packs.pack import open_pack, write_pack
from napari_cryoet.portal.portal import open_portal

Captured = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    """Run a command; options in one text are split."""
    words = (each.split() if isinstance(each, str) else [str(each)] for each in arguments)
    return main([*chain(*words)])


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
    assert run("basket", "split", basket, "50,25,25") == 0
    assert read_basket(basket).split == split, "splitting again moves no run"
    assert run("basket", "split", basket, "50,25,25", "--seed", 3, "--by-dataset") == 0
    assert read_basket(basket).split.by_dataset
    assert run("basket", "add", basket, "--object", "ribosme") == 0
    assert "searched for ribosome" in capsys.readouterr().err
    assert run("basket", "show", basket) == 0
    assert "seed 3" in capsys.readouterr().out
    assert run("basket", "split", basket, "x") == 2


def test_check_exits_with_4_until_the_basket_is_updated(
    basket: Path, tmp_path: Path, capsys: Captured
) -> None:
    before = read_basket(basket)
    assert run("basket", "check", basket) == 0
    first, *others = before.annotations
    gone = before.without_ids("annotations", [first]).with_ids("annotations", [77])
    aged = gone.with_ids("annotations", [first], modified={first: "1999-01-01"})
    write_basket(aged, basket)
    assert run("basket", "check", basket) == 4
    assert "1 changed, 1 withdrawn" in capsys.readouterr().out
    for command in (
        ("download", basket, "--to", tmp_path / "to"),
        ("export", "croissant", basket, tmp_path / "croissant"),
    ):
        assert run(*command) == 4
        assert "AN-77: withdrawn" in capsys.readouterr().err
    assert (tmp_path / "to" / "manifest.json").exists(), "the rest is complete"
    assert run("basket", "check", basket, "--update") == 0
    assert run("basket", "check", basket) == 0
    assert {*read_basket(basket).annotations} == {first, *others}


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
    command = ("download", demo_pack, "--run 9001 --what annotations --to", tmp_path / "to")
    assert run(*command) == 0
    assert run(*command, "--retry-failed") == 0
    assert "Everything is complete" in capsys.readouterr().out


def test_download_selects_annotations_by_object(
    demo_pack: Path, tmp_path: Path, capsys: Captured
) -> None:
    command = ("download", demo_pack, "--run 9001 --what annotations --to", tmp_path / "to")
    assert run(*command, "--object Membranes") == 0
    annotations = open_portal(tmp_path / "to").run_page(9001).annotations
    assert {each.object_name for each in annotations} == {"membrane"}
    saved = read_basket(tmp_path / "to" / "basket.toml")
    assert (saved.name, saved.source) == ("RN-9001", str(demo_pack))
    assert run(*command, "--object unheard-of") == 1
    assert run(*command, "--object", "ribosme") == 0, "a wrong letter is forgiven, as in list"


def test_download_cuts_a_region_of_a_tomogram(
    demo_pack: Path, tmp_path: Path, capsys: Captured
) -> None:
    command = ("download", demo_pack, "--to", tmp_path / "to", "--region", "0:8,2:9,4:20")
    assert run(*command) == 2
    assert run(*command, "--run", 9001) == 0
    (tomogram,) = open_portal(tmp_path / "to").run_page(9001).tomograms
    assert (tomogram.shape_zyx, tomogram.offset_x) == ((8, 7, 16), 4)
    assert run(*command[:-1], "1,2,3", "--run", 9001) == 2


def test_add_creates_a_file_and_show_names_its_runs(
    demo_pack: Path, tmp_path: Path, capsys: Captured
) -> None:
    new = tmp_path / "new.toml"
    assert run("basket", "show", new) == 1
    assert run("basket", "add", new, "--source", demo_pack, "--id", "AN-9001") == 0
    basket = read_basket(new)
    assert (basket.name, basket.source) == ("new", str(demo_pack))
    assert basket.seen["annotations"].keys() == {9001}, "its date is known, so changes are noticed"
    capsys.readouterr()
    assert run("basket", "show", new) == 0
    assert "DEMO_001" in capsys.readouterr().out


def test_a_locked_basket_names_the_files_that_differ(
    basket: Path, demo_pack: Path, tmp_path: Path, capsys: Captured
) -> None:
    to = tmp_path / "to"
    assert run("download", basket, "--to", to) == 0
    assert run("basket", "lock", basket, "--folder", to) == 0
    locked = read_basket(basket)
    assert locked.lock is not None
    assert locked.lock.sha256.keys() == locked.lock.files.keys()
    assert run("basket", "check", basket) == 0
    assert run("download", basket, "--to", tmp_path / "again") == 0, "the same bytes"

    pack = tmp_path / "pack"
    shutil.copytree(demo_pack, pack)
    path, other = [each for each in locked.lock.files if each.endswith(".mrc")][:2]
    with (pack / "files" / path).open("r+b") as file:
        file.write(b"other")  # of the same size
    (pack / "files" / other).unlink()
    tables = {name: [*rows] for name, rows in open_pack(pack).tables.items()}
    tables["annotationFiles"] = [
        row for row in tables["annotationFiles"] if not row["httpsPath"].endswith(other)
    ]
    write_pack(pack, open_pack(pack).manifest, tables)
    write_basket(replace(locked, source=str(pack)), basket)
    capsys.readouterr()
    assert run("download", basket, "--to", tmp_path / "later") == 4
    said = capsys.readouterr().err
    assert f"{path}: other content" in said
    assert f"{other}: withdrawn" in said


def test_verify_finds_missing_damaged_and_unfinished_files(
    basket: Path, tmp_path: Path, capsys: Captured
) -> None:
    to = tmp_path / "to"
    assert run("verify", tmp_path) == 1
    run("download", basket, "--to", to)
    assert run("verify", to) == 0
    first, second = sorted((to / "files").rglob("*.mrc"))[:2]
    first.write_bytes(b"damaged")
    second.unlink()
    capsys.readouterr()
    assert run("verify", to) == 1
    said = capsys.readouterr().err
    assert f"{first.relative_to(to).as_posix()}: other content" in said
    assert f"{second.relative_to(to).as_posix()}: missing" in said


def test_an_unreachable_server_has_its_own_exit_code(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/graphql"
        assert run("list", "runs", address) == 5
