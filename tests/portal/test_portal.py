"""The portal: complete pages in one request each, and what was seen before when there is no network."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gql import GraphQLRequest

from fault_server import FaultServer, reply
from napari_cryoet import http as http_module
from napari_cryoet.exceptions import NetworkError, NotFoundError, PackError, PortalError, StoppedError
from napari_cryoet.http import Http
from napari_cryoet.packs.serve import serve_pack
from napari_cryoet.packs.transport import PackTransport
from napari_cryoet.portal import LIVE_URL, Portal, Source, open_portal, search_catalogue
from napari_cryoet.portal.cache import AnswerCache
from napari_cryoet.portal.transports import HttpTransport
from napari_cryoet.vocabulary import ShapeType
from portal_rows import Tables


class CountingTransport(PackTransport):
    """A pack that remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.requests: list[GraphQLRequest] = []
        self.longest_page: int | None = None

    def execute(self, request, *args, **kwargs):
        self.requests.append(request)
        page = (request.variable_values or {}).get("page")
        if page and self.longest_page:
            shorter = page | {"limit": min(page["limit"], self.longest_page)}
            variables = request.variable_values | {"page": shorter}
            request = GraphQLRequest(request.document, variable_values=variables)
        return super().execute(request, *args, **kwargs)


def counting_portal(tables: Tables, folder: Path) -> tuple[Portal, CountingTransport]:
    transport = CountingTransport(tables.write(folder))
    return Portal(Source("pack", "here", "Test"), lambda _: transport), transport


# --- size


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """370 datasets; one has 5,000 runs, and one of its runs 140 annotations."""
    tables = Tables()
    deposition = tables.add("depositions", title="All of it")
    for number in range(370):
        dataset = tables.add("datasets", id=10_000 + number, depositionId=deposition, title=f"Dataset {number}")
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
            tables.add("annotationAuthors", annotationId=annotation, name=f"A{order}", authorListOrder=order)
    crowded = tables["annotations"][0]["id"]
    for order in range(3, 130):
        tables.add("annotationAuthors", annotationId=crowded, name=f"A{order}", authorListOrder=order)
    return counting_portal(tables, tmp_path_factory.mktemp("large") / "pack")


def test_all_datasets_come_in_one_request(large):
    portal, transport = large
    before = len(transport.requests)
    catalogue = portal.catalogue()
    assert len(transport.requests) == before + 1
    assert len(catalogue.rows) == 370
    row = next(row for row in catalogue.rows if row.id == 10_302)
    assert (row.run_count, row.annotation_count) == (5000, 140)
    assert sum(each.count for each in row.objects) == 140
    assert set(row.shapes) == {ShapeType.ORIENTED_POINT, ShapeType.SEGMENTATION_MASK}
    assert [author.name for author in row.authors] == ["Author 302"]
    assert portal.catalogue() is catalogue
    assert len(transport.requests) == before + 1


def test_a_run_of_140_annotations_is_complete_in_one_request(large):
    portal, transport = large
    before = len(transport.requests)
    page = portal.run_page(20_007)
    assert len(transport.requests) == before + 1
    assert (len(page.annotations), len(page.annotation_shapes), len(page.annotation_files)) == (140, 280, 420)
    assert all(len(page.shapes_of(annotation)) == 2 for annotation in page.annotations)
    assert all(file.shape.annotation.run is page.run for file in page.annotation_files)
    assert sorted(len(each.authors) for each in page.annotations) == [3] * 139 + [130]
    assert page.run.dataset.title == "Dataset 302"


def test_5000_runs_come_page_by_page(large):
    portal, transport = large
    before = len(transport.requests)
    page = portal.dataset_page(10_302, offset=4950, limit=100)
    assert len(transport.requests) == before + 1
    assert (page.run_total, page.offset, len(page.runs), page.is_last) == (5000, 4950, 50, True)
    assert page.runs[0].name == "TS_4950"
    assert not portal.dataset_page(10_302).is_last


def test_all_5000_runs_can_be_listed(large):
    portal, transport = large
    before = len(transport.requests)
    names = [run.name for run in portal.runs(10_302)]
    assert names == [f"TS_{number:04}" for number in range(5000)]
    assert len(transport.requests) - before == 50


def test_a_server_that_gives_shorter_pages_than_asked_for_loses_no_run(large):
    portal, transport = large
    transport.longest_page = 70
    try:
        assert len({run.id for run in portal.runs(10_302)}) == 5000
    finally:
        transport.longest_page = None


def test_runs_are_filtered_by_name(large):
    portal, _ = large
    page = portal.dataset_page(10_302, name_contains="ts_000")
    assert (page.run_total, page.runs[0].name) == (10, "TS_0000")
    assert sum(each.count for each in page.objects) == 140


@pytest.mark.parametrize("text", ["%", "TS%7", "T__0007", "\\"])
def test_a_wildcard_in_a_run_name_filter_is_an_ordinary_character(large, text):
    portal, _ = large
    assert portal.dataset_page(10_302, name_contains=text).run_total == 0


@pytest.mark.parametrize(("offset", "limit", "count"), [(-5, 0, 1), (0, -1, 1), (0, 10**9, 500), (10**6, 50, 0)])
def test_a_page_is_never_unbounded(large, offset, limit, count):
    portal, _ = large
    assert len(portal.dataset_page(10_302, offset=offset, limit=limit).runs) == count


# --- search and look-up


@pytest.fixture
def small(tmp_path):
    tables = Tables()
    deposition = tables.add("depositions", title="Dep")
    for number, (title, description) in enumerate(
        [("Yeast", "lamellae of fission yeast"), ("Mouse", "a brain, 100% mouse"), ("Fly", "eye_colour")]
    ):
        dataset = tables.add(
            "datasets",
            depositionId=deposition,
            title=title,
            description=description,
            releaseDate=f"2024-01-0{9 - number}T00:00:00+00:00",
        )
        run = tables.add("runs", datasetId=dataset, name=f"{title}_1")
        tables.add_annotation(run, shapes={}, objectName="ribosome", annotationMethod=f"method {number}")
        tables.add("datasetAuthors", datasetId=dataset, name="Ann Other", orcid="0000-0001")
    return counting_portal(tables, tmp_path / "pack")


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("ribosome", ["Yeast", "Mouse", "Fly"]),
        ("LAMELLAE", ["Yeast"]),
        ("lamellae ribosome", ["Yeast"]),
        ("lamellae brain", []),
        ('"fission yeast"', ["Yeast"]),
        ("100%", ["Mouse"]),
        ("e_c", ["Fly"]),
        ("_", ["Yeast", "Mouse", "Fly"]),
        ("0000-0001 fly", ["Fly"]),
        ('"method 1"', ["Mouse"]),
        ("mouse_1", ["Mouse"]),
        ("", ["Yeast", "Mouse", "Fly"]),
        ("a b c d e f g h ribosome", []),  # no dataset has an h and an f, however many words are asked for at once
        ("f l y c u r i b o s m e", ["Fly"]),
        ("m\u00f6use", ["Mouse"]),  # to the server an accent makes another letter
    ],
)
def test_the_server_finds_every_word_also_in_descriptions(small, text, titles):
    portal, _ = small
    assert [row.title for row in portal.search(text)] == titles


def test_a_search_is_one_request_when_the_catalogue_is_known(small):
    portal, transport = small
    portal.catalogue()
    before = len(transport.requests)
    portal.search("lamellae ribosome yeast")
    assert len(transport.requests) == before + 1


def test_ids_are_found_among_words(small):
    portal, _ = small
    mouse = next(row for row in portal.datasets() if row.title == "Mouse")
    assert portal.search(f"DS-{mouse.id} brain") == (mouse,)
    assert portal.search(f"DS-{mouse.id} lamellae") == ()


def test_many_words_are_asked_for_six_at_once_and_too_many_are_refused(small):
    portal, transport = small
    portal.catalogue()
    before = len(transport.requests)
    assert portal.search(" ".join(f"method {number}" for number in range(6))) == ()
    assert len(transport.requests) == before + 2
    with pytest.raises(PortalError, match="up to 24 words"):
        portal.search(" ".join(map(str, range(25))))


def test_datasets_are_the_catalogues(small):
    portal, _ = small
    assert portal.datasets() == portal.catalogue().rows
    assert [row.title for row in search_catalogue(portal.catalogue(), "yeast")] == ["Yeast"]


@pytest.mark.parametrize("record_id", [0, -1, 2**31, 10**30])
def test_an_id_that_cannot_be_is_not_asked_for(small, record_id):
    portal, transport = small
    assert portal.lookup(record_id) == ()
    for ask in (portal.run_page, portal.dataset_page, portal.deposition_page):
        with pytest.raises(NotFoundError):
            ask(record_id)
    assert transport.requests == []


def test_what_is_not_there_is_said_so(small):
    portal, _ = small
    with pytest.raises(NotFoundError, match="no run 99999"):
        portal.run_page(99_999)
    with pytest.raises(NotFoundError, match="no dataset 99999"):
        portal.dataset_page(99_999)
    with pytest.raises(NotFoundError, match="no deposition 99999"):
        portal.deposition_page(99_999)
    assert portal.lookup(99_999) == ()


# --- sources


def test_a_pack_is_opened_by_its_folder(tmp_path):
    tables = Tables()
    tables.add("datasets", depositionId=tables.add("depositions"), title="One")
    folder = tables.write(tmp_path / "pack")
    for source in (folder, str(folder)):
        portal = open_portal(source)
        assert (portal.source.kind, portal.source.label) == ("pack", "A small portal")
        assert portal.cached_catalogue() is None
        assert [row.title for row in portal.datasets()] == ["One"]
        portal.close()
        assert portal.catalogue(refresh=True).rows


def test_what_is_no_pack_is_said_so(tmp_path):
    with pytest.raises(PackError, match="isn't a pack"):
        open_portal(tmp_path)
    with pytest.raises(PackError, match="no folder"):
        open_portal(tmp_path / "missing")


def test_opening_asks_nobody(tmp_path):
    assert open_portal("live", cache_dir=tmp_path).source == Source("live", LIVE_URL, "CryoET Data Portal")
    assert open_portal(" https://portal.example.org/graphql ", cache_dir=tmp_path).source.label == "portal.example.org"
    assert open_portal("demo").source.kind == "demo"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", ["", "  ", "ftp://example.org/pack", "http://", "https://[::1", "file:///packs/one"])
def test_what_cannot_be_a_source_is_told_at_once(source):
    with pytest.raises(PortalError, match=r"No source is named|isn't the address of a portal") as caught:
        open_portal(source)
    assert "folder of a pack" in caught.value.hint


def test_the_demo_is_a_portal(demo_pack, monkeypatch):
    monkeypatch.setattr("napari_cryoet.packs.demo.ensure_demo_pack", lambda stop=None: demo_pack)
    portal = open_portal("demo")
    rows = portal.datasets()
    assert len(rows) >= 2
    run = next(portal.runs(rows[0].id))
    assert portal.run_page(run.id).run.name == run.name


# --- over HTTP, and without network


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


class Switch:
    """A server's behaviour: answers from a pack, or fails as it is told to."""

    def __init__(self, folder: Path) -> None:
        self._pack = PackTransport(folder)
        self.fault = None

    def __call__(self, connection, request):
        if self.fault is not None:
            return self.fault(connection, request)
        body = json.loads(request.body)
        result = self._pack.execute(GraphQLRequest(body["query"], variable_values=body.get("variables")))
        answer = {"data": result.data, "errors": [{"message": str(each)} for each in result.errors or ()]}
        return reply(json.dumps(answer).encode())(connection, request)


@pytest.fixture
def remote(server, tmp_path, monkeypatch):
    """Opens portals to one server that share a cache, and the switch that breaks it; dataset 5 has run 6."""
    monkeypatch.setattr(http_module, "_FIRST_PAUSE_S", 0.001)
    tables = Tables()
    tables.add("datasets", id=5, depositionId=tables.add("depositions", id=4), title="One")
    tables.add("runs", id=6, datasetId=5, name="TS_1")
    switch = Switch(tables.write(tmp_path / "pack"))
    server.behave(switch)

    def open_remote(**options) -> Portal:
        source, http = Source("url", server.url, "Test"), Http(timeout_s=5)
        cache = AnswerCache(tmp_path / "cache")
        return Portal(source, lambda _: HttpTransport(server.url, http), cache=cache, **options)

    return open_remote, switch


def test_a_page_over_http_is_the_page_of_the_pack(remote, server, tmp_path):
    open_remote, _ = remote
    portal, local = open_remote(), open_portal(tmp_path / "pack")
    before = len(server.requests)
    assert portal.run_page(6).run.dataset == local.run_page(6).run.dataset
    assert len(server.requests) == before + 1
    assert portal.dataset_page(5).runs == local.dataset_page(5).runs
    assert portal.catalogue().rows == local.catalogue().rows
    assert portal.deposition_page(4).datasets == local.deposition_page(4).datasets
    assert portal.lookup(6) == local.lookup(6)
    assert portal.search("one") == local.search("one")


def test_a_fresh_answer_says_when_it_came(remote):
    open_remote, _ = remote
    freshness = open_remote().run_page(6).freshness
    assert abs((datetime.now(UTC) - freshness.fetched_at).total_seconds()) < 60
    assert (freshness.is_offline, freshness.reason) == (False, "")


def every_page(portal: Portal):
    return (
        portal.catalogue(),
        portal.dataset_page(5),
        portal.run_page(6),
        portal.deposition_page(4),
        portal.lookup(6),
        portal.search("one"),
    )


def test_without_network_all_that_was_seen_opens_with_its_date(remote):
    open_remote, switch = remote
    seen = every_page(open_remote())
    switch.fault = reply(b"", 503)
    again = every_page(open_remote())
    for before, after in zip(seen[:4], again[:4], strict=True):
        assert after.freshness.fetched_at == before.freshness.fetched_at
        assert after.freshness.is_offline
        assert "503" in after.freshness.reason
    assert again[0].rows == seen[0].rows
    assert again[2].run == seen[2].run
    assert again[4:] == seen[4:]


def test_without_network_what_was_never_seen_is_an_error_in_words(remote):
    open_remote, switch = remote
    switch.fault = reply(b"", 503)
    with pytest.raises(NetworkError, match="problem of its own"):
        open_remote().run_page(6)


def test_the_catalogue_is_fresh_again_when_the_network_is_back(remote):
    open_remote, switch = remote
    open_remote().catalogue()
    portal = open_remote()
    switch.fault = reply(b"", 503)
    assert portal.catalogue().freshness.is_offline
    switch.fault = None
    assert not portal.catalogue().freshness.is_offline


def test_the_last_catalogue_can_be_had_without_asking(remote, server):
    open_remote, _ = remote
    assert open_remote().cached_catalogue() is None
    open_remote().catalogue()
    before = len(server.requests)
    kept = open_remote().cached_catalogue()
    assert [row.title for row in kept.rows] == ["One"]
    assert not kept.freshness.is_offline
    assert len(server.requests) == before


def test_working_offline_asks_nobody(remote, server):
    open_remote, _ = remote
    open_remote().run_page(6)
    before = len(server.requests)
    portal = open_remote(offline=True)
    assert portal.run_page(6).freshness.is_offline
    with pytest.raises(PortalError, match="working offline"):
        portal.dataset_page(5)
    assert portal.cached_catalogue() is None
    assert len(server.requests) == before


def test_an_error_of_the_portal_is_not_papered_over_with_an_old_answer(remote):
    open_remote, switch = remote
    portal = open_remote()
    portal.run_page(6)
    switch.fault = reply(b'{"data": null, "errors": [{"message": "Unexpected error."}]}')
    with pytest.raises(PortalError, match="Unexpected error"):
        portal.run_page(6)


def test_an_answer_that_is_not_understood_is_not_kept(remote):
    open_remote, switch = remote
    switch.fault = reply(b'{"data": {"runs": [{"id": "6"}]}}')
    portal = open_remote()
    with pytest.raises(PortalError, match="can't be understood"):
        portal.run_page(6)
    switch.fault = reply(b"", 503)
    with pytest.raises(NetworkError):
        portal.run_page(6)


def test_a_withdrawn_run_is_not_shown_from_the_disk(remote):
    open_remote, switch = remote
    portal = open_remote()
    page = portal.run_page(6)
    assert page.run.name == "TS_1"
    empty = {name: [] for name in ("runs", "datasetAuthors", "datasetFunding")}
    switch.fault = reply(json.dumps({"data": empty}).encode())
    with pytest.raises(NotFoundError):
        portal.run_page(6)
    switch.fault = reply(b"", 503)
    with pytest.raises(NetworkError):
        portal.run_page(6)


def test_an_answer_kept_by_an_older_version_is_a_miss(remote, tmp_path, monkeypatch):
    open_remote, switch = remote
    open_remote().run_page(6)
    monkeypatch.setattr(AnswerCache, "get", lambda *_: type("Old", (), {"data": {}, "fetched_at": datetime.now(UTC)})())
    switch.fault = reply(b"", 503)
    with pytest.raises(NetworkError):
        open_remote().run_page(6)


def test_a_stop_is_heard_while_the_portal_is_silent(remote, server):
    open_remote, switch = remote
    switch.fault = server.silence
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StoppedError):
        open_remote().run_page(6, stop=stop)
    assert time.monotonic() - began < 1


def test_a_stop_is_heard_while_another_thread_makes_the_demo():
    release, entered = threading.Event(), threading.Event()

    def slow(_):
        entered.set()
        release.wait(10)
        raise PortalError("never mind")

    portal = Portal(Source("demo", "demo", "Demo"), slow)

    def first():
        with pytest.raises(PortalError):
            portal.catalogue()

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(5)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StoppedError):
        portal.catalogue(stop=stop)
    assert time.monotonic() - began < 1
    release.set()
    thread.join(5)


def test_nothing_is_asked_after_a_stop(small):
    portal, transport = small
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        portal.catalogue(stop=stop)
    assert transport.requests == []


def test_many_threads_share_a_portal(remote):
    open_remote, _ = remote
    portal, pages = open_remote(), []
    threads = [threading.Thread(target=lambda: pages.append(portal.run_page(6))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [page.run.name for page in pages] == ["TS_1"] * 12


def test_a_served_pack_is_the_same_portal(small, tmp_path):
    local, _ = small
    with serve_pack(tmp_path / "pack") as served:
        remote = open_portal(served.graphql_url, cache_dir=tmp_path / "cache")
        rows = remote.catalogue().rows
        assert rows == local.catalogue().rows
        for row in rows:
            assert remote.dataset_page(row.id).dataset == local.dataset_page(row.id).dataset
            for run in remote.runs(row.id):
                assert remote.run_page(run.id).annotations == local.run_page(run.id).annotations
                assert remote.lookup(run.id) == local.lookup(run.id)
            assert (
                remote.deposition_page(row.deposition_id).datasets == local.deposition_page(row.deposition_id).datasets
            )
        assert remote.search("lamellae") == local.search("lamellae")
    assert remote.catalogue(refresh=True).freshness.is_offline
