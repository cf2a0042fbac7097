"""Tables of picks and Croissant descriptions: columns, splits, and what other readers find."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import csv as arrow_csv

from napari_cryoet import CryoETError, ExistsError, SaveError
from napari_cryoet.exports import export
from napari_cryoet.exports.selection import Selection

Select = Callable[..., Selection]
PythonWith = Callable[[str], Callable[..., str]]


def test_a_table_has_the_picks_of_all_runs_with_units(tmp_path: Path, selection_of: Select) -> None:
    selection = selection_of()
    report = export(selection, "table", tmp_path / "picks.parquet")
    export(selection, "table", tmp_path / "picks.csv")
    table = pq.read_table(tmp_path / "picks.parquet")
    again = arrow_csv.read_csv(tmp_path / "picks.csv")

    assert table.num_rows == report.n_picks == again.num_rows
    assert set(table["split"].to_pylist()) == {"train", "test"}
    assert set(table["run_name"].to_pylist()) == {"DEMO_001", "MIX_001"}
    assert {"object_name", "is_ground_truth"} <= {*table.column_names}
    np.testing.assert_allclose(
        table["z_angstrom"].to_numpy(),
        table["z_voxel"].to_numpy() * table["voxel_spacing_angstrom"].to_numpy(),
    )
    np.testing.assert_allclose(again["x_angstrom"].to_numpy(), table["x_angstrom"].to_numpy())


def test_tables_need_a_known_format_picks_and_a_new_file(
    tmp_path: Path, selection_of: Select
) -> None:
    with pytest.raises(SaveError, match="format"):
        export(selection_of(), "table", tmp_path / "picks.xlsx")
    with pytest.raises(CryoETError, match="relion5"):
        export(selection_of(), "relion", tmp_path)
    with pytest.raises(CryoETError, match="picks"):
        export(replace(selection_of(), annotations=()), "table", tmp_path / "picks.csv")
    (tmp_path / "picks.csv").touch()
    with pytest.raises(ExistsError):
        export(selection_of(), "table", tmp_path / "picks.csv")


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_description_lists_everything_with_urls_and_splits(
    tmp_path: Path, selection_of: Select
) -> None:
    selection = selection_of()
    export(selection, "croissant", tmp_path)
    metadata = json.loads((tmp_path / "metadata.json").read_text())

    assert {row["name"]: row["split"] for row in rows_in(tmp_path / "runs.csv")} == {
        "DEMO_001": "train",
        "DEMO_003": "train",  # drawn
        "MIX_001": "test",
    }
    picks = rows_in(tmp_path / "picks.csv")
    assert {row["session_id"] for row in picks} >= {"ground-truth", "manual"}
    assert all(row["url"].endswith(".ndjson") and row["voxel_size"] for row in picks)
    (splits,) = (each for each in metadata["recordSet"] if each["@id"] == "copick/splits")
    assert [row["copick/splits/name"] for row in splits["data"]] == ["test", "train"]
    assert metadata["license"].startswith("https://creativecommons.org")
    with pytest.raises(ExistsError, match="metadata"):
        export(selection, "croissant", tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mlcroissant_reads_the_description_as_records(
    tmp_path: Path, selection_of: Select, python_with: PythonWith
) -> None:
    export(selection_of(), "croissant", tmp_path)
    record_sets = json.loads(
        python_with("mlcroissant==1.1.1")("exports/croissant_reads.py", tmp_path / "metadata.json")
    )

    assert record_sets["copick/runs"][0] == {
        "copick/runs/name": "DEMO_001",
        "copick/runs/portal_run_id": "9001",
        "copick/runs/split": "train",
    }
    assert [each["copick/splits/name"] for each in record_sets["copick/splits"]] == [
        "test",
        "train",
    ]
    assert len(record_sets["copick/picks"]) == len(rows_in(tmp_path / "picks.csv"))
    assert record_sets["copick/picks"][0]["copick/picks/voxel_size"] == 40.048
