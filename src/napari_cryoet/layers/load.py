"""Loads tomograms, annotations, tilt series and picks as layer specs, from records of a portal and from bare files.

A record's voxel spacing is the API's. For a bare file it is the one that the caller gives, else that of the portal's
folder layout around it, else what the file says itself. Nothing is guessed. A set ``stop`` ends any of these with
`StoppedError`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from napari_cryoet import provenance
from napari_cryoet.appearance.colors import RGBA, color_of, object_key
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.exceptions import FormatError, StreamError
from napari_cryoet.formats import mesh, ndjson
from napari_cryoet.formats.common import MAX_FILE_BYTES, spacing_in_layout
from napari_cryoet.formats.notes import ORIGIN_KEY, of_bare_file, source_of
from napari_cryoet.layers.specs import (
    METADATA_KEY,
    UNKNOWN_SPACING_ANGSTROM,
    LayerSpec,
    arrows_spec,
    image_spec,
    labels_spec,
    layer_name,
    points_spec,
    surface_spec,
    with_warnings,
    world,
)
from napari_cryoet.picks import Picks
from napari_cryoet.records import Annotation, AnnotationFile, Run, ShapeType, TiltSeries, Tomogram
from napari_cryoet.run import fit as fits
from napari_cryoet.volumes import Volume, fetch_file, name_of, open_volume, own_provenance, suffix_of
from napari_cryoet.wording import joined, plain, spacing_text

TILT_AXES: Final = ("tilt", "y", "x")
_MAX_TEXT_BYTES: Final = 4 * 2**20  # of captions and tilt angles


class Caption(msgspec.Struct, frozen=True):
    """A text about a tomogram or an annotation; ``id`` is the file's own name of it, if it has one."""

    text: str
    id: int | str | None = None


class _Captions(msgspec.Struct):
    captions: list[Caption]


def load_tomogram(
    tomogram: Tomogram | str | Path,
    *,
    spacing_angstrom: float | None = None,
    stop: threading.Event | None = None,
) -> LayerSpec:
    """A tomogram as a multiscale image that reads its voxels when they are asked for.

    Contrast limits come from the planes that are seen first; no other voxels are read. FormatError says that there is
    no readable volume, StreamError that it can't be reached.

    Parameters
    ----------
    tomogram
        A record of the portal, or the path or address of an OME-Zarr, zarr, MRC or TIFF volume.
    spacing_angstrom
        The voxel spacing of a bare file, if you know better than the file. A record has its own.
    """
    if not isinstance(tomogram, Tomogram):
        address = _address(tomogram, "tomogram")
        with _opened(address, stop) as volume:
            options = {"name": _bare_name(address)} | _world_of_file(volume, address, spacing_angstrom)
            source = _of_download(address)
            if source.get("tomogram_id"):
                options["metadata"][METADATA_KEY] |= source
                words = (str(source.get(key) or "") for key in ("run_name", "processing"))
                options["name"] = layer_name(*words, spacing_text(options["scale"][0]))
            return image_spec(volume, options, stop)
    url = tomogram.https_omezarr_dir or tomogram.https_mrc_file
    if not url:
        raise FormatError("The portal lists no OME-Zarr and no MRC file for this tomogram.")
    about, spacing = provenance.of_tomogram(tomogram, url), tomogram.voxel_spacing
    with _opened(url, stop) as volume:
        if volume.shape_zyx != tomogram.shape_zyx:
            said, found = (" x ".join(map(str, shape)) for shape in (tomogram.shape_zyx, volume.shape_zyx))
            about = with_warnings(about, f"The portal says {said} voxels (z, y, x), the file has {found}.")
        # a download of coarse levels alone says in its file where they begin; an MRC's origin says nothing reliable
        start = volume.origin_angstrom if tomogram.https_omezarr_dir else None
        about = about if start else _with_remarks(about, volume)
        # offsets are in voxels, from the canonical tomogram of the run, in whose frame its annotations are
        offsets = (tomogram.offset_z, tomogram.offset_y, tomogram.offset_x)
        options = world(about, spacing) | {
            "name": tomogram_name(tomogram),
            "translate": tuple(n * spacing + at for n, at in zip(offsets, start or (0.0, 0.0, 0.0), strict=True)),
            "rendering": "minip",  # protein is dark in the portal: in 3D the darkest voxel of a ray is what counts
        }
        return image_spec(volume, options, stop)


def load_annotation(
    file: AnnotationFile | str | Path,
    tomogram: Tomogram | float | None = None,
    *,
    run_tomograms: Iterable[Tomogram] = (),
    color: RGBA | None = None,
    stop: threading.Event | None = None,
) -> tuple[LayerSpec, ...]:
    """An annotation file as layers: points (and arrows where they are oriented), a multiscale mask, or a mesh.

    It is drawn where its file puts it; `fit` says whether it fits a tomogram. What doesn't fit the tomogram that is
    given says so in its name, and the reason among its warnings. FormatError says why a file can't be drawn,
    StreamError that it can't be reached.

    Parameters
    ----------
    file
        A record of the portal with its shape and annotation, or the path or address of an ``.ndjson`` file, a mask or a
        ``.glb`` mesh.
    tomogram
        What the annotation is to lie on. It also helps where the file's record doesn't say its voxel spacing. Of a bare
        file nothing else is known: give a tomogram of the same spacing, or the spacing in ångström.
    run_tomograms
        All of the run, where you have them: if ``tomogram`` isn't in the grid in which the file counts, one of these
        may say how large that is, which RELION 5 has to know of picks.
    color
        Of the object, if it shall not be the one that `color_of` gives it.
    """
    given = tomogram.voxel_spacing if isinstance(tomogram, Tomogram) else tomogram
    if not isinstance(file, AnnotationFile):
        return _load_bare_annotation(_address(file, "file"), given, color, stop)
    if obstacle := fits.why_not_drawable(file):
        raise FormatError(obstacle, hint="Read it with load_captions." if fits.is_caption(file) else "")
    below = tomogram if isinstance(tomogram, Tomogram) else None
    spacing = fits.spacing_angstrom(file, below) or given
    about, mark = provenance.of_annotation_file(file, file.https_path, spacing), ""
    if below is not None:
        fit = fits.fit(file, below)
        about["fit"] = {"kind": fit.kind, "tomogram_id": below.id, "tomogram_alignment_id": below.alignment_id}
        about = with_warnings(about, fit.reason) if fit.is_unaligned else about
        mark = fit.mark
    assert file.shape is not None  # noqa: S101 - else it would not be drawable
    annotation, shape_type = file.shape.annotation, file.shape.shape_type
    object_id, object_name = (annotation.object_id, annotation.object_name) if annotation else (None, None)
    name = joined(annotation_name(annotation), mark)
    color_chosen = color or color_of(object_key(object_id, object_name))
    if file.format == "ndjson":
        size = fits.shape_zyx(file, [below] if below else []) or fits.shape_zyx(file, run_tomograms)
        picks = ndjson.read_points(
            fetch_file(file.https_path, MAX_FILE_BYTES, stop),
            where=name_of(file.https_path),
            spacing_angstrom=spacing,
            about=about,
            alignment_id=file.alignment_id,
            shape_zyx=size,
        )
        return _picks_specs(picks, name, color_chosen, diameter_angstrom(object_id, object_name))
    if shape_type == ShapeType.MESH:
        surface = mesh.read_mesh(fetch_file(file.https_path, mesh.MAX_FILE_BYTES, stop), where=name_of(file.https_path))
        return (surface_spec(surface, about, spacing, name=joined(name, "mesh"), color=color_chosen),)
    is_instances = shape_type == ShapeType.INSTANCE_SEGMENTATION_MASK
    with _opened(file.https_path, stop) as volume:
        if is_instances and volume.pyramid is not None:
            volume.pyramid.coarse_offset = "strided"  # the portal takes every second voxel; its files don't all say so
        options = world(_with_remarks(about, volume), spacing) | {"name": name}
        return (labels_spec(volume, options, None if is_instances else color_chosen, stop),)


def load_captions(file: AnnotationFile | str | Path, *, stop: threading.Event | None = None) -> tuple[Caption, ...]:
    """The texts of a caption, plain, in the order of its file; FormatError if it has none, StreamError out of reach.

    Parameters
    ----------
    file
        A record of the portal, or the path or address of a ``.json`` file of captions.
    """
    if isinstance(file, AnnotationFile) and not fits.is_caption(file):
        raise FormatError("This annotation is no text.", hint="Load it with load_annotation.")
    address = file.https_path if isinstance(file, AnnotationFile) else _address(file, "file")
    try:
        captions = msgspec.json.decode(fetch_file(address, _MAX_TEXT_BYTES, stop), type=_Captions).captions
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name_of(address)} is no file of captions ({error}).") from error
    texts = ["\n".join(map(plain, caption.text.splitlines())).strip() for caption in captions]
    return tuple(Caption(text, caption.id) for text, caption in zip(texts, captions, strict=True) if text)


def load_picks(picks: Picks, *, name: str, color: RGBA | None = None) -> tuple[LayerSpec, ...]:
    """Picks as layers: points, and arrows where they are oriented.

    Parameters
    ----------
    picks
        With or without a voxel spacing; without one, layers are in voxels and say so.
    name
        Of the layer of points.
    color
        Of the object, if it shall not be the one that `color_of` gives it.
    """
    if not isinstance(picks, Picks):
        raise TypeError(f"picks must be Picks, not {type(picks).__name__}. Read a file with read_picks first.")
    object_id, object_name = picks.about.get("object_id"), picks.about.get("object_name")
    key = object_key(object_id, object_name) if object_id or object_name else name
    return _picks_specs(
        picks, layer_name(name), color or color_of(key), diameter_angstrom(object_id, object_name or name)
    )


def load_tilt_series(series: TiltSeries, *, run: Run | None = None, stop: threading.Event | None = None) -> LayerSpec:
    """A tilt series as a multiscale image with the axes tilt, y, x, which reads its pixels when they are asked for.

    y and x are in ångström. Along tilt the world is in degrees where the images are evenly spaced in rising tilt, as
    the portal's angle list says; else images are counted, and the unit is ``"pixel"``. The angles are in the metadata
    as ``tilt_angles_degree``, None where there is no list that fits. FormatError says that there is no readable stack,
    StreamError that it can't be reached.

    Parameters
    ----------
    series
        A record of the portal.
    run
        The run that it belongs to, which gives its layer a name and says where it comes from.
    """
    url = series.https_omezarr_dir or series.https_mrc_file
    if not url:
        raise FormatError("The portal lists no OME-Zarr and no MRC file for this tilt series.")
    about = provenance.of_tilt_series(series, run, url)
    with _opened(url, stop) as volume:
        angles, warnings = _tilt_angles(series, volume.shape_zyx[0], stop)
        first, step, unit = _tilt_scale(angles)
        options = world(with_warnings(about | {"tilt_angles_degree": angles}, *warnings), series.pixel_spacing)
        options |= {
            "name": layer_name(
                run.name if run else f"TS-{series.id}", "tilt series", spacing_text(series.pixel_spacing)
            ),
            "scale": (step, *options["scale"][1:]),
            "translate": (first, 0.0, 0.0),
            "units": (unit, "angstrom", "angstrom"),
            "axis_labels": TILT_AXES,
        }
        return image_spec(volume, options, stop)


def tomogram_name(tomogram: Tomogram) -> str:
    """What tells a tomogram from the others: ``TS_026 · raw · 13.48 Å``."""
    run_name = tomogram.run.name if tomogram.run is not None else tomogram.name or f"TM-{tomogram.id}"
    return layer_name(run_name, str(tomogram.processing), spacing_text(tomogram.voxel_spacing))


def annotation_name(annotation: Annotation | None) -> str:
    """What tells an annotation from the others: ``TS_026 · cytosolic ribosome · automated``."""
    if annotation is None:
        return "annotation"
    run_name = annotation.run.name if annotation.run is not None else ""
    method = "ground truth" if annotation.ground_truth_status else str(annotation.method_type or "")
    return layer_name(run_name, annotation.object_name, method)


def _bare_name(address: str) -> str:
    """What the layer of a bare file is called: as the file, without its suffix."""
    name = name_of(address)
    return layer_name(name.rpartition(".")[0] or name)


def _load_bare_annotation(
    address: str, spacing: float | None, color: RGBA | None, stop: threading.Event | None
) -> tuple[LayerSpec, ...]:
    name, suffix = _bare_name(address), suffix_of(address)
    portal = downloaded_annotation(address)
    object_id, object_name = portal.get("object_id"), portal.get("object_name")
    if portal:
        method = "ground truth" if portal.get("is_ground_truth") else str(portal.get("method_type") or "")
        name = layer_name(str(portal.get("run_name") or ""), str(object_name or ""), method)
    color_chosen = color or color_of(object_key(object_id, object_name) if portal else name)
    if suffix in {".ndjson", ".glb"}:
        spacing = spacing if spacing is not None else spacing_in_layout(address)
        about = of_bare_file("annotation", address, spacing) | portal
        if suffix == ".glb":
            surface = mesh.read_mesh(fetch_file(address, mesh.MAX_FILE_BYTES, stop), where=name_of(address))
            return (surface_spec(surface, about, spacing, name=name, color=color_chosen),)
        content = fetch_file(address, MAX_FILE_BYTES, stop)
        picks = ndjson.read_points(content, where=name_of(address), spacing_angstrom=spacing, about=about)
        return _picks_specs(picks, name, color_chosen, diameter_angstrom(object_id, object_name or name))
    with _opened(address, stop) as volume:
        options = {"name": name} | _world_of_file(volume, address, spacing)
        options["metadata"][METADATA_KEY] |= own_provenance(volume, address)
        is_instances = volume.is_labels or volume.dtype.itemsize > 1  # the portal keeps plain masks as int8
        if portal.get("shape_type"):
            is_instances = portal["shape_type"] == ShapeType.INSTANCE_SEGMENTATION_MASK
        return (labels_spec(volume, options, None if is_instances else color_chosen, stop),)


def downloaded_annotation(address: str) -> dict[str, Any]:
    """What the manifest of a download says of an annotation file in it; empty for any other file."""
    source = _of_download(address)
    return source if source.get("annotation_id") and source.get("object_name") else {}


def _of_download(address: str) -> dict[str, Any]:
    return {} if "://" in address else source_of(Path(address), None)


def _picks_specs(picks: Picks, name: str, color: RGBA, diameter: float) -> tuple[LayerSpec, ...]:
    common = world(dict(picks.about), picks.spacing_angstrom)
    looks: dict[str, Any] = {
        "color": color,
        "diameter_angstrom": diameter,
        "spacing_angstrom": picks.spacing_angstrom or UNKNOWN_SPACING_ANGSTROM,
    }
    points = points_spec(picks, common, name=name, **looks)
    arrows = arrows_spec(picks, common, name=joined(name, "orientation"), **looks)
    return (points,) if arrows is None else (points, arrows)


@contextmanager
def _opened(address: str, stop: threading.Event | None) -> Iterator[Volume]:
    """A volume for a layer to keep; if no layer comes of it, whatever is still being fetched of it ends."""
    volume = open_volume(address, stop=stop)
    try:
        yield volume
    except BaseException:
        volume.close()
        raise


def _world_of_file(volume: Volume, address: str, given: float | None) -> dict[str, Any]:
    """Where a bare file lies: by the spacing that is given, else by its folder, else its own."""
    known = given if given is not None else spacing_in_layout(address)
    spacing = volume.spacing_angstrom if known is None else (known,) * 3
    about = of_bare_file("volume", address, spacing)
    return world(_with_remarks(about, volume), spacing, volume.proportions)


def _with_remarks(about: dict[str, Any], volume: Volume) -> dict[str, Any]:
    """Where a volume's file says that its first voxel lies, for comparisons, and what else it says."""
    if volume.origin_angstrom is not None:
        about = about | {ORIGIN_KEY: list(volume.origin_angstrom)}
    return with_warnings(about, *volume.remarks)


def _tilt_angles(
    series: TiltSeries, n_images: int, stop: threading.Event | None
) -> tuple[list[float] | None, list[str]]:
    """The tilt of each image in degrees where there is a list that fits, and what is wrong with it where not."""
    if not series.https_angle_list:
        return None, ["The portal lists no tilt angles for this tilt series."]
    try:
        lines = fetch_file(series.https_angle_list, _MAX_TEXT_BYTES, stop).splitlines()
        angles = [float(line) for line in lines if line.strip()]
    except (FormatError, StreamError, ValueError) as error:
        return None, [f"The tilt angles could not be read: {error}"]
    if not all(abs(angle) <= 180 for angle in angles):  # NaN compares false
        return None, ["The tilt angles could not be read: some are beyond 180 degrees."]
    if len(angles) != n_images:
        return None, [f"There are {len(angles)} tilt angles for {n_images} images."]
    return angles, []


def _tilt_scale(angles: list[float] | None) -> tuple[float, float, str]:
    """Where the tilt axis starts, its step and its unit: degrees, or images where tilts don't rise evenly."""
    if angles is None or len(angles) < 2:
        return 0.0, 1.0, "pixel"
    step = (angles[-1] - angles[0]) / (len(angles) - 1)
    is_even = all(abs(angles[0] + i * step - angle) < step / 4 for i, angle in enumerate(angles))
    return (angles[0], step, "degree") if is_even else (0.0, 1.0, "pixel")


def _address(source: str | Path, name: str) -> str:
    """A path or address as text."""
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"{name} must be a record of a portal, a path or an address, not {type(source).__name__}.")
    return os.fsdecode(source)
