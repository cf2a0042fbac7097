"""What is missing is told apart from what failed, wherever bytes come from."""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from command_line import wait_until
from fault_server import FaultServer, head_and_body, ranged, whole
from napari_cryoet.exceptions import ChangedError, FormatError, StoppedError, StreamError
from napari_cryoet.formats.mrc import open_mrc
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid
from napari_cryoet.streaming.sources import HttpSource, open_source
from stream_server import StreamServer

CONTENT = bytes(range(256)) * 10


@pytest.fixture(params=["path", "file", "http"])
def source(request, tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "x y%").write_bytes(CONTENT)
    (folder / "empty").write_bytes(b"")
    match request.param:
        case "path":
            yield open_source(folder)
        case "file":
            yield open_source(folder.as_uri())
        case _:
            with StreamServer(tmp_path) as server:
                os.rename(folder, tmp_path / "folder")
                yield open_source(f"{server.url}/folder")


def test_files_are_read_whole_and_in_ranges(source):
    assert source.read("x y%").content == CONTENT
    assert source.read("x y%", start=10, length=5).content == CONTENT[10:15]
    assert source.read("x y%", length=7).content == CONTENT[:7]
    assert source.read("x y%", start=2000).content == CONTENT[2000:]
    assert source.read("x y%", start=-9).content == CONTENT[-9:]


def test_fewer_bytes_come_only_where_the_file_ends(source):
    assert source.read("x y%", start=2550, length=100).content == CONTENT[2550:]
    assert source.read("x y%", start=9999, length=100).content == b""
    assert source.read("empty", length=100).content == b""


def test_a_missing_file_is_none(source):
    assert source.read("nothing") is None
    assert source.read("no/such/folder", start=3, length=3) is None


def test_pieces_of_one_file_have_its_version_and_size(source):
    first = source.read("x y%", length=7)
    assert first.version
    assert first.total_bytes == len(CONTENT)
    assert source.read("x y%", start=10, length=5, version=first.version).version == first.version
    assert source.read("x y%", version=first.version).total_bytes == len(CONTENT)


def test_no_other_version_is_read(source):
    with pytest.raises(ChangedError, match="changed"):
        source.read("x y%", length=7, version="another")
    with pytest.raises(ChangedError, match="changed"):
        source.read("x y%", version="another")
    assert source.read("nothing", version="another") is None


def test_a_file_that_is_written_anew_has_another_version(tmp_path):
    (tmp_path / "x").write_bytes(b"123")
    before = open_source(tmp_path).read("x").version
    (tmp_path / "y").write_bytes(b"123")
    os.replace(tmp_path / "y", tmp_path / "x")
    assert open_source(tmp_path).read("x").version != before


def test_the_time_of_change_and_the_size_are_a_version_where_there_is_no_etag():
    with FaultServer() as server:
        url = server.behave(ranged(CONTENT, Last_Modified="Mon, 06 Jan 2025 10:00:00 GMT"))
        first = open_source(url).read("", length=7)
        assert open_source(url).read("", version=first.version).content == CONTENT
        server.behave(ranged(CONTENT + b"1", Last_Modified="Mon, 06 Jan 2025 10:00:00 GMT"))
        with pytest.raises(ChangedError):
            open_source(url).read("", length=7, version=first.version)


def test_without_etag_and_time_there_is_no_version():
    with FaultServer() as server:
        piece = open_source(server.behave(ranged(CONTENT))).read("", length=7)
        assert (piece.version, piece.total_bytes) == (None, len(CONTENT))


def test_a_file_that_changed_is_named():
    with FaultServer() as server:
        source = HttpSource(server.behave(ranged(b"0123456789", ETag='"2"')).replace("/file", "/a.zarr?secret"))
        with pytest.raises(ChangedError, match=r"^a\.zarr/0/1 on 127\.0\.0\.1 changed while it was read") as caught:
            source.read("0/1", start=1, length=2, version='"1"')
    assert "secret" not in str(caught.value)


def test_what_lies_beyond_the_end_of_a_shorter_version_is_no_empty_answer():
    with FaultServer() as server:
        url = server.behave(ranged(CONTENT, ETag='"1"'))
        version = open_source(url).read("", length=7).version
        server.behave(ranged(CONTENT[:100], ETag='"2"'))
        with pytest.raises(ChangedError):
            open_source(url).read("", start=200, length=7, version=version)


def test_bytes_are_counted(source):
    source.read("x y%", length=100)
    source.read("x y%", start=200, length=10)  # not of what may be kept by now
    assert source.bytes_read == 110


def test_bytes_are_counted_while_a_large_file_comes():
    content, rest = bytes(3 * 2**20), threading.Event()

    def in_two(connection, request):
        head, body = head_and_body(whole(ranged(content)), request)
        connection.sendall(head + body[: 2 * 2**20])
        rest.wait(60)
        connection.sendall(body[2 * 2**20 :])

    with FaultServer() as server, ThreadPoolExecutor(1) as threads:
        source = open_source(server.behave(in_two))
        piece = threads.submit(source.read, "")
        try:
            wait_until(lambda: source.bytes_read == 2 * 2**20)
        finally:
            rest.set()
        assert piece.result(60).content == content
        assert source.bytes_read == len(content)


def test_stop_is_obeyed(source):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        source.read("x y%", stop=stop)


@pytest.mark.parametrize("status", [400, 401, 403, 500, 502, 503])
def test_a_refusal_is_an_error_and_never_a_missing_file(status, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    with StreamServer(tmp_path) as server:
        server.statuses["."] = status
        with pytest.raises(StreamError):
            open_source(server.url).read("x")


def test_no_answer_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_cryoet.http._pause_s", lambda _: 0.01)
    with StreamServer(tmp_path) as server:
        url = server.url
    with pytest.raises(StreamError):
        open_source(url).read("x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_a_pipe_in_place_of_a_file_is_an_error_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / ".zattrs")
    with pytest.raises(StreamError, match=r"\.zattrs is no file"):
        open_source(tmp_path).read(".zattrs")


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(StreamError, match="folder"):
        open_source(tmp_path).read("x")


def test_a_file_below_a_file_is_missing(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    assert open_source(tmp_path).read("x/y") is None


def test_a_query_is_kept_for_every_file_below(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    with StreamServer(tmp_path) as server:
        assert open_source(f"{server.url}/?token=abc").read("x").content == b"1"
        assert server.requests == [("/x?token=abc", None)]


@pytest.mark.parametrize("around", ["  {}", "{} ", "{}\n", "\t{}\r\n"])
def test_blanks_around_an_address_are_no_part_of_it(around, tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    with StreamServer(tmp_path) as server:
        assert open_source(around.format(server.url)).read("x").content == CONTENT
    assert open_source(around.format(tmp_path.as_uri())).read("x").content == CONTENT


@pytest.mark.parametrize("address", ["https://[::1", "~nobody-of-this-name/x", "a\0b", "http://\0"])
def test_what_can_be_no_address_and_no_path_is_refused_with_words(address):
    with pytest.raises((FormatError, StreamError)):
        open_source(address).read("x")


def test_messages_tell_no_secret_of_an_address(tmp_path):
    write_pyramid(tmp_path / "a.zarr", np.ones((3, 4, 5), "f4"), 10.0)
    with StreamServer(tmp_path) as server:
        address = f"{server.url.replace('//', '//me:hunter2@')}/a.zarr?signature=opensesame"
        pyramid = open_pyramid(address, cache=None)
        told = [repr(pyramid), pyramid.place]
        (tmp_path / "a.zarr" / "0" / "0" / "0" / "0").write_bytes(b"damage")
        for call in (lambda: pyramid.read(0), lambda: open_mrc(address), lambda: open_pyramid(f"{address}&x")):
            with pytest.raises((FormatError, StreamError)) as caught:
                call()
            told.append(str(caught.value))
            shutil.rmtree(tmp_path / "a.zarr" / "0")
            (tmp_path / "a.zarr" / "0").mkdir()
    assert pyramid.url == address
    assert "hunter2" not in "".join(told)
    assert "opensesame" not in "".join(told)


def test_a_relative_path_means_the_same_file_from_wherever_one_is(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    monkeypatch.chdir(tmp_path / "one")
    source = open_source(".")
    monkeypatch.chdir(tmp_path / "two")
    assert source.read("x").content == b"one"


def test_a_folder_that_is_gone_with_its_drive_is_an_error_and_its_files_are_not_missing(tmp_path):
    write_pyramid(tmp_path / "a.zarr", np.ones((3, 4, 5), "f4"), 10.0)
    pyramid = open_pyramid(tmp_path / "a.zarr")
    os.rename(tmp_path / "a.zarr", tmp_path / "elsewhere.zarr")
    for _ in range(2):
        with pytest.raises(StreamError, match="isn't there any more"):
            pyramid.read(0)
    os.rename(tmp_path / "elsewhere.zarr", tmp_path / "a.zarr")
    assert np.all(pyramid.read(0) == 1)


def test_a_source_may_be_one_file(tmp_path):
    (tmp_path / "x").write_bytes(b"123")
    assert open_source(tmp_path / "x").read("", start=1).content == b"23"
    with StreamServer(tmp_path) as server:
        assert open_source(f"{server.url}/x").read("", start=1).content == b"23"


@pytest.mark.parametrize("address", ["ftp://host/a", "gs://x/y"])
def test_other_addresses_are_refused_with_words(address):
    with pytest.raises(FormatError, match="can't be streamed"):
        open_source(address)
