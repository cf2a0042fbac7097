import os
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cryoet.packs.s3 import Bucket, ListingError, list_keys, listing_xml

KEYS = [
    "10/TS_026/a.mrc",
    "10/TS_026/a.zarr/.zattrs",
    "10/TS_026/a.zarr/0/0/0/0",
    "10/TS_026.json",
    "10/TS_1 +%/b",
    "11/c",
]


def bucket_of(folder, keys, key_prefix=""):
    for key in keys:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(key)
    folder.mkdir(exist_ok=True)
    return Bucket("bucket", key_prefix, folder.resolve())


@pytest.fixture
def bucket(tmp_path):
    return bucket_of(tmp_path / "files", KEYS)


def listed(bucket, prefix="", delimiter="", after="", limit=1000):
    return list(list_keys(bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit).entries)


def by_definition(keys, prefix, delimiter, after):
    entries = set()
    for key in keys:
        if not key.startswith(prefix):
            continue
        rest = key[len(prefix) :]
        rolled_up = prefix + rest[: rest.index("/") + 1] if delimiter and "/" in rest else key
        if rolled_up.encode() > after.encode():
            entries.add(rolled_up)
    return sorted(entries, key=str.encode)


def test_keys_come_in_the_order_of_their_bytes(bucket):
    assert listed(bucket) == sorted(KEYS, key=str.encode)


@pytest.mark.parametrize(
    "prefix", ["", "1", "10", "10/", "10/TS_026", "10/TS_026/", "10/TS_026/a.zarr", "10/TS_026/a.zarr/", "11/c", "x"]
)
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_a_prefix_may_end_anywhere(bucket, prefix, delimiter):
    assert listed(bucket, prefix, delimiter) == by_definition(KEYS, prefix, delimiter, "")


def test_pages_follow_each_other(bucket):
    seen, after = [], ""
    while True:
        page = list_keys(bucket, prefix="", delimiter="", after=after, limit=2)
        seen += page.entries
        if not page.is_truncated:
            break
        after = page.entries[-1]
    assert seen == sorted(KEYS, key=str.encode)


def test_a_page_that_just_holds_all_is_the_last(bucket):
    assert not list_keys(bucket, prefix="", delimiter="", after="", limit=len(KEYS)).is_truncated


def test_a_page_has_a_thousand_keys(tmp_path):
    bucket = bucket_of(tmp_path / "files", [f"{number:04}" for number in range(1_001)])
    first = listing_xml(bucket, {"max-keys": "5000"})
    assert first.count("<Contents>") == 1_000
    token = first.partition("<NextContinuationToken>")[2].partition("<")[0]
    assert "<Key>1000</Key>" in listing_xml(bucket, {"continuation-token": token})


def test_a_folder_without_files_does_not_exist(tmp_path):
    bucket = bucket_of(tmp_path / "files", ["a/b"])
    (tmp_path / "files" / "empty" / "deep").mkdir(parents=True)
    assert listed(bucket, delimiter="/") == ["a/"]
    assert listed(bucket) == ["a/b"]


def test_a_prefix_of_the_pack_goes_before_all_keys(tmp_path):
    bucket = bucket_of(tmp_path / "files", ["10/a", "b"], key_prefix="some/where/")
    assert listed(bucket) == ["some/where/10/a", "some/where/b"]
    assert listed(bucket, "some/where/10") == ["some/where/10/a"]
    assert listed(bucket, "", "/") == ["some/"]
    assert listed(bucket, "some/", "/") == ["some/where/"]
    assert listed(bucket, "some/where/", "/") == ["some/where/10/", "some/where/b"]
    assert listed(bucket, "else") == []
    assert bucket.file("some/where/b") == (tmp_path / "files" / "b").resolve()
    assert bucket.file("b") is None


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_links_out_of_the_pack_are_not_listed(tmp_path):
    (tmp_path / "secret").write_text("secret")
    bucket = bucket_of(tmp_path / "files", ["a"])
    (tmp_path / "files" / "inside").symlink_to("a")
    (tmp_path / "files" / "outside").symlink_to(tmp_path / "secret")
    (tmp_path / "files" / "loop").symlink_to(".")
    assert listed(bucket) == ["a", "inside"]


def test_a_missing_files_folder_is_an_empty_bucket(tmp_path):
    assert listed(Bucket("bucket", "", tmp_path / "nowhere")) == []


def test_the_reply_is_what_s3_would_say(bucket):
    text = listing_xml(bucket, {"prefix": "10/TS_1", "encoding-type": "url", "max-keys": "5"})
    root = ElementTree.fromstring(text)
    names = {"s": "http://s3.amazonaws.com/doc/2006-03-01/"}
    assert root.findtext("s:Name", namespaces=names) == "bucket"
    assert root.findtext("s:IsTruncated", namespaces=names) == "false"
    assert root.findtext("s:Contents/s:Key", namespaces=names) == "10/TS_1%20%2B%25/b"
    assert root.findtext("s:Contents/s:Size", namespaces=names) == str(len("10/TS_1 +%/b"))


def test_names_that_mean_something_in_xml_are_safe(tmp_path):
    bucket = bucket_of(tmp_path / "files", ["a&b"])
    names = {"s": "http://s3.amazonaws.com/doc/2006-03-01/"}
    assert ElementTree.fromstring(listing_xml(bucket, {})).findtext("s:Contents/s:Key", namespaces=names) == "a&b"


@pytest.mark.parametrize("query", [{"delimiter": "-"}, {"max-keys": "many"}, {"continuation-token": "!"}])
def test_what_is_not_understood_is_refused(bucket, query):
    with pytest.raises(ListingError):
        listing_xml(bucket, query)


_PARTS = st.sampled_from(["a", "a-", "a.b", "b", "B", "é", "0"])
_KEYS = st.lists(st.lists(_PARTS, min_size=1, max_size=3).map("/".join), unique=True, max_size=8)


@settings(deadline=None, max_examples=60)
@given(keys=_KEYS, prefix=st.text("ab/.-", max_size=3), delimiter=st.sampled_from(["", "/"]), limit=st.integers(1, 4))
def test_all_pages_together_agree_with_the_definition(tmp_path_factory, keys, prefix, delimiter, limit):
    files = [key for key in keys if not any(other.startswith(f"{key}/") for other in keys)]
    bucket = bucket_of(tmp_path_factory.mktemp("pack") / "files", files)
    seen, after = [], ""
    while True:
        page = list_keys(bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        seen += page.entries
        if not page.is_truncated:
            break
        after = page.entries[-1]
    assert seen == by_definition(files, prefix, delimiter, "")
