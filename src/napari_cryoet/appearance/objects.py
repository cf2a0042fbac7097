"""The objects that the portal annotates most: their ids, names, kinds, colours and diameters.

Ids and kinds are from the Gene Ontology (checked against the release of December 2021) where it has
the object; other names are common in the field. A part isn't a kind: a ribosomal subunit isn't a
ribosome, and a nuclear envelope isn't a membrane.

A diameter is that of a sphere that holds most of the particle: for those of the CZII challenge
(2024) twice the radius published by its organisers, for others rounded from the PDB and EMDB.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final

from napari_cryoet.words import is_named, is_quoted, tokens

_PREPOSITION: Final = re.compile(r"\s(?:of|with|in|from|bound to)\s")
_ID: Final = re.compile(r"[A-Za-z]+[:-]\w+")
#: id or empty | name, synonyms | parents: the kinds of object that it is | colour | diameter in ångström
#: Objects without a colour or a diameter have those of their kind.
_TABLE: Final = """
GO:0016020 | membrane | | sky |
GO:0005886 | plasma membrane, cell membrane, plasmalemma | membrane | |
GO:0005741 | mitochondrial outer membrane, outer mitochondrial membrane | membrane | |
GO:0005743 | mitochondrial inner membrane, inner mitochondrial membrane | membrane | |
GO:0005789 | endoplasmic reticulum membrane, ER membrane | membrane | |
GO:0009707 | chloroplast outer membrane, chloroplast outer envelope | membrane | |
GO:0043231 | intracellular membrane-bounded organelle, membrane-bound organelle, organelle | | |
GO:0005634 | nucleus, cell nucleus | intracellular membrane-bounded organelle | purple |
GO:0005739 | mitochondrion | intracellular membrane-bounded organelle | ochre |
GO:0005783 | endoplasmic reticulum, ER | intracellular membrane-bounded organelle | azure |
GO:0005794 | Golgi apparatus, Golgi, Golgi complex | intracellular membrane-bounded organelle | sand |
GO:0005773 | vacuole | intracellular membrane-bounded organelle | |
GO:0005764 | lysosome | vacuole | |
GO:0031982 | vesicle | | |
GO:0031410 | cytoplasmic vesicle | vesicle, intracellular membrane-bounded organelle | |
GO:0005771 | multivesicular body, MVB, multivesicular endosome | cytoplasmic vesicle | |
GO:0008021 | synaptic vesicle | cytoplasmic vesicle | |
GO:0005811 | lipid droplet, lipid body, lipid particle, adiposome | | |
GO:0005840 | ribosome | | yellow | 300
GO:0022626 | cytosolic ribosome | ribosome | |
           | 80S ribosome, 80S | cytosolic ribosome | |
           | 70S ribosome, 70S | cytosolic ribosome | | 250
           | membrane-bound ribosome | ribosome | |
GO:0005761 | mitochondrial ribosome, mitoribosome | ribosome | | 250
GO:0015934 | large ribosomal subunit, ribosomal large subunit | | |
GO:0015935 | small ribosomal subunit, ribosomal small subunit | | |
GO:0000502 | proteasome complex, proteasome | | mint | 150
           | 26S proteasome | proteasome complex | |
GO:0005835 | fatty acid synthase complex, fatty acid synthase, FAS | | cyan | 260
GO:0070288 | ferritin complex, ferritin, apoferritin, apo-ferritin | | orange | 120
GO:0048492 | ribulose bisphosphate carboxylase complex, RubisCO, RubisCO complex | | | 120
           | chaperonin | | |
GO:0005832 | chaperonin-containing T-complex, TRiC, CCT, TCP-1 ring complex | chaperonin | | 160
           | GroEL, chaperonin GroEL, GroEL-GroES complex | chaperonin | | 150
GO:0000786 | nucleosome | | | 110
GO:0005643 | nuclear pore, nuclear pore complex, NPC | | | 1200
GO:0005635 | nuclear envelope | | blue |
GO:0005874 | microtubule | | brown | 250
GO:0005884 | actin filament, actin, F-actin, filamentous actin, microfilament | | orchid | 80
GO:0005929 | cilium, eukaryotic flagellum | | |
GO:0009288 | bacterial-type flagellum, bacterial flagellum | | |
           | bacterial-type flagellum motor | | | 450
GO:0044096 | type IV pilus, type 4 pilus, T4P, TFP | | |
GO:0015627 | type II protein secretion system complex, T2SS, type II secretion system, type 2 secretion system | | |
GO:0043684 | type IV secretion system complex, T4SS, type 4 secretion system | | |
GO:0033176 | proton-transporting V-type ATPase complex, V-ATPase, vacuolar ATPase | | |
GO:0045259 | proton-transporting ATP synthase complex, ATP synthase, F1-F0 complex, F1F0 complex, FoF1 | | |
GO:0170047 | virus-like capsid, virus-like particle, VLP | | cyan | 270
           | GPCR, G protein-coupled receptor | | |
           | Class A GPCR | GPCR | |
           | Metabotropic glutamate receptor 5, mGlu5, mGluR5 | GPCR | |
           | NMDA selective glutamate receptor complex, NMDA receptor, NMDAR | | |
           | double-stranded DNA polynucleotide, double-stranded DNA, dsDNA | | |
           | SARS-CoV2 spike protein, SARS-CoV-2 spike, SARS-CoV-2 spike glycoprotein | | |
           | IFT A complex, IFT-A, intraflagellar transport A | | |
           | IFT B complex, IFT-B, intraflagellar transport B | | |
UniProtKB:P00722 | Beta-galactosidase, LacZ | | azure | 180
UniProtKB:P01267 | Thyroglobulin, Tg | | mint | 260
UniProtKB:P10537 | Beta-amylase | | orchid | 130
"""


@dataclass(frozen=True, slots=True)
class KnownObject:
    """A kind of object; ``object_id`` is empty if no ontology has it."""

    name: str
    object_id: str
    names: tuple[str, ...]  # with synonyms; the first is `name`
    kind_of: tuple[str, ...]  # names of its parents
    color: str  # of `colors.PALETTE`; empty for that of its kind
    diameter_angstrom: float  # 0 for that of its kind

    def lineage(self) -> Iterator[KnownObject]:
        """The object itself, then the kinds of object that it is, the nearest first."""
        yield self
        for name in self.kind_of:
            yield from _by_name()[tokens(name)].lineage()


def object_key(object_id: str | None, object_name: str | None = None) -> str:
    """The key of an object: its id if it has one, else its name, normalised.

    >>> object_key(None, "Cytosolic_Ribosome "), object_key("go:0005874", "microtubule")
    ('cytosolic ribosome', 'go:0005874')
    """
    object_id = (object_id or "").strip()
    chosen = object_id if _ID.fullmatch(object_id) or not object_name else object_name
    return " ".join(chosen.replace("_", " ").split()).casefold()


def known_object(name_or_id: str | None, name: str | None = None) -> KnownObject | None:
    """The object with an id or a name (singular or plural, any case); None if the table lacks it.

    >>> known_object("GO:0022626").name, known_object("unknown", "80S ribosomes").name
    ('cytosolic ribosome', '80S ribosome')
    """
    table = _by_name()
    return table.get(tokens(name_or_id or "")) or table.get(tokens(name or ""))


@lru_cache(maxsize=10_000)
def nearest_object(name: str) -> KnownObject | None:
    """The known object with this name, or with the last words of it.

    >>> [nearest_object(name) for name in ("Bovine ATP synthase stator", "30S subunit of ribosome")]
    [None, None]
    >>> nearest_object("80S ribosome with HCV-IRES").name, nearest_object("thylakoid membrane").name
    ('80S ribosome', 'membrane')
    """
    if known := known_object(name):
        return known
    words = tokens(_PREPOSITION.split(name, maxsplit=1)[0])
    endings = (words[start:] for start in range(len(words)))
    return next((_by_name()[ending] for ending in endings if ending in _by_name()), None)


def is_object_id(text: str) -> bool:
    """Whether a text looks like the id of an object, such as ``GO:0022626`` or ``PDB-4UJD``."""
    return _ID.fullmatch(text) is not None and any(each.isdigit() for each in text)


def is_kind(name: str, known: KnownObject) -> bool:
    """Whether the object with this name is a known object, or directly or indirectly a kind of it."""
    nearest = nearest_object(name)
    return nearest is not None and known in nearest.lineage()


def is_object(name: str, wanted: str, object_id: str | None = None) -> bool:
    """Whether an object is a wanted one: a kind of it if it is known, else one with all its words.

    ``wanted`` may also be an id, or the whole name in double quotes.

    >>> is_object("80S ribosome", "ribosomes"), is_object("80S ribosome", '"ribosome"')
    (True, False)
    """
    if object_id and object_key(object_id) == object_key(wanted):
        return True
    known = None if is_quoted(wanted) else known_object(wanted)
    return is_named(name, wanted) if known is None else is_kind(name, known)


@cache
def known_objects() -> tuple[KnownObject, ...]:
    """All objects of the table."""
    return tuple(_parsed(line) for line in _TABLE.strip().splitlines())


@cache
def _by_name() -> dict[tuple[str, ...], KnownObject]:
    by_name = {}
    for known in known_objects():
        for name in (*known.names, known.object_id):
            by_name[tokens(name)] = known
    del by_name[()]  # of those without an id
    return by_name


def _parsed(line: str) -> KnownObject:
    object_id, names, kinds, color, diameter = (part.strip() for part in line.split("|"))
    synonyms = tuple(name.strip() for name in names.split(","))
    return KnownObject(
        name=synonyms[0],
        object_id=object_id,
        names=synonyms,
        kind_of=tuple(name.strip() for name in kinds.split(",") if kinds),
        color=color,
        diameter_angstrom=float(diameter or 0),
    )
