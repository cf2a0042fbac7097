"""Arrays that were sent to another process compute the same there."""

import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import dask
import dask.array as da
import numpy as np
import pytest

from napari_cryoet import exceptions
from napari_cryoet.formats.mrc import open_mrc
from napari_cryoet.formats.portal_zarr import write_pyramid
from napari_cryoet.streaming import open_pyramid, origin, pyramid_of, split_pyramid
from napari_cryoet.streaming.fetcher import shared_fetcher
from ome_images import noise, write_image
from stream_server import StreamServer


@pytest.fixture
def volume(tmp_path):
    write_pyramid(tmp_path / "a.zarr", noise((9, 20, 18)).astype("f4"), 10.0)
    return tmp_path / "a.zarr"


@pytest.fixture
def send(monkeypatch):
    """Pickles something, and unpickles it as another process would."""

    def send(what):
        sent = pickle.dumps(what)
        with monkeypatch.context() as context:
            context.setattr(origin, "_token", "another process")
            return pickle.loads(sent)

    return send


def assert_same(levels, sent):
    for level, other in zip(levels, sent, strict=True):
        assert isinstance(other, da.Array)
        assert other.name == level.name
        assert np.array_equal(other.compute(), level.compute())
        assert np.array_equal(other[1:].compute(), level[1:].compute())


def test_levels_compute_the_same_in_another_process(volume, send):
    pyramid = open_pyramid(volume)
    assert_same(pyramid.levels, send(pyramid.levels))
    assert send(pyramid) is not pyramid
    part = pyramid.levels[0][3, 4:]
    assert np.array_equal(send(part + 1).compute(), part.compute() + 1)


def test_threads_of_another_process_that_ask_at_the_same_time_share_one(monkeypatch):
    made, both = [], threading.Barrier(2)

    def make(name, *, http):
        assert http is None
        made.append(name)
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)  # would another one be made meanwhile?
        return SimpleNamespace()

    monkeypatch.setattr(origin, "_token", "another process")
    with ThreadPoolExecutor(2) as threads:
        asked = [
            threads.submit(origin.made_again, origin.Original("a", 1), origin.Origin(make, ("a",)), "mean")
            for _ in range(2)
        ]
    assert asked[0].result() is asked[1].result()
    assert made == ["a"]


def test_a_relative_path_is_found_from_another_working_directory(volume, send, monkeypatch, tmp_path):
    monkeypatch.chdir(volume.parent)
    pyramid = open_pyramid(volume.name)
    expected = pyramid.levels[0].compute()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert np.array_equal(send(pyramid.levels)[0].compute(), expected)


def test_levels_of_a_server_are_opened_once_for_all_that_is_sent(volume, send):
    with StreamServer(volume.parent) as served:
        levels = open_pyramid(f"{served.url}/a.zarr", cache=None).levels
        before = len(served.requests)
        assert_same(levels, send(levels))
        opened = [path for path, _ in served.requests[before:] if path.endswith("/.zattrs")]
        assert send(pyramid_of(levels)) is send(pyramid_of(levels))
        assert len(opened) == 1


def test_channels_and_files_of_one_volume_can_be_sent_too(tmp_path, send):
    write_image(tmp_path / "c.zarr", noise((2, 7, 20, 18)), "czyx")
    for part in split_pyramid(open_pyramid(tmp_path / "c.zarr"), 0):
        assert_same(part.levels, send(part.levels))
    mrcfile = pytest.importorskip("mrcfile")
    mrcfile.write(tmp_path / "v.mrc", noise((5, 6, 7)).astype("f4"))
    levels = open_mrc(tmp_path / "v.mrc").levels
    assert_same(levels, send(levels))
    with mrcfile.open(tmp_path / "v.mrc", "r+") as file:
        file.header.mapc, file.header.mapr, file.header.maps = 3, 1, 2
    levels = open_mrc(tmp_path / "v.mrc").levels
    assert levels[0].shape == (7, 5, 6)
    assert_same(levels, send(levels))


def replace_image(folder, seed):
    """Another image in the same place, with the same metadata."""
    write_pyramid(folder.with_name("new.zarr"), np.random.default_rng(seed).normal(size=(9, 20, 18)).astype("f4"), 10.0)
    for chunk in folder.with_name("new.zarr").glob("?/0/0/0"):
        chunk.replace(folder / chunk.relative_to(folder.with_name("new.zarr")))


@pytest.mark.parametrize("place", ["file", "http"])
def test_an_image_that_was_replaced_since_is_not_computed_in_another_process_until_that_is_known(place, volume, send):
    with StreamServer(volume.parent) as served:
        pyramid = open_pyramid(volume if place == "file" else f"{served.url}/a.zarr", cache=None)
        pyramid.levels[0].compute()
        replace_image(volume, 5)
        with pytest.raises(exceptions.ChangedError, match="changed since it was opened"):
            send(pyramid.levels)
        with pytest.raises(exceptions.ChangedError) as caught:
            send(pyramid.levels)
        pickle.loads(pickle.dumps(caught.value))  # as it reaches this process
        new = send(pyramid.levels)[0].compute()
        assert np.array_equal(new, pyramid.levels[0].compute())
        assert np.array_equal(new[:9, :, :18], open_pyramid(volume).read(0))


def test_dasks_processes_tell_once_that_an_image_was_replaced(volume):
    negative = -open_pyramid(volume).levels[0]
    with dask.config.set(scheduler="processes", num_workers=2):
        assert np.array_equal(-negative.compute()[:9, :, :18], noise((9, 20, 18)))
        replace_image(volume, 7)
        with pytest.raises(exceptions.ChangedError, match="changed since it was opened"):
            negative.compute()
        assert np.array_equal(-negative.compute()[:9, :, :18], open_pyramid(volume).read(0))


def test_an_image_that_is_replaced_while_another_process_computes_is_an_error_there(volume, send):
    sent = send(open_pyramid(volume).levels)[0]
    sent.compute(scheduler="synchronous")
    replace_image(volume, 6)
    shared_fetcher().memory.forget_if(lambda key: True)  # as when memory is short
    for _ in range(2):
        with pytest.raises(exceptions.ChangedError, match="changed since it was opened"):
            sent.compute(scheduler="synchronous")


def test_what_is_newer_than_the_original_is_an_error_in_another_process(volume, send):
    with StreamServer(volume.parent) as served:
        served.tells_sums = True
        for file in volume.rglob("*"):
            os.utime(file, (time.time() - 100,) * 2)
        sent = send(open_pyramid(f"{served.url}/a.zarr", cache=None).levels)[0]
        for file in volume.rglob("0"):
            os.utime(file, (time.time() + 2,) * 2)
        with pytest.raises(exceptions.ChangedError, match="changed since it was opened"):
            sent.compute(scheduler="synchronous")


def test_what_is_known_better_than_the_file_says_is_sent_along(volume, send):
    pyramid = open_pyramid(volume)
    pyramid.coarse_offset = "strided"
    assert send(pyramid).coarse_offset == "strided"


def test_in_its_own_process_a_pyramid_stays_the_same(volume):
    pyramid = open_pyramid(volume)
    assert pickle.loads(pickle.dumps(pyramid)) is pyramid
    assert pyramid_of(pickle.loads(pickle.dumps(pyramid.levels))) is pyramid


def test_arrays_of_different_processes_have_different_names(volume, monkeypatch):
    here = open_pyramid(volume).levels[0].name
    monkeypatch.setattr(origin, "_token", "another process")
    monkeypatch.setattr("napari_cryoet.streaming.identity._owners", iter([int(here.split("-")[-2])]))
    assert open_pyramid(volume).levels[0].name != here


def test_a_pyramid_of_which_nobody_knows_where_it_is_from_is_not_sent(volume):
    pyramid = open_pyramid(volume)
    pyramid.origin = None
    with pytest.raises(TypeError, match="another process"):
        pickle.dumps(pyramid)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.StreamError("no", hint="try"),
        exceptions.NetworkError("no", hint="try", url="http://a", status=500),
        exceptions.WithheldError("no", hint="try", by="data saver"),
        exceptions.MissingContextError("no", missing=("tomogram",), choices=("a", "b")),
        exceptions.StoppedError(),
    ],
)
def test_errors_reach_other_processes_as_they_are(error):
    received = pickle.loads(pickle.dumps(error))
    assert type(received) is type(error)
    assert str(received) == str(error)
    assert received.args == error.args
    assert vars(received) == vars(error)
