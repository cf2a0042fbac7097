"""A comparison in words and as JSON, and what the demo's known truth makes of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_cryoet import Mask, Picks, compare, report_text
from napari_cryoet.comparison.report import portal_lines, write_report
from napari_cryoet.exceptions import ExistsError

JUDGED = {
    "annotation_id": 5,
    "object_name": "ribosome",
    "confidence_precision_percent": 90.1,
    "confidence_recall_percent": 85.94,
    "records": {"annotation": {"ground_truth_used": "100/ribosome.json"}},
}
A = Picks(np.array([[0, 0, 0], [5.0, 5, 5]]), 10.0, about=JUDGED)
B = Picks(np.array([[0, 0, 1.0]]), 10.0, about={"source_url": "https://host/my picks.ndjson?x=1"})
VALUES = np.zeros((8, 8, 8), np.uint8)
VALUES[4:7, 4:7, 4:7] = 2
VALUES[0, 0, 0] = 1
MASK = Mask(VALUES, 10.0, about=JUDGED)


def lines(comparison):
    return [" ".join(line.split()) for line in report_text(comparison).splitlines()]


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        (A, B, "50 % of A has a partner in B within 1.5 nm, and 100 % of B has one in A."),
        (A.take([]), B, "A is empty."),
        (A, MASK, "100 % of the picks lie inside the mask."),
        (MASK, MASK, "The masks overlap by 100 % (Dice), and 2 of 2 objects of B have a partner in A."),
        (Mask(VALUES > 0, 10.0), MASK, "The masks overlap by 100 % (Dice)."),
        (Mask(0 * VALUES, 10.0), Mask(0 * VALUES, 10.0), "Both masks are empty."),
    ],
)
def test_a_report_begins_with_one_plain_sentence(a, b, sentence):
    found = compare(a, b, radius_angstrom=15)

    assert found.headline == lines(found)[0] == found.plain()["headline"] == sentence


def test_the_portals_numbers_stand_beside_ours_with_its_ground_truth():
    told = lines(compare(A, B, radius_angstrom=15))

    assert "ribosome · AN-5" in told[1]
    assert "my picks.ndjson" in told[1]
    assert "here portal, A" in told
    assert "precision 50.0 % 90.1 %" in told
    assert "100/ribosome.json" in portal_lines(compare(A, B, radius_angstrom=15))[0]
    assert "here portal, B" in lines(compare(B, A, radius_angstrom=15))
    assert "portal" not in report_text(compare(B, B, radius_angstrom=15))


@pytest.mark.parametrize(
    ("side", "reference"),
    [(A.take([0], "kept 1"), B), (Mask(VALUES, 10.0, about=JUDGED | {"edits": ["kept 1"]}), MASK)],
)
def test_they_stand_beside_no_number_of_what_was_changed_since(side, reference):
    found = compare(side, reference, radius_angstrom=15)

    assert "portal, A" not in report_text(found)
    assert "before it was changed" in portal_lines(found)[0]
    assert found.plain()["a"]["edits"] == ["kept 1"]


def test_undefined_numbers_come_with_their_reason():
    found = compare(A.take([]), B, radius_angstrom=15)
    report = found.plain()

    undefined = {
        name for name in ("precision", "recall", "f_beta", "distance", "rotation_error") if report[name] is None
    }
    assert undefined == {"precision", "distance", "rotation_error"}
    assert undefined <= set(report["why_undefined"])
    assert "precision – 90.1 % (A is empty.)" in lines(found)


def test_all_figures_are_in_the_text_and_lengths_are_in_nm():
    told = lines(compare(A, B, radius_angstrom=15))
    assert any(line.startswith("distance median 1 nm") for line in told)
    for found in (compare(A, B, radius_angstrom=15), compare(A, MASK), compare(MASK, MASK)):
        text = report_text(found)
        assert all(figure.text in text for figure in found.figures() if figure.name)


def test_the_report_is_json_with_provenance_settings_and_numbers(tmp_path):
    about = JUDGED | {"file": tmp_path, "tags": {"a"}, "share": np.float64("nan")}
    a = A.changed(alignment_id=17, about=about)
    write_report(compare(a, B, radius_angstrom=15, beta=4, method="greedy"), tmp_path / "a.json")

    told = json.loads((tmp_path / "a.json").read_text())
    assert told["a"]["name"] == "ribosome · AN-5"
    assert told["a"]["about"] | {"share": None, "file": str(tmp_path)} == told["a"]["about"]
    assert (told["reference"], told["method"], told["radius_angstrom"], told["beta"]) == ("b", "greedy", 15, 4)
    assert told["software"].startswith("napari-cryoet ")
    assert sum(told["distance"]["histogram"]["counts"]) == told["true_positives"] == 1
    instances = compare(MASK, MASK).plain()["instances"]
    assert instances["matches"] == [{"a": n, "b": n, "iou": 1.0, "dice": 1.0} for n in (1, 2)]


def test_a_file_is_replaced_only_if_you_say_so(tmp_path):
    path, found = tmp_path / "numbers.json", compare(A, B, radius_angstrom=15)
    write_report(found, path)
    with pytest.raises(ExistsError):
        write_report(found, path)
    write_report(found, path, overwrite=True)
    assert [each.name for each in tmp_path.iterdir()] == ["numbers.json"]
