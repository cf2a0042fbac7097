"""``napari-cryoet export``: baskets, sources, reports and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_cryoet.basket.basket import Basket, Choices, write_basket
from napari_cryoet.basket.store import BasketStore
from napari_cryoet.cli import main
from napari_cryoet.portal.portal import open_portal

Captured = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return main([*map(str, arguments)])


def test_search_results_are_exported_and_skipped_ones_reported(
    tmp_path: Path, demo_pack: Path, capsys: Captured
) -> None:
    wanted = ("DEMO_001", "--object", "ribosome")
    assert run("export", "copick", demo_pack, tmp_path / "project", *wanted, "--ground-truth") == 0
    assert "1 run · 1 volume · 85 picks" in capsys.readouterr().out
    assert json.loads((tmp_path / "project" / "config.json").read_text())["pickable_objects"]

    assert run("export", "relion5", demo_pack, tmp_path / "relion", *wanted) == 0
    printed = capsys.readouterr()
    assert "1 run · 85 picks" in printed.out
    assert "AN-9011" in printed.err
    assert run("export", "relion5", demo_pack, tmp_path / "relion", *wanted) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_a_basket_is_exported_from_its_file_or_the_store(
    tmp_path: Path, demo_pack: Path, capsys: Captured
) -> None:
    source = open_portal(demo_pack).source.name
    basket = Basket(
        source=source, annotations=(9001, 9017), choices=Choices(with_tomogram="denoised")
    )
    write_basket(basket, tmp_path / "mine.toml")
    assert run("export", "croissant", tmp_path / "mine.toml", tmp_path / "described") == 0
    assert "2 runs · 3 volumes" in capsys.readouterr().out

    assert run("export", "table", demo_pack, tmp_path / "picks.csv") == 1
    assert "nothing" in capsys.readouterr().err
    BasketStore().change(source, lambda _: basket)
    assert run("export", "table", demo_pack, tmp_path / "picks.csv") == 0
    assert "2 runs · " in capsys.readouterr().out


def test_crops_are_cut_locally_by_default(
    tmp_path: Path, demo_pack: Path, capsys: Captured
) -> None:
    assert run("export", "crops", demo_pack, tmp_path / "c.zarr", "DEMO_001", "--size", "4") == 0
    assert "1 run · 108 picks" in capsys.readouterr().out
    assert run("export", "crops", demo_pack, tmp_path / "c.zarr", "DEMO_001", "--size", "0") == 2
    assert run("export", "unicorn", demo_pack, tmp_path / "c.zarr") == 2
