import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.review.decisions import Decisions, Verdict

IDS = np.arange(6)


def test_nothing_is_decided_at_first():
    assert str(Decisions().count(IDS)) == "0 of 6 judged"
    assert Decisions()[3] is Verdict.UNDECIDED
    assert not Decisions().can_undo


def test_a_range_of_picks_is_judged_and_taken_back_at_once():
    kept = Decisions().judged([1, 2, 3], Verdict.KEPT)
    mixed = kept.judged([3, 4], Verdict.REJECTED)

    assert [mixed[i].letter for i in range(6)] == ["", "K", "K", "X", "X", ""]
    assert (mixed.count(IDS).kept, mixed.count(IDS).rejected, mixed.count(IDS).judged) == (2, 2, 4)
    assert dict(mixed.undone().verdicts) == dict(kept.verdicts)
    assert dict(mixed.undone().redone().verdicts) == dict(mixed.verdicts)
    assert mixed.changed_by_last_step().tolist() == [3, 4]


def test_judging_as_it_was_judged_already_is_no_step():
    kept = Decisions().judged([1], Verdict.KEPT)

    assert kept.judged([1], Verdict.KEPT) is kept
    assert kept.judged([1, 2], Verdict.KEPT).undone()[1] is Verdict.KEPT


def test_a_new_decision_forgets_what_was_undone():
    decisions = Decisions().judged([1], Verdict.KEPT).undone().judged([2], Verdict.KEPT)

    assert not decisions.can_redo


def test_counts_are_of_the_picks_that_are_there():
    assert str(Decisions().judged([1, 99], Verdict.KEPT).count(IDS)) == "1 of 6 judged"


def test_the_next_undecided_pick_is_found_in_the_order_that_is_looked_at_round_its_end():
    decisions = Decisions().judged([0, 4, 5], Verdict.REJECTED)
    shown = [5, 3, 4, 0, 2]

    assert decisions.next_undecided(shown, -1) == 1
    assert decisions.next_undecided(shown, 1) == 4
    assert decisions.next_undecided(shown, 4) == 1
    assert decisions.next_undecided(shown, 4, step=-1) == 1
    assert decisions.next_undecided([0, 4], 0) is None
    assert Decisions().next_undecided([7], 0) == 0


@given(st.lists(st.tuples(st.frozensets(st.integers(0, 5), min_size=1), st.sampled_from(Verdict)), max_size=12))
def test_undoing_all_leads_back_through_each_state_and_redoing_all_leads_to_the_end(steps):
    states = [Decisions()]
    for ids, verdict in steps:
        after = states[-1].judged(ids, verdict)
        if after is not states[-1]:
            states.append(after)
    last = states[-1]
    for state in reversed(states[:-1]):
        last = last.undone()
        assert dict(last.verdicts) == dict(state.verdicts)
    assert not last.can_undo
    for state in states[1:]:
        last = last.redone()
        assert dict(last.verdicts) == dict(state.verdicts)
    assert not last.can_redo


STEPS = st.lists(
    st.one_of(st.tuples(st.frozensets(st.integers(0, 9)), st.sampled_from(Verdict)), st.sampled_from(["undo", "redo"])),
    max_size=20,
)


@given(STEPS)
def test_decisions_are_those_of_a_dictionary_with_a_past_and_a_future(steps):
    decisions, verdicts, past, future = Decisions(), {}, [], []
    for step in steps:
        if step == "undo":
            decisions = decisions.undone()
            if past:
                future.insert(0, verdicts)
                verdicts = past.pop()
        elif step == "redo":
            decisions = decisions.redone()
            if future:
                past.append(verdicts)
                verdicts = future.pop(0)
        else:
            ids, verdict = step
            decisions = decisions.judged(ids, verdict)
            after = {i: v for i, v in {**verdicts, **dict.fromkeys(ids, verdict)}.items() if v is not Verdict.UNDECIDED}
            if after != verdicts:
                past.append(verdicts)
                future, verdicts = [], after
        assert dict(decisions.verdicts) == verdicts
        assert (decisions.can_undo, decisions.can_redo) == (bool(past), bool(future))
        assert [decisions[i] for i in range(10)] == [verdicts.get(i, Verdict.UNDECIDED) for i in range(10)]
        for verdict in (Verdict.KEPT, Verdict.REJECTED):
            assert decisions.ids(verdict).tolist() == sorted(i for i, found in verdicts.items() if found is verdict)
            assert decisions.which(IDS, verdict).tolist() == [verdicts.get(i) is verdict for i in IDS.tolist()]


@given(st.frozensets(st.integers(0, 299)), st.integers(0, 299), st.sampled_from([1, -1]))
def test_the_next_undecided_pick_is_that_of_looking_at_one_after_another(undecided, after, step):
    shown = np.random.default_rng(0).permutation(300)
    decisions = Decisions().judged(np.setdiff1d(shown, list(undecided)), Verdict.KEPT)
    places = [(after + step * distance) % 300 for distance in range(1, 301)]

    assert decisions.next_undecided(shown, after, step) == next((p for p in places if int(shown[p]) in undecided), None)


def test_undoing_and_redoing_leave_what_others_decided_since_about_the_same_picks():
    ours = Decisions().judged([1, 2], Verdict.REJECTED)
    joined = ours.with_others(Decisions({2: Verdict.KEPT}), np.array([2]))
    assert joined.changed_by_last_step().tolist() == [1]
    assert dict(joined.undone().verdicts) == {2: Verdict.KEPT}
    assert dict(joined.undone().redone().verdicts) == {1: Verdict.REJECTED, 2: Verdict.KEPT}

    undone = ours.undone().with_others(Decisions({1: Verdict.KEPT}), np.array([1]))
    assert dict(undone.redone().verdicts) == {1: Verdict.KEPT, 2: Verdict.REJECTED}
