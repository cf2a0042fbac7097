"""Movies: where the camera is in each frame, and the file that takes the frames one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec.structs import replace

from napari_cryoet.exceptions import CryoETError, SaveError
from napari_cryoet.files import written_whole
from napari_cryoet.views.view import Camera

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

Quaternion = tuple[float, float, float, float]

FRAMES_PER_S: Final = 25
LONGEST_S: Final = 600

#: ffmpeg's options for each suffix. GIFs get a palette for each frame, so that none has to wait.
#: MP4 stores colours for two by two pixels, so its size is even.
_EVEN: Final = "crop=trunc(iw/2)*2:trunc(ih/2)*2"
_H264: Final = ["-vf", _EVEN, "-crf", "18", "-preset", "medium", "-movflags", "+faststart"]
_PALETTES: Final = (
    "split[frames][seen];[seen]palettegen=stats_mode=single:reserve_transparent=0[palettes];"
    "[frames][palettes]paletteuse=new=1"
)
_CODECS: Final = {
    ".mp4": {"codec": "libx264", "output_params": _H264},
    ".gif": {"codec": "gif", "pix_fmt_out": "pal8", "output_params": ["-vf", _PALETTES]},
}


def frame_count(seconds: float) -> int:
    """The number of frames of a movie, at least two."""
    return max(2, round(seconds * FRAMES_PER_S))


def sweep(camera: Camera, start_angstrom: float, stop_angstrom: float, n: int) -> list[Camera]:
    """Step through the planes of a 2D view from one position to another, both included."""
    if camera.ndisplay != 2:
        raise CryoETError("A sweep steps through planes.", hint="Switch to 2D, or turn the volume.")
    across = camera.order[0]
    frames = []
    for position in np.linspace(start_angstrom, stop_angstrom, n):
        point = list(camera.point_zyx_angstrom)
        point[across] = float(position)
        z, y, x = point
        frames.append(replace(camera, point_zyx_angstrom=(z, y, x)))
    return frames


def turn(camera: Camera, degrees: float, n: int) -> list[Camera]:
    """Turn a 3D view about the picture's vertical axis; a whole turn ends before its first frame."""
    from scipy.spatial.transform import Rotation  # here, since it takes 0.2 s

    if camera.ndisplay != 3:
        raise CryoETError("Only a volume in 3D can turn.", hint="Switch to 3D.")
    first = Rotation.from_quat(camera.orientation, scalar_first=True)
    angles = np.linspace(0, degrees, n, endpoint=degrees % 360 != 0)
    turned = [first * Rotation.from_euler("y", angle, degrees=True) for angle in angles]
    return [replace(camera, orientation=_quaternion(each)) for each in turned]


def between(first: Camera, last: Camera, n: int) -> list[Camera]:
    """Move from one view to another, which must show the same axes."""
    from scipy.spatial.transform import Rotation, Slerp

    if (first.ndisplay, first.order) != (last.ndisplay, last.order):
        raise CryoETError(
            "A movie can't go from 2D to 3D, or from one plane to another.",
            hint="Choose two views with the same axes.",
        )
    ends = Rotation.from_quat([first.orientation, last.orientation], scalar_first=True)
    rotations = Slerp([0, 1], ends)(np.linspace(0, 1, n))
    rows = zip(np.linspace(_numbers(first), _numbers(last), n), rotations, strict=True)
    return [_camera(first, numbers, _quaternion(rotation)) for numbers, rotation in rows]


@contextmanager
def movie_file(
    path: Path, size_px: tuple[int, int], *, overwrite: bool = False
) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that appends a frame of RGBX bytes; the file appears once all are written.

    Parameters
    ----------
    path
        Ends in ``.mp4`` or ``.gif``.
    size_px
        Width and height of the frames.

    Raises
    ------
    CryoETError
        If ffmpeg isn't installed, or SaveError and ExistsError as of `written_whole`.
    """
    codec = _CODECS.get(path.suffix.lower())
    if codec is None:
        raise SaveError(f"Movies are saved as {' or '.join(_CODECS)}, not as {path.name}.")
    try:
        from imageio_ffmpeg import count_frames_and_secs, get_ffmpeg_exe, write_frames

        get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        hint = 'Install it: python -m pip install "napari-cryoet[movies]"'
        raise CryoETError("Movies need ffmpeg.", hint=hint) from error
    n_frames = 0

    def append(frame: bytes) -> None:
        nonlocal n_frames
        try:
            writer.send(frame)
        except OSError as error:  # whose text is ffmpeg's command line
            raise _lost_frames(path) from error
        n_frames += 1

    with written_whole(path, overwrite=overwrite) as unfinished:
        writer = write_frames(
            unfinished,
            size_px,
            "rgb0",
            fps=FRAMES_PER_S,
            quality=None,
            macro_block_size=1,
            ffmpeg_log_level="error",
            **codec,
        )
        try:
            writer.send(None)  # starts ffmpeg
            yield append
        finally:
            writer.close()
        if count_frames_and_secs(str(unfinished))[0] != n_frames:
            raise _lost_frames(path)


def _lost_frames(path: Path) -> SaveError:
    return SaveError(
        f"{path.name} can't be written: ffmpeg stopped.", hint="Is there room on the disk?"
    )


def _numbers(camera: Camera) -> list[float]:
    """What changes evenly between two views: the field does by the same factor a frame."""
    field = np.log(camera.field_angstrom)
    places = (*camera.point_zyx_angstrom, *camera.center_zyx_angstrom)
    return [*places, *field, camera.perspective, camera.slab_angstrom]


def _camera(like: Camera, numbers: Iterable[float], orientation: Quaternion) -> Camera:
    z, y, x, *center, height, width, perspective, slab = map(float, numbers)
    center_z, center_y, center_x = center
    return replace(
        like,
        point_zyx_angstrom=(z, y, x),
        center_zyx_angstrom=(center_z, center_y, center_x),
        field_angstrom=(math.exp(height), math.exp(width)),
        orientation=orientation,
        perspective=perspective,
        slab_angstrom=slab,
    )


def _quaternion(rotation: Rotation) -> Quaternion:
    w, x, y, z = map(float, rotation.as_quat(canonical=True, scalar_first=True))
    return w, x, y, z
