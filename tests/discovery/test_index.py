"""The index has the rows of its portal, is cached, and knows its age."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_cryoet.discovery.facets import count_facets
from napari_cryoet.discovery.index import COLUMNS, Index, read_index
from napari_cryoet.discovery.search import Condition, Search, find
from napari_cryoet.exceptions import NetworkError, PortalError, StoppedError
from napari_cryoet.packs.pack import open_pack
from napari_cryoet.portal.portal import Portal, Source
from napari_cryoet.portal.transport import AnswerCache, PackAsker

SEARCH = Search(text="ribosome", has=("frames",), annotations=(Condition(is_ground_truth=True),))


class Server:
    """A server of a pack that counts requests and can be unreachable."""

    def __init__(self, pack: Path, cache_dir: Path) -> None:
        self._ask = PackAsker(open_pack(pack))
        self._cache = AnswerCache(cache_dir)
        self.n_asked, self.n_rows, self.is_gone, self.refused, self.is_stuck = 0, [], False, "", False

    def __call__(self, query, variables, stop):
        self.n_asked += 1
        if self.refused and self.refused in str(variables):
            raise PortalError("The portal couldn't answer: Unexpected error.")
        if self.is_gone:
            raise NetworkError("The server is gone.")
        if self.is_stuck and "where" in variables:
            variables = variables | {"where": {}}
        answer = self._ask(query, variables, stop)
        self.n_rows.append(len(answer.data.get("rows", ())))
        return answer

    def portal(self, *, offline: bool = False) -> Portal:
        source = Source("url", "https://portal.example.org/graphql", "portal.example.org")
        return Portal(source, lambda _: self, cache=self._cache, offline=offline)


@pytest.fixture
def server(generated_pack: Path, tmp_path: Path) -> Iterator[Server]:
    return Server(generated_pack, tmp_path / "answers")


def same(one: Index, other: Index) -> bool:
    return all(one.ids(table).tolist() == other.ids(table).tolist() for table in COLUMNS) and all(
        find(one, search) == find(other, search) for search in (Search(), SEARCH)
    )


def test_a_server_is_read_in_pages_once_and_then_from_disk(server, index, monkeypatch):
    monkeypatch.setattr("napari_cryoet.discovery.index.ROWS_A_PAGE", 100)
    told = []
    fetched = read_index(server.portal(), progress=lambda share, words: told.append(share))
    n_asked = server.n_asked

    assert same(fetched, index)
    assert fetched.reason == ""
    assert max(server.n_rows) == 100
    assert n_asked < 1 + sum(index.count(table) // 100 + 1 for table in COLUMNS) + 10
    assert told == sorted(told)
    assert told[-1] > 0.9

    kept = read_index(server.portal())
    assert same(kept, index)
    assert server.n_asked == n_asked
    assert abs(kept.as_of - fetched.as_of).total_seconds() < 60

    read_index(server.portal(), refresh=True)
    assert server.n_asked == 2 * n_asked


def test_without_a_network_the_kept_one_answers_and_says_so(server, index):
    with pytest.raises(PortalError):
        read_index(server.portal(offline=True))
    server.is_gone = True
    with pytest.raises(NetworkError):
        read_index(server.portal())
    server.is_gone = False
    read_index(server.portal())
    server.is_gone = True

    kept = read_index(server.portal(), refresh=True)
    assert same(kept, index)
    assert "gone" in kept.reason
    assert same(read_index(server.portal(offline=True)), index)


def test_what_a_server_cannot_tell_is_not_searched_for(server):
    server.refused = "perSectionParameters"
    for _ in ("fetched", "kept"):
        index = read_index(server.portal())
        assert index.unknown == {"ctf"}
        assert find(index, Search(has=("frames",))).run_ids
        (has,) = (facet for facet in count_facets(index, Search()) if facet.name == "has")
        assert "frames" in {each.value for each in has.values}
        with pytest.raises(PortalError):
            find(index, Search(has=("ctf",)))
    server.refused = ""
    assert not read_index(server.portal(), refresh=True).unknown


def test_a_server_that_does_not_go_on_is_left(server, monkeypatch):
    monkeypatch.setattr("napari_cryoet.discovery.index.ROWS_A_PAGE", 10)
    monkeypatch.setattr(server, "is_stuck", True)
    with pytest.raises(PortalError, match="same rows"):
        read_index(server.portal())


def test_a_stop_and_a_damaged_file_lose_nothing(server, index):
    stop = threading.Event()
    with pytest.raises(StoppedError):
        read_index(server.portal(), progress=lambda *_: stop.set(), stop=stop)
    (path,) = [read_index(server.portal()), *server.portal().cache_folder.glob("index-*.sqlite")][1:]
    path.write_bytes(b"damaged")
    assert same(read_index(server.portal()), index)
