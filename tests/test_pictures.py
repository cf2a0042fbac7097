"""Bytes of small pictures."""

from __future__ import annotations

import pytest

from napari_cryoet.exceptions import FormatError
from napari_cryoet.pictures import MAX_FILE_BYTES, read_picture


def test_a_picture_of_the_pack_is_read(tmp_path):
    picture = tmp_path / "files" / "a b.png"
    picture.parent.mkdir()
    picture.write_bytes(b"pixels")
    assert read_picture(picture.as_uri(), folder=tmp_path) == b"pixels"


def test_a_file_outside_the_pack_is_not_read(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"pixels")
    folder = tmp_path / "pack"
    folder.mkdir()
    for url in (secret.as_uri(), f"{folder.as_uri()}/../secret.png"):
        with pytest.raises(FormatError, match="neither to the web nor into the pack"):
            read_picture(url, folder=folder)


def test_a_server_cannot_point_to_our_disk(tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"pixels")
    with pytest.raises(FormatError):
        read_picture(picture.as_uri())


@pytest.mark.parametrize("url", ["", "a.png", "ftp://host.invalid/a.png", "data:image/png;base64,AAAA"])
def test_other_addresses_are_refused(url, tmp_path):
    with pytest.raises(FormatError):
        read_picture(url, folder=tmp_path)


def test_a_missing_picture_is_a_format_error(tmp_path):
    with pytest.raises(FormatError, match=r"no picture gone\.png"):
        read_picture((tmp_path / "gone.png").as_uri(), folder=tmp_path)


def test_a_huge_file_is_refused(tmp_path):
    picture = tmp_path / "huge.png"
    with picture.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(FormatError, match="too large"):
        read_picture(picture.as_uri(), folder=tmp_path)
