"""The folder format: written packs open, damage is reported, and URLs lead only to the pack's files."""

import json
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit
from urllib.request import url2pathname

import pytest
from msgspec.structs import replace

from napari_cryoet.exceptions import PackError
from napari_cryoet.packs.pack import PackManifest, is_pack, open_pack, write_pack
from napari_cryoet.records import PORTAL_S3_PREFIX, PORTAL_TERMS, Terms
from packs.small_pack import HTTPS, MANIFEST, S3

NAMES = ["a+b [0] #2", "50%", "50%20", "what?", "µ ä;b,c=d&e"]


@pytest.fixture
def pack(tmp_path):
    return write_pack(tmp_path / "a pack", MANIFEST, {})


def path_of(url):
    return Path(url2pathname(urlsplit(url).path))


def test_a_written_pack_opens_with_the_same_content(tmp_path):
    rows = [{"id": 1, "name": "TS_026 µ", "datasetId": None}]
    write_pack(tmp_path / "pack", MANIFEST, {"runs": rows})
    pack = open_pack(tmp_path / "pack")
    assert pack.manifest == replace(MANIFEST, id=pack.id)
    assert list(pack.tables["runs"]) == rows
    assert list(pack.tables["annotations"]) == []
    assert list(pack.tables) == ["runs"]
    assert pack.files.is_dir()
    for name in ("../pack", "runs/../runs", ""):
        with pytest.raises(KeyError):
            pack.tables[name]


def test_writing_again_replaces_all_tables_or_none(tmp_path):
    write_pack(tmp_path, MANIFEST, {"runs": [{"id": 2}], "datasets": [{"id": 2}]})
    write_pack(tmp_path, MANIFEST, {"runs": [{"id": 1}]})
    with pytest.raises(PackError):
        write_pack(tmp_path, MANIFEST, {"runs": [{"id": float("nan")}]})
    pack = open_pack(tmp_path)
    assert {name: list(pack.tables[name]) for name in pack.tables} == {"runs": [{"id": 1}]}


def test_terms_come_from_the_manifest():
    known = {"https_prefix": HTTPS, "title": "Mine"}
    assert PackManifest(s3_prefix=S3, **known).terms == Terms()
    assert PackManifest(s3_prefix=PORTAL_S3_PREFIX, **known).terms == PORTAL_TERMS
    mine = PackManifest(
        s3_prefix=S3, licence="CC-BY-4.0", site="https://lab.example.org", **known
    ).terms
    assert mine == Terms(licence="CC-BY-4.0", site="https://lab.example.org")
    assert mine.page_url("run", 5) == "https://lab.example.org/runs/5"
    assert Terms().page_url("run", 5) == ""


def test_folders_that_are_not_packs_are_refused(tmp_path):
    for folder, word in ((tmp_path, r"pack\.json"), (tmp_path / "nowhere", "no folder")):
        assert not is_pack(folder)
        with pytest.raises(PackError, match=word):
            open_pack(folder)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"format": "zip"}, "format"),
        ({"version": 2}, "newer napari-cryoet"),
        ({"httpsPrefix": "https://files.example.org"}, "httpsPrefix"),
        ({"httpsPrefix": "file:///etc/"}, "httpsPrefix"),
        ({"site": "javascript:x()"}, "site"),
    ],
)
def test_errors_name_the_invalid_manifest_field(pack, change, word):
    path = pack.folder / "pack.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PackError, match=word):
        open_pack(pack.folder)
    assert not is_pack(pack.folder)


@pytest.mark.parametrize("text", ["[{]", "[" * 100_000, '[{"id": NaN}]', "[1]"])
def test_errors_name_the_damaged_table(pack, text):
    (pack.folder / "tables" / "runs.json").write_text(text)
    with pytest.raises(PackError, match=r"runs\.json"):
        pack.tables["runs"]


@pytest.mark.parametrize("name", NAMES)
def test_urls_lead_to_files_of_that_name(pack, name):
    file = pack.files / "10" / name / "volume.mrc"
    file.parent.mkdir(parents=True)
    file.write_text(name)
    for stored in (f"10/{name}/volume.mrc", quote(f"10/{name}/volume.mrc")):
        url = pack.local_url(HTTPS + stored)
        assert (urlsplit(url).scheme, urlsplit(url).query, urlsplit(url).fragment) == (
            "file",
            "",
            "",
        )
        assert path_of(url).read_text() == name
    served = pack.moved_url(f"{HTTPS}10/{name}/volume.mrc", "http://host/files/")
    assert unquote(urlsplit(served).path) == f"/files/10/{name}/volume.mrc"


def test_other_urls_are_kept_or_cleared(pack):
    for url in (
        "https://elsewhere.org/10/x.png",
        "s3://bucket/10/x",
        "HTTPS://files.example.org.evil/x",
    ):
        assert pack.local_url(url) == url
    for url in (
        "file:///secrets",
        "//server/share",
        r"\\server\share",
        "javascript:x()",
        "text",
        "",
    ):
        assert pack.local_url(url) == ""


@pytest.mark.parametrize(
    "rest", ["10/../../x", "10/%2e%2e/%2E%2E/x", "%2fetc/passwd", "..%5cx", "C:/x", "a%00b"]
)
def test_urls_out_of_the_pack_are_refused(pack, rest):
    with pytest.raises(PackError, match="out of its files"):
        pack.local_url(HTTPS + rest)
