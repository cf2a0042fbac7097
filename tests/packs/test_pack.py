import json
import os
import sys

import pytest

from napari_cryoet.exceptions import PackError
from napari_cryoet.packs.pack import TABLE_NAMES, Manifest, is_pack, open_pack, write_pack


@pytest.fixture
def manifest():
    return Manifest(
        title="A slice",
        https_prefix="https://files.example.org/",
        s3_prefix="s3://bucket/",
        source="a test",
        created="2025-06-01",
        licence="CC0-1.0",
    )


def test_a_written_pack_opens_with_what_was_written(tmp_path, manifest):
    rows = [{"id": 1, "name": "TS_026 µ", "datasetId": None, "size": 1.5, "good": True}]
    write_pack(tmp_path / "pack", manifest, {"runs": rows})
    pack = open_pack(tmp_path / "pack")
    assert pack.manifest == manifest
    assert list(pack.tables["runs"]) == rows
    assert pack.files.is_dir()


def test_a_missing_table_is_empty(tmp_path, manifest):
    assert list(write_pack(tmp_path, manifest, {}).tables["annotations"]) == []


def test_the_portal_has_no_other_tables(tmp_path, manifest):
    pack = write_pack(tmp_path, manifest, {})
    assert set(pack.tables) == set(TABLE_NAMES)
    with pytest.raises(KeyError):
        pack.tables["../pack"]
    with pytest.raises(PackError, match="no table 'tomos'"):
        write_pack(tmp_path, manifest, {"tomos": []})


def test_writing_again_replaces_the_tables_and_keeps_the_files(tmp_path, manifest):
    write_pack(tmp_path, manifest, {"runs": [{"id": 1}], "datasets": [{"id": 2}]})
    (tmp_path / "files" / "volume.mrc").write_bytes(b"data")
    pack = write_pack(tmp_path, manifest, {"runs": [{"id": 3}]})
    assert [row["id"] for row in pack.tables["runs"]] == [3]
    assert list(pack.tables["datasets"]) == []
    assert (tmp_path / "files" / "volume.mrc").read_bytes() == b"data"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "pack.json", "tables"]


def test_a_pack_whose_writing_was_cut_short_is_not_a_pack(tmp_path, manifest, monkeypatch):
    write_pack(tmp_path, manifest, {"runs": [{"id": 1}]})
    monkeypatch.setattr("napari_cryoet.packs.pack.shutil.rmtree", _full_disk)
    with pytest.raises(OSError, match="disk is full"):
        write_pack(tmp_path, manifest, {"runs": [{"id": 2}]})
    assert not is_pack(tmp_path)


def _full_disk(*args, **kwargs):
    raise OSError("disk is full")


def test_bad_rows_leave_the_old_pack_alone(tmp_path, manifest):
    write_pack(tmp_path, manifest, {"runs": [{"id": 1}]})
    with pytest.raises(PackError, match="two rows with the id 2"):
        write_pack(tmp_path, manifest, {"runs": [{"id": 2}, {"id": 2}]})
    assert [row["id"] for row in open_pack(tmp_path).tables["runs"]] == [1]


def test_a_folder_that_is_not_a_pack_says_so(tmp_path):
    assert not is_pack(tmp_path)
    assert not is_pack(tmp_path / "nowhere")
    with pytest.raises(PackError, match=r"isn't a pack: it has no pack\.json"):
        open_pack(tmp_path)
    with pytest.raises(PackError, match="no folder"):
        open_pack(tmp_path / "nowhere")


def test_who_chooses_a_folder_beside_a_pack_is_told_where_the_pack_is(tmp_path, manifest):
    def hint(folder):
        with pytest.raises(PackError) as caught:
            open_pack(folder)
        return caught.value.hint

    write_pack(tmp_path / "packs" / "mine", manifest, {})
    assert "Choose the folder in which pack.json lies" in hint(tmp_path)
    assert hint(tmp_path / "packs") == "The folder mine in it is one."
    assert hint(tmp_path / "packs" / "mine" / "tables") == "The folder above it, mine, is one."
    write_pack(tmp_path / "packs" / "yours", manifest, {})
    assert hint(tmp_path / "packs") == "Choose one of the packs in it."
    assert hint(tmp_path / "nowhere") == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "zip"}, "isn't the manifest"),
        ({"version": "1"}, "no valid format version"),
        ({"version": True}, "no valid format version"),
        ({"version": 2}, "Please update napari-cryoet"),
        ({"title": None}, "no title"),
        ({"httpsPrefix": "https://files.example.org"}, "slash at its end"),
        ({"httpsPrefix": "file:///etc/"}, "has to be like https://"),
        ({"s3Prefix": "s3://"}, "has to be like s3://"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path, manifest, change, words):
    (tmp_path / "pack.json").write_text(json.dumps(manifest.to_json() | change))
    with pytest.raises(PackError, match=words):
        open_pack(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[{]", "isn't valid JSON"),
        ("[" * 100_000, "isn't valid JSON"),
        ('[{"id": NaN}]', "isn't valid JSON"),
        ('{"id": 1}', "isn't a list of rows"),
        ("[1]", "Row 0 of the table runs isn't a row"),
        ('[{"name": "a"}]', "Row 0 of the table runs has no id"),
        ('[{"id": true}]', "has no id"),
        ('[{"id": 5, "name": ["a"]}]', "Row 5 of the table runs has no plain value in name"),
        ('[{"id": 5, "size": 1e999}]', "no plain value in size"),
        ('[{"id": 5, "matrix": [[1, 1e999]]}]', "no plain value in matrix"),
        ('[{"id": 5, "matrix": [[[1]]]}]', "no plain value in matrix"),
        ('[{"id": 5, "matrix": [[1, "2"]]}]', "no plain value in matrix"),
        ('[{"id": 5}, {"id": 5}]', "two rows with the id 5"),
    ],
)
def test_a_damaged_table_is_named(tmp_path, manifest, text, words):
    pack = write_pack(tmp_path, manifest, {})
    (tmp_path / "tables" / "runs.json").write_text(text)
    with pytest.raises(PackError, match=words):
        pack.tables["runs"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there, and pipes lie elsewhere")
def test_a_table_that_cannot_be_read_is_not_taken_for_a_missing_one(tmp_path, manifest):
    tables = write_pack(tmp_path, manifest, {}).folder / "tables"
    (tables / "runs.json").symlink_to(tmp_path / "gone.json")
    with pytest.raises(PackError, match=r"runs\.json can't be read"):
        open_pack(tmp_path).tables["runs"]
    os.mkfifo(tables / "datasets.json")
    with pytest.raises(PackError, match=r"datasets\.json isn't a file"):
        open_pack(tmp_path).tables["datasets"]


def test_a_table_is_not_read_beyond_its_bound(tmp_path, manifest, monkeypatch):
    pack = write_pack(tmp_path, manifest, {"runs": [{"id": 1, "name": "x" * 200}]})
    monkeypatch.setattr("napari_cryoet.packs.pack.MAX_TABLE_BYTES", 100)
    with pytest.raises(PackError, match="larger than 100 bytes"):
        pack.tables["runs"]
