"""The pair of annotations that is suggested for a comparison."""

from __future__ import annotations

from napari_cryoet.comparison.inputs import Candidate, likely_pair
from napari_cryoet.provenance import Provenance

TRUTH = Candidate(True, Provenance(object_id="GO:1", is_ground_truth=True))
OTHER = Candidate(True, Provenance(object_id="GO:2"))
SAME = Candidate(True, Provenance(object_id="GO:1"))
MASK = Candidate(False, Provenance())


def test_the_reference_is_a_ground_truth_of_the_same_object():
    assert likely_pair([OTHER, SAME, TRUTH]) == (1, 2)
    assert likely_pair([OTHER, SAME, TRUTH], of=0) == (0, 2)


def test_a_mask_judges_points():
    assert likely_pair([MASK, TRUTH]) == (1, 0)
    assert likely_pair([MASK, OTHER], of=0) == (1, 0)


def test_annotations_of_one_run_belong_together():
    first, second, third = (Candidate(True, Provenance(run_id=run_id)) for run_id in (1, 2, 1))
    assert likely_pair([first, second, third]) == (0, 2)
