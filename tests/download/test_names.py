"""Names from the network become names that every system can hold."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.download.names import MAX_NAME_BYTES, clean_name

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}

names = st.one_of(
    st.text(max_size=300),
    st.text(alphabet='aA.~ /\\:*?"<>|\0\u202eée\u0301', max_size=40),
    st.sampled_from(["CON", "nul.zarr", "com1.tar.gz", "LPT9 ", "aux .x", "..", ".", "", "a.part", "x.PART.json"]),
)


def is_fine_everywhere(name: str) -> bool:
    return (
        0 < len(name.encode()) <= MAX_NAME_BYTES + 1
        and not set(name) & set('<>:"/\\|?*')
        and not any(unicodedata.category(letter) in ("Cc", "Cf", "Cs") for letter in name)
        and name.strip(" ") == name
        and not name.endswith(".")
        and name.partition(".")[0].rstrip(" ").casefold() not in RESERVED
        and not name.casefold().endswith((".part", ".part.json"))
        and unicodedata.is_normalized("NFC", name)
    )


@given(names)
def test_clean_names_are_valid_on_linux_macos_and_windows_and_stay(name: str) -> None:
    assert is_fine_everywhere(clean_name(name))
    assert clean_name(clean_name(name)) == clean_name(name)


@given(names, names)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (clean_name(one) == clean_name(other)) == (one == other)


@pytest.mark.parametrize("name", ["TS_026.zarr", ".zattrs", "0", "Lamella 1 [Pos+2] %.mrc", "VoxelSpacing13.480", "é"])
def test_names_of_the_portal_are_kept(name: str) -> None:
    assert clean_name(name) == name


def test_no_name_leads_upwards() -> None:
    assert ".." not in map(clean_name, ("..", "../..", "...", ". ."))
