"""Downloads obey offline mode and the data saver, and what is on this computer isn't concerned."""

from __future__ import annotations

from pathlib import Path

import pytest

from download_samples import Bucket, run_page, write_bucket
from napari_cryoet.download import Plan, download_files, plan_download, select
from napari_cryoet.exceptions import WithheldError
from napari_cryoet.network.policy import Policy


def plan_of(prefix: str, *, volume_format: str = "zarr") -> Plan:
    page = run_page(prefix)
    return plan_download(page, select(page, ("tomogram", "annotations", "metadata"), volume_format=volume_format))


@pytest.mark.parametrize("volume_format", ["zarr", "mrc"])
def test_offline_nothing_is_asked_for_and_the_reason_is_told(
    tmp_path: Path, ours: Policy, bucket: Bucket, volume_format: str
) -> None:
    ours.offline = True
    with pytest.raises(WithheldError, match="offline mode is on"):
        download_files(plan_of(bucket.prefix, volume_format=volume_format), tmp_path)
    assert bucket.server.requests == []


def test_more_than_the_session_allows_is_refused_before_a_file_comes(
    tmp_path: Path, ours: Policy, bucket: Bucket
) -> None:
    plan = plan_of(bucket.prefix, volume_format="mrc")
    ours.max_session_bytes = plan.total_bytes // 2
    with pytest.raises(WithheldError, match="a session"):
        download_files(plan, tmp_path)
    assert ours.received_bytes == 0


def test_a_download_that_was_withheld_goes_on_when_it_may(tmp_path: Path, ours: Policy, bucket: Bucket) -> None:
    plan = plan_of(bucket.prefix, volume_format="mrc")
    ours.max_minute_bytes = plan.total_bytes // 2
    with pytest.raises(WithheldError, match="a minute"):
        download_files(plan, tmp_path)
    assert ours.received_bytes <= plan.total_bytes // 2
    ours.max_minute_bytes = None
    report = download_files(plan, tmp_path)
    assert report.n_fetched + report.n_skipped > 0
    assert ours.received_bytes <= 1.2 * plan.total_bytes


def test_the_files_of_a_pack_are_copied_offline_too(tmp_path: Path, ours: Policy) -> None:
    ours.offline, ours.max_session_bytes = True, 1
    assert download_files(plan_of(write_bucket(tmp_path / "pack")), tmp_path / "to").n_fetched
