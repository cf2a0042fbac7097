"""The counts of facets equal the matches of a search with that choice."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from napari_cryoet.discovery.facets import count_facets, toggled
from napari_cryoet.discovery.fields import FIELDS
from napari_cryoet.discovery.search import Condition, Search

MASKS = Condition(shapes=("SegmentationMask",))
SEARCHES = (
    (Search(), 0),
    (Search(text="ribosome", organisms=("pombe", "coli"), processing=("raw",)), 0),
    (
        Search(
            annotations=(Condition(objects=("membrane",), methods=("manual",)), MASKS),
            tilt_quality=(5,),
        ),
        0,
    ),
    (Search(annotations=(Condition(objects=("ribosome",)),)), 0),
    (
        Search(
            text="ribosome", annotations=(Condition(shapes=("Point",), methods=("manual",)), MASKS)
        ),
        0,
    ),
    (Search(text="membrane", annotations=(Condition(objects=("ribosme",)),)), 1),
    (Search(annotations=(MASKS,), spacing_angstrom=(None, 10.0), has=("tiltseries", "frames")), 1),
)


@pytest.mark.parametrize("unit", ["datasets", "runs"])
@pytest.mark.parametrize(("search", "condition"), SEARCHES)
def test_counts_match_a_search_with_only_that_choice(index, search, condition, unit):
    for facet in count_facets(index, search, unit, condition=condition):
        for value in facet.values:
            alone = cleared(search, facet, condition)
            if facet.name == "has":  # a match has all of them
                alone = replace(search, has=tuple({*search.has, value.value}))
            else:
                alone = toggled(alone, facet, value.value, condition=condition)
            matches = index.find(alone)
            n_matches = len(matches.run_ids if unit == "runs" else matches.dataset_ids)
            assert value.count == n_matches, (facet.name, value)


def cleared(search, facet, condition):
    """The search without the choices of a facet."""
    for value in facet.values:
        if value.is_chosen:
            search = toggled(search, facet, value.value, condition=condition)
    changes = {
        facet.name: getattr(Condition() if facet.field.is_of_annotation else Search(), facet.name)
    }
    if not facet.field.is_of_annotation:
        return replace(search, **changes)
    conditions = [*search.annotations, *[Condition()] * (condition + 1 - len(search.annotations))]
    conditions[condition] = replace(conditions[condition], **changes)
    return replace(search, annotations=tuple(conditions))


def test_every_facet_is_listed_with_its_choices(index):
    search = Search(organisms=('"Nobody"',), annotations=(Condition(objects=('"ribosome"',)),))
    facets = {facet.name: facet for facet in count_facets(index, search)}
    assert list(facets) == [field.name for field in FIELDS]
    assert [(value.text, value.count) for value in facets["objects"].values] == [
        ("ribosome", 0)
    ]  # a choice stays
    assert not facets["processing"].values


def test_toggling_twice_removes_a_choice(index):
    for facet in count_facets(index, Search()):
        value = facet.values[0].value
        once = toggled(Search(), facet, value)
        (again,) = (each for each in count_facets(index, once) if each.name == facet.name)
        assert [each.value for each in again.values if each.is_chosen] == [value]
        assert toggled(once, facet, value) == Search()
