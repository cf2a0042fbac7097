"""The index has the rows of its portal, is cached, and knows its age."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import graphql
import pytest

from napari_cryoet.discovery.columns import COLUMNS
from napari_cryoet.discovery.facets import count_facets
from napari_cryoet.discovery.index import STATE, Index, read_index
from napari_cryoet.discovery.search import Condition, Search
from napari_cryoet.exceptions import NetworkError, PortalError, StoppedError
from napari_cryoet.files import cache_path
from napari_cryoet.packs.pack import open_pack, write_pack
from napari_cryoet.portal.portal import Portal, Source, open_portal
from napari_cryoet.portal.transport import AnswerCache, PackAsker
from napari_cryoet.task import Task
from portal_rows import portal_schema

SEARCH = Search(text="ribosome", has=("frames",), annotations=(Condition(is_ground_truth=True),))


class Server:
    """A server of a pack that counts requests and can be unreachable."""

    def __init__(self, pack: Path, cache_dir: Path) -> None:
        self.use(pack)
        self._cache = AnswerCache(cache_dir)
        self.n_requests, self.n_rows = 0, []
        self.is_down, self.refused, self.repeats_rows = False, "", False

    def use(self, pack: Path) -> None:
        """Answer from another release."""
        self._ask = PackAsker(open_pack(pack))

    def __call__(self, query, variables, task):
        self.n_requests += 1
        if self.refused and self.refused in str(variables):
            raise PortalError("The portal couldn't answer: Unexpected error.")
        if self.is_down:
            raise NetworkError("The server is gone.")
        if self.repeats_rows and "where" in variables:
            variables = variables | {"where": {}}
        answer = self._ask(query, variables, task)
        self.n_rows.append(len(answer.data.get("rows", ())))
        return answer

    def portal(self, *, offline: bool = False) -> Portal:
        source = Source("url", "https://portal.example.org/graphql", "portal.example.org")
        return Portal(source, lambda _: self, cache=self._cache, offline=offline)


@pytest.fixture
def server(generated_pack: Path, tmp_path: Path) -> Iterator[Server]:
    return Server(generated_pack, tmp_path / "answers")


def are_equal(one: Index, other: Index) -> bool:
    return all(one.ids(table).tolist() == other.ids(table).tolist() for table in COLUMNS) and all(
        one.find(search) == other.find(search) for search in (Search(), SEARCH)
    )


def test_the_index_is_read_in_pages_and_then_cached(server, index, monkeypatch):
    monkeypatch.setattr("napari_cryoet.discovery.index.ROWS_A_PAGE", 100)
    fractions = []
    fetched = read_index(
        server.portal(), task=Task(lambda fraction, _text: fractions.append(fraction))
    )
    n_requests = server.n_requests

    assert are_equal(fetched, index)
    assert fetched.reason == ""
    assert max(server.n_rows) == 100
    assert n_requests < 2 + sum(index.count(table) // 100 + 1 for table in COLUMNS) + 10
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.9

    cached = read_index(server.portal())
    assert are_equal(cached, index)
    assert server.n_requests == n_requests + 1, "it only asks whether anything changed"
    assert abs(cached.as_of - fetched.as_of).total_seconds() < 60

    read_index(server.portal(), refresh=True)
    assert server.n_requests == 2 * n_requests + 1


def change_dataset(tables):
    tables["datasets"][3] |= {"title": "Renamed", "lastModifiedDate": "2031-01-01"}


@pytest.mark.parametrize(
    "change",
    [
        lambda tables: tables["annotations"].pop(),
        lambda tables: tables["datasets"].append(tables["datasets"][0] | {"id": 10999}),
        change_dataset,
    ],
    ids=["withdrawn", "added", "changed"],
)
def test_a_changed_portal_is_read_again(server, generated_pack, tmp_path, change):
    before = read_index(server.portal())
    tables = {name: [*rows] for name, rows in open_pack(generated_pack).tables.items()}
    change(tables)
    pack = write_pack(tmp_path / "second", open_pack(generated_pack).manifest, tables)
    server.use(pack.folder)
    used = []
    after = read_index(server.portal(), meanwhile=used.append)

    (meanwhile,) = used
    assert are_equal(meanwhile, before)
    assert not are_equal(after, before) or after.find("renamed").dataset_ids
    assert {table: after.count(table) for table in COLUMNS} == {
        table: len(pack.tables[table]) for table in COLUMNS
    }
    n_requests = server.n_requests
    assert read_index(server.portal()).as_of == after.as_of
    assert server.n_requests == n_requests + 1


def test_an_old_index_is_read_again_even_if_nothing_seems_changed(server, monkeypatch):
    first = read_index(server.portal())
    monkeypatch.setattr("napari_cryoet.discovery.index._MAX_AGE", timedelta(0))
    assert read_index(server.portal()).as_of > first.as_of


def test_the_request_for_the_state_of_the_tables_is_valid():
    assert not graphql.validate(portal_schema(), graphql.parse(STATE))


def test_the_tables_of_a_large_pack_are_parsed_once(generated_pack, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cryoet.portal.transport._LARGE_PACK_BYTES", 1000)
    folder = tmp_path / "pack"
    shutil.copytree(generated_pack, folder)
    first = read_index(open_portal(folder))
    with monkeypatch.context() as patch:
        patch.setattr("napari_cryoet.packs.pack._Tables.__getitem__", None)  # not even read
        assert are_equal(read_index(open_portal(folder)), first)

    tables = {name: [*rows] for name, rows in open_pack(folder).tables.items()}
    tables["runs"].pop()
    write_pack(folder, open_pack(folder).manifest, tables)
    assert read_index(open_portal(folder)).count("runs") == first.count("runs") - 1
    assert len([*cache_path().rglob("pack-*.sqlite")]) == 1


def test_the_cached_index_is_used_without_a_network(server, index):
    with pytest.raises(PortalError):
        read_index(server.portal(offline=True))
    server.is_down = True
    with pytest.raises(NetworkError):
        read_index(server.portal())
    server.is_down = False
    read_index(server.portal())
    server.is_down = True

    cached = read_index(server.portal(), refresh=True)
    assert are_equal(cached, index)
    assert "gone" in cached.reason
    assert are_equal(read_index(server.portal(offline=True)), index)


def test_tables_that_a_server_refuses_are_not_searched_until_it_answers(server, monkeypatch):
    server.refused = "perSectionParameters"
    for _ in ("fetched", "cached"):
        index = read_index(server.portal())
        assert index.unknown == {"ctf"}
        assert index.find(Search(has=("frames",))).run_ids
        (has,) = (facet for facet in count_facets(index, Search()) if facet.name == "has")
        assert "frames" in {each.value for each in has.values}
        with pytest.raises(PortalError):
            index.find(Search(has=("ctf",)))
    server.refused = ""
    assert read_index(server.portal()).unknown, "it was asked just now"
    monkeypatch.setattr("napari_cryoet.discovery.index._RETRY_AFTER", timedelta(0))
    n_requests = server.n_requests
    assert not read_index(server.portal()).unknown
    assert server.n_requests == n_requests + 2, "only what was missing"
    assert not read_index(server.portal()).unknown


def test_a_server_repeating_rows_raises_an_error(server, monkeypatch):
    monkeypatch.setattr("napari_cryoet.discovery.index.ROWS_A_PAGE", 10)
    monkeypatch.setattr(server, "repeats_rows", True)
    with pytest.raises(PortalError, match="same rows"):
        read_index(server.portal())


def test_the_index_survives_a_stop_and_a_damaged_cache(server, index):
    task = Task(lambda *_: task.stop())
    with pytest.raises(StoppedError):
        read_index(server.portal(), task=task)
    read_index(server.portal())
    (path,) = server.portal().cache_folder.glob("index-*.sqlite")
    path.write_bytes(b"damaged")
    assert are_equal(read_index(server.portal()), index)
