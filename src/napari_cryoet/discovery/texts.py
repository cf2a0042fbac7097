"""Free-text search in an index: the datasets and runs that contain all words, and where they occur."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from napari_cryoet.discovery.fields import deposition_names, rows_above
from napari_cryoet.discovery.index import Index, RowMask, Words, all_of, at
from napari_cryoet.discovery.objects import (
    Concept,
    Term,
    common_names,
    concept_of,
    is_kind,
    terms_of,
)
from napari_cryoet.discovery.words import Texts, tokens

#: Columns to search: title, table and column, the most telling first.
_COLUMNS: Final = (
    ("title", "datasets", "title"),
    ("organism", "datasets", "organismName"),
    ("sample", "datasets", "sampleType"),
    ("cell", "datasets", "cellName"),
    ("tissue", "datasets", "tissueName"),
    ("strain", "datasets", "cellStrainName"),
    ("cell component", "datasets", "cellComponentName"),
    ("publication", "datasets", "datasetPublications"),
    ("database entry", "datasets", "relatedDatabaseEntries"),
    ("author", "datasetAuthors", "name"),
    ("ORCID", "datasetAuthors", "orcid"),
    ("object", "annotations", "objectName"),
    ("method", "annotations", "annotationMethod"),
    ("software", "annotations", "annotationSoftware"),
    ("preparation", "datasets", "samplePreparation"),
    ("description", "datasets", "description"),
    ("run", "runs", "name"),
)
_OF_DATASETS: Final = frozenset({"datasets", "datasetAuthors"})
_MOST_CORRECTIONS: Final = 5


@dataclass(frozen=True, slots=True)
class TextMatch:
    """The matches of a text: datasets that contain all words themselves or in any of their runs, and runs likewise."""

    datasets: RowMask
    runs: RowMask
    corrections: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a word of a search finds a dataset."""

    field: str  # "title", "author", "object", "run", …
    text: str
    how: str = (
        ""  # if the text doesn't contain the word: "another name of …", "a kind of …" or "like …"
    )

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" + (f" ({self.how})" if self.how else "")


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """A searchable column."""

    field: str
    table: str
    words: Words
    texts: Texts

    def having(self, word: str, *, is_part: bool = False) -> list[bool]:
        """For each text, whether it contains the word.

        ``is_part`` matches whole words only (not mycoplasma).
        """
        return self.texts.having_whole(word) if is_part else self.texts.having(word)

    def naming(self, concept: Concept) -> list[bool]:
        """For each text, whether it names the object, or in the column of objects a kind of it."""
        if self.field == "object":
            return [is_kind(name, concept) for name in self.words.words]
        if self.field not in {"title", "description"}:
            return [False] * len(self.words.words)
        return [
            any(each) for each in zip(*map(self.texts.having_whole, concept.names), strict=True)
        ]


def text_match(index: Index, text: str) -> TextMatch:
    """Find all words of a text; similar words replace a word that occurs nowhere."""
    match: TextMatch = index.recent(_match, text)
    return match


def reasons(index: Index, text: str, dataset_id: int) -> tuple[Reason, ...]:
    """Why a dataset matches a text: where each word first occurs in the dataset or its runs."""
    position, corrections = (
        np.searchsorted(index.ids("datasets"), dataset_id),
        text_match(index, text).corrections,
    )
    rows = [
        (column, index.places(column.table, "datasets") == position) for column in _columns(index)
    ]
    codes = [
        (column, code)
        for column, own in rows
        for code in np.unique(column.words.codes[own]).tolist()
        if code >= 0
    ]
    found: dict[Reason, None] = {}
    for term in terms_of(text):
        for word in term.words:
            others = corrections.get(word, (word,))
            if reason := next(
                (reason for each in others for reason in _reasons(codes, each, term)), None
            ):
                found[replace(reason, how=f"like {word}") if word in corrections else reason] = None
    return tuple(found)


def find_terms(
    text: str, size: int, having: Callable[[Term], RowMask], like: Callable[[str], Sequence[str]]
) -> tuple[RowMask, dict[str, tuple[str, ...]]]:
    """Find all terms of a text; a word that occurs nowhere is replaced by those `like` it.

    Returns the mask of the rows that have all terms, and the replacements by word.
    """
    found, corrections = np.ones(size, np.bool_), dict[str, tuple[str, ...]]()
    for term in terms_of(text):
        mask = having(term)
        if not mask.any() and len(term.words) == 1 and (others := like(term.words[0])):
            corrections[term.words[0]] = tuple(others)
            mask = np.logical_or.reduce(
                [having(Term((word,), concept_of(word))) for word in others]
            )
        found &= mask
    return found, corrections


def _match(index: Index, text: str) -> TextMatch:
    n_datasets, size = index.count("datasets"), index.count("datasets") + index.count("runs")
    found, corrections = find_terms(text, size, partial(_find_term, index), partial(_like, index))
    return TextMatch(found[:n_datasets], found[n_datasets:], corrections)


def _find_term(index: Index, term: Term) -> RowMask:
    """The datasets, then the runs, that contain all words of a term or the object that it names."""
    columns, is_part = _columns(index), len(term.words) > 1
    found = [
        _rows_matching(
            index, ((column, column.having(word, is_part=is_part)) for column in columns)
        )
        for word in term.words
    ]
    mask = all_of(found, len(found[0]))
    if (concept := term.concept) is None:
        return mask
    return mask | _rows_matching(index, ((column, column.naming(concept)) for column in columns))


def _rows_matching(index: Index, wanted: Iterable[tuple[_Column, list[bool]]]) -> RowMask:
    """The datasets, then the runs, that have a wanted text in any column."""
    own, runs = np.zeros(index.count("datasets"), np.bool_), np.zeros(index.count("runs"), np.bool_)
    for column, is_wanted in wanted:
        if any(is_wanted):
            above, mask = ("datasets", own) if column.table in _OF_DATASETS else ("runs", runs)
            mask |= rows_above(index, column.words.rows_at(is_wanted), column.table, above)
    in_datasets = own | rows_above(index, runs, "runs", "datasets")
    return np.concatenate([in_datasets, runs | at(own, index.places("runs", "datasets"))])


def _reasons(codes: list[tuple[_Column, int]], word: str, term: Term) -> Iterable[Reason]:
    """All texts of a dataset that contain a word, then those that name its object."""
    for column, code in codes:
        if column.texts.has(word, code):
            yield Reason(column.field, _around(column.words.words[code], word))
    if (concept := term.concept) is None:
        return
    named = {column: column.naming(concept) for column in {column for column, _ in codes}}
    for column, code in codes:
        if named[column][code]:
            text = column.words.words[code]
            is_kind_of_it = column.field == "object" and concept_of(text) != concept
            how = (
                f"a kind of {concept.name}"
                if is_kind_of_it
                else f"another name of {' '.join(term.words)}"
            )
            yield Reason(column.field, _around(text, concept.name), how)


def _columns(index: Index) -> tuple[_Column, ...]:
    return index.made("columns of text", lambda: tuple(_read_columns(index)))


def _read_columns(index: Index) -> Iterable[_Column]:
    for field, table, name in _COLUMNS:
        words = index.words(table, name)
        yield _Column(field, table, words, Texts(words.words))
    organisms, places = (
        index.words("datasets", "organismName"),
        index.places("datasets", "datasets"),
    )
    for field, words in (
        ("organism", Words(organisms.codes, tuple(map(common_names, organisms.words)))),
        ("id", Words(places, tuple(f"DS-{each}" for each in index.ids("datasets")))),
        (
            "deposition",
            Words(index.places("datasets", "depositions"), tuple(deposition_names(index))),
        ),
    ):
        yield _Column(field, "datasets", words, Texts(words.words))


def _like(index: Index, word: str) -> tuple[str, ...]:
    """Words that differ from this one by a letter."""
    return tuple(
        sorted({each for column in _columns(index) for each in column.texts.like(word)})[
            :_MOST_CORRECTIONS
        ]
    )


def _around(text: str, word: str, width: int = 60) -> str:
    """The part of a long text around a word."""
    position = max(0, text.casefold().find(next(iter(tokens(word)), word)))
    start, end = max(0, position - width // 2), position + width
    return f"{'…' if start else ''}{text[start:end].strip()}{'…' if end < len(text) else ''}"
