"""Dynamo tables: counting from 1, columns of zeros, and data that a table can't hold."""

import dynamotable
import numpy as np
import pandas as pd
import pytest

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.registry import read_picks

POINT = {"x": [10.0], "y": [20.0], "z": [30.0]}


def table(folder, **columns):
    count = max(map(len, columns.values()))
    rows = {name: np.resize(values, count) for name, values in columns.items()}
    dynamotable.write(pd.DataFrame(rows), str(folder / "a.tbl"))
    return folder / "a.tbl"


def test_positions_count_from_1_and_shifts_are_added(tmp_path):
    picks = read_picks(table(tmp_path, **POINT, dx=[0.5], dy=[-1.0], dz=[2.0]))

    assert picks.points_xyz.tolist() == [[9.5, 18, 31]]
    assert any("from 1" in warning for warning in picks.about.warnings)
    assert any("dx" in warning for warning in picks.about.warnings)


def test_apix_is_the_voxel_spacing_and_scales_positions(tmp_path):
    path = table(tmp_path, **POINT, apix=[4.0])

    assert read_picks(path).spacing_angstrom == 4.0
    assert read_picks(path, spacing_angstrom=8.0).points_xyz.tolist() == [[4.5, 9.5, 14.5]]
    assert read_picks(table(tmp_path, **POINT, apix=[0.0])).spacing_angstrom is None
    assert (
        read_picks(table(tmp_path, x=[1, 2], y=[1], z=[1], apix=[4.0, 5.0])).spacing_angstrom
        is None
    )


def test_columns_of_zeros_are_ignored(tmp_path):
    picks = read_picks(table(tmp_path, **POINT))

    assert picks.rotations_zyx is picks.scores is picks.instance_ids is None
    assert not picks.features


def test_dynamo_columns_become_ids_scores_and_features(tmp_path):
    picks = read_picks(
        table(tmp_path, x=[1, 2], y=[1], z=[1], tag=[7, 9], cc=[0.5, 0.25], reg=[3, 0], npar=[1, 2])
    )

    assert picks.ids.tolist() == [7, 9]
    assert picks.scores.tolist() == [0.5, 0.25]
    assert picks.instance_ids.tolist() == [3, 0]
    assert picks.features["npar"].tolist() == [1, 2]


def test_duplicate_or_default_tags_are_not_ids(tmp_path):
    for tags in ([7, 7], [1, 2]):
        assert read_picks(table(tmp_path, x=[1, 2], y=[1], z=[1], tag=tags)).ids.tolist() == [0, 1]


def test_rows_with_missing_values_are_refused(tmp_path):
    path = table(tmp_path, x=[1, 2], y=[1], z=[1])
    rows = [line.split() for line in path.read_text().splitlines()]
    del rows[1][-1]
    path.write_text("\n".join(" ".join(row) for row in rows) + "\n")

    with pytest.raises(FormatError, match="row 2"):
        read_picks(path)


@pytest.mark.parametrize(
    "content", ["1 2 3\n", " ".join(["x"] * 26), " ".join(["1"] * 23 + ["x", "1", "1"])]
)
def test_files_that_are_not_tables_are_refused(tmp_path, content):
    (tmp_path / "a.tbl").write_text(content)
    with pytest.raises(FormatError):
        read_picks(tmp_path / "a.tbl")
