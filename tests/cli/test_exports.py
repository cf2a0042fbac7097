"""``napari-cryoet export``: baskets, sources, reports and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_cryoet.basket.basket import Basket, BasketStore, Choices, Split, write_basket
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

    relion = ("export", "relion5", demo_pack, tmp_path / "relion", *wanted)
    assert run(*relion) == 3
    printed = capsys.readouterr()
    assert "1 run · 85 picks" in printed.out
    assert "left out: AN-9011" in printed.err
    assert run(*relion) == 1
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


def test_crops_of_several_voxel_sizes_need_one(
    tmp_path: Path, demo_pack: Path, capsys: Captured
) -> None:
    basket = Basket(
        source=open_portal(demo_pack).source.name,
        annotations=(9001, 9017),
        choices=Choices(with_tomogram="default"),
        split=Split(train=(9001,), test=(9005,)),
    )
    write_basket(basket, tmp_path / "mine.toml")
    command = ("export", "crops", tmp_path / "mine.toml", tmp_path / "c.zarr", "--size", "4")
    assert run(*command, "--allow-empty") == 1
    assert "31.36 Å (1 run), 40.048 Å (1 run)" in capsys.readouterr().err
    assert run(*command, "--voxel-size", "50") == 1
    assert "validation" in capsys.readouterr().err
    assert run(*command, "--voxel-size", "50", "--allow-empty") == 0
    printed = capsys.readouterr()
    assert "2 runs · 119 picks" in printed.out
    assert "resampled" in printed.err
    assert run(*command, "--size", "0") == 2
    assert run("export", "unicorn", demo_pack, tmp_path / "c.zarr") == 2


def test_a_download_is_exported_with_its_split(
    tmp_path: Path, served_demo: dict[str, str], capsys: Captured
) -> None:
    """Nothing is fetched again: the folder is its own source."""
    split = Split(shares=(50, 0, 50), train=(9001,), test=(9005,))
    basket = Basket(source=served_demo["graphql"], annotations=(9001, 9017), split=split)
    write_basket(basket.with_choices(with_tomogram="default"), tmp_path / "mine.toml")
    data = tmp_path / "data"
    assert run("download", tmp_path / "mine.toml", "--to", data) == 0
    options = ("--as", "ribosome", "--tomogram-type", "best", "--voxel-size", "40")
    capsys.readouterr()
    assert run("export", "copick", data, tmp_path / "project", *options) == 3
    printed = capsys.readouterr().err
    for words in ("cytosolic ribosome: called ribosome", "40.048 Å are called 40 Å", "31.36 Å"):
        assert words in printed
    project = tmp_path / "project"
    assert json.loads((project / "splits.json").read_text())["test"] == ["MIX_001"]
    assert not (project / "portal").exists()
    runs = project / "static" / "ExperimentRuns"
    assert (runs / "DEMO_001" / "VoxelSpacing40.000" / "best.zarr" / "0").exists()
    assert [*runs.glob("DEMO_001/Picks/*_ribosome.json")]

    manifest = json.loads((data / "manifest.json").read_text())
    manifest["items"][0]["is_complete"] = False
    (data / "manifest.json").write_text(json.dumps(manifest))
    assert run("export", "table", data, tmp_path / "picks.csv") == 3
    assert f"left out: {manifest['items'][0]['path']}" in capsys.readouterr().err
