import os
from http import HTTPStatus

import pytest

from napari_cryoet.packs.files import answer, etag_of, file_below

CONTENT = b"0123456789"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "volume.mrc"
    path.write_bytes(CONTENT)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def answered(path, **headers):
    return answer(path, path.stat(), {name.replace("_", "-"): value for name, value in headers.items()})


def sent(path, **headers):
    found = answered(path, **headers)
    return found.status, path.read_bytes()[found.start : found.start + found.length]


def test_without_a_range_all_of_the_file_is_sent(file):
    found = answered(file)
    assert (found.status, found.start, found.length) == (HTTPStatus.OK, 0, 10)
    assert found.headers["Accept-Ranges"] == "bytes"
    assert found.headers["ETag"] == etag_of(file.stat())
    assert found.headers["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize(
    ("wanted", "content", "content_range"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=8-", b"89", "bytes 8-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", CONTENT, "bytes 0-9/10"),
        (" bytes=0-9 ", CONTENT, "bytes 0-9/10"),
        ("bytes=9-9999999999999999999", b"9", "bytes 9-9/10"),
    ],
)
def test_a_range_is_sent_alone(file, wanted, content, content_range):
    assert sent(file, range=wanted) == (HTTPStatus.PARTIAL_CONTENT, content)
    assert answered(file, range=wanted).headers["Content-Range"] == content_range


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99-"])
def test_a_range_beyond_the_end_cannot_be_satisfied(file, wanted):
    found = answered(file, range=wanted)
    assert (found.status, found.length) == (HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0)
    assert found.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize("wanted", ["bytes=0-1,4-5", "bytes=5-2", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=1", ""])
def test_what_is_not_one_range_gets_the_whole_file(file, wanted):
    assert sent(file, range=wanted) == (HTTPStatus.OK, CONTENT)


def test_an_empty_file_has_no_range(tmp_path):
    (tmp_path / "empty").touch()
    assert answered(tmp_path / "empty").status == HTTPStatus.OK
    assert answered(tmp_path / "empty", range="bytes=0-0").status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


def test_who_has_the_file_already_is_told_so(file):
    etag = etag_of(file.stat())
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        assert answered(file, if_none_match=known).status == HTTPStatus.NOT_MODIFIED
    assert answered(file, if_none_match='"other"').status == HTTPStatus.OK
    assert answered(file, if_modified_since="Tue, 14 Nov 2023 22:13:20 GMT").status == HTTPStatus.NOT_MODIFIED
    assert answered(file, if_modified_since="Tue, 14 Nov 2023 22:13:19 GMT").status == HTTPStatus.OK
    assert answered(file, if_modified_since="yesterday").status == HTTPStatus.OK


def test_a_range_of_a_file_that_has_changed_is_not_mixed_into_the_old_one(file):
    etag = etag_of(file.stat())
    assert answered(file, range="bytes=0-1", if_range=etag).status == HTTPStatus.PARTIAL_CONTENT
    assert answered(file, range="bytes=0-1", if_range='"old"').status == HTTPStatus.OK
    assert answered(file, if_match=etag).status == HTTPStatus.OK
    assert answered(file, if_match='"old"').status == HTTPStatus.PRECONDITION_FAILED


def test_the_etag_follows_the_content(file):
    before = etag_of(file.stat())
    file.write_bytes(CONTENT + b"!")
    assert etag_of(file.stat()) != before


def test_only_plain_files_below_the_folder_are_found(tmp_path):
    root = (tmp_path / "files").resolve()
    (root / "10" / "x.zarr").mkdir(parents=True)
    (root / "10" / "x.zarr" / ".zattrs").write_text("{}")
    (tmp_path / "secret").write_text("secret")
    assert file_below(root, "10/x.zarr/.zattrs") == root / "10" / "x.zarr" / ".zattrs"
    for path in (
        "",
        "10",
        "10/",
        "10/x.zarr/.zattrs/",
        "../secret",
        "10/../../secret",
        "/etc/passwd",
        "10/\0",
        "x" * 5000,
    ):
        assert file_below(root, path) is None


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege on Windows")
def test_links_are_followed_inside_the_folder_only(tmp_path):
    root = (tmp_path / "files").resolve()
    root.mkdir()
    (root / "real").write_text("inside")
    (tmp_path / "secret").write_text("secret")
    (root / "inside").symlink_to("real")
    (root / "outside").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to("..")
    (root / "loop").symlink_to("loop")
    assert file_below(root, "inside") == root / "real"
    for path in ("outside", "up/secret", "loop", "up/files/../secret"):
        assert file_below(root, path) is None
