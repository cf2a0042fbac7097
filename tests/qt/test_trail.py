"""The way to where one is: one step back is always where one came from."""

from __future__ import annotations

from napari_cryoet._qt.browser.trail import DATASETS, Place, begin, follow, follow_to_run

DATASET, OTHER_DATASET = Place("dataset", 1), Place("dataset", 2)
DEPOSITION = Place("deposition", 1)
RUN = Place("run", 1, "TS_1")


def labels(trail):
    return " › ".join(place.label for place in trail)


def test_a_link_is_followed_from_where_one_is():
    assert labels(follow(begin(DATASET), DEPOSITION)) == "Datasets › DS-1 › CZCDP-1"


def test_a_run_lies_below_its_dataset_however_one_comes_there():
    assert labels(follow_to_run(begin(DATASET), DATASET, RUN)) == "Datasets › DS-1 › TS_1"
    assert labels(follow_to_run((DATASETS,), DATASET, RUN)) == "Datasets › DS-1 › TS_1"
    assert labels(follow_to_run(begin(DEPOSITION), DATASET, RUN)) == "Depositions › CZCDP-1 › DS-1 › TS_1"


def test_a_place_that_is_led_to_again_is_on_the_way_once_and_one_comes_back_from_it():
    there = follow(follow_to_run((DATASETS,), DATASET, RUN), DEPOSITION)
    assert labels(there) == "Datasets › DS-1 › TS_1 › CZCDP-1"
    again = follow_to_run(there, DATASET, RUN)
    assert labels(again) == "Depositions › CZCDP-1 › DS-1 › TS_1"
    assert labels(follow(again, DEPOSITION)) == "Datasets › DS-1 › TS_1 › CZCDP-1"
