import pytest

from napari_cryoet.review.decisions import Verdict
from napari_cryoet.review.retelling import retold

KEPT, REJECTED, UNDECIDED = Verdict.KEPT, Verdict.REJECTED, Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("verdicts", "n_hidden", "words"),
    [
        ({7: UNDECIDED}, 0, "Undone: pick 7 is undecided again."),
        ({7: KEPT}, 1, "Undone: pick 7 is kept again. The filter hides it."),
        ({7: REJECTED, 8: REJECTED}, 0, "Undone: 2 picks are rejected again."),
        (
            {7: UNDECIDED, 8: KEPT, 9: UNDECIDED},
            1,
            "Undone: 2 picks are undecided again, 1 kept. The filter hides 1 of",
        ),
        ({7: UNDECIDED, 8: KEPT}, 0, "Undone: 1 pick is undecided again, 1 kept."),
        ({7: KEPT, 8: KEPT}, 2, "Undone: 2 picks are kept again. The filter hides them."),
        ({}, 0, "Undone, for picks that were deleted, or judged in another window, since."),
    ],
)
def test_a_step_is_retold(verdicts, n_hidden, words):
    assert retold("Undone", verdicts, n_hidden).startswith(words)
