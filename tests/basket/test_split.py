"""Splits by run: each object is in every part, and the same seed gives the same split."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.basket.basket import SPLIT_NAMES, Basket
from napari_cryoet.basket.contents import ask_basket_runs, choose
from napari_cryoet.basket.split import objects_of_runs, split_basket, split_runs
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.portal import open_portal

runs = st.dictionaries(st.integers(1, 10_000), st.sets(st.sampled_from("abcd")), max_size=60)


@given(runs, st.integers(0, 5))
def test_every_run_is_in_one_part_determined_by_the_seed(
    objects: dict[int, set[str]], seed: int
) -> None:
    split = split_runs(objects, seed=seed)
    assert sorted(run_id for name in SPLIT_NAMES for run_id in getattr(split, name)) == sorted(
        objects
    )
    assert split == split_runs(dict(reversed(objects.items())), seed=seed)
    assert len(split.train) == pytest.approx(len(objects) * 0.8, abs=2)


def test_a_rare_object_is_in_every_part() -> None:
    objects = {n: {"ribosome"} | ({"rare"} if n % 10 == 0 else set()) for n in range(1, 101)}
    split = split_runs(objects)
    for name, most in (("train", 8), ("validation", 1), ("test", 1)):
        assert sum(1 for run_id in getattr(split, name) if "rare" in objects[run_id]) == most
    assert (len(split.train), len(split.validation), len(split.test)) == (80, 10, 10)
    assert split_runs(objects, seed=1).train != split.train


def test_parts_get_runs_if_their_share_is_above_zero() -> None:
    few = {n: {"a"} for n in (1, 2, 3)}
    assert [len(getattr(split_runs(few), name)) for name in SPLIT_NAMES] == [1, 1, 1]
    assert split_runs(few, (2, 1, 0)).test == ()
    for shares in ((0, 0, 0), (1, 2), (-1, 1, 1)):
        with pytest.raises(CryoETError, match="share"):
            split_runs(few, shares)


def test_a_split_is_recorded_in_the_basket(demo_pack: Path) -> None:
    portal = open_portal(demo_pack)
    page = portal.run_page(9001)
    basket = Basket(source=portal.source.name).with_ids(
        "annotations", [each.id for each in page.annotations]
    )
    runs = ask_basket_runs(portal, basket)
    assert objects_of_runs(choose(basket, runs)) == {
        9001: {each.object_name for each in page.annotations}
    }
    split = split_basket(basket, runs, seed=4)
    assert split.split is not None
    assert split.split.of_runs == {9001: "train"}
    assert split.split.seed == 4
