import pytest

from packs.small_pack import database


@pytest.fixture
def small(tmp_path):
    """The small pack's tables, ready to be asked."""
    return database(tmp_path)
