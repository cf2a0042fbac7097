"""What the decoders of several pages share: the only row of a list, and grouped counts by dataset and by object."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from napari_cryoet.exceptions import NotFoundError
from napari_cryoet.portal import decode
from napari_cryoet.portal.decode import groups_of, int_of, text_of
from napari_cryoet.portal.pages import ObjectCount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_cryoet.portal.decode import Row


def only_row(rows: list[Row], kind: str, wanted_id: int) -> Row:
    """The row that was asked for by its id.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    if not rows:
        raise NotFoundError(f"The portal has no {kind} {wanted_id}.", hint="It may have been withdrawn or renumbered.")
    return rows[0]


def count_by_dataset(data: Row, name: str) -> Counter[int]:
    """Counts grouped by the dataset of a run, or of the run of something; what has no dataset is left out."""
    counts: Counter[int] = Counter()
    for count, group in groups_of(data, name):
        dataset = dataset_of(group, name)
        if dataset is not None:
            counts[int_of(dataset, "id", name)] += count
    return counts


def dataset_of(group: Row, where: str) -> Row | None:
    """The dataset that a group names, itself or through a run."""
    parent = decode.optional_object_of(group, "run", where) if "run" in group else group
    return decode.optional_object_of(parent or {}, "dataset", where)


def tally(data: Row, name: str, *path: str) -> dict[int, Counter[str]]:
    """Counts under a dataset's id and the text at the end of a path through its relations."""
    tallies: dict[int, Counter[str]] = {}
    *relations, leaf = path
    for count, group in groups_of(data, name):
        place: Row | None = group
        for relation in relations:
            place = decode.optional_object_of(place or {}, relation, name)
        text = text_of(place or {}, leaf, name)
        if text:
            tallies.setdefault(int_of(group, "id", name), Counter())[text] += count
    return tallies


def object_counts(data: Row) -> tuple[ObjectCount, ...]:
    """How many annotations name each object, most annotated first."""
    return objects_of(by_object(groups_of(data, "objects"), "objects"))


def by_object(groups: Iterable[tuple[int, Row]], where: str) -> Counter[str]:
    """Grouped counts added up by the object that each group names."""
    counts: Counter[str] = Counter()
    for count, group in groups:
        name = text_of(group, "objectName", where)
        if name:
            counts[name] += count
    return counts


def objects_of(counts: Mapping[str, int]) -> tuple[ObjectCount, ...]:
    """Counts by object, most annotated first."""
    return tuple(ObjectCount(object_name=name, count=count) for name, count in most_first(counts))


def most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Counts in falling order, equal ones by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0].casefold(), item[0]))
