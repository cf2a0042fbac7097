"""What is shared is one thing, whoever asks for it first."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_cryoet.shared import made_once


def test_threads_that_ask_at_the_same_time_get_the_same():
    asking, made = threading.Barrier(8), []

    def make() -> object:
        made.append(object())
        asking.wait(60)  # for all others: whoever makes one of their own comes here, too
        return made[-1]

    get = made_once(make)

    def ask(number: int) -> object:
        if number:
            asking.wait(60)
        return get()

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(ask, range(8)))
    assert found == set(made)
    assert len(made) == 1


def test_what_could_not_be_made_is_tried_again():
    results = iter([OSError("no space"), "made"])

    def make() -> str:
        result = next(results)
        if isinstance(result, OSError):
            raise result
        return result

    get = made_once(make)
    with pytest.raises(OSError, match="no space"):
        get()
    assert [get(), get()] == ["made", "made"]
