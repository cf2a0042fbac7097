"""Names, synonyms and kinds of the objects that the portal annotates most.

Ids and kinds are from the Gene Ontology (checked against the release of December 2021) where it has
the object; other names are common in the field. A part isn't a kind: a ribosomal subunit isn't a
ribosome, and a nuclear envelope isn't a membrane.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import takewhile
from typing import Final

from napari_cryoet.discovery.words import is_quoted, split_words, tokens

_PREPOSITION: Final = re.compile(r"\s(?:of|with|in|from|bound to)\s")
#: id or empty | name, synonyms | parents: the kinds of object that it is
_TABLE: Final = """
GO:0016020 | membrane
GO:0005886 | plasma membrane, cell membrane, plasmalemma | membrane
GO:0005741 | mitochondrial outer membrane, outer mitochondrial membrane | membrane
GO:0005743 | mitochondrial inner membrane, inner mitochondrial membrane | membrane
GO:0005789 | endoplasmic reticulum membrane, ER membrane | membrane
GO:0009707 | chloroplast outer membrane, chloroplast outer envelope | membrane
GO:0043231 | intracellular membrane-bounded organelle, membrane-bound organelle, organelle
GO:0005634 | nucleus, cell nucleus | intracellular membrane-bounded organelle
GO:0005739 | mitochondrion | intracellular membrane-bounded organelle
GO:0005783 | endoplasmic reticulum, ER | intracellular membrane-bounded organelle
GO:0005794 | Golgi apparatus, Golgi, Golgi complex | intracellular membrane-bounded organelle
GO:0005773 | vacuole | intracellular membrane-bounded organelle
GO:0005764 | lysosome | vacuole
GO:0031982 | vesicle
GO:0031410 | cytoplasmic vesicle | vesicle, intracellular membrane-bounded organelle
GO:0005771 | multivesicular body, MVB, multivesicular endosome | cytoplasmic vesicle
GO:0008021 | synaptic vesicle | cytoplasmic vesicle
GO:0005811 | lipid droplet, lipid body, lipid particle, adiposome
GO:0005840 | ribosome
GO:0022626 | cytosolic ribosome | ribosome
           | 80S ribosome, 80S | cytosolic ribosome
           | 70S ribosome, 70S | cytosolic ribosome
GO:0005761 | mitochondrial ribosome, mitoribosome | ribosome
GO:0015934 | large ribosomal subunit, ribosomal large subunit
GO:0015935 | small ribosomal subunit, ribosomal small subunit
GO:0000502 | proteasome complex, proteasome
GO:0005835 | fatty acid synthase complex, fatty acid synthase, FAS
GO:0070288 | ferritin complex, ferritin, apoferritin
GO:0048492 | ribulose bisphosphate carboxylase complex, RubisCO, RubisCO complex
           | chaperonin
GO:0005832 | chaperonin-containing T-complex, TRiC, CCT, TCP-1 ring complex | chaperonin
           | GroEL, chaperonin GroEL, GroEL-GroES complex | chaperonin
GO:0000786 | nucleosome
GO:0005643 | nuclear pore, nuclear pore complex, NPC
GO:0005635 | nuclear envelope
GO:0005874 | microtubule
GO:0005884 | actin filament, actin, F-actin, filamentous actin, microfilament
GO:0005929 | cilium, eukaryotic flagellum
GO:0009288 | bacterial-type flagellum, bacterial flagellum
GO:0044096 | type IV pilus, type 4 pilus, T4P, TFP
GO:0015627 | type II protein secretion system complex, T2SS, type II secretion system, type 2 secretion system
GO:0043684 | type IV secretion system complex, T4SS, type 4 secretion system
GO:0033176 | proton-transporting V-type ATPase complex, V-ATPase, vacuolar ATPase
GO:0045259 | proton-transporting ATP synthase complex, ATP synthase, F1-F0 complex, F1F0 complex, FoF1
GO:0170047 | virus-like capsid, virus-like particle, VLP
           | GPCR, G protein-coupled receptor
           | Class A GPCR | GPCR
           | Metabotropic glutamate receptor 5, mGlu5, mGluR5 | GPCR
           | NMDA selective glutamate receptor complex, NMDA receptor, NMDAR
           | double-stranded DNA polynucleotide, double-stranded DNA, dsDNA
           | SARS-CoV2 spike protein, SARS-CoV-2 spike, SARS-CoV-2 spike glycoprotein
           | IFT A complex, IFT-A, intraflagellar transport A
           | IFT B complex, IFT-B, intraflagellar transport B
UniProtKB:P00722 | Beta-galactosidase, LacZ
UniProtKB:P01267 | Thyroglobulin, Tg
UniProtKB:P10537 | Beta-amylase
"""

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
class Concept:
    """A kind of object; ``object_id`` is empty if no ontology has it."""

    name: str
    object_id: str
    names: tuple[str, ...]  # with synonyms; the first is `name`
    kind_of: tuple[str, ...]  # names of its parents


def common_names(organism: str) -> str:
    """The English names of an organism, with or without its strain; empty if unknown."""
    return next(
        (names for species, names in _COMMON_NAMES.items() if organism.startswith(species)), ""
    )


def concept_of(name_or_id: str) -> Concept | None:
    """The concept with a name (singular or plural, any case) or an id.

    None if it isn't in the table.
    """
    return _by_name().get(tokens(name_or_id))


def is_kind_of(concept: Concept, other: Concept) -> bool:
    """Whether one concept is the other, or directly or indirectly a kind of it."""
    return concept == other or any(
        is_kind_of(_by_name()[tokens(name)], other) for name in concept.kind_of
    )


def is_kind(name: str, concept: Concept) -> bool:
    """Whether the object with this name is a kind of a concept."""
    other = concept_of_object(name)
    return other is not None and is_kind_of(other, concept)


@lru_cache(maxsize=10_000)
def concept_of_object(name: str) -> Concept | None:
    """The concept of an object, found by the last words of its name if the table doesn't have all of it.

    >>> [concept_of_object(name) for name in ("Bovine ATP synthase stator", "30S subunit of ribosome")]
    [None, None]
    >>> concept_of_object("80S ribosome with HCV-IRES").name, concept_of_object("thylakoid membrane").name
    ('80S ribosome', 'membrane')
    """
    if known := concept_of(name):
        return known
    words = tokens(_PREPOSITION.split(name, maxsplit=1)[0])
    return next(
        (known for start in range(len(words)) if (known := _by_name().get(words[start:]))), None
    )


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a search, or several words that together name an object."""

    words: tuple[str, ...]
    concept: Concept | None = None


def terms_of(text: str) -> tuple[Term, ...]:
    """Split a text into words; words that together name a known object stay together.

    >>> [term.words for term in terms_of('yeast cell membrane "plasma membrane"')]
    [('yeast',), ('cell', 'membrane'), ('"plasma membrane"',)]
    """
    remaining, terms = split_words(text), []
    while remaining:
        plain = tuple(takewhile(lambda word: not is_quoted(word), remaining))
        length = next(
            (length for length in range(len(plain), 0, -1) if concept_of(" ".join(plain[:length]))),
            1,
        )
        words, remaining = remaining[:length], remaining[length:]
        terms.append(Term(words, concept_of(" ".join(words)) if plain else None))
    return tuple(terms)


@cache
def concepts() -> tuple[Concept, ...]:
    """All concepts of the table."""
    parsed = []
    for line in _TABLE.strip().splitlines():
        object_id, names, *kinds = (part.strip() for part in line.split("|"))
        synonyms = tuple(name.strip() for name in names.split(","))
        parents = tuple(name.strip() for each in kinds for name in each.split(","))
        parsed.append(Concept(synonyms[0], object_id, synonyms, parents))
    return tuple(parsed)


@cache
def _by_name() -> dict[tuple[str, ...], Concept]:
    return {
        tokens(name): concept
        for concept in concepts()
        for name in (*concept.names, concept.object_id)
        if name
    }
