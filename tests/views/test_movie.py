"""Where the camera is in each frame of a movie, and the file that takes the frames."""

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image
from scipy.spatial.transform import Rotation

from napari_cryoet.exceptions import CryoETError, SaveError
from napari_cryoet.views.movie import between, frame_count, movie_file, sweep, turn
from napari_cryoet.views.view import Camera

PLANE = Camera(
    point_zyx_angstrom=(100, 0, 0), center_zyx_angstrom=(100, 50, 60), field_angstrom=(200, 400)
)
VOLUME = replace(PLANE, ndisplay=3, orientation=tuple(np.full(4, 0.5)))


def test_a_sweep_shows_each_plane_once():
    cameras = sweep(replace(PLANE, order=(1, 0, 2)), 0, 90, 10)
    assert [camera.point_zyx_angstrom[1] for camera in cameras] == list(range(0, 100, 10))
    assert {camera.center_zyx_angstrom for camera in cameras} == {PLANE.center_zyx_angstrom}
    with pytest.raises(CryoETError, match="2D"):
        sweep(VOLUME, 0, 90, 10)


def test_a_whole_turn_starts_where_it_ends():
    cameras = turn(VOLUME, 360, 8)
    rotations = [Rotation.from_quat(each.orientation, scalar_first=True) for each in cameras]
    following = [*rotations[1:], rotations[0]]
    steps = [
        (a.inv() * b).as_rotvec(degrees=True) for a, b in zip(rotations, following, strict=True)
    ]
    np.testing.assert_allclose(steps, [(0, 45, 0)] * 8, atol=1e-9)
    with pytest.raises(CryoETError, match="3D"):
        turn(PLANE, 360, 8)


def test_a_way_between_views_takes_the_shortest_turn_and_zooms_evenly():
    last = replace(turn(VOLUME, 90, 2)[1], field_angstrom=(20, 40), center_zyx_angstrom=(0, 0, 0))
    first, middle, end = between(VOLUME, last, 3)
    np.testing.assert_allclose(
        [first.field_angstrom, end.field_angstrom], [VOLUME.field_angstrom, last.field_angstrom]
    )
    assert middle.center_zyx_angstrom == (50, 25, 30)
    np.testing.assert_allclose(middle.field_angstrom, np.sqrt([200 * 20, 400 * 40]))
    np.testing.assert_allclose(middle.orientation, turn(VOLUME, 90, 3)[1].orientation)
    with pytest.raises(CryoETError, match="2D"):
        between(VOLUME, PLANE, 3)


def test_a_movie_has_as_many_frames_as_its_seconds_need():
    assert frame_count(4) == 100
    assert frame_count(0.01) == 2


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_movie_appears_once_it_is_whole(tmp_path, suffix):
    path = tmp_path / f"movie{suffix}"
    with movie_file(path, (33, 15)) as append:
        for gray in range(0, 250, 50):
            append(bytes([gray, gray, gray, 255]) * 33 * 15)
        assert not path.exists()
    assert path.stat().st_size > 100
    if suffix == ".gif":
        with Image.open(path) as movie:
            assert (movie.n_frames, movie.size) == (5, (33, 15))

    with pytest.raises(SaveError), movie_file(path, (33, 15), overwrite=True) as append:
        append("no bytes")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_an_unknown_kind_of_movie_is_refused(tmp_path):
    with pytest.raises(SaveError, match="mp4"), movie_file(tmp_path / "movie.avi", (33, 15)):
        pass
