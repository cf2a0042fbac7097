"""Searches are kept by name, and a damaged file is never written over."""

from __future__ import annotations

from datetime import date

import pytest

from napari_cryoet.discovery.saved import forget_search, save_search, saved_searches
from napari_cryoet.discovery.search import Condition, Search
from napari_cryoet.exceptions import FormatError, SaveError
from napari_cryoet.files import data_path


def test_searches_are_kept_by_name_until_they_are_forgotten():
    assert saved_searches() == {}
    picks = Search(released=(date(2024, 1, 1), None), annotations=(Condition(objects=("ribosome",), min_count=10),))
    save_search("ribosomes", Search(text="old"))
    save_search(" ribosomes ", picks)
    save_search("Cells", Search(sample_types=("cell_line",)))
    assert list(saved_searches()) == ["Cells", "ribosomes"]
    assert saved_searches()["ribosomes"] == picks
    forget_search("Cells")
    forget_search("never kept")
    assert saved_searches() == {"ribosomes": picks}
    with pytest.raises(SaveError):
        save_search(" ", picks)


def test_a_damaged_file_is_said_and_left():
    save_search("one", Search())
    (path,) = data_path().glob("searches.json")
    path.write_text("{")
    for use in (saved_searches, lambda: save_search("two", Search()), lambda: forget_search("one")):
        with pytest.raises(FormatError, match="searches"):
            use()
    assert path.read_text() == "{"
