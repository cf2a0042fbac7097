"""Splits for machine learning: whole runs for training, validation and test, with each object in every part."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from napari_cryoet.basket.basket import SPLIT_NAMES, Basket, Split
from napari_cryoet.basket.contents import Chosen, ask_basket_runs, choose
from napari_cryoet.exceptions import CryoETError
from napari_cryoet.portal.portal import Portal
from napari_cryoet.runs.runs import Runs

DEFAULT_SHARES = (80.0, 10.0, 10.0)


def split_basket(
    basket: Basket,
    source: Portal | Runs,
    shares: Sequence[float] = DEFAULT_SHARES,
    *,
    seed: int = 0,
) -> Basket:
    """Split a basket's runs and record the split in it; asks the portal for them, if one is given."""
    runs = ask_basket_runs(source, basket) if isinstance(source, Portal) else source
    return basket.with_split(split_runs(objects_of_runs(choose(basket, runs)), shares, seed=seed))


def objects_of_runs(chosen: Chosen) -> dict[int, set[str]]:
    """Names of the annotated objects by run id; empty for runs with images only."""
    names: dict[int, set[str]] = {}
    for run in chosen.runs:
        if run.n_records:
            annotations = (file.annotation for file in run.annotation_files)
            names[run.records.run.id] = {each.object_name for each in annotations if each}
    return names


def split_runs(
    objects: Mapping[int, Collection[str]],
    shares: Sequence[float] = DEFAULT_SHARES,
    *,
    seed: int = 0,
) -> Split:
    """Split runs so that each object is in every part if enough runs have it; ``objects`` are names by run id.

    The rarest object is distributed first (iterative stratification). The same arguments always
    give the same split. Shares for training, validation and test are percentages or any weights; 0
    leaves a part empty. CryoETError if there aren't three, one is negative, or all are 0.
    """
    if len(shares) != len(SPLIT_NAMES) or min(shares) < 0 or not sum(shares):
        raise CryoETError("A split needs three shares.", hint="For example, 80,10,10.")
    run_ids = sorted(objects)
    random.Random(seed).shuffle(run_ids)  # noqa: S311 - no secret
    room = _sizes(len(run_ids), shares)
    needed = {name: _shares_of(count, shares) for name, count in _counts(objects).items()}
    parts: list[list[int]] = [[] for _ in SPLIT_NAMES]
    remaining = dict.fromkeys(run_ids)
    while remaining:
        counts = _counts({run_id: objects[run_id] for run_id in remaining})
        rarest = min(counts, key=lambda name: (counts[name], name), default=None)
        for run_id in [each for each in remaining if rarest is None or rarest in objects[each]]:
            del remaining[run_id]  # goes to the part with room that needs its rarest object most
            open_parts = [part for part in range(len(parts)) if room[part] > 0]
            part = max(
                open_parts,
                key=lambda part: (needed[rarest][part] if rarest else 0.0, room[part], -part),
            )
            parts[part].append(run_id)
            room[part] -= 1
            for name in set(objects[run_id]):
                needed[name][part] -= 1
    train, validation, test = (tuple(sorted(part)) for part in parts)
    return Split(
        seed=seed,
        shares=(shares[0], shares[1], shares[2]),
        train=train,
        validation=validation,
        test=test,
    )


def _counts(objects: Mapping[int, Collection[str]]) -> Counter[str]:
    """The number of runs with each object."""
    return Counter(name for names in objects.values() for name in set(names))


def _shares_of(count: int, shares: Sequence[float]) -> list[float]:
    return [count * share / sum(shares) for share in shares]


def _sizes(count: int, shares: Sequence[float]) -> list[int]:
    """The number of runs in each part: at least one for each positive share if there are enough runs."""
    exact = _shares_of(count, shares)
    sizes = [int(size) for size in exact]
    while sum(sizes) < count:
        part = max(range(len(sizes)), key=lambda part: exact[part] - sizes[part])
        sizes[part] += 1
    for part, share in enumerate(shares):
        largest = max(range(len(sizes)), key=lambda other: sizes[other])
        if share and not sizes[part] and sizes[largest] > 1:
            sizes[part], sizes[largest] = 1, sizes[largest] - 1
    return sizes
