"""Files, servers and the words of libraries are named in sentences: short, in plain text, without secrets."""

import os
from pathlib import Path

import pytest

from napari_cryoet.naming import brief, file_at, file_of, host_of


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", ""),
        ("/", ""),
        ("/a.zarr/0/1", "a.zarr/0/1"),
        ("/a%1b%5b31m%e2%80%ae.zarr", "a[31m.zarr"),
        ("/%3Cb%3Ea.mrc?b=%3Cc%3E#d", "<b>a.mrc"),
        (
            "/10000/TS_026/Reconstructions/VoxelSpacing13.480/Tomograms/100/a.zarr/0/0/1/2",
            "…/VoxelSpacing13.480/Tomograms/100/a.zarr/0/0/1/2",
        ),
        (f"/{'folder' * 9}/{'a' * 20}/0", f"…/{'a' * 20}/0"),
        (f"/folder/{'0123456789' * 10}", "…" + ("0123456789" * 10)[-59:]),
    ],
)
def test_a_file_is_called_by_the_end_of_its_path_and_in_plain_text(path, words):
    found = file_of(f"https://me:secret@files.org{path}")
    assert found == words
    assert len(found) <= 60
    assert file_at(f"https://me:secret@files.org{path}") == (f"{words} on files.org" if words else "files.org")


def test_what_is_no_address_has_no_file_and_is_its_own_host():
    assert file_of("https://[nonsense") == ""
    assert host_of("https://[nonsense\x1b") == "https://[nonsense"
    assert file_at("https://[nonsense") == "https://[nonsense"
    assert len(host_of(f"https://{'a' * 500}")) <= 80


@pytest.mark.parametrize(
    "address", ["https://files.org/a.zarr", "https://me:secret@files.org/a.zarr/?signature=secret#b"]
)
def test_a_file_below_an_address_is_called_by_both(address):
    assert file_at(address, "0/1.2.3") == "a.zarr/0/1.2.3 on files.org"
    assert file_at(address, "50% #1?") == "a.zarr/50% #1? on files.org"


def test_a_file_on_this_computer_is_called_by_its_path_and_a_long_one_by_its_end(tmp_path):
    assert file_at(str(Path("a.zarr")), "0/1") == str(Path("a.zarr/0/1"))
    assert file_at(str(Path("/data/a\x1b[31m.mrc"))) == str(Path("/data/a[31m.mrc"))
    found = file_at(str(tmp_path.joinpath(*["folder"] * 50)), "a.zarr/0")
    assert found.startswith(f"…{os.sep}folder")
    assert found.endswith(str(Path("folder/a.zarr/0")))
    assert len(found) <= 120


def test_the_words_of_others_are_one_line_in_plain_text_that_ends():
    assert brief(ValueError("can't\n  do \x1b[31mthat")) == "can't do [31mthat"
    assert len(brief("word " * 1000)) <= 200
