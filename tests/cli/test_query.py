"""``napari-cryoet search``: rows for a person, JSON for a program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_cryoet.cli import main


def test_search_prints_a_row_for_each_dataset(demo_pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(demo_pack), "yeast"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("DS-90001  ")
    assert "DS-90002" not in printed.out
    assert "1 of 2 datasets" in printed.err


def test_search_without_words_lists_everything_as_json(demo_pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(demo_pack), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["id"] for row in rows} == {90001, 90002}
    assert all(row["release_date"].startswith("20") for row in rows)
