"""Numbers of trees in the disk cache: each says which one it is, and of which index, and means nothing in another.

So whoever has a tree open finds, drops and confirms nothing of others once the index is gone that it is of.
"""

from __future__ import annotations

import secrets

_COUNTER_BITS, _INDEX_BITS = 24, 39


def new_beginning() -> int:
    """After which number those of a new index are counted."""
    return secrets.randbits(_INDEX_BITS) << _COUNTER_BITS


def are_of_one_index(one: int, other: int) -> bool:
    """Whether two numbers are of the same index."""
    return one >> _COUNTER_BITS == other >> _COUNTER_BITS
