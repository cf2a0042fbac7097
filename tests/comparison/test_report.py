"""A comparison in words."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from napari_cryoet import Mask, compare, report_text
from napari_cryoet.comparison.report import plain_report, portal_lines, write_report
from napari_cryoet.exceptions import ExistsError, SaveError
from napari_cryoet.picks import Picks

JUDGED = {
    "annotation_id": 5,
    "object_name": "ribosome",
    "confidence_precision_percent": 90.1,
    "confidence_recall_percent": 85.94,
    "records": {"annotation": {"ground_truth_used": "100/ribosome.json"}},
}
A = Picks(np.array([[0, 0, 0], [5.0, 5, 5]]), 10.0, about=JUDGED)
B = Picks(np.array([[0, 0, 1.0]]), 10.0, about={"source_url": "https://host/my picks.ndjson?x=1"})


def lines(comparison):
    return [" ".join(line.split()) for line in report_text(comparison).splitlines()]


def test_the_portals_numbers_stand_beside_ours_with_the_ground_truth_that_was_used():
    told = lines(compare(A, B, radius_angstrom=15))

    assert told[0] == (
        "A (ribosome · AN-5) against B (my picks.ndjson), the reference: optimal one-to-one matching within 15 Å."
    )
    assert "here portal, A" in told
    assert "precision 50.0 % 90.1 %" in told
    assert "recall 100.0 % 85.9 %" in told
    assert "The portal says of A: precision 90.1 %, recall 85.94 %; against 100/ribosome.json." in told


def test_the_portals_numbers_of_the_reference_are_told_as_such():
    told = lines(compare(B, A, radius_angstrom=15))

    assert "here portal, B" in told
    assert "precision 100.0 % 90.1 %" in told


def test_where_the_portal_says_nothing_there_is_no_column_for_it():
    told = report_text(compare(B, B, radius_angstrom=15))

    assert "portal" not in told
    assert portal_lines(compare(B, B, radius_angstrom=15)) == ()


def test_numbers_without_a_ground_truth_say_that_nobody_knows_against_what():
    a = A.changed(about={"confidence_precision_percent": 50})

    assert portal_lines(compare(a, B, radius_angstrom=15)) == (
        "The portal says of A: precision 50 %; it doesn't say against which ground truth.",
    )


@pytest.mark.parametrize("odd", [[1], {}, "ninety", float("nan"), float("inf"), 10**400])
def test_what_stands_for_the_portals_numbers_in_an_edited_file_but_is_none_is_left_out(odd):
    numbers = dict.fromkeys(("confidence_precision_percent", "confidence_recall_percent"), odd)
    used = {"annotation": {"ground_truth_used": 5 if isinstance(odd, str) else odd}}
    found = compare(A.changed(about=numbers | {"records": used}), B, radius_angstrom=15)

    assert "portal" not in report_text(found)
    assert plain_report(found)["portal"] == {"a": None, "b": None}


def test_undefined_numbers_come_with_their_reason():
    told = lines(compare(A.take([]), B, radius_angstrom=15))

    assert "precision – 90.1 % (A holds no picks, so there is none that could be right.)" in told
    assert "recall 0.0 % 85.9 %" in told


def test_masks_are_told_too():
    values = np.zeros((8, 8, 8), np.uint8)
    values[4:7, 4:7, 4:7] = 2
    values[0, 0, 0] = 1
    mask = Mask(values, 10.0)

    assert "share inside 100.0 %" in lines(compare(A, mask))
    assert "distances are exact" in lines(compare(A, mask))
    assert "panoptic quality 100.0 %" in lines(compare(mask, mask))
    assert "Dice 100.0 %" in lines(compare(mask, mask))


def test_remote_names_are_kept_to_one_line():
    a = A.changed(about=JUDGED | {"object_name": "ribo\nsome\x1b[31m"})

    assert report_text(compare(a, B, radius_angstrom=15)).startswith("A (ribo some [31m · AN-5)")


def test_whatever_a_script_knows_of_its_picks_can_be_written(tmp_path):
    known = Picks(np.zeros((1, 3)), 10.0, about={"file": tmp_path, "tags": {"a"}, "share": np.float64("nan")})
    write_report(compare(known, known, radius_angstrom=15), tmp_path / "a.json")

    about = json.loads((tmp_path / "a.json").read_text())["a"]["about"]
    assert about == {"file": str(tmp_path), "tags": "{'a'}", "share": None}


def test_a_report_is_written_whole_or_not_at_all_and_only_where_somebody_said(tmp_path, monkeypatch):
    path, found = tmp_path / "numbers.json", compare(A, B, radius_angstrom=15)
    write_report(found, path)
    written = path.read_text(encoding="utf-8")
    assert json.loads(written) == json.loads(json.dumps(plain_report(found)))
    with pytest.raises(ExistsError):
        write_report(found, path)
    with pytest.raises(SaveError, match=r"b\.json could not be written: there is no folder .*absent"):
        write_report(found, tmp_path / "absent" / "b.json")

    def full_disk(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(SaveError, match="No space left"):
        write_report(compare(B, A, radius_angstrom=15), path, overwrite=True)
    assert [each.name for each in tmp_path.iterdir()] == ["numbers.json"]
    assert path.read_text(encoding="utf-8") == written


def test_what_was_done_to_a_side_stands_beside_the_portals_numbers_of_masks_and_in_json_too():
    kept = A.take([0], "kept 1 of 2 picks")
    assert compare(kept, B, radius_angstrom=15).plain()["a"]["edits"] == ["kept 1 of 2 picks"]

    voxels = np.ones((2, 2, 2), dtype=np.uint8)
    mask = Mask(voxels, 10.0, about=JUDGED | {"edits": ["painted"]})
    found = compare(mask, Mask(voxels, 10.0))
    assert found.plain()["a"]["edits"] == ["painted"]
    assert "precision 100.0 %" in lines(found)
    assert portal_lines(found)[0].startswith("The portal says of A, before it was changed: precision 90.1 %")
