"""The portal's official Python client browses and downloads from a served pack."""

import json

import boto3
import cryoet_data_portal as cdp
import pytest
from botocore import UNSIGNED
from botocore.client import ClientError, Config

from napari_cryoet.packs.serve import PackServer

BUCKET = "napari-cryoet-demo"


@pytest.fixture(scope="module")
def server(demo_pack):
    with PackServer(demo_pack) as server:
        yield server


@pytest.fixture
def client(server, monkeypatch):
    monkeypatch.setenv("BOTO_ENDPOINT_URL", server.s3_url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    return cdp.Client(server.graphql_url)


@pytest.fixture
def run(client):
    return cdp.Run.get_by_id(client, 9007)


def same_files(folder, other):
    first, second = (
        {path.relative_to(each) for path in each.rglob("*")} for each in (folder, other)
    )
    return first == second and all(
        (folder / path).read_bytes() == (other / path).read_bytes()
        for path in first
        if (folder / path).is_file()
    )


def test_filters_select_rows(client):
    filters = [cdp.Annotation.object_name.ilike("%RIBO%"), cdp.Annotation.run.dataset.id == 90002]
    assert {annotation.run.name for annotation in cdp.Annotation.find(client, filters)} == {
        "MIX_001",
        "MIX_003",
    }
    assert {run.name for run in cdp.Run.find(client, [cdp.Run.name._in(["MIX_002", "other"])])} == {
        "MIX_002"
    }
    assert len(cdp.Run.find(client, [cdp.Run.name != "MIX_002"])) == 6
    assert len(cdp.Tomogram.find(client, [cdp.Tomogram.voxel_spacing >= 60])) == 2
    assert cdp.Dataset.get_by_id(client, 11) is None


def test_find_returns_every_row_of_the_demo(client, server):
    models = [
        model
        for model in vars(cdp).values()
        if isinstance(model, type) and hasattr(model, "_gql_root_field")
    ]
    assert len(models) > 15
    for model in models:
        assert len(model.find(client)) == len(server.pack.tables[model._gql_root_field])


def test_volumes_picks_and_metadata_are_downloaded(server, run, tmp_path):
    (tomogram,) = run.tomograms
    for name in ("volume", "map", "picks"):
        (tmp_path / name).mkdir()
    tomogram.download_omezarr(str(tmp_path / "volume"))
    stored = server.pack.files / tomogram.s3_omezarr_dir.removeprefix(f"s3://{BUCKET}/")
    assert same_files(tmp_path / "volume" / stored.name, stored)
    tomogram.download_mrcfile(str(tmp_path / "map"))
    assert (tmp_path / "map" / "MIX_003.mrc").read_bytes() == stored.with_suffix(
        ".mrc"
    ).read_bytes()
    annotation = next(each for each in run.annotations if each.ground_truth_status)
    annotation.download(str(tmp_path / "picks"), format="ndjson", shape="OrientedPoint")
    (picks,) = (tmp_path / "picks").glob("*.ndjson")
    assert len(picks.read_text().splitlines()) == annotation.object_count
    (metadata,) = (tmp_path / "picks").glob("*.json")
    assert json.loads(metadata.read_text())["objectName"] == "cytosolic ribosome"


def test_s3_lists_and_reads_files(server, client):
    s3 = boto3.client("s3", endpoint_url=server.s3_url, config=Config(signature_version=UNSIGNED))
    path_stem = "90002/MIX_003/Reconstructions/VoxelSpacing31.360/Tomograms/100/MIX_003"
    for prefix in (f"{path_stem}.zarr", f"{path_stem}.zarr/0/", path_stem[:-3]):
        (page,) = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        listed = {each["Key"]: each["Size"] for each in page["Contents"]}
        files = [path for path in server.pack.files.rglob("*") if path.is_file()]
        stored = {
            path.relative_to(server.pack.files).as_posix(): path.stat().st_size for path in files
        }
        assert listed == {key: size for key, size in stored.items() if key.startswith(prefix)}
    content = (server.pack.files / f"{path_stem}.mrc").read_bytes()
    assert (
        s3.get_object(Bucket=BUCKET, Key=f"{path_stem}.mrc", Range="bytes=2-5")["Body"].read()
        == content[2:6]
    )
    assert "Contents" not in s3.list_objects_v2(Bucket=BUCKET, Prefix="nothing")
    for wrong in (
        {"Bucket": BUCKET, "Key": "nothing"},
        {"Bucket": "other", "Key": f"{path_stem}.mrc"},
    ):
        with pytest.raises(ClientError, match="404"):
            s3.get_object(**wrong)
