import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.review.session import Decisions, Verdict

IDS = np.arange(10)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.frozensets(st.integers(0, 9)), st.sampled_from(Verdict)),
        st.sampled_from(["undo", "redo"]),
    ),
    max_size=20,
)


@given(STEPS)
def test_decisions_match_a_dictionary_with_undo_and_redo(steps):
    decisions, verdicts, past, future = Decisions({3: Verdict.KEPT}), {3: Verdict.KEPT}, [], []
    for step in steps:
        before = dict(verdicts)
        if step == "undo":
            changed = decisions.undo()
            if past:
                future.append(verdicts)
                verdicts = past.pop()
        elif step == "redo":
            changed = decisions.redo()
            if future:
                past.append(verdicts)
                verdicts = future.pop()
        else:
            ids, verdict = step
            changed = decisions.judge(ids, verdict)
            after = {**verdicts, **dict.fromkeys(ids, verdict)}
            if any(
                after[pick_id] is not verdicts.get(pick_id, Verdict.UNDECIDED) for pick_id in ids
            ):
                past.append(verdicts)
                future, verdicts = [], after
        expected = [i for i in range(10) if before.get(i, Verdict.UNDECIDED) is not decisions[i]]
        assert changed.tolist() == expected
        assert [decisions[i] for i in range(10)] == [
            verdicts.get(i, Verdict.UNDECIDED) for i in range(10)
        ]


def test_undo_keeps_decisions_of_earlier_sessions():
    decisions = Decisions({1: Verdict.REJECTED})

    assert decisions.undo().tolist() == []
    assert [decisions[i].letter for i in range(3)] == ["", "X", ""]
