"""Answers on disk: what is kept comes back whole with its date, and anything else is as good as nothing."""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from napari_cryoet.portal.cache import Answer, AnswerCache, Question

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
QUESTION = Question("https://portal.example.org/graphql", "query A { a }", {"id": 1})
ANSWER = Answer({"runs": [{"id": 1, "name": "TS_ä"}]}, NOON)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "not" / "there" / "yet"


@pytest.fixture
def cache(folder: Path) -> AnswerCache:
    return AnswerCache(folder)


def entry(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_an_answer_comes_back_with_its_date(cache):
    cache.put(QUESTION, ANSWER)
    assert cache.get(QUESTION) == ANSWER


def test_an_answer_outlives_the_program(cache, folder):
    cache.put(QUESTION, ANSWER)
    assert AnswerCache(folder).get(QUESTION) == ANSWER


def test_what_was_never_asked_is_not_known(cache):
    assert cache.get(QUESTION) is None


@pytest.mark.parametrize(
    "other",
    [
        Question("https://other.example.org/graphql", QUESTION.query, QUESTION.variables),
        Question(QUESTION.source, "query A { a b }", QUESTION.variables),
        Question(QUESTION.source, QUESTION.query, {"id": 2}),
        Question(QUESTION.source, QUESTION.query, {}),
    ],
)
def test_another_question_has_another_answer(cache, other):
    cache.put(QUESTION, ANSWER)
    assert cache.get(other) is None


def test_the_newest_answer_is_kept(cache):
    cache.put(QUESTION, ANSWER)
    newer = Answer({"runs": []}, datetime(2026, 2, 2, tzinfo=UTC))
    cache.put(QUESTION, newer)
    assert cache.get(QUESTION) == newer


def test_an_entry_is_json_that_says_what_it_is(cache, folder):
    cache.put(QUESTION, ANSWER)
    content = json.loads(entry(folder).read_text())
    assert content["source"] == QUESTION.source
    assert content["queryHash"] == QUESTION.query_hash
    assert content["fetchedAt"] == "2026-01-02T12:00:00+00:00"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("TS_", "XS_"),
        lambda text: text.replace("2026-01-02T12:00:00+00:00", "soon"),
        lambda text: text.replace("2026-01-02T12:00:00+00:00", "2026-01-02T12:00:00"),
        lambda text: text.replace("portal.example.org", "evil.example.org"),
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: "[" * 100_000,
        lambda text: "[]",
        lambda text: "null",
        lambda text: '{"data": {}}',
        lambda text: "\x00" * len(text),
    ],
)
def test_a_damaged_entry_is_as_good_as_none(cache, folder, damage):
    cache.put(QUESTION, ANSWER)
    path = entry(folder)
    path.write_text(damage(path.read_text()))
    assert cache.get(QUESTION) is None
    cache.put(QUESTION, ANSWER)
    assert cache.get(QUESTION) == ANSWER


def test_a_folder_in_place_of_an_entry_is_as_good_as_none(cache, folder):
    (folder / f"{QUESTION.key}.json").mkdir(parents=True)
    assert cache.get(QUESTION) is None
    cache.put(QUESTION, ANSWER)
    cache.forget(QUESTION)
    assert cache.get(QUESTION) is None


def test_a_forgotten_answer_is_gone(cache, folder):
    cache.put(QUESTION, ANSWER)
    cache.forget(QUESTION)
    assert list(folder.iterdir()) == []


def question(number: int) -> Question:
    return Question("s", "q", {"id": number})


def big_answer() -> Answer:
    return Answer({"text": "x" * 10_000}, NOON)


def test_the_longest_unused_go_first(folder):
    cache = AnswerCache(folder, max_bytes=35_000)
    for number in range(3):
        cache.put(question(number), big_answer())
        os.utime(folder / f"{question(number).key}.json", (number + 1, number + 1))
    assert cache.get(question(0)) is not None  # used just now
    cache.put(question(3), big_answer())
    assert [cache.get(question(number)) is not None for number in range(4)] == [True, False, True, True]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 35_000


def test_an_answer_larger_than_the_bound_is_not_kept(folder):
    cache = AnswerCache(folder, max_bytes=1000)
    cache.put(QUESTION, big_answer())
    assert cache.get(QUESTION) is None


def test_an_entry_larger_than_the_bound_is_not_read(folder):
    AnswerCache(folder).put(QUESTION, big_answer())
    assert AnswerCache(folder, max_bytes=1000).get(QUESTION) is None


def test_what_a_killed_writer_left_is_removed_later(cache, folder):
    folder.mkdir(parents=True)
    old, new, foreign = folder / "1.tmp", folder / "2.tmp", folder / "notes.txt"
    for path in (old, new, foreign):
        path.write_text("x")
    os.utime(old, (1, 1))
    os.utime(foreign, (1, 1))
    cache.put(QUESTION, ANSWER)
    assert not old.exists()
    assert new.exists()
    assert foreign.exists()


def test_a_folder_that_cannot_be_made_means_no_cache_and_no_failure(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = AnswerCache(tmp_path / "file" / "below")
    cache.put(QUESTION, ANSWER)
    assert cache.get(QUESTION) is None
    cache.forget(QUESTION)


def test_a_disk_that_is_full_means_no_cache_and_no_failure(cache, folder, monkeypatch):
    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    cache.put(QUESTION, ANSWER)
    assert cache.get(QUESTION) is None
    assert list(folder.iterdir()) == []


def test_many_writers_and_readers_never_see_half_an_answer(folder):
    wrong, until = [], time.monotonic() + 1.5

    def work(number: int):
        cache = AnswerCache(folder, max_bytes=50_000)
        while time.monotonic() < until:
            cache.put(question(number % 3), Answer({"text": "x" * 9000}, NOON))
            answer = cache.get(question((number + 1) % 3))
            if answer is not None and answer.data != {"text": "x" * 9000}:
                wrong.append(answer)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert wrong == []
    assert not list(folder.glob("*.tmp"))
