"""Tilt series to layer specs: stacks of images, each at its angle."""

from __future__ import annotations

import threading
from functools import partial
from typing import Final

from napari_cryoet import provenance
from napari_cryoet.exceptions import FormatError, StreamError
from napari_cryoet.expecting import expect
from napari_cryoet.formats.sidecars import MAX_FILE_BYTES, parse_tilt_angles
from napari_cryoet.layer_names import tilt_series_name
from napari_cryoet.layer_parts import fetch_parsed, image_spec, in_angstrom, opened_volume
from napari_cryoet.layer_spec import METADATA_KEY, LayerSpec
from napari_cryoet.records import Run, TiltSeries

TILT_AXES: Final = ("tilt", "y", "x")


def load_tilt_series(series: TiltSeries, *, run: Run | None = None, stop: threading.Event | None = None) -> LayerSpec:
    """A tilt series as a multiscale image with the axes tilt, y, x, which reads its pixels when they are asked for.

    y and x are in ångström. Along tilt the world is in degrees where the images are evenly spaced in rising tilt, as
    the portal's angle list says; else images are counted, and the unit is ``"pixel"``. The angles are in the metadata
    as ``tilt_angles_degree``, None where there is no list that fits.

    Parameters
    ----------
    series
        A record of the portal.
    run
        The run that it belongs to, which gives its layer a name and says where it comes from.
    stop
        Set by whoever no longer wants the layer.

    Raises
    ------
    FormatError
        If there is no image stack, or no readable one.
    StreamError
        If it can't be reached.
    StoppedError
        When ``stop`` is set.
    """
    expect(series, TiltSeries, "series")
    url = series.https_omezarr_dir or series.https_mrc_file
    if not url:
        raise FormatError("The portal lists no OME-Zarr and no MRC file for this tilt series.")
    about = provenance.of_tilt_series(series, run, url)
    spacing = in_angstrom(series.pixel_spacing)["scale"][0]
    with opened_volume(url, stop) as volume:
        n_images = volume.shape_zyx[0]
        angles, warnings = _tilt_angles(series, n_images, stop)
        first, step, unit = _tilt_scale(angles)
        return image_spec(
            volume,
            stop,
            name=tilt_series_name(series, run),
            scale=(step, spacing, spacing),
            translate=(first, 0.0, 0.0),
            units=(unit, "angstrom", "angstrom"),
            axis_labels=TILT_AXES,
            metadata={METADATA_KEY: about | {"tilt_angles_degree": angles, "warnings": warnings}},
        )


def _tilt_angles(
    series: TiltSeries, n_images: int, stop: threading.Event | None
) -> tuple[list[float] | None, list[str]]:
    """The tilt of each image in degrees where there is a list that fits, and what is wrong with it where not."""
    if not series.https_angle_list:
        return None, ["The portal lists no tilt angles for this tilt series."]
    try:
        parse = partial(parse_tilt_angles, where=series.https_angle_list)
        angles = fetch_parsed(series.https_angle_list, parse, stop, MAX_FILE_BYTES)
    except (FormatError, StreamError) as error:
        return None, [f"The tilt angles could not be read: {error.message}"]
    if len(angles) != n_images:
        return None, [f"There are {len(angles)} tilt angles for {n_images} images."]
    return list(angles), []


def _tilt_scale(angles: list[float] | None) -> tuple[float, float, str]:
    """Where the tilt axis starts, its step and its unit: degrees, or images where tilts don't rise evenly."""
    if angles is None or len(angles) < 2:
        return 0.0, 1.0, "pixel"
    step = (angles[-1] - angles[0]) / (len(angles) - 1)
    is_even = all(abs(angles[0] + i * step - angle) < step / 4 for i, angle in enumerate(angles))
    return (angles[0], step, "degree") if is_even else (0.0, 1.0, "pixel")
