"""The docs' table of formats is correct: each format is written, and read with and without its provenance file."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_cryoet.formats.registry import FORMATS, SUFFIXES, read_picks, write_picks
from napari_cryoet.picks import Picks

COLUMNS = {
    "ndjson": "ndjson",
    "relion5": "RELION 5",
    "relion4": "RELION 4",
    "relion3": "RELION 3.1",
    "dynamo": "Dynamo",
    "copick": "copick",
    "csv": "CSV, Parquet",
    "parquet": "CSV, Parquet",
}
SHAPE_ZYX = (60, 61, 62)
IDS = [11, 12, 15, 20]


@pytest.fixture(scope="module")
def table(project_folder):
    """The cells of the table, by row and column."""
    text = (project_folder / "docs" / "guides" / "files.md").read_text(encoding="utf-8")
    part = text.partition("## What each format holds")[2].partition("\n\n*Beside*")[0]
    head, _line, *rows = (
        [cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"\|.*\|", part)
    )
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


@pytest.fixture
def picks():
    rotations = Rotation.random(4, random_state=1).as_matrix()
    return Picks(
        np.random.default_rng(0).uniform(5, 50, (4, 3)),
        10.0,
        rotations_zyx=rotations,
        instance_ids=np.array([1, 2, 2, 3]),
        scores=np.array([0.125, 0.25, 0.375, 0.5]),
        ids=np.array(IDS),
        features={"annotator": np.array(["a", "b", "c", "d"])},
        shape_zyx=SHAPE_ZYX,
        about={"kind": "annotation", "authors": ["Ada"]},
    )


@pytest.mark.parametrize("name", FORMATS)
def test_files_hold_exactly_what_the_table_says(table, picks, tmp_path, name):
    path = tmp_path / f"a{SUFFIXES[name]}"
    written = write_picks(picks, path, format=name)
    whole = read_picks(path)
    written.provenance_path.unlink()
    given = (
        {"spacing_angstrom": 10.0, "shape_zyx": SHAPE_ZYX} if name == "relion5" else {}
    )  # its coordinates are relative to the centre
    alone = read_picks(path, **given)

    def cell(row):
        return table[row][COLUMNS[name]]

    def is_inside(row):
        return not cell(row).startswith(("beside", "no"))

    assert (whole.spacing_angstrom, whole.shape_zyx) == (10.0, SHAPE_ZYX)
    assert whole.about.authors == ("Ada",)
    assert (alone.spacing_angstrom == 10.0) == is_inside("voxel spacing")
    assert (alone.shape_zyx == SHAPE_ZYX) == (is_inside("size of the volume") or bool(given))
    assert (alone.about.authors == ("Ada",)) == is_inside("where they come from")
    assert (alone.instance_ids.tolist() == [1, 2, 2, 3]) == is_inside("instance ids")
    assert (alone.scores.tolist() == [0.125, 0.25, 0.375, 0.5]) == is_inside("scores")
    assert (alone.ids.tolist() == IDS) == is_inside("the picks' own ids")
    assert ("annotator" in alone.features) == (cell("further columns") == "yes")
    np.testing.assert_allclose(alone.rotations_zyx, picks.rotations_zyx, atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_picks_without_orientation_are_kept_if_the_table_says_so(table, picks, tmp_path, name):
    rotations = picks.rotations_zyx.copy()
    rotations[2] = np.nan
    path = write_picks(
        picks.changed(rotations_zyx=rotations), tmp_path / f"a{SUFFIXES[name]}", format=name
    ).path
    is_kept = not read_picks(path).are_oriented[2]

    assert is_kept == (table["picks without orientation among others"][COLUMNS[name]] == "yes")
