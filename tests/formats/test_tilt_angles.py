"""Lists of tilt angles are read, or refused with the line that is wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats.tilt_angles import MAX_FILE_BYTES, parse_tilt_angles


@given(st.lists(st.floats(-180, 180), max_size=100), st.sampled_from(["\n", "\r\n", " \n\n  "]))
def test_angles_are_read_in_order(angles, ending):
    content = "".join(f"{angle!r}{ending}" for angle in angles).encode()
    assert parse_tilt_angles(content, "a") == tuple(angles)


@pytest.mark.parametrize("line", ["x", "1 2", "nan", "inf", "181", "\xff", "1e99"])
def test_a_line_that_is_no_angle_is_named(line):
    with pytest.raises(FormatError, match="line 2"):
        parse_tilt_angles(f"-60\n{line}\n".encode("latin-1"), "a")


def test_what_is_too_large_is_refused():
    with pytest.raises(FormatError, match="too large"):
        parse_tilt_angles(b"1\n" * MAX_FILE_BYTES, "a")
