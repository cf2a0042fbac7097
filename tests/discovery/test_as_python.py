"""An exported script finds the same runs as its search."""

from __future__ import annotations

from datetime import date

import pytest

from napari_cryoet.discovery.as_python import client_script, own_script
from napari_cryoet.discovery.fields import CONTENTS
from napari_cryoet.discovery.index import read_index
from napari_cryoet.discovery.search import Condition, Search
from napari_cryoet.packs.serve import PackServer
from napari_cryoet.portal.portal import open_portal

SEARCHES = {
    "two annotations of one run": Search(
        annotations=(
            Condition(objects=("ribosome",), shapes=("Point",), is_ground_truth=True),
            Condition(objects=("membrane",), shapes=("SegmentationMask",), is_ground_truth=False),
        )
    ),
    "words, and all about tomograms": Search(
        text="pombe ribosome",
        processing=("raw", "denoised"),
        reconstruction=("WBP",),
        spacing_angstrom=(5.0, 14.0),
        tilt_range_degrees=(90.0, None),
        tilt_quality=(3, 4, 5),
        released=(date(2023, 1, 1), date(2027, 12, 31)),
        annotations=(Condition(methods=("manual", "hybrid"), min_count=5),),
    ),
    "annotated or identified": Search(annotations=(Condition(objects=("ribosome",)),)),
    "words in datasets and in runs": Search(text="pombe TS_00"),
    "contents": Search(
        has=tuple(each for each in CONTENTS if each != "ctf"), depositions=(10300, 10301, 10302)
    ),
}


@pytest.fixture(scope="module")
def server(generated_pack):
    with PackServer(generated_pack) as server:
        yield server


@pytest.fixture(scope="module")
def served(server, tmp_path_factory):
    return read_index(open_portal(server.graphql_url, cache_dir=tmp_path_factory.mktemp("answers")))


def printed_ids(script, capsys):
    capsys.readouterr()
    exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})
    return {int(line.split()[0]) for line in capsys.readouterr().out.splitlines()}


@pytest.mark.parametrize("name", SEARCHES)
def test_both_scripts_find_the_same_runs(served, capsys, name):
    search = SEARCHES[name]
    expected = set(served.find(search).run_ids)
    assert expected
    assert printed_ids(client_script(served, search), capsys) == expected
    assert printed_ids(own_script(search, served.source), capsys) == expected


def test_the_script_for_a_pack_tells_how_to_serve_it(index):
    assert "napari-cryoet serve" in client_script(index, Search())
    assert "open_portal('live')" in own_script(Search(), open_portal("live").source)
    compile(own_script(Search(text="\"'\\"), index.source), "script.py", "exec")
