"""The portal's official Python client browses and downloads from a served pack."""

import json

import boto3
import cryoet_data_portal as cdp
import numpy as np
import pytest
from botocore import UNSIGNED
from botocore.client import ClientError, Config

from napari_cryoet.packs.serve import PackServer
from packs.served_files import CHUNKS, MRC, NDJSON, PICKS, RUN, VOLUME, ZARR, served_pack


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with PackServer(served_pack(tmp_path_factory.mktemp("served")).folder) as server:
        yield server


@pytest.fixture
def client(server, monkeypatch):
    monkeypatch.setenv("BOTO_ENDPOINT_URL", server.s3_url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-2")
    return cdp.Client(server.graphql_url)


def test_it_walks_from_dataset_to_annotation_file(client):
    (dataset,) = cdp.Dataset.find(client)
    assert (dataset.id, dataset.title, dataset.deposition.title) == (10, "Yeast", "Alpha")
    (run,) = dataset.runs
    assert run.name == RUN
    (spacing,) = run.tomogram_voxel_spacings
    (tomogram,) = spacing.tomograms
    assert (tomogram.size_x, tomogram.voxel_spacing, tomogram.processing) == (6, 10.0, "raw")
    (annotation,) = run.annotations
    assert annotation.object_name == "ribosome"
    assert [author.name for author in annotation.authors] == ["Irene"]
    (shape,) = annotation.annotation_shapes
    (file,) = shape.annotation_files
    assert (shape.shape_type, file.format, file.alignment.id) == ("Point", "ndjson", tomogram.alignment.id)
    assert run.tiltseries == []


def test_it_filters(client):
    filters = [cdp.Annotation.object_name.ilike("%RIBO%"), cdp.Annotation.run.dataset.id == 10]
    assert [annotation.id for annotation in cdp.Annotation.find(client, filters)] == [1]
    assert cdp.Annotation.find(client, [cdp.Annotation.run.name != RUN]) == []
    assert [tomogram.id for tomogram in cdp.Tomogram.find(client, [cdp.Tomogram.voxel_spacing >= 10])] == [1]
    assert [run.id for run in cdp.Run.find(client, [cdp.Run.name._in([RUN, "other"])])] == [100]
    assert cdp.Dataset.get_by_id(client, 10).title == "Yeast"
    assert cdp.Dataset.get_by_id(client, 11) is None


def test_it_reads_every_row_of_the_demo(demo_pack):
    models = [model for model in vars(cdp).values() if isinstance(model, type) and hasattr(model, "_gql_root_field")]
    assert len(models) > 15
    with PackServer(demo_pack) as server:
        client = cdp.Client(server.graphql_url)
        for model in models:
            assert len(model.find(client)) == len(server.pack.tables[model._gql_root_field])


def test_it_downloads_a_volume_as_ome_zarr(client, tmp_path):
    import zarr

    (tomogram,) = cdp.Tomogram.find(client)
    tomogram.download_omezarr(str(tmp_path))
    folder = tmp_path / "volume.zarr"
    assert len(list(folder.glob("extra *"))) == CHUNKS
    assert np.array_equal(zarr.open_group(folder, mode="r")["0"][:], VOLUME)


def test_it_downloads_a_volume_as_mrc(server, client, tmp_path):
    (tomogram,) = cdp.Tomogram.find(client)
    tomogram.download_mrcfile(str(tmp_path))
    (file,) = tmp_path.iterdir()
    assert file.read_bytes() == (server.pack.files / MRC).read_bytes()


def test_it_downloads_picks_and_their_metadata(client, tmp_path):
    (annotation,) = cdp.Annotation.find(client)
    annotation.download(str(tmp_path), format="ndjson", shape="Point")
    assert (tmp_path / "ribosome-1.0_point.ndjson").read_text() == PICKS
    assert json.loads((tmp_path / "ribosome-1.0.json").read_text())["annotation_object"]["name"] == "ribosome"


def test_s3_lists_and_reads(server, client):
    s3 = boto3.client("s3", endpoint_url=server.s3_url, config=Config(signature_version=UNSIGNED))
    for prefix in (ZARR, f"{ZARR}/ex", ZARR[:-3]):
        (page,) = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
        keys = [each["Key"] for each in page["Contents"]]
        assert sum("extra" in key for key in keys) == CHUNKS
        assert all(key.startswith(prefix) for key in keys)
    assert s3.head_object(Bucket="bucket", Key=NDJSON)["ContentLength"] == len(PICKS)
    assert s3.get_object(Bucket="bucket", Key=NDJSON, Range="bytes=2-5")["Body"].read() == PICKS[2:6].encode()
    assert "Contents" not in s3.list_objects_v2(Bucket="bucket", Prefix="nothing")
    for wrong in ({"Bucket": "bucket", "Key": "nothing"}, {"Bucket": "other", "Key": NDJSON}):
        with pytest.raises(ClientError, match="404"):
            s3.get_object(**wrong)
