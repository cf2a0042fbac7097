"""Advice for a search that finds nothing: unknown words, what to drop, and what to ask for instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from napari_cryoet.discovery.columns import Columns
from napari_cryoet.discovery.facets import CountUnit
from napari_cryoet.discovery.fields import has_object, object_corrections
from napari_cryoet.discovery.matches import find
from napari_cryoet.discovery.search import Chip, Condition, Search, chips
from napari_cryoet.discovery.texts import Term, terms_of, text_match


@dataclass(frozen=True, slots=True)
class Advice:
    """What to change in a search without matches."""

    unknown: tuple[str, ...] = ()  # words and objects that occur nowhere, nor similar ones
    to_drop: Chip | None = None  # the word, or else the choice, without which most matches
    n_without: int = 0
    together: Search | None = None  # the same objects, but each in its own annotation of the run
    n_together: int = 0

    @property
    def text(self) -> str:
        """``Nothing here is called “zzzz”. Without “zzzz”, there are 2.``; empty without advice."""
        sentences = []
        if self.unknown:
            words = " or ".join(f"“{word}”" for word in self.unknown)
            sentences.append(f"Nothing here is called {words}.")
        if self.to_drop is not None:
            left = "there is 1" if self.n_without == 1 else f"there are {self.n_without:,}"
            sentences.append(f"Without “{self.to_drop.text}”, {left}.")
        if self.together is not None:
            sentences.append(f"With both annotations in one run: {self.n_together:,}.")
        return " ".join(sentences)


def advise(index: Columns, search: Search, unit: CountUnit) -> Advice:
    """Advice for a search that finds no dataset or run."""

    def count(other: Search) -> int:
        matches = find(index, other)
        return len(matches.run_ids if unit == "runs" else matches.dataset_ids)

    def best(several: Sequence[Chip]) -> tuple[int, Chip | None]:
        counted = ((count(choice.without), choice) for choice in several)
        return max(counted, key=lambda each: each[0], default=(0, None))

    terms = terms_of(search.text)
    words = [_without_term(search, terms, term) for term in terms]
    choices = chips(search)
    lists = (words, choices) if len(words) + len(choices) > 1 else ()
    drops = (best(each) for each in lists)  # a word that fails alone, or else a choice
    n_without, to_drop = next((each for each in drops if each[0]), (0, None))
    together = in_one_run(search)
    n_together = count(together) if together is not None else 0
    return Advice(
        unknown=_unknown(index, search, terms),
        to_drop=to_drop,
        n_without=n_without,
        together=together if n_together else None,
        n_together=n_together,
    )


def in_one_run(search: Search) -> Search | None:
    """The search with each object that it names as an annotation of its own in the same run.

    These are objects named by words beside a condition, and several ones named by one condition.
    None if each annotation has one object already.
    """
    terms = terms_of(search.text)
    named = [term for term in terms if term.known is not None and search.annotations]
    conditions: list[Condition] = []
    for condition in search.annotations:
        objects = terms_of(condition.objects[0]) if len(condition.objects) == 1 else ()
        if len(objects) > 1 and all(term.known is not None for term in objects):
            conditions.append(replace(condition, objects=(_text(objects[:1]),)))
            named += objects[1:]
        else:
            conditions.append(condition)
    if not named:
        return None
    conditions += [Condition(objects=(_text([term]),)) for term in named]
    rest = (term for term in terms if term not in named)
    return replace(search, text=_text(rest), annotations=tuple(conditions))


def _without_term(search: Search, terms: tuple[Term, ...], term: Term) -> Chip:
    rest = [other for other in terms if other is not term]
    return Chip(_text([term]), replace(search, text=_text(rest)))


def _unknown(index: Columns, search: Search, terms: tuple[Term, ...]) -> tuple[str, ...]:
    words = [_text([term]) for term in terms]
    unknown = [word for word in words if not text_match(index, word).datasets.any()]
    objects = [name for condition in search.annotations for name in condition.objects]
    corrections = object_corrections(index, objects)
    unknown += [name for name in objects if not (name in corrections or has_object(index, name))]
    return tuple(unknown)


def _text(terms: Iterable[Term]) -> str:
    return " ".join(word for term in terms for word in term.words)
