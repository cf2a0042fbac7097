"""Channels say what the file says, and nothing where it says something odd."""

import pytest

from napari_cryoet.formats.omero import Channel, parse_channels

DNA = {
    "label": "DNA",
    "color": "0000FF",
    "active": False,
    "window": {"start": 3, "end": 1500.5, "min": 0, "max": 65535},
}


@pytest.mark.parametrize("attributes", [{"omero": {"channels": [DNA]}}, {"ome": {"omero": {"channels": [DNA]}}}])
def test_both_versions_are_read(attributes):
    assert parse_channels(attributes) == (Channel("DNA", "#0000ff", (3.0, 1500.5), is_visible=False),)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"omero": []}, {"omero": {"channels": {}}}, {"ome": 3}, {"ome": {}, "omero": {"channels": [DNA]}}],
)
def test_where_there_is_nothing_there_are_no_channels(attributes):
    assert parse_channels(attributes) == ()


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {"label": 7, "color": "blue", "window": []},
        {"color": 255, "window": {"start": 5, "end": 5}},
        {"window": {"start": float("nan"), "end": 1}},
        {"window": {"start": True, "end": 2}},
        {"window": {"start": "0"}},
    ],
)
def test_odd_entries_count_as_not_said_and_keep_their_place(odd):
    assert parse_channels({"omero": {"channels": [odd, DNA]}})[0] == Channel()
    assert parse_channels({"omero": {"channels": [odd, DNA]}})[1].name == "DNA"
