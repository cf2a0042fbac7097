"""The scripts in a download folder fetch the same files with other tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from download_samples import files_in
from napari_cryoet.basket.basket import Basket, read_basket
from napari_cryoet.basket.contents import ask_basket_runs
from napari_cryoet.download import Plan, download_files
from napari_cryoet.download.folder import read_manifest
from napari_cryoet.download.lists import write_lists
from napari_cryoet.download.plan import plan_basket
from napari_cryoet.packs.pack import open_pack
from napari_cryoet.packs.serve import PackServer
from napari_cryoet.portal.portal import open_portal


@pytest.fixture(scope="module")
def server(demo_pack: Path) -> Iterator[PackServer]:
    with PackServer(demo_pack) as server:
        yield server


@pytest.fixture
def plan(server: PackServer) -> Plan:
    """A plan of a tomogram, a mask and points with their metadata, and of a whole run."""
    portal = open_portal(server.graphql_url)
    tomogram, *_ = portal.run_page(9001).tomograms
    annotations = [each.id for each in portal.run_page(9001).annotations]
    basket = (
        Basket(name="Mixed", source=portal.source.name)
        .with_ids("tomograms", [tomogram.id])
        .with_ids("annotations", annotations)
    )
    basket = basket.with_ids("runs", [9002])
    return plan_basket(basket, ask_basket_runs(portal, basket), portal)


def run(command: list[str], folder: Path, **environment: str) -> None:
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, timeout=400, check=False, **output
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def ours(plan: Plan, tmp_path: Path) -> Path:
    download_files(plan, tmp_path / "ours")
    return tmp_path / "ours"


@pytest.fixture
def theirs(plan: Plan, tmp_path: Path) -> Path:
    """A folder with only the scripts."""
    write_lists(plan, tmp_path / "theirs")
    return tmp_path / "theirs"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_fetches_the_same_files(ours: Path, theirs: Path) -> None:
    run(["curl", "--silent", "--show-error", "-K", "other-tools/curl.txt"], theirs)
    assert files_in(theirs) == files_in(ours)


@pytest.mark.slow
def test_the_official_client_fetches_the_same_files(
    server: PackServer, ours: Path, theirs: Path
) -> None:
    run([sys.executable, "other-tools/official_client.py"], theirs, BOTO_ENDPOINT_URL=server.s3_url)
    assert files_in(theirs) == files_in(ours)


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS command line is not installed")
def test_the_aws_command_line_fetches_the_same_files(
    server: PackServer, ours: Path, theirs: Path
) -> None:
    run(
        ["sh", "other-tools/aws.sh"],
        theirs,
        AWS_ENDPOINT_URL=server.s3_url,
        AWS_DEFAULT_REGION="us-west-2",
    )
    not_on_s3 = [
        line
        for line in (theirs / "other-tools" / "aws.sh").read_text().splitlines()
        if "not on S3" in line
    ]
    expected = {
        path: content for path, content in files_in(ours).items() if not path.endswith(".png")
    }
    assert files_in(theirs) == expected
    assert len(not_on_s3) == len(files_in(ours)) - len(expected)


def test_a_download_records_its_basket_citations_and_licences(ours: Path, plan: Plan) -> None:
    (download,) = read_manifest(ours).downloads
    assert (download["basket"], download["items"]) == ("Mixed", len(plan.items))
    assert read_basket(ours / "basket.toml").runs == (9002,)
    citation = (ours / "CITATION.bib").read_text()
    assert citation.count("@") > 1
    assert all(row["title"] in citation for row in open_pack(ours).tables["datasets"])
    licences = (ours / "LICENCES.txt").read_text()
    assert plan.terms.licence in licences
    assert all(item.path in licences for item in plan.items)
