"""Free-text search: the rows that contain all words of a text, and where they occur in an index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, takewhile
from typing import Final

import numpy as np

from napari_cryoet.appearance.objects import KnownObject, is_kind, known_object
from napari_cryoet.discovery.columns import Columns, RowMask, Words, at, encoded
from napari_cryoet.discovery.fields import (
    OBJECT_FIELDS,
    deposition_names,
    rows_above,
    rows_that_meet,
)
from napari_cryoet.words import Texts, is_quoted, split_words, tokens

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
    ("identified", "identifiedObjects", "objectName"),
    ("method", "annotations", "annotationMethod"),
    ("software", "annotations", "annotationSoftware"),
    ("preparation", "datasets", "samplePreparation"),
    ("description", "datasets", "description"),
    ("run", "runs", "name"),
)
_OF_DATASETS: Final = frozenset({"datasets", "datasetAuthors"})
#: Tables whose rows a text can match. Annotations and identified objects may do so with their run.
_MATCHED: Final = ("datasets", "runs", "annotations", "identifiedObjects")
_MOST_CORRECTIONS: Final = 5
_COMMON_NAMES: Final = {
    "Homo sapiens": "human",
    "Mus musculus": "mouse",
    "Rattus norvegicus": "rat",
    "Saccharomyces cerevisiae": "budding yeast, baker's yeast",
    "Schizosaccharomyces pombe": "fission yeast",
    "Drosophila melanogaster": "fruit fly",
    "Caenorhabditis elegans": "worm, nematode",
    "Danio rerio": "zebrafish",
    "Chlamydomonas reinhardtii": "green alga, algae",
    "Arabidopsis thaliana": "thale cress",
}


@dataclass(frozen=True, slots=True)
class TextMatch:
    """The matches of a text: datasets that contain all words themselves or in any of their runs, and runs likewise.

    ``rows`` are those of annotations and identified objects that contain all words themselves or
    in their run or dataset, by table. Names of known objects have to be theirs.
    """

    datasets: RowMask
    runs: RowMask
    rows: dict[str, RowMask]
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


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a search, or several words that together name an object."""

    words: tuple[str, ...]
    known: KnownObject | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A searchable column: its texts, each once, and which entry has which."""

    field: str
    words: Words
    texts: Texts
    table: str = ""  # of an index

    @classmethod
    def of(cls, field: str, cells: Iterable[str | None]) -> Column:
        """The column of these cells."""
        words = encoded(cells)
        return cls(field, words, Texts(words.words))

    def having(self, word: str, *, is_part: bool = False) -> list[bool]:
        """For each text, whether it contains the word.

        ``is_part`` matches whole words only (not mycoplasma).
        """
        return self.texts.having_whole(word) if is_part else self.texts.having(word)

    def has(self, word: str, code: int) -> bool:
        """Whether one of the texts contains the word."""
        return self.texts.has(word, code)

    def naming(self, known: KnownObject) -> list[bool]:
        """For each text, whether it names the object, or in the column of objects a kind of it."""
        if self.field in {"object", "identified"}:
            return [is_kind(name, known) for name in self.words.words]
        if self.field not in {"title", "description"}:
            return [False] * len(self.words.words)
        by_name = [self.texts.having_whole(name) for name in known.names]
        return [any(each) for each in zip(*by_name, strict=True)]


class IdColumn(Column):
    """A column of ids, which only a whole id finds: ``RN-4703`` doesn't find ``RN-47031``."""

    def having(self, word: str, *, is_part: bool = False) -> list[bool]:  # noqa: ARG002 - as in Column
        """For each id, whether it is the word."""
        wanted = word.strip('"').casefold()
        return [each.casefold() == wanted for each in self.words.words]

    def has(self, word: str, code: int) -> bool:
        """Whether one of the ids is the word."""
        return self.words.words[code].casefold() == word.strip('"').casefold()


RowsWith = Callable[[Iterable[tuple[Column, list[bool]]]], RowMask]
"""The rows that have a wanted text in any column."""


def text_match(index: Columns, text: str) -> TextMatch:
    """Find all words of a text; similar words replace a word that occurs nowhere."""
    match: TextMatch = index.recent(_match, text)
    return match


def reasons(index: Columns, text: str, dataset_id: int) -> tuple[Reason, ...]:
    """Why a dataset matches a text: where each word first occurs in the dataset or its runs."""
    position = np.searchsorted(index.ids("datasets"), dataset_id)
    corrections = text_match(index, text).corrections
    codes: list[tuple[Column, int]] = []
    for column in text_columns(index):
        own = index.places(column.table, "datasets") == position
        own_codes = np.unique(column.words.codes[own]).tolist()
        codes += [(column, code) for code in own_codes if code >= 0]
    found: dict[Reason, None] = {}
    for term in terms_of(text):
        for word in term.words:
            others = corrections.get(word, (word,))
            by_word = chain.from_iterable(_reasons(codes, each, term) for each in others)
            if reason := next(by_word, None):
                found[replace(reason, how=f"like {word}") if word in corrections else reason] = None
    return tuple(found)


def terms_of(text: str) -> tuple[Term, ...]:
    """Split a text into words; words that together name a known object stay together.

    >>> [term.words for term in terms_of('yeast cell membrane "plasma membrane"')]
    [('yeast',), ('cell', 'membrane'), ('"plasma membrane"',)]
    """
    remaining = split_words(text)
    terms = []
    while remaining:
        term = _first_term(remaining)
        terms.append(term)
        remaining = remaining[len(term.words) :]
    return tuple(terms)


def find_text(
    text: str, columns: Sequence[Column], rows_with: RowsWith
) -> tuple[RowMask, dict[str, tuple[str, ...]]]:
    """Find all terms of a text in any column; a word that occurs nowhere is replaced by similar ones.

    Returns the mask of the rows that have all terms, and the replacements by word.
    """
    found = ~rows_with(())
    corrections: dict[str, tuple[str, ...]] = {}
    for term in terms_of(text):
        mask = _rows_of_term(term, columns, rows_with)
        if not mask.any() and len(term.words) == 1:
            others = _similar_words(columns, term.words[0])
            for word in others:
                corrections[term.words[0]] = others
                mask |= _rows_of_term(Term((word,), known_object(word)), columns, rows_with)
        found &= mask
    return found, corrections


def common_names(organism: str) -> str:
    """The English names of an organism, with or without its strain; empty if unknown."""
    known = (names for species, names in _COMMON_NAMES.items() if organism.startswith(species))
    return next(known, "")


def _first_term(words: tuple[str, ...]) -> Term:
    """The first word, or as many of the first words as together name an object."""
    plain = tuple(takewhile(lambda word: not is_quoted(word), words))
    for length in range(len(plain), 0, -1):
        if known := known_object(" ".join(plain[:length])):
            return Term(plain[:length], known)
    return Term(words[:1])


def _rows_of_term(term: Term, columns: Sequence[Column], rows_with: RowsWith) -> RowMask:
    """The rows that contain all words of a term, or the object that it names."""
    is_part = len(term.words) > 1
    found = ~rows_with(())
    for word in term.words:
        found &= rows_with((each, each.having(word, is_part=is_part)) for each in columns)
    if term.known is not None:
        found |= rows_with((each, each.naming(term.known)) for each in columns)
    return found


def _similar_words(columns: Sequence[Column], word: str) -> tuple[str, ...]:
    """Words that differ from this one by a letter."""
    similar = {each for column in columns for each in column.texts.like(word)}
    return tuple(sorted(similar)[:_MOST_CORRECTIONS])


# in an index


def _match(index: Columns, text: str) -> TextMatch:
    found, corrections = find_text(text, text_columns(index), partial(_rows_with, index))
    ends = np.cumsum([index.count(table) for table in _MATCHED])
    masks = dict(zip(_MATCHED, np.split(found, ends[:-1]), strict=True))
    rows = {field.table: masks[field.table] for field in OBJECT_FIELDS}
    for term in terms_of(text):
        objects = objects_named(term, corrections)
        for field in OBJECT_FIELDS if objects else ():
            rows[field.table] &= rows_that_meet(index, field, objects)
    return TextMatch(masks["datasets"], masks["runs"], rows, corrections)


def objects_named(term: Term, corrections: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The known objects that a term names, perhaps misspelt."""
    if term.known is not None:
        return (" ".join(term.words),)
    return tuple(word for word in corrections.get(term.words[0], ()) if known_object(word))


def _rows_with(index: Columns, wanted: Iterable[tuple[Column, list[bool]]]) -> RowMask:
    """The rows of each table of `_MATCHED` that have a wanted text in any column."""
    own = {table: np.zeros(index.count(table), np.bool_) for table in _MATCHED}
    for column, is_wanted in wanted:
        if any(is_wanted):
            table = "datasets" if column.table in _OF_DATASETS else column.table
            rows = column.words.rows_at(is_wanted)
            own[table] |= rows_above(index, rows, column.table, table)
    of_runs = own["runs"] | at(own["datasets"], index.places("runs", "datasets"))
    in_runs = own["runs"].copy()
    found = []
    for table in ("annotations", "identifiedObjects"):
        found.append(own[table] | at(of_runs, index.places(table, "runs")))
        in_runs |= rows_above(index, own[table], table, "runs")
    datasets = own["datasets"] | rows_above(index, in_runs, "runs", "datasets")
    return np.concatenate([datasets, of_runs | in_runs, *found])


def _reasons(codes: list[tuple[Column, int]], word: str, term: Term) -> Iterable[Reason]:
    """All texts of a dataset that contain a word, then those that name its object."""
    for column, code in codes:
        if column.has(word, code):
            yield Reason(column.field, _around(column.words.words[code], word))
    known = term.known
    if known is None:
        return
    named = {column: column.naming(known) for column in {column for column, _ in codes}}
    for column, code in codes:
        if named[column][code]:
            text = column.words.words[code]
            is_kind_of_it = column.field == "object" and known_object(text) != known
            another = f"another name of {' '.join(term.words)}"
            how = f"a kind of {known.name}" if is_kind_of_it else another
            yield Reason(column.field, _around(text, known.name), how)


def text_columns(index: Columns) -> tuple[Column, ...]:
    """The columns that a text is searched in, read the first time."""
    return index.made("columns of text", lambda: tuple(_read_columns(index)))


def _read_columns(index: Columns) -> Iterable[Column]:
    for field, table, name in _COLUMNS:
        words = index.words(table, name)
        yield Column(field, words, Texts(words.words), table)
    run_ids = tuple(f"RN-{each}" for each in index.ids("runs"))
    yield IdColumn("run", Words(index.places("runs", "runs"), run_ids), Texts(()), "runs")
    for each in OBJECT_FIELDS:
        yield IdColumn("object id", index.words(each.table, "objectId"), Texts(()), each.table)
    organisms = index.words("datasets", "organismName")
    of_datasets = {
        "organism": Words(organisms.codes, tuple(map(common_names, organisms.words))),
        "id": Words(
            index.places("datasets", "datasets"),
            tuple(f"DS-{each}" for each in index.ids("datasets")),
        ),
        "deposition": Words(
            index.places("datasets", "depositions"), tuple(deposition_names(index))
        ),
    }
    for field, words in of_datasets.items():
        yield Column(field, words, Texts(words.words), "datasets")


def _around(text: str, word: str, width: int = 60) -> str:
    """The part of a long text around a word."""
    position = max(0, text.casefold().find(next(iter(tokens(word)), word)))
    start, end = max(0, position - width // 2), position + width
    return f"{'…' if start else ''}{text[start:end].strip()}{'…' if end < len(text) else ''}"
