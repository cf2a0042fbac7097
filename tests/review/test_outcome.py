from datetime import UTC, datetime

import numpy as np

from napari_cryoet.picks import Picks
from napari_cryoet.review import Decisions, Verdict, kept_picks, rejected_picks

WHEN = datetime(2026, 11, 24, tzinfo=UTC)
PICKS = Picks(
    np.arange(12.0).reshape(4, 3),
    10.0,
    scores=[0.1, 0.2, 0.3, 0.4],
    ids=[5, 6, 7, 8],
    about={"source_url": "https://files.example.invalid/a.ndjson"},
    edits=("moved 1",),
)
DECISIONS = Decisions().judged([5, 8], Verdict.KEPT).judged([6], Verdict.REJECTED)


def test_kept_picks_keep_all_that_is_known_of_them_and_say_who_judged_them_and_when():
    kept = kept_picks(PICKS, DECISIONS, by="Ada", on=WHEN)

    assert kept.ids.tolist() == [5, 8]
    assert kept.scores.tolist() == [0.1, 0.4]
    assert kept.about == PICKS.about
    assert kept.edits == ("moved 1", "kept 2 of 4 in review by Ada on 2026-11-24 (1 undecided)")


def test_rejected_picks_are_the_others_that_were_judged():
    rejected = rejected_picks(PICKS, DECISIONS.judged([7], Verdict.KEPT), by="Ada", on=WHEN)

    assert rejected.ids.tolist() == [6]
    assert rejected.edits[-1] == "rejected 1 of 4 in review by Ada on 2026-11-24"


def test_the_reviewer_is_by_default_who_sits_at_this_computer(monkeypatch):
    monkeypatch.setenv("LOGNAME", "grace")

    assert " by grace on " in kept_picks(PICKS, DECISIONS).edits[-1]
