"""The portal: complete pages in one request each, valid sources, and answers without network."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from napari_cryoet.discovery.index import read_index
from napari_cryoet.exceptions import NetworkError, NotFoundError, PortalError
from napari_cryoet.packs.pack import open_pack
from napari_cryoet.portal.answers import PortalAnswer
from napari_cryoet.portal.portal import LIVE_URL, Portal, Source, ask_rows, find_portal, open_portal
from napari_cryoet.portal.transport import AnswerCache, PackAsker
from napari_cryoet.records import PORTAL_TERMS, Terms
from napari_cryoet.task import UNWATCHED
from portal_rows import Tables
from portal_server import PortalServer
from server import Server


class RecordingAsker:
    """A pack that records its queries and can be made to fail."""

    def __init__(self, folder: Path) -> None:
        self.ask = PackAsker(open_pack(folder))
        self.requests: list[str] = []
        self.longest_page: int | None = None
        self.fault: Exception | None = None
        self.reply: PortalAnswer | None = None

    def __call__(self, query, variables, task=UNWATCHED):
        self.requests.append(query)
        if self.fault is not None:
            raise self.fault
        page = variables.get("page")
        if page and self.longest_page:
            variables = {
                **variables,
                "page": page | {"limit": min(page["limit"], self.longest_page)},
            }
        return self.reply or self.ask(query, variables, task)


def counting_portal(tables: Tables, folder: Path) -> tuple[Portal, RecordingAsker]:
    asker = RecordingAsker(tables.write(folder))
    return Portal(Source("pack", "here", "Test"), lambda _: asker), asker


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """370 datasets; one has 5,000 runs, and one of its runs 140 annotations."""
    tables = Tables()
    deposition = tables.add("depositions", title="All of it")
    for number in range(370):
        dataset = tables.add(
            "datasets", id=10_000 + number, depositionId=deposition, title=f"Dataset {number}"
        )
        tables.add("datasetAuthors", datasetId=dataset, name=f"Author {number}", authorListOrder=1)
    for number in range(5000):
        tables.add("runs", id=20_000 + number, datasetId=10_302, name=f"TS_{number:04}")
    run = 20_007
    tables.add("tomograms", runId=run, depositionId=deposition, name="TS_0007")
    for number in range(140):
        annotation = tables.add_annotation(
            run,
            shapes={"OrientedPoint": ["ndjson"], "SegmentationMask": ["zarr", "mrc"]},
            objectName=f"object {number % 7}",
            depositionId=deposition,
        )
        for order in range(3):
            tables.add(
                "annotationAuthors",
                annotationId=annotation,
                name=f"A{order}",
                authorListOrder=order,
            )
    crowded = tables["annotations"][0]["id"]
    for order in range(3, 130):
        tables.add(
            "annotationAuthors", annotationId=crowded, name=f"A{order}", authorListOrder=order
        )
    return counting_portal(tables, tmp_path_factory.mktemp("large") / "pack")


def test_the_catalogue_and_a_run_page_need_one_request_each(large):
    portal, asker = large
    before = len(asker.requests)
    catalogue, page = portal.catalogue(), portal.run_page(20_007)
    assert portal.catalogue() is catalogue
    assert len(asker.requests) == before + 2
    row = next(row for row in catalogue.rows if row.id == 10_302)
    counts = (row.run_count, row.tomogram_count, row.annotation_count)
    assert (len(catalogue.rows), *counts) == (370, 5000, 1, 140)
    assert sum(each.count for each in row.objects) == 140
    assert {*row.shapes} == {"OrientedPoint", "SegmentationMask"}
    assert row.authors[0].name == "Author 302"
    records = (page.annotations, page.annotation_shapes, page.annotation_files)
    assert [*map(len, records)] == [140, 280, 420]
    assert all(file.shape.annotation.run is page.run for file in page.annotation_files)
    assert sorted(len(each.authors) for each in page.annotations) == [3] * 139 + [130]


def test_the_state_of_the_viewer_is_asked_for_one_tomogram(tmp_path):
    tables = Tables()
    run = tables.add("runs", datasetId=tables.add("datasets"))
    tomogram = tables.add("tomograms", runId=run, neuroglancerConfig='{"layers": []}')
    other = tables.add("tomograms", runId=run)
    portal, _ = counting_portal(tables, tmp_path / "pack")
    assert portal.neuroglancer_config(tomogram) == '{"layers": []}'
    assert portal.neuroglancer_config(other) == ""
    with pytest.raises(NotFoundError):
        portal.neuroglancer_config(other + 1000)


def test_runs_are_complete_even_if_pages_are_short(large):
    portal, asker = large
    page = portal.dataset_page(10_302, offset=4950, limit=100)
    assert (page.run_total, page.offset, len(page.runs), page.is_last) == (5000, 4950, 50, True)
    assert page.runs[0].name == "TS_4950"
    asker.longest_page = 70
    try:
        assert len({run.id for run in portal.runs(10_302)}) == 5000
    finally:
        asker.longest_page = None


def test_page_limits_are_clamped_and_wildcards_escaped(large):
    portal, _ = large
    for offset, limit, count in ((-5, 0, 1), (0, 10**9, 500), (10**6, 50, 0)):
        assert len(portal.dataset_page(10_302, offset=offset, limit=limit).runs) == count
    assert portal.dataset_page(10_302, name_contains="TS%7").run_total == 0


def test_open_portal_sends_no_request(tmp_path):
    live = Source("live", LIVE_URL, "CryoET Data Portal", PORTAL_TERMS)
    assert open_portal("live", cache_dir=tmp_path).source == live
    for address in ("https://portal.example.org/graphql", " https://portal.example.org/ "):
        source = open_portal(address, cache_dir=tmp_path).source
        assert source.location == "https://portal.example.org/graphql"
        assert source.label == "portal.example.org"
    assert open_portal("demo").source.kind == "demo"
    assert list(tmp_path.iterdir()) == []


def test_only_the_live_portal_links_to_its_site():
    live = Source("live", LIVE_URL, "Live", PORTAL_TERMS)
    assert live.page_url("run", 1) == f"{PORTAL_TERMS.site}/runs/1"
    for kind in ("pack", "url", "demo"):
        assert Source(kind, "here", "Mine", PORTAL_TERMS).page_url("run", 1) == ""
    own = Terms(site="https://portal.example.org")
    other = Source("url", "there", "Class", own)
    assert other.page_url("dataset", 7) == "https://portal.example.org/datasets/7"


@pytest.fixture
def remote(tmp_path):
    """A function that opens portals with a shared cache, and their server; dataset 5 has run 6."""
    tables = Tables()
    tables.add("datasets", id=5, depositionId=tables.add("depositions", id=4), title="One")
    tables.add("runs", id=6, datasetId=5, name="TS_1")
    server = RecordingAsker(tables.write(tmp_path / "pack"))

    def open_remote(**options) -> Portal:
        source = Source("url", "https://user:secret@portal.invalid/graphql", "Test")
        return Portal(source, lambda _: server, cache=AnswerCache(tmp_path / "cache"), **options)

    return open_remote, server


AWAY = NetworkError("The server is away.", status=503)


def every_page(portal: Portal):
    lists = portal.catalogue(), portal.dataset_page(5)
    return (*lists, portal.run_page(6), portal.deposition_page(4)), portal.lookup(6)


def test_seen_pages_open_offline_with_their_date(remote, tmp_path):
    open_remote, server = remote
    seen, lists = every_page(open_remote())
    assert all(not page.freshness.is_offline for page in seen)
    assert abs((datetime.now(UTC) - seen[0].freshness.fetched_at).total_seconds()) < 60
    server.fault = AWAY
    again, same_lists = every_page(open_remote())
    for before, after in zip(seen, again, strict=True):
        assert after.freshness.is_offline
        assert after.freshness.fetched_at == before.freshness.fetched_at
        assert after.freshness.reason == AWAY.message
    assert again[0].rows == seen[0].rows
    assert again[2].run == seen[2].run
    assert same_lists == lists
    assert not any(b"secret" in path.read_bytes() for path in (tmp_path / "cache").iterdir())


def test_the_catalogue_is_refetched_once_the_server_is_back(remote):
    open_remote, server = remote
    open_remote().catalogue()
    portal, server.fault = open_remote(), AWAY
    assert portal.catalogue().freshness.is_offline
    server.fault = None
    assert not portal.catalogue().freshness.is_offline
    assert portal.catalogue(refresh=True) is not portal.catalogue(refresh=True)


def test_invalid_answers_are_not_cached(remote):
    open_remote, server = remote
    portal = open_remote()
    server.reply = PortalAnswer({"runs": [{"id": "6"}]})
    with pytest.raises(PortalError):
        portal.run_page(6)
    server.fault = AWAY
    with pytest.raises(NetworkError):
        portal.run_page(6)


def test_terms_are_read_from_answers_and_cached(remote):
    open_remote, server = remote
    terms = Terms(licence="CC-BY-4.0", site="https://lab.example.org")
    assert open_remote().run_page(6).run.terms == Terms()
    server.reply = PortalAnswer(server.ask(server.requests[-1], {"id": 6}).data, terms)
    portal = open_remote()
    assert portal.run_page(6).run.terms == portal.source.terms == terms
    server.reply, server.fault = None, AWAY
    assert open_remote().run_page(6).run.terms == terms


def test_the_answer_cache_is_bounded_and_ignores_damaged_files(tmp_path):
    folder = tmp_path / "kept"
    cache = AnswerCache(folder, max_bytes=4000)
    answers = [PortalAnswer({"text": "x" * 900, "number": number}) for number in range(6)]
    for number, answer in enumerate(answers):
        cache.put(answer, "{ runs }", {"id": number})
        for path in folder.iterdir():
            if path.stat().st_mtime > 100:
                os.utime(path, (number, number))  # the clock of files is coarse
    assert cache.get("{ runs }", {"id": 5}) == answers[5]
    assert cache.get("{ runs }", {"id": 0}) is None
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 4000
    assert cache.get("{ runs }", {"id": "5"}) is None
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    assert cache.get("{ runs }", {"id": 5}) is None
    (tmp_path / "file").write_text("")
    AnswerCache(tmp_path / "file" / "kept").put(answers[0], "{ runs }")  # no cache, and no failure


def test_find_portal_completes_typed_addresses(served_demo):
    url = served_demo["graphql"]
    short = url.removeprefix("http://").removesuffix("/graphql")
    assert {find_portal(address) for address in (url, f" {short} ", f"http://{short}/")} == {url}
    with pytest.raises(NetworkError):
        find_portal(f"{short}/files")
    with pytest.raises(PortalError, match="address"):
        find_portal("ftp://files.org")


@pytest.fixture
def other_server(tmp_path):
    """A function that serves a small portal without some fields, and opens it."""
    tables = Tables()
    deposition = tables.add("depositions", id=4)
    tables.add("datasets", id=5, depositionId=deposition, title="One")
    tables.add("runs", id=6, datasetId=5, name="TS_1")
    tables.add("identifiedObjects", runId=6, objectName="ribosome")
    tables.add("tomograms", id=7, runId=6, depositionId=deposition, isPortalStandard=True)
    tables.add_annotation(6, shapes={"Point": ["ndjson"]}, depositionId=deposition)
    folder = tables.write(tmp_path / "pack")
    with Server() as server:

        def serve(lacking: str = "nothing") -> tuple[PortalServer, Portal]:
            other = PortalServer(server, folder, lacking)
            return other, open_portal(other.url, cache_dir=tmp_path / "cache")

        yield serve


def test_optional_fields_that_a_server_lacks_are_left_out_after_one_introspection(other_server):
    lacking = "identifiedObjects|isPortalStandard|annotationMethodLinks|groundTruthUsed"
    server, portal = other_server(lacking)
    page = portal.run_page(6)
    assert (page.identified_objects, len(page.annotations)) == ((), 1)
    assert page.tomograms[0].is_portal_standard is None
    every_page(portal)
    assert not portal.run_page(6).freshness.is_cached
    rows = ask_rows(portal, dataset_id=5)
    assert (len(rows["annotations"]), rows["identifiedObjects"]) == (1, [])
    assert sum("__schema" in query for query in server.queries) == 1
    assert read_index(portal).count("annotations") == 1


def test_seen_pages_are_shown_if_a_server_lacks_needed_fields(other_server, tmp_path):
    def run_page(portal):
        return portal.run_page(6)

    _, portal = other_server()
    seen = portal.catalogue(), portal.run_page(6)
    for lacking, read in (
        ("objectName", Portal.catalogue),  # counts are grouped by it
        ("annotations", run_page),
        ("runId", run_page),
        ("sizeX", run_page),
    ):
        server, portal = other_server(lacking)
        shown = read(portal)
        assert shown.freshness.fetched_at in {page.freshness.fetched_at for page in seen}
        assert (shown.freshness.is_failing, shown.freshness.is_offline) == (True, False)
        assert "may have changed" in shown.freshness.reason
        with pytest.raises(PortalError, match="changed"):
            read(open_portal(server.url, cache_dir=tmp_path / "other"))


def test_partial_answers_are_replaced_by_seen_pages(other_server):
    server, portal = other_server()
    seen = portal.run_page(6)
    server.errors = ["Unexpected error."]
    assert portal.run_page(6).annotations == seen.annotations
    assert portal.run_page(6).freshness.is_failing
    with pytest.raises(PortalError, match="Unexpected"):
        portal.lookup(6)
    server.errors = []
    assert not portal.run_page(6).freshness.is_cached
