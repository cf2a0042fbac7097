"""Rankings of annotations against one reference."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_cryoet import Picks, compare, open_annotation, rank_annotations, rivals_of
from napari_cryoet.provenance import Provenance
from napari_cryoet.volumes import Mask

TRUTH, MATCHED, CARELESS, MANUAL = 9001, 9004, 9005, 9003  # files of the demo's ribosomes
OTHER_ALIGNMENT, MEMBRANE, MEMBRANE_INSTANCES = 9015, 9009, 9013


@pytest.fixture(scope="module")
def page(demo_pack):
    from napari_cryoet import open_portal

    return open_portal(demo_pack).run_page(9001)


@pytest.fixture
def files(page):
    return {file.id: file for file in page.annotation_files}


def test_rivals_are_the_other_annotations_of_the_object_once_each(page, files):
    rivals = {file.id for file in rivals_of(page, files[TRUTH])}
    assert rivals == {MATCHED, CARELESS, MANUAL, OTHER_ALIGNMENT}
    assert [file.id for file in rivals_of(page, files[MEMBRANE])] == [MEMBRANE_INSTANCES]


def test_scores_are_those_of_compare_and_no_row_vanishes(page, files):
    ranking = rank_annotations(rivals_of(page, files[TRUTH]), files[TRUTH], radius_angstrom=60)

    table = ranking.to_dataframe()
    truth = open_annotation(files[TRUTH])
    for row in table.head(3).itertuples():
        side = open_annotation(files[row.annotation_file_id])
        scores = compare(side, truth, radius_angstrom=60).scores
        assert (row.precision, row.recall, row.f_score) == (
            *(scores.precision, scores.recall),
            scores.f_beta,
        )
    assert table.f_score[:3].is_monotonic_decreasing
    assert table["rank"].tolist() == [1, 2, 3, 4]
    last = table.iloc[-1]
    assert last.annotation_file_id == OTHER_ALIGNMENT
    assert "alignment" in last.why_not
    assert np.isnan(last.f_score)


def test_what_cannot_be_opened_keeps_its_row(tmp_path):
    truth = Picks([[1.0, 1, 1], [9, 9, 9]], 10.0)
    good = truth.changed(about=Provenance(shown_name="good"))
    ranking = rank_annotations([tmp_path / "gone.ndjson", good], truth, region_angstrom=[(0, 50)])

    assert [(row.name, row.f_score) for row in ranking.rows] == [("good", 1), ("gone.ndjson", None)]
    assert ranking.rows[0].texts[:2] == ("good", "1")
    assert "gone.ndjson" in ranking.rows[1].why_not
    assert json.loads(json.dumps(ranking.to_dict()))["annotations"][1]["precision"] is None


def test_masks_and_picks_are_ranked_against_a_mask():
    values = np.zeros((4, 4, 4), np.uint8)
    values[:2] = 1
    mask = Mask(values, 10.0)
    picks = Picks([[0.0, 0, 0], [3, 3, 3]], 10.0)
    best, worst = rank_annotations([picks, mask], mask).rows
    assert (best.precision, best.recall, best.f_score) == (1, 1, 1)
    assert (worst.precision, worst.recall, worst.f_score) == (0.5, None, None)
