"""Locations are parsed once; names of files and servers in messages are short and without secrets."""

from pathlib import Path

import pytest

from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.locations import Location, file_of, host_of, path_to_read, path_to_write


@pytest.mark.parametrize(
    "spell",
    [
        str,
        Path,
        Path.as_uri,
        lambda path: f" {path.as_uri()}\n",
        lambda path: f"file:{path}",
        lambda path: Path(path.as_uri()),
    ],
)
def test_a_path_and_its_file_address_are_one_location(tmp_path, spell):
    path = tmp_path / "a_1.mrc"
    assert Location.of(spell(path)) == Location(str(path), path)


def test_relative_paths_and_home_folders_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Location.of("a b#1.mrc").path == tmp_path / "a b#1.mrc"
    assert Location.of("~/a.mrc").path == Path.home() / "a.mrc"
    assert Location.of(tmp_path / "a b.mrc").url.endswith("/a%20b.mrc")


def test_an_address_that_was_a_path_is_repaired():
    location = Location.of(Path("https://me:secret@files.org/a.zarr"))
    assert location.text == "https://me:secret@files.org/a.zarr"
    assert (location.is_remote, str(location)) == (True, "https://files.org/a.zarr")


@pytest.mark.parametrize(
    ("address", "below"),
    [
        ("https://files.org/a/?key=1", "https://files.org/a/labels/b%20c?key=1"),
        ("s3://bucket/a#1?/", "s3://bucket/a#1?/labels/b c"),
    ],
)
def test_locations_below_an_address_keep_its_query(address, below):
    assert Location.of(address).below("labels/b c").text == below


@pytest.mark.parametrize("value", [5, None, b"a"])
def test_other_values_are_no_locations(value):
    with pytest.raises(TypeError):
        Location.of(value)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://files.org/a%20b/TS%C3%BC%231.mrc", "TSü#1.mrc"),
        ("https://files.org/x.mrc?signature=a/b.zarr", "x.mrc"),
        ("s3://bucket/50%20 #1?/x.mrc", "x.mrc"),
        ("s3://bucket/50%20 #1?.mrc", "50%20 #1?.mrc"),
    ],
)
def test_a_location_is_named_after_its_file(address, name):
    location = Location.of(address)
    assert (location.name, location.suffix) == (name, ".mrc")


@pytest.mark.parametrize(
    "address", ["https://me:secret@files.org/a.star?key=secret", "s3://bucket/a"]
)
def test_addresses_are_refused_as_paths_without_naming_secrets(address):
    for path, error in ((address, FormatError), (Path(address), FormatError)):
        with pytest.raises(error) as raised:
            path_to_read(path)
        assert "secret" not in str(raised.value)
    with pytest.raises(SaveError):
        path_to_write(address)


@pytest.mark.parametrize("path", ["a\0b", "a\ud800b"])
def test_invalid_paths_are_refused(path):
    with pytest.raises(FormatError):
        path_to_read(path)
    with pytest.raises(SaveError):
        path_to_write(path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", ""),
        ("/a.zarr/0/1", "a.zarr/0/1"),
        ("/a%1b%5b31m%e2%80%ae.zarr", "a[31m.zarr"),
        ("/%3Cb%3Ea.mrc?b=%3Cc%3E#d", "<b>a.mrc"),
        (
            "/10000/TS_026/Reconstructions/VoxelSpacing13.480/Tomograms/100/a.zarr/0/0/1/2",
            "…/VoxelSpacing13.480/Tomograms/100/a.zarr/0/0/1/2",
        ),
        (f"/folder/{'0123456789' * 10}", "…" + ("0123456789" * 10)[-59:]),
    ],
)
def test_a_remote_file_is_named_by_the_end_of_its_path(path, text):
    address = f"https://me:secret@files.org{path}"
    assert file_of(address) == text
    assert Location.of(address).shown() == (f"{text} on files.org" if text else "files.org")
    assert host_of(address) == "files.org"


def test_a_local_file_is_named_by_its_path(tmp_path):
    location = Location.of(tmp_path.joinpath(*["folder"] * 50))
    name = location.shown("a.zarr/0")
    assert name.endswith(str(Path("folder/a.zarr/0")))
    assert len(name) <= 120
