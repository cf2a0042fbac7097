"""A comparison as text, as JSON, and as layers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_cryoet import Mask, Picks, compare
from napari_cryoet.layers.specs import METADATA_KEY, PICK_ID, PICKS_KEY
from napari_cryoet.viewer import comparison_layers

JUDGED = {
    "annotation_id": 5,
    "annotation_file_id": 9,
    "object_name": "ribosome",
    "confidence_precision_percent": 90.1,
    "confidence_recall_percent": 85.94,
    "ground_truth_used": "100/ribosome.json",
}
A = Picks(np.array([[0, 0, 0], [5.0, 5, 5]]), 10.0, about=JUDGED, ids=[11, 12])
B = Picks(
    np.array([[0, 0, 1.0]]),
    10.0,
    about={"source_url": "https://host/my picks.ndjson?x=1"},
    ids=[70],
)
VALUES = np.zeros((8, 8, 8), np.uint8)
VALUES[4:7, 4:7, 4:7] = 2
VALUES[0, 0, 0] = 1
MASK = Mask(VALUES, 10.0, about=JUDGED)
PAIRS = [
    (A, B),
    (A.take([]), B),
    (B, A.take([])),
    (A, MASK),
    (A.take([]), MASK),
    (MASK, MASK),
    (Mask(VALUES > 0, 10.0), MASK),
    (Mask(0 * VALUES, 10.0), Mask(0 * VALUES, 10.0)),
]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_reports_start_with_a_headline_and_explain_missing_figures(a, b):
    result = compare(a, b, radius_angstrom=15)
    report, text = result.to_dict(), result.text

    assert text.startswith(f"{result.headline}\n")
    assert result.headline.endswith(".")
    assert {name for name, value in result.figures.items() if value is None} == set(
        report["why_undefined"]
    )
    assert all(why in text for why in report["why_undefined"].values() if why)


def test_reports_name_both_sides_and_the_portals_values():
    text = compare(A, B, radius_angstrom=15).text

    for part in (
        "ribosome · AN-5",
        "my picks.ndjson",
        "90.1",
        "100/ribosome.json",
        "median 1 nm",
        "1.5 nm",
        "50.0 %",
    ):
        assert part in text
    assert "portal" not in compare(B, B, radius_angstrom=15).text


def test_json_contains_provenance_settings_scores_and_edits():
    about = JUDGED | {"tags": {"a"}, "share": np.float64("nan")}
    a = A.take([0, 1], "kept 2").changed(about=about)
    data = json.loads(
        json.dumps(compare(a, B, radius_angstrom=15, beta=4).to_dict(), allow_nan=False)
    )

    assert (data["method"], data["radius_angstrom"], data["beta"]) == ("optimal", 15, 4)
    assert (data["a"]["name"], data["a"]["edits"], data["a"]["about"]["share"]) == (
        "ribosome · AN-5",
        ["kept 2"],
        None,
    )
    assert data["a"]["about"]["confidence_precision_percent"] == 90.1
    assert data["software"].startswith("napari-cryoet ")
    assert sum(data["distance"]["histogram"]["counts"]) == data["true_positives"] == 1
    instances = compare(MASK, MASK).to_dict()["instances"]
    assert instances["matches"] == [{"a": n, "b": n, "iou": 1.0, "dice": 1.0} for n in (1, 2)]


def test_tables_have_a_row_for_each_match_and_for_each_pick_without_one():
    table = compare(A, B, radius_angstrom=15).to_dataframe()

    assert table["a_id"].tolist()[:2] == [11, 12]
    assert table["b_id"].isna().tolist() == [False, True]
    assert table["distance_angstrom"].tolist()[0] == 10
    assert compare(MASK, MASK).to_dataframe()["iou"].tolist() == [1, 1]


def test_layers_keep_provenance():
    specs = comparison_layers(compare(A, B, radius_angstrom=25))

    assert [spec.name for spec in specs] == [
        "matched · ribosome · AN-5",
        "only A · ribosome · AN-5",
        "only B · my picks.ndjson",
    ]
    assert [spec.options["features"][PICK_ID].tolist() for spec in specs] == [[11], [12], []]
    assert specs[0].options["metadata"][PICKS_KEY].ids.tolist() == [11]
    about = specs[1].options["metadata"][METADATA_KEY]
    assert about.annotation_file_id == 9
    assert "2.5 nm" in about.edits[-1]


def test_layers_of_picks_in_a_mask_have_columns_for_a_review():
    specs = comparison_layers(compare(A, MASK))

    distances = [spec.options["features"]["surface_distance_nm"] for spec in specs]
    assert [len(each) for each in distances] == [2, 0]
    assert (distances[0] < 0).all()
