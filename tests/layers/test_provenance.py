import json

from msgspec.structs import replace

from napari_cryoet.portal import provenance
from napari_cryoet.provenance import Provenance
from napari_cryoet.records import Terms
from samples import make_annotation, make_file, make_run, make_tomogram

URL = "https://files.example.invalid/a.zarr"


def test_parent_records_are_listed_once():
    records = provenance.of_tomogram(make_tomogram(), URL).records

    assert set(records) == {"tomogram", "run", "dataset", "deposition"}
    assert "run" not in records["tomogram"]
    assert records["tomogram"]["voxel_spacing"] == 13.48


def test_citations_name_authors_data_papers_and_licence():
    text = provenance.of_tomogram(make_tomogram(), URL).citation

    assert text.splitlines() == [
        "Sara Götz, Irene de Teresa. S. pombe lamellae. CryoET Data Portal, DS-10000",
        "https://doi.org/10.1038/s41592-022-01746-2",
        "https://cryoetdataportal.czscience.com/runs/506",
        "Licence: CC0-1.0",
    ]


def test_licence_and_page_come_from_the_source():
    mine = Terms(
        licence="CC-BY-4.0", licence_url="https://example.org/by", site="https://lab.example.org"
    )
    about = provenance.of_tomogram(make_tomogram(run=make_run(terms=mine)), URL)
    text = about.citation

    assert (about.licence, about.licence_url) == ("CC-BY-4.0", "https://example.org/by")
    assert about.portal_url == "https://lab.example.org/runs/506"
    assert ("CC-BY-4.0" in text, "Portal" in text, "CC0" in text) == (True, False, False)
    unknown = provenance.of_tomogram(make_tomogram(run=make_run(terms=None)), URL)
    assert (unknown.licence, unknown.portal_url) == ("", "")
    assert "DS-10000" in unknown.citation


def test_provenance_is_restored_from_json_with_unknown_keys():
    about = provenance.of_tomogram(make_tomogram(), URL).with_warnings("old")
    data = json.loads(json.dumps(about.to_dict() | {"later": [1], "run_id": "x"}))

    assert Provenance.of(data) == replace(about, run_id=None, more={"later": [1]})
    assert Provenance.of(data).to_dict()["later"] == [1]
    assert Provenance.of("not a mapping") == Provenance()


def test_annotations_have_their_own_dois():
    file = make_file(annotation=make_annotation(annotation_publication="EMD-1, 10.1000/abc"))

    about = provenance.of_annotation_file(file, URL, 13.48)

    assert (about.dois, about.database_entries) == (("10.1000/abc",), ("EMD-1",))
