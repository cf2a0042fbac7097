"""Downloads obey offline mode and the data saver, and what is on this computer isn't concerned."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from download_samples import TOMOGRAM_KEY, Bucket, run_page, write_bucket
from fault_server import Behaviour, altered, in_chunks, ranged, whole
from napari_cryoet.download import Plan, Selection, TomogramChoice, download_files, plan_download, select
from napari_cryoet.exceptions import WithheldError
from napari_cryoet.http import Http
from napari_cryoet.network.policy import Policy

MRC = f"{TOMOGRAM_KEY}.mrc"  # of 2.1 MB
TOMOGRAM_AS_MRC = Selection(tomograms=(TomogramChoice(tomogram_id=11, volume_format="mrc"),))
MINUTE_BYTES = 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Tells the policy the time: ``now``, in seconds."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("napari_cryoet.network.policy.time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def withheld_of(bucket: Bucket, folder: Path, http: Http) -> WithheldError:
    """Begin to download a tomogram, which is withheld."""
    with pytest.raises(WithheldError, match=r"allows 1 MB a minute") as caught:
        download_files(plan_download(run_page(bucket.prefix), TOMOGRAM_AS_MRC), folder, http=http)
    return caught.value


def in_parts(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*.part")]


without_total = altered(lambda head, body: (re.sub(rb"(Content-Range: .*/)\d+", rb"\1*", head), body))


def plan_of(prefix: str, *, volume_format: str = "zarr") -> Plan:
    page = run_page(prefix)
    return plan_download(page, select(page, ("tomogram", "annotations", "metadata"), volume_format=volume_format))


@pytest.mark.parametrize("volume_format", ["zarr", "mrc"])
def test_offline_nothing_is_asked_for_and_the_reason_is_told(
    tmp_path: Path, http: Http, bucket: Bucket, volume_format: str
) -> None:
    http.policy = Policy(offline=True)
    with pytest.raises(WithheldError, match="offline mode is on"):
        download_files(plan_of(bucket.prefix, volume_format=volume_format), tmp_path, http=http)
    assert bucket.server.requests == []


def test_more_than_the_session_allows_is_refused_before_a_file_comes(
    tmp_path: Path, http: Http, bucket: Bucket
) -> None:
    plan = plan_of(bucket.prefix, volume_format="mrc")
    http.policy = Policy(max_session_bytes=plan.total_bytes // 2)
    with pytest.raises(WithheldError, match="a session"):
        download_files(plan, tmp_path, http=http)
    assert http.policy.received_bytes == 0


def test_a_download_that_was_withheld_goes_on_when_it_may(tmp_path: Path, http: Http, bucket: Bucket) -> None:
    plan = plan_of(bucket.prefix, volume_format="mrc")
    http.policy = Policy(max_minute_bytes=plan.total_bytes // 2)
    with pytest.raises(WithheldError, match="a minute"):
        download_files(plan, tmp_path, http=http)
    assert http.policy.received_bytes <= plan.total_bytes // 2
    http.policy.max_minute_bytes = None
    report = download_files(plan, tmp_path, http=http)
    assert report.n_fetched + report.n_skipped > 0
    assert http.policy.received_bytes <= 1.2 * plan.total_bytes


@pytest.mark.parametrize("tells_size_later", [True, False])
def test_what_nobody_knows_the_length_of_goes_on_minute_after_minute_and_nothing_is_lost(
    tells_size_later: bool, tmp_path: Path, http: Http, bucket: Bucket, clock: SimpleNamespace
) -> None:
    content = bucket.files[MRC]
    good = ranged(content, ETag='"a"')
    bucket.faults[MRC] = [in_chunks(good if tells_size_later else without_total(good))] * 20
    http.policy = Policy(max_minute_bytes=MINUTE_BYTES)
    for minute in (1, 2):
        error = withheld_of(bucket, tmp_path, http)
        assert "Wait a minute" in error.hint
        assert MINUTE_BYTES <= http.policy.minute_bytes <= MINUTE_BYTES + 2**16
        repeated = minute - 1  # each time one byte is asked for again
        assert in_parts(tmp_path) == [content[: http.policy.received_bytes - repeated]]
        clock.now += 61
    download_files(plan_download(run_page(bucket.prefix), TOMOGRAM_AS_MRC), tmp_path, http=http)
    assert (tmp_path / MRC).read_bytes() == content
    assert http.policy.received_bytes == len(content) + 2


def test_a_server_that_can_not_go_on_is_asked_in_vain_only_once(
    tmp_path: Path, http: Http, bucket: Bucket, clock: SimpleNamespace
) -> None:
    content = bucket.files[MRC]
    bucket.faults[MRC] = [in_chunks(whole(ranged(content, ETag='"a"')))] * 20  # it doesn't say so before
    http.policy = Policy(max_minute_bytes=MINUTE_BYTES)
    withheld_of(bucket, tmp_path, http)
    came_bytes = http.policy.received_bytes
    for _ in range(3):
        clock.now += 61
        error = withheld_of(bucket, tmp_path, http)
        assert "this takes 2.1 MB more" in error.message
        assert error.hint == "Allow more, or turn the data saver off."
        assert http.policy.received_bytes == came_bytes
        assert in_parts(tmp_path) == [content[:came_bytes]]
    http.policy.max_minute_bytes = None
    download_files(plan_download(run_page(bucket.prefix), TOMOGRAM_AS_MRC), tmp_path, http=http)
    assert (tmp_path / MRC).read_bytes() == content
    assert http.policy.received_bytes == came_bytes + len(content)


def not_in_the_middle(good: Behaviour) -> Behaviour:
    """Say that files can't be had in parts."""
    says_so = altered(lambda head, body: (head.replace(b"Accept-Ranges: bytes", b"Accept-Ranges: none"), body))
    return says_so(whole(good))


@pytest.mark.parametrize("etag", ["", '"a"', 'W/"a"'])
def test_what_can_not_go_on_and_is_larger_than_a_minute_by_what_the_portal_says_is_refused_before_it_comes(
    etag: str, tmp_path: Path, http: Http, bucket: Bucket
) -> None:
    headers = {"ETag": etag} if etag else {}
    good = ranged(bucket.files[MRC], **headers)
    bucket.faults[MRC] = [in_chunks(not_in_the_middle(good) if etag.startswith('"') else good)] * 20
    http.policy = Policy(max_minute_bytes=MINUTE_BYTES)
    error = withheld_of(bucket, tmp_path, http)
    assert "this takes 2.1 MB more" in error.message
    assert error.hint == "Allow more, or turn the data saver off."
    assert http.policy.received_bytes == 0
    http.policy.max_minute_bytes = 3 * MINUTE_BYTES
    download_files(plan_download(run_page(bucket.prefix), TOMOGRAM_AS_MRC), tmp_path, http=http)
    assert http.policy.received_bytes == len(bucket.files[MRC])


def test_the_files_of_a_pack_are_copied_offline_too(tmp_path: Path, http: Http) -> None:
    http.policy = Policy(offline=True, max_session_bytes=1)
    assert download_files(plan_of(write_bucket(tmp_path / "pack")), tmp_path / "to", http=http).n_fetched
