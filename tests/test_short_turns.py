import sys

import pytest

from napari_cryoet.short_turns import SHORT_S, ShortTurns


@pytest.fixture(params=[0.005, 0.0031, SHORT_S / 10])
def before_s(request):
    """How long turns are, when others have seen to it; in the last case shorter than ours."""
    found_s = sys.getswitchinterval()
    sys.setswitchinterval(request.param)
    yield sys.getswitchinterval()
    sys.setswitchinterval(found_s)


def test_turns_are_short_for_as_long_as_somebody_wants_that(before_s):
    short_s = pytest.approx(min(SHORT_S, before_s))
    turns = ShortTurns()
    for _ in range(10):
        with turns:
            pass
    turns.begin()
    with turns:
        assert sys.getswitchinterval() == short_s
        turns.end()
        assert sys.getswitchinterval() == short_s
    assert sys.getswitchinterval() == before_s


def test_they_are_as_before_after_an_error_too(before_s):
    with pytest.raises(ZeroDivisionError), ShortTurns():
        raise ZeroDivisionError
    assert sys.getswitchinterval() == before_s
