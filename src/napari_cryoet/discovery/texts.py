"""Free text in an index: which datasets and runs have all words of it, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from napari_cryoet.discovery.index import Index, Mask, any_of, at, marked
from napari_cryoet.discovery.objects import COMMON_NAMES, Term, concept_of, is_kind, terms_of
from napari_cryoet.discovery.words import Texts, simplified, tokens

_COLUMNS: Final = {
    "title": "title",
    "organism": "organismName",
    "sample": "sampleType",
    "cell": "cellName",
    "tissue": "tissueName",
    "strain": "cellStrainName",
    "cell component": "cellComponentName",
    "publication": "datasetPublications",
    "database entry": "relatedDatabaseEntries",
    "preparation": "samplePreparation",
    "description": "description",
}
#: Columns of annotations that are looked in, each as a few distinct texts.
_OF_ANNOTATIONS: Final = {"object": "objectName", "method": "annotationMethod", "software": "annotationSoftware"}
_MOST_CORRECTIONS: Final = 5


@dataclass(frozen=True, slots=True)
class TextMatch:
    """Where a text occurs: every word of it in the dataset or in its runs, and in the dataset or in one run."""

    datasets: Mask
    runs: Mask
    corrections: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a word of a search finds a dataset.

    ``how`` is empty where the text has the word itself; else it is ``another name of …``, ``a kind of …`` or
    ``like …``.
    """

    word: str
    field: str  # "title", "author", "object", "run", …
    text: str
    how: str = ""


def find_text(index: Index, text: str) -> TextMatch:
    """Where all words of a text occur; a word that occurs nowhere stands for those that differ by one letter."""
    datasets, runs = np.ones(index.count("datasets"), np.bool_), np.ones(index.count("runs"), np.bool_)
    corrections = {}
    for term in terms_of(text):
        found, found_runs = _find_term(index, term)
        if not found.any() and len(term.words) == 1 and (others := _like(index, term.words[0])):
            corrections[term.words[0]] = others
            pairs = [_find_term(index, Term((word,), concept_of(word))) for word in others]
            found, found_runs = (any_of(masks) for masks in zip(*pairs, strict=True))
        datasets &= found
        runs &= found_runs
    return TextMatch(datasets, runs, corrections)


def text_match(index: Index, text: str) -> TextMatch:
    """As `find_text`, kept for a while: an answer, its facets and its reasons all need it."""
    return index.recent(("text", text), lambda: find_text(index, text))


def reasons(index: Index, text: str, dataset_id: int) -> tuple[Reason, ...]:
    """Why a text finds a dataset: where each word first occurs in what is known of it and of its runs."""
    (place,) = np.flatnonzero(index.ids("datasets") == dataset_id)
    corrections = text_match(index, text).corrections
    found: dict[tuple[str, str, str], Reason] = {}
    for term in terms_of(text):
        for word in term.words:
            others = corrections.get(word, (word,))
            options = (reason for each in others for reason in _reasons(index, each, term, int(place)))
            if reason := next(options, None):
                how = f"like {word}" if word in corrections else reason.how
                found.setdefault((reason.field, reason.text, how), Reason(word, reason.field, reason.text, how))
    return tuple(found.values())


def _find_term(index: Index, term: Term) -> tuple[Mask, Mask]:
    """The datasets, and the runs, that have all words of a term or the object that it names."""
    owners, size = index.places("runs", "datasets"), index.count("datasets")
    datasets, runs = np.ones(size, np.bool_), np.ones(index.count("runs"), np.bool_)
    for word in term.words:
        is_part = len(term.words) > 1  # of a name: as a whole word, so that plasma isn't found in mycoplasma
        own = any_of((texts.having_whole if is_part else texts.having)(word) for texts in dataset_texts(index).values())
        of_runs = _runs_having(index, word, is_whole=is_part)
        datasets &= own | marked(owners[of_runs], size)
        runs &= at(own, owners) | of_runs
    if term.concept is not None:
        own = any_of(texts.having_whole(name) for texts in _prose(index) for name in term.concept.names)
        codes = [is_kind(name, term.concept) for name in index.words("annotations", "objectName").words]
        of_runs = _runs_at(index, "objectName", codes)
        datasets |= own | marked(owners[of_runs], size)
        runs |= at(own, owners) | of_runs
    return datasets, runs


def _reasons(index: Index, word: str, term: Term, place: int) -> Iterable[Reason]:
    """All places of a dataset in which a word occurs: short ones first, the names of runs last."""
    concept = term.concept
    rows = index.places("annotations", "datasets") == place
    for name, texts in dataset_texts(index).items():
        if name not in {"preparation", "description"} and texts.has(word, place):
            yield Reason(word, name, _part_with(word, _raw(index, name)[place]))
    for name, column in _OF_ANNOTATIONS.items():
        known = index.words("annotations", column)
        codes = np.unique(known.codes[rows & (known.codes >= 0)])
        for code in codes[np.array(word_texts(index, column).having(word), np.bool_)[codes]]:
            yield Reason(word, name, known.words[code])
        for code in codes if name == "object" else ():
            if concept is not None and is_kind(known.words[code], concept):
                is_same = concept_of(known.words[code]) == concept
                how = f"another name of {' '.join(term.words)}" if is_same else f"a kind of {concept.name}"
                yield Reason(word, name, known.words[code], how)
    for name in ("preparation", "description"):
        if dataset_texts(index)[name].has(word, place):
            yield Reason(word, name, _around(_raw(index, name)[place], word))
    names = index.texts("runs", "name")
    for run in np.flatnonzero(index.places("runs", "datasets") == place):
        if simplified(word.strip('"')) in simplified(names[run]):
            yield Reason(word, "run", names[run])
    for texts in _prose(index) if concept is not None else ():
        if concept is not None and any(texts.having_whole(name)[place] for name in concept.names):
            yield Reason(word, "description", concept.name, f"another name of {' '.join(term.words)}")


def dataset_texts(index: Index) -> dict[str, Texts]:
    """What is known of each dataset itself, by field."""
    names = (*_COLUMNS, "author", "deposition", "id")
    return index.made("dataset texts", lambda: {name: Texts(_raw(index, name)) for name in names})


def word_texts(index: Index, column: str) -> Texts:
    """The distinct texts of a column of annotations."""
    return index.made(("word texts", column), lambda: Texts(index.words("annotations", column).words))


def _raw(index: Index, name: str) -> list[str]:
    """A field of all datasets as it is shown."""
    if name == "sample":
        return [text.replace("_", " ") for text in index.texts("datasets", "sampleType")]
    if name == "author":
        return index.made("authors", lambda: _authors(index))
    if name == "deposition":
        titles = dict(zip(index.ids("depositions").tolist(), index.texts("depositions", "title"), strict=True))
        ids = np.nan_to_num(index.numbers("datasets", "depositionId")).astype(int).tolist()
        return [f"CZCDP-{each} {titles.get(each, '')}".strip() for each in ids]
    if name == "organism":
        organisms = index.texts("datasets", "organismName")
        return ["\0".join([each, *COMMON_NAMES.get(each, "").split(", ")]) for each in organisms]
    if name == "id":
        return [f"DS-{each}" for each in index.ids("datasets")]
    return index.texts("datasets", _COLUMNS[name])


def _authors(index: Index) -> list[str]:
    found: list[list[str]] = [[] for _ in range(index.count("datasets"))]
    names, orcids = index.texts("datasetAuthors", "name"), index.texts("datasetAuthors", "orcid")
    for place, name, orcid in zip(index.places("datasetAuthors", "datasets"), names, orcids, strict=True):
        if place >= 0:
            found[place].append(f"{name} {orcid}".strip())
    return ["\0".join(each) for each in found]


def _prose(index: Index) -> tuple[Texts, ...]:
    """Where an object may go by another name."""
    texts = dataset_texts(index)
    return texts["title"], texts["description"]


def _runs_having(index: Index, word: str, *, is_whole: bool) -> Mask:
    masks = []
    for column in _OF_ANNOTATIONS.values():
        texts = word_texts(index, column)
        masks.append(_runs_at(index, column, texts.having_whole(word) if is_whole else texts.having(word)))
    bare = simplified(word.strip('"'))
    names = index.made("run names", lambda: [simplified(name) for name in index.texts("runs", "name")])
    masks.append(np.fromiter((bare in name for name in names), np.bool_, len(names)))
    return any_of(masks)


def _runs_at(index: Index, column: str, is_wanted: Sequence[bool]) -> Mask:
    rows = index.words("annotations", column).rows_at(is_wanted)
    return marked(index.places("annotations", "runs")[rows], index.count("runs"))


def _like(index: Index, word: str) -> tuple[str, ...]:
    """Words of titles, objects and the like that differ from a word by a letter; rarer places where these have none."""
    own = dataset_texts(index)
    short = [
        word_texts(index, "objectName"),
        *(own[name] for name in ("title", "organism", "cell", "tissue", "author")),
    ]
    for places in (short, [own["description"], word_texts(index, "annotationMethod")]):
        if found := sorted({each for texts in places for each in texts.like(word)}):
            return tuple(found[:_MOST_CORRECTIONS])
    return ()


def _part_with(word: str, text: str) -> str:
    """The part of a text that has a word, such as one of the authors."""
    parts = text.split("\0")
    return next((part for part in parts if Texts([part]).has(word, 0)), parts[0])


def _around(text: str, word: str, width: int = 60) -> str:
    """The part of a long text that has a word."""
    first = next(iter(tokens(word)), word)
    at = max(0, text.casefold().find(first))
    start, end = max(0, at - width // 2), at + width
    return f"{'…' if start else ''}{text[start:end].strip()}{'…' if end < len(text) else ''}"
