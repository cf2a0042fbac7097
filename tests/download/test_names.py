"""Names from the network become names that every system can hold."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.download.names import MAX_NAME_BYTES, NameSpace, clean_name, key_segments, url_segments

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}

names = st.one_of(
    st.text(max_size=300),
    st.text(alphabet='aA.~ /\\:*?"<>|\0\u202eée\u0301', max_size=40),
    st.sampled_from(["CON", "nul.zarr", "com1.tar.gz", "LPT9 ", "aux .x", "..", ".", "", "a.part", "x.PART.json"]),
)


def is_fine_everywhere(name: str) -> bool:
    stem = name.partition(".")[0].rstrip(" ").casefold()
    return (
        0 < len(name.encode()) <= MAX_NAME_BYTES + 1
        and not set(name) & set('<>:"/\\|?*')
        and not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs") for letter in name)
        and name.strip(" ") == name
        and not name.endswith(".")
        and name not in (".", "..")
        and stem not in RESERVED
        and not name.casefold().endswith((".part", ".part.json"))
        and unicodedata.is_normalized("NFC", name)
    )


@given(names)
def test_every_clean_name_is_valid_on_linux_macos_and_windows(name: str) -> None:
    assert is_fine_everywhere(clean_name(name))


@given(names)
def test_a_clean_name_stays_as_it_is(name: str) -> None:
    assert clean_name(clean_name(name)) == clean_name(name)


@given(names, names)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (clean_name(one) == clean_name(other)) == (one == other)


@pytest.mark.parametrize(
    "name", ["TS_026", "TS_026.zarr", ".zattrs", ".zgroup", "0", "Lamella 1 [Pos+2] %.mrc", "VoxelSpacing13.480", "é"]
)
def test_names_of_the_portal_are_kept(name: str) -> None:
    assert clean_name(name) == name


def test_a_mended_name_still_shows_what_it_was_and_keeps_its_ending() -> None:
    assert clean_name("run:1?.zarr").startswith("run_1_~")
    assert clean_name("run:1?.zarr").endswith(".zarr")


@given(st.lists(st.lists(names.filter(lambda name: "/" not in name), min_size=1, max_size=3).map(tuple), max_size=12))
def test_no_two_paths_meet_even_where_case_does_not_count(paths: list[tuple[str, ...]]) -> None:
    space = NameSpace()
    clean = {path: space.path(path) for path in paths}
    assert len({path.casefold() for path in clean.values()}) == len(clean)
    for path in clean.values():
        assert all(is_fine_everywhere(name) for name in path.split("/"))


def test_the_same_path_gets_the_same_place_twice() -> None:
    space = NameSpace()
    assert space.path(("a", "B")) == space.path(("a", "B"))


def test_folders_that_differ_by_case_are_told_apart() -> None:
    space = NameSpace()
    first, second = space.path(("TS_1", "a.mrc")), space.path(("ts_1", "a.mrc"))
    assert first == "TS_1/a.mrc"
    assert second.startswith("ts_1~")


def test_a_taken_name_is_not_given_away() -> None:
    assert NameSpace(taken=("manifest.json",)).path(("Manifest.json",)) != "Manifest.json"


def test_no_remote_path_leads_upwards() -> None:
    path = NameSpace().path(("..", "..", "etc", "passwd"))
    assert ".." not in path.split("/")


def test_keys_come_unquoted_from_either_kind_of_path() -> None:
    assert key_segments("s3://bucket/10000/TS 1/%41") == ("10000", "TS 1", "%41")
    assert url_segments("https://files.example.org/10000/TS%201/a%2Fb?x=1") == ("10000", "TS 1", "a/b")
    assert key_segments("/10000/TS_1") == ()
