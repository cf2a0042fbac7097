"""The basket's ticks, on the rows of a demo run."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_cryoet.basket.basket import Basket
from napari_cryoet.basket.contents import KnownRuns
from napari_cryoet.pages.basket import BasketDetails
from napari_cryoet.pages.rows import Tick, TickState
from napari_cryoet.pages.ticks import BasketTicks, ticked
from napari_cryoet.portal.pages import RunPage
from napari_cryoet.portal.portal import Portal, open_portal
from napari_cryoet.runs.outline import AnnotationRow, outline_run

ON, OFF, PARTIAL = TickState.ON, TickState.OFF, TickState.PARTIAL
CELL_RUN, CELLS = 9001, 90001


@pytest.fixture(scope="module")
def portal(demo_pack: Path) -> Portal:
    return open_portal(demo_pack)


@pytest.fixture(scope="module")
def page(portal: Portal) -> RunPage:
    return portal.run_page(CELL_RUN)


@pytest.fixture(scope="module")
def membranes(page: RunPage) -> tuple[AnnotationRow, ...]:
    """The rows of an object with several shapes of one annotation."""
    groups = outline_run(page, page.default_tomogram).groups
    return next(group.rows for group in groups if "membrane" in group.object_name)


def looked_up(portal: Portal, basket: Basket) -> BasketTicks:
    return BasketTicks(basket, BasketDetails.of(basket, KnownRuns(portal).of(basket)))


def states(ticks: BasketTicks, rows) -> list[TickState]:
    return [ticks.tick_of(row).state for row in rows]


def test_nothing_to_download_has_no_tick(membranes):
    bare = AnnotationRow(annotation=membranes[0].annotation)
    assert BasketTicks(Basket()).tick_of(bare) is None


def test_a_ticked_record_can_be_unticked(portal, page):
    tomogram = page.tomograms[0]
    ticks = looked_up(portal, ticked(Basket(source=portal.source.name), tomogram))
    assert ticks.tick_of(tomogram) == Tick(ON)
    assert ticks.tick_of(page.run).state is PARTIAL
    assert ticks.text.startswith("1 run · ")
    assert ticks.unticked(ticks.basket, tomogram).is_empty


def test_the_contents_of_a_ticked_run_are_hollow_and_name_it(portal, page, membranes):
    ticks = looked_up(portal, ticked(Basket(source=portal.source.name), page.run))
    assert ticks.tick_of(page.run) == Tick(ON)
    assert ticks.tick_of(membranes) == Tick(ON, is_hollow=True)
    assert ticks.parent_of(membranes).name == f"RN-{CELL_RUN}"


def test_before_its_contents_are_known_a_basket_counts_ticks(page):
    ticks = BasketTicks(ticked(ticked(Basket(), page.run), page.tomograms[0]))
    assert ticks.text == "2 ticked"
    assert not ticks.is_settled


def test_unticking_one_shape_of_an_annotation_keeps_the_others(portal, membranes):
    ticks = looked_up(portal, ticked(Basket(source=portal.source.name), membranes))
    before = states(ticks, membranes)
    unticked = before.index(ON)
    assert before.count(ON) > 1
    fewer = looked_up(portal, ticks.unticked(ticks.basket, membranes[unticked]))
    assert states(fewer, membranes) == [*before[:unticked], OFF, *before[unticked + 1 :]]
