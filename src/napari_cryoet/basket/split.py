"""Splits for machine learning: whole runs for training, validation and test, which stay when runs are added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from napari_cryoet.basket.basket import SPLIT_NAMES, Basket, Split, SplitName
from napari_cryoet.basket.contents import Chosen, ask_basket_runs, choose
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.portal import Portal
from napari_cryoet.runs.runs import Runs

DEFAULT_SHARES = (80.0, 10.0, 10.0)
_SEEDS: Final = 100
_MOST_DRAWS: Final = 100_000  # about a second


def split_basket(
    basket: Basket,
    source: Portal | Runs,
    shares: Sequence[float] = DEFAULT_SHARES,
    *,
    seed: int | None = None,
    by_dataset: bool = False,
) -> Basket:
    """Split a basket's runs and record the split in it; asks the portal for them, if one is given.

    The part of a run follows from the seed, its dataset and its name (`Split.drawn`), so adding or
    removing runs moves no other run. Such a split meets the shares only nearly, and a part of few
    runs may be empty.

    Parameters
    ----------
    shares
        Of training, validation and test: percentages or any weights; 0 leaves a part empty.
    seed
        By default that of the recorded split, whose runs then keep their parts, if it has the same
        shares; otherwise the one of many seeds that comes closest to the shares for all runs and
        for the runs with each object, with each object in every part if possible.
    by_dataset
        Put all runs of a dataset in the same part.

    Raises
    ------
    CryoETError
        There aren't three shares, one is negative, or all are 0.
    """
    if len(shares) != len(SPLIT_NAMES) or min(shares) < 0 or not sum(shares):
        raise CryoETError("A split needs three shares.", hint="For example, 80,10,10.")
    runs = ask_basket_runs(source, basket) if isinstance(source, Portal) else source
    chosen = choose(basket, runs)
    before = basket.split
    split = Split(seed=seed or 0, shares=(shares[0], shares[1], shares[2]), by_dataset=by_dataset)
    if (
        seed is None
        and before is not None
        and (before.shares, before.by_dataset) == (split.shares, by_dataset)
    ):
        split = before
    elif seed is None:
        split = _most_balanced(split, chosen)
    return basket.with_split(_recorded(split, chosen))


def parts_of(split: Split, chosen: Chosen) -> dict[int, SplitName]:
    """The part of each run with selected records, by id: as recorded, or drawn for other runs."""
    recorded = split.of_runs
    runs = (each.records.run for each in chosen.runs if each.n_records)
    return {run.id: recorded.get(run.id) or split.drawn(run.dataset_id, run.name) for run in runs}


def _recorded(split: Split, chosen: Chosen) -> Split:
    """The split with the parts of these runs, and of no others."""
    ids: dict[str, list[int]] = {name: [] for name in SPLIT_NAMES}
    for run_id, part in sorted(parts_of(split, chosen).items()):
        ids[part].append(run_id)
    return replace(split, **{name: tuple(of_part) for name, of_part in ids.items()})


def _most_balanced(split: Split, chosen: Chosen) -> Split:
    """The split with the seed that comes closest to the shares for each object."""
    n_seeds = max(1, min(_SEEDS, _MOST_DRAWS // max(1, len(chosen.runs))))
    seeds = [replace(split, seed=seed) for seed in range(n_seeds)]
    return min(seeds, key=lambda each: _imbalance(each, chosen))


def _imbalance(split: Split, chosen: Chosen) -> tuple[int, float]:
    """How many objects lack a part that they could have, and by how many runs all miss the shares."""
    parts = parts_of(split, chosen)
    totals: Counter[str] = Counter()
    counts: Counter[tuple[str, SplitName]] = Counter()
    for run in chosen.runs:
        annotations = (file.annotation for file in run.annotation_files)
        names = {each.object_name for each in annotations if each}
        if (part := parts.get(run.records.run.id)) is not None:
            for name in {"", *names}:  # "" for all runs
                totals[name] += 1
                counts[name, part] += 1
    n_missing = 0
    distance = 0.0
    n_parts = sum(share > 0 for share in split.shares)
    for name, total in totals.items():
        for part, share in zip(SPLIT_NAMES, split.shares, strict=True):
            count = counts[name, part]
            n_missing += share > 0 and not count and total >= n_parts
            distance += abs(count - total * share / sum(split.shares))
    return n_missing, distance
