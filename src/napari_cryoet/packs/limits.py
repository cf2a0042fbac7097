"""What a query may cost: bounds on its text, its shape, its answer and its time, so that none can hang a server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

MAX_QUERY_CHARACTERS: Final = 1 << 20
MAX_TOKENS: Final = 100_000
MAX_SELECTIONS: Final = 2_000
MAX_DEPTH: Final = 40
MAX_RELATION_HOPS: Final = 4  # in where, orderBy and groupBy; the portal's own bound
MAX_LIST_VALUES: Final = 32_767  # of _in and _nin; the portal's own bound
MAX_STEPS: Final = 5_000_000  # records looked at, and cells answered
MAX_SECONDS: Final = 20.0
_STEPS_A_LOOK: Final = 512  # at the clock


class QueryRefused(GraphQLError):  # noqa: N818  # says what happened, like StopIteration
    """The query asks for more than a pack answers, or for what the portal answers wrongly."""


class Budget:
    """What is left for one query.

    Parameters
    ----------
    steps
        How many records may be looked at, and cells answered.
    seconds
        How long it may take.
    """

    def __init__(self, steps: int = MAX_STEPS, seconds: float = MAX_SECONDS) -> None:
        self._steps = steps
        self._deadline = time.monotonic() + seconds
        self._until_clock = 0

    def spend(self, steps: int = 1) -> None:
        """Note that something was done.

        Raises
        ------
        QueryRefused
            The query has used up what it may.
        """
        self._steps -= steps
        self._until_clock -= steps
        if self._steps < 0:
            raise QueryRefused("The query asks for too much at once.")
        if self._until_clock < 0:
            if time.monotonic() > self._deadline:
                raise QueryRefused("The query takes too long.")  # and so does all that it still asks
            self._until_clock = _STEPS_A_LOOK


def check_document(document: DocumentNode) -> None:
    """Refuse a query whose shape alone could cost too much, before it is validated.

    Raises
    ------
    QueryRefused
        It selects too many fields, or nests them too deep.
    """
    fragments = {
        definition.name.value: definition.selection_set
        for definition in document.definitions
        if isinstance(definition, FragmentDefinitionNode)
    }
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            _check_selections(definition.selection_set, fragments)


def _check_selections(root: SelectionSetNode, fragments: dict[str, SelectionSetNode]) -> None:
    """Walk the selections as execution would, fragments in place, without recursion."""
    selected = 0
    pending = [(root, 1)]
    while pending:
        selections, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise QueryRefused(f"The query nests fields deeper than {MAX_DEPTH} levels.")
        for inner in _inner_selections(selections, fragments):
            selected += 1
            if selected > MAX_SELECTIONS:
                raise QueryRefused(f"The query selects more than {MAX_SELECTIONS} fields.")
            if inner is not None:
                pending.append((inner, depth + 1))


def _inner_selections(
    selections: SelectionSetNode, fragments: dict[str, SelectionSetNode]
) -> Iterator[SelectionSetNode | None]:
    for node in selections.selections:
        if isinstance(node, FragmentSpreadNode):
            yield fragments.get(node.name.value)
        elif isinstance(node, FieldNode | InlineFragmentNode):
            yield node.selection_set
