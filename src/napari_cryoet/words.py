"""Word search that ignores case, accents, plurals and typing errors."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Final
from urllib.parse import unquote

#: Characters that may surround an address in a text.
AROUND: Final = "<>()[]{}'\"“”‘’«».,;"

_WORD: Final = re.compile(r'"([^"]*)"?|(\S+)')
_TOKEN: Final = re.compile(r"[^\W_]+")
#: The DOI, EMDB or EMPIAR entry, or ORCID in a URL.
_IDENTIFIER: Final = re.compile(
    r"10\.\d{4,9}/[^?#]+|EMD-\d+|EMPIAR-\d+|(?:\d{4}-){3}\d{3}[\dX]", re.IGNORECASE
)
_GREEK: Final = str.maketrans(
    {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "µ": "u", "μ": "u"}
)
#: Irregular plurals that the field uses.
_IRREGULAR: Final = {
    **{f"{stem}a": f"{stem}um" for stem in ("bacteri", "cili", "flagell", "reticul", "sept")},
    **{f"{stem}ae": f"{stem}a" for stem in ("crist", "fimbri", "lamell")},
    **{
        "mitochondria": "mitochondrion",
        "nuclei": "nucleus",
        "pili": "pilus",
        "axes": "axis",
        "mice": "mouse",
    },
}
_ENDS_ALONE: Final = ("ss", "us", "is", "as", "os")  # chaos, atlas, virus and axis are singular
_LEAST_LETTERS: Final = 4  # shorter words aren't corrected


def split_words(text: str) -> tuple[str, ...]:
    """Split a search into words; text in double quotes is one word and keeps its quotes.

    The URL of a paper, an EMDB or EMPIAR entry, or an ORCID becomes the identifier in it.

    >>> split_words('"fission yeast" https://doi.org/10.1038/s41592-022-01746-2')
    ('"fission yeast"', '10.1038/s41592-022-01746-2')
    """
    words = (
        f'"{quoted.strip()}"' if quoted.strip() else _identifier(plain)
        for quoted, plain in _WORD.findall(text)
    )
    return tuple(word for word in words if word)


def is_quoted(word: str) -> bool:
    """Whether a word of a search is in double quotes, for an exact match."""
    return len(word) > 2 and word[0] == word[-1] == '"'


@lru_cache(maxsize=100_000)
def simplified(text: str) -> str:
    """A text in lower case, without accents, and with single spaces."""
    if not text.isascii():
        text = "".join(
            c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)
        )
    return " ".join(text.casefold().split())


@lru_cache(maxsize=100_000)
def tokens(text: str) -> tuple[str, ...]:
    """The words of a text in the singular, without punctuation.

    >>> tokens("Mitochondria, 80S ribosomes & β-galactosidase")
    ('mitochondrion', '80s', 'ribosome', 'beta', 'galactosidase')
    """
    return tuple(singular(word) for word in _TOKEN.findall(simplified(text).translate(_GREEK)))


@lru_cache(maxsize=50_000)
def singular(word: str) -> str:
    """The singular of a word by simple rules; a singular stays as it is.

    >>> [singular(word) for word in ("vesicles", "bodies", "complexes", "virus", "cristae", "80s")]
    ['vesicle', 'body', 'complex', 'virus', 'crista', '80s']
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if (
        len(word) < 4
        or not word.endswith("s")
        or word.endswith(_ENDS_ALONE)
        or not word[-2].isalpha()
    ):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("xes", "ches", "shes", "sses", "uses")):
        return word[:-2]
    return word[:-1]


class Texts:
    """Searchable texts, one for each record.

    NUL separates parts of a text, which no match spans.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        plain = [simplified(text) for text in texts]
        tokened = [
            "\0".join(f" {' '.join(tokens(part))} " for part in text.split("\0")) for text in plain
        ]
        self._texts = list(zip(plain, tokened, strict=True))

    def having(self, word: str) -> list[bool]:
        """For each text, whether it contains a word, also as part of another word or in the plural."""
        return self._having(word, self._texts)

    def has(self, word: str, position: int) -> bool:
        """Whether the text at this position contains a word, as in `having`."""
        return self._having(word, [self._texts[position]])[0]

    def having_whole(self, word: str) -> list[bool]:
        """For each text, whether it contains a word or phrase as whole words."""
        whole = f" {' '.join(tokens(word))} "
        return [bool(whole.strip()) and whole in tokened for _, tokened in self._texts]

    @staticmethod
    def _having(word: str, texts: Iterable[tuple[str, str]]) -> list[bool]:
        bare = simplified(word.strip('"'))
        stem, whole = singular(bare), f" {' '.join(tokens(bare))} "
        if not whole.strip():  # empty, or only punctuation
            return [bare in text for text, _ in texts]
        return [bare in text or stem in text or whole in tokened for text, tokened in texts]

    def like(self, word: str) -> tuple[str, ...]:
        """The words of all texts that are one typing error away from a word, see `is_one_letter_off`."""
        typed = simplified(word)
        if len(typed) < _LEAST_LETTERS or not typed.isalpha():
            return ()
        return tuple(sorted(each for each in self._vocabulary if is_one_letter_off(typed, each)))

    @cached_property
    def _vocabulary(self) -> frozenset[str]:
        return frozenset(
            word for texts in self._texts for text in texts for word in _TOKEN.findall(text)
        )


def is_named(name: str, wanted: str) -> bool:
    """Whether a name has all wanted words, or equals the wanted name in double quotes.

    >>> is_named("Irene de Teresa-Trueba", "teresa irene"), is_named("MemBrain-seg", '"MemBrain"')
    (True, False)
    """
    if is_quoted(wanted):
        return name == wanted[1:-1]
    words = set(tokens(wanted))
    return bool(words) and words <= set(tokens(name))


def is_one_letter_off(one: str, other: str) -> bool:
    """Whether two words differ by one letter inserted, deleted or replaced, or by two swapped neighbours.

    >>> [is_one_letter_off("ribosome", word) for word in ("ribsome", "ribosmoe", "ribozome", "ribosome", "lysosome")]
    [True, True, True, False, False]
    """
    pairs = zip(one, other, strict=False)
    start = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    rest, others = one[start:], other[start:]
    return one != other and (
        rest[1:] in {others, others[1:]} or rest == others[1:] or rest[1::-1] + rest[2:] == others
    )


def _identifier(word: str) -> str:
    """The DOI, entry or ORCID in a URL; any other word as it is."""
    found = _IDENTIFIER.search(unquote(word)) if "/" in word else None
    return word if found is None else found[0].rstrip(f"{AROUND}/")
