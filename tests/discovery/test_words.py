"""Searches find synonyms, plurals and misspelt words, and give reasons."""

from __future__ import annotations

import pytest

from napari_cryoet.appearance.colors import PALETTE
from napari_cryoet.appearance.objects import is_kind, known_object, known_objects
from napari_cryoet.discovery.catalogue import CatalogueSearch, found_first
from napari_cryoet.discovery.index import Index, read_index
from napari_cryoet.discovery.search import Search
from napari_cryoet.discovery.texts import reasons
from napari_cryoet.portal.pages import ObjectCount
from napari_cryoet.portal.portal import Portal, open_portal
from napari_cryoet.words import split_words
from portal_rows import Tables

DATE, LATER = "2024-01-01T00:00:00+00:00", "2025-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def portal(tmp_path_factory) -> Portal:
    tables = Tables()
    tables.add("depositions", id=10301, title="Lamellae and more", releaseDate=LATER)
    tables.add("depositions", id=10310, title="Deep picks", releaseDate=DATE)
    tables.add("depositionAuthors", depositionId=10310, name="Zoë Müller", authorListOrder=1)
    tables.add("datasets", id=110001, title="Minicells with 10001 dots", depositionId=10301, releaseDate=DATE,
               organismName="Saccharomyces cerevisiae S288C")  # fmt: skip
    tables.add("datasets", id=10001, title="S. pombe cryo-FIB lamellae", depositionId=10301, releaseDate=DATE,
               organismName="Schizosaccharomyces pombe", sampleType="cell_line", cellName="fission yeast",
               description="Dividing cells, with many mitochondria.", relatedDatabaseEntries="EMPIAR-10988, EMD-14411",
               datasetPublications="10.1038/s41592-022-01746-2")  # fmt: skip
    tables.add("datasets", id=10002, title="Mouse hippocampus", tissueName="CA1 field", depositionId=10301,
               releaseDate=DATE)  # fmt: skip
    tables.add(
        "datasetAuthors",
        datasetId=10001,
        name="Irene de Teresa-Trueba",
        orcid="0000-0002-1825-0097",
    )
    tables.add("datasetAuthors", datasetId=10002, name="Jörg Schäfer")
    for run, dataset, name in (
        (1, 10001, "TS_026"),
        (2, 10001, "TS_027"),
        (3, 10002, "Position_3"),
        (4, 110001, "x"),
    ):
        tables.add("runs", id=run, datasetId=dataset, name=name)
    for run, name, method in (
        (1, "cytosolic ribosome", "Template matching + CNN"),
        (2, "chaperonin-containing T-complex", "manual"),
        (3, "synaptic vesicle", "nnU-Net"),
        (3, "plasma membrane", "MemBrain"),
        (4, "β-galactosidase", "manual"),
    ):
        tables.add_annotation(run, objectName=name, annotationMethod=method, objectId="", shapes={},
                              depositionId=10310 if name == "cytosolic ribosome" else 10301)  # fmt: skip
    return open_portal(tables.write(tmp_path_factory.mktemp("words")))


@pytest.fixture(scope="module")
def portal_index(portal: Portal) -> Index:
    return read_index(portal)


def test_text_finds_datasets(portal, portal_index):
    catalogue = CatalogueSearch(portal.catalogue())
    only_in_index = {"mitochondrion", "template matching", "TS_027"}  # descriptions, methods, runs
    for text, ids in {
        "": [10001, 10002, 110001],
        "ribosomes POMBE": [10001],
        "0000-0002-1825-0097": [10001],
        "cell line": [10001],
        "Scha\u0308fer": [10002],
        "schafer": [10002],
        "DS-10002": [10002],
        '"mouse hippo': [10002],
        '"hippocampus mouse"': [],
        "https://doi.org/10.1038/s41592-022-01746-2": [10001],
        "mitochondrion": [10001],
        "template matching": [10001],
        "TS_027": [10001],
        "TRiC": [10001],
        "baker's yeast": [110001],
        "membrane": [10002],
        "cell membranes": [10002],
        "beta-galactosidases": [110001],
        "LacZ": [110001],
        "line membrane": [],
        "ribsome": [10001],  # typing errors, if nothing else matches
        "hippocmapus": [10002],
        "hippxxmpus": [],
        "yeastcytosolic": [],
    }.items():
        assert sorted(portal_index.find(Search(text=text)).dataset_ids) == ids, text
        if text not in only_in_index:
            assert sorted(row.id for row in catalogue.datasets(text)) == ids, text


def test_a_dataset_with_the_id_is_first(portal):
    found = CatalogueSearch(portal.catalogue()).datasets("10001")
    assert [row.id for row in found] == [10001, 110001]


def test_depositions_match_by_their_own_words_and_their_datasets(portal):
    catalogue = CatalogueSearch(portal.catalogue())
    for text, ids in {
        "": [10301, 10310],
        "muller deep ribosomes": [10310],
        "pombe": [10301, 10310],  # the organism of a dataset that it brought or added to
        "DS-10002": [10301],
    }.items():
        assert [each.id for each in catalogue.depositions(text)] == ids, text


def test_matching_objects_are_listed_first():
    objects = tuple(
        ObjectCount(object_name=name, count=1) for name in ("ribosome", "FAS", "Nup–pore", "actin")
    )
    named = [each.object_name for each in found_first(objects, "pombe NUP")]
    assert named == ["Nup–pore", "ribosome", "FAS", "actin"]
    assert found_first(objects, "fatty acid synthase")[0].object_name == "FAS"
    assert found_first(objects, "") == objects


def test_results_have_reasons(portal_index):
    for text, expected in {
        "pombe": ("title", "S. pombe cryo-FIB lamellae", ""),
        "ribosomes": ("object", "cytosolic ribosome", ""),
        "TRiC": ("object", "chaperonin-containing T-complex", "another name of TRiC"),
        "ribsome": ("object", "cytosolic ribosome", "like ribsome"),
        "dividing": ("description", "Dividing cells, with many mitochondria.", ""),
        "ts_027": ("run", "TS_027", ""),
    }.items():
        (reason,) = reasons(portal_index, text, 10001)
        assert (reason.field, reason.text, reason.how) == expected


def test_reasons_name_the_parent_term(portal_index):
    assert (
        reasons(portal_index, '"intracellular membrane-bounded organelle"', 10002) == ()
    )  # exact match
    matches = reasons(portal_index, "intracellular membrane-bounded organelle", 10002)
    assert ("synaptic vesicle", "a kind of intracellular membrane-bounded organelle") in [
        (x.text, x.how) for x in matches
    ]


def test_urls_of_papers_entries_and_people_are_searched_as_ids():
    for text, words in {
        '"Two Words" three': ('"Two Words"', "three"),
        "http://dx.doi.org/10.1101%2F2022.04.12.488077?x=1": ("10.1101/2022.04.12.488077",),
        "https://www.ebi.ac.uk/empiar/EMPIAR-10988/": ("EMPIAR-10988",),
        "https://orcid.org/0000-0002-9903-3667": ("0000-0002-9903-3667",),
        "https://example.org/5": ("https://example.org/5",),
    }.items():
        assert split_words(text) == words


def test_kinds_of_an_object_are_recognized_by_their_last_words():
    others = (
        *("30S subunit of ribosome", "large ribosomal subunit", "gas vesicle shell"),
        *("nuclear envelope", "Bovine ATP synthase stator", "membrane-enclosed lumen"),
        "intracellular membrane-bounded organelle",
    )
    for word, names in {
        "ribosome": [
            "80S ribosome with HCV-IRES",
            "Yeast mitochondrial ribosome",
            "membrane bound ribosome",
        ],
        "membranes": ["mitochondrial inner membrane", "plasma membrane", "thylakoid membrane"],
        "vesicle": ["synaptic vesicle", "multivesicular body"],
        "ATP synthase": ["F1-F0 complex"],
        "proteasome": ["20S proteasome", "proteasome complex"],
    }.items():
        concept = known_object(word)
        assert [name for name in names if not is_kind(name, concept)] == []
        assert [name for name in others if is_kind(name, concept)] == []


def test_the_table_of_objects_is_consistent():
    names = [name.casefold() for known in known_objects() for name in known.names]
    assert len(set(names)) == len(names)
    for known in known_objects():
        assert set(known.kind_of) <= {parent.name for parent in known_objects()}
        assert [*known.lineage()].count(known) == 1
        assert known.color in {"", *PALETTE}
