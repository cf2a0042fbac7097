"""Selections of the demo's runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_cryoet.basket.basket import Basket, Choices, Split
from napari_cryoet.download import Rows
from napari_cryoet.exports.selection import Selection, select
from napari_cryoet.portal.portal import ask_rows, open_portal
from napari_cryoet.runs.runs import Runs

#: Runs with ground truth, masks and picks of others; and one that has nothing but a tomogram.
RUNS = (9001, 9005, 9003)


@pytest.fixture
def demo_rows(demo_pack: Path) -> Rows:
    return ask_rows(open_portal(demo_pack), run_ids=RUNS)


@pytest.fixture
def selection_of(demo_pack: Path, demo_rows: Rows) -> Callable[..., Selection]:
    """Select the demo's annotations of some or all objects; parts of the split may be empty."""

    def make(*objects: str, tomogram: str = "default", **options: Any) -> Selection:
        rows = demo_rows["annotations"]
        annotations = tuple(
            row["id"] for row in rows if not objects or row["objectName"] in objects
        )
        runs, choices = () if objects else (9003,), Choices(with_tomogram=tomogram)
        split = Split(train=(9001,), test=(9005,))
        basket = Basket(runs=runs, annotations=annotations, choices=choices, split=split)
        source = open_portal(demo_pack).source
        runs_of_rows = Runs.of_rows(demo_rows, source.terms)
        return select(basket, runs_of_rows, source, **{"allow_empty": True, **options})

    return make
