import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.review.decisions import Decisions, Verdict

IDS = np.arange(10)
STEPS = st.lists(
    st.one_of(st.tuples(st.frozensets(st.integers(0, 9)), st.sampled_from(Verdict)), st.sampled_from(["undo", "redo"])),
    max_size=20,
)


@given(STEPS)
def test_decisions_are_those_of_a_dictionary_with_a_past_and_a_future(steps):
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
            if any(after[pick_id] is not verdicts.get(pick_id, Verdict.UNDECIDED) for pick_id in ids):
                past.append(verdicts)
                future, verdicts = [], after
        are_other = [i for i in range(10) if before.get(i, Verdict.UNDECIDED) is not decisions[i]]
        assert changed.tolist() == are_other
        assert [decisions[i] for i in range(10)] == [verdicts.get(i, Verdict.UNDECIDED) for i in range(10)]


def test_undo_leaves_what_was_decided_before_the_session():
    decisions = Decisions({1: Verdict.REJECTED})

    assert decisions.undo().tolist() == []
    assert [decisions[i].letter for i in range(3)] == ["", "X", ""]
