"""Splits by run: hashes of names decide, so runs keep their part when others are added."""

from __future__ import annotations

from pathlib import Path

import pytest

from generated_portal import SIZES, generated_tables
from napari_cryoet.basket.basket import SPLIT_NAMES, Basket, Split, read_basket, write_basket
from napari_cryoet.basket.contents import ask_basket_runs, choose, parts_of, split_basket
from napari_cryoet.exceptions import CryoETError, FormatError
from napari_cryoet.exports.selection import select
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.runs.runs import Runs


@pytest.fixture(scope="module")
def basket(generated_pack: Path) -> Basket:
    """Everything in the generated portal."""
    datasets = [row["id"] for row in generated_tables(**SIZES)["datasets"]]
    return Basket(source=str(generated_pack)).with_ids("datasets", datasets)


@pytest.fixture(scope="module")
def runs(generated_pack: Path, basket: Basket) -> Runs:
    return ask_basket_runs(open_portal(generated_pack), basket)


def split_of(basket: Basket, runs: Runs, *args: object, **options: object) -> Split:
    split = split_basket(basket, runs, *args, **options).split
    assert split is not None
    return split


def without(runs: Runs, *run_ids: int) -> Runs:
    """The runs of an older release."""
    left = [each for each in runs.records if each not in run_ids]
    records = {each: runs.records[each] for each in left}
    return Runs(records, {each: runs.rows_of[each] for each in left}, runs.above)


def test_another_run_moves_no_run_and_gets_a_part_at_once(basket: Basket, runs: Runs) -> None:
    new = [*runs.records][::7]
    before = split_of(basket, without(runs, *new), seed=3)
    after = split_of(basket, runs, seed=3)
    assert {*after.of_runs} == {*runs.records}
    assert after.of_runs.items() >= before.of_runs.items()
    assert parts_of(before, choose(basket, runs)) == after.of_runs, "exports ask this"
    exported = select(basket.with_split(before), runs, open_portal(basket.source).source)
    assert {run.run.id: run.split for run in exported.runs}.items() <= after.of_runs.items()
    assert split_of(basket, runs, seed=4).of_runs != after.of_runs


def test_splitting_again_keeps_recorded_parts(basket: Basket, runs: Runs) -> None:
    first, *others = runs.records
    moved = Split(seed=5, shares=(60, 20, 20), test=(first,))
    again = split_of(basket.with_split(moved), runs, (60, 20, 20))
    assert (again.seed, again.of_runs[first]) == (5, "test")
    drawn = split_of(basket, runs, (60, 20, 20), seed=5).of_runs
    assert all(again.of_runs[each] == drawn[each] for each in others)


def test_the_best_seed_has_each_object_in_every_part(basket: Basket, runs: Runs) -> None:
    split = split_of(basket, runs, (60, 20, 20))
    objects: dict[str, set[int]] = {}
    for run in choose(basket, runs).runs:
        for file in run.annotation_files:
            objects.setdefault(file.annotation.object_name, set()).add(run.records.run.id)
    common = [ids for ids in objects.values() if len(ids) >= 12]
    assert common
    for ids in (*common, {*runs.records}):
        n_train, n_validation, n_test = (len(ids & {*getattr(split, name)}) for name in SPLIT_NAMES)
        assert n_train / len(ids) == pytest.approx(0.6, abs=0.2)
        assert n_validation
        assert n_test
    few = without(runs, *[*runs.records][4:])
    assert all(getattr(split_of(basket, few), name) for name in SPLIT_NAMES)
    assert split_of(basket, few, (2, 1, 0)).test == ()


def test_runs_of_a_dataset_stay_together_if_asked(basket: Basket, runs: Runs) -> None:
    parts = split_of(basket, runs, by_dataset=True).of_runs
    by_dataset: dict[int, set[str]] = {}
    for run_id, part in parts.items():
        by_dataset.setdefault(runs.records[run_id].run.dataset_id, set()).add(part)
    assert all(len(names) == 1 for names in by_dataset.values())
    assert len(set(parts.values())) > 1


def test_wrong_shares_and_runs_are_refused(basket: Basket, runs: Runs, tmp_path: Path) -> None:
    for shares in ((0, 0, 0), (1, 2), (-1, 1, 1)):
        with pytest.raises(CryoETError, match="share"):
            split_basket(basket, runs, shares)
    run_id = min(runs.records)
    unknown = basket.with_split(Split(train=(run_id,), test=(99_999,)))
    with pytest.raises(CryoETError, match="RN-99999"):
        select(unknown, runs, open_portal(basket.source).source)
    write_basket(unknown, tmp_path / "twice.toml")
    text = (tmp_path / "twice.toml").read_text()
    (tmp_path / "twice.toml").write_text(text.replace("99999", f"{run_id}"))
    with pytest.raises(FormatError, match=f"RN-{run_id}"):
        read_basket(tmp_path / "twice.toml")
