"""Records and files to layer specs: what napari needs to draw them, without napari.

World is ångström in z, y, x, with its origin at the centre of voxel (0, 0, 0): ``world = index * spacing``. A record's
spacing is the API's. For a bare file it is the one that the caller gives, else that of the portal's folder layout
around it, else what a volume says itself. Where none is known, layers are in voxels and say so: units are ``"pixel"``
and the metadata has a warning. Nothing is guessed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from napari_cryoet import captions, meshes, overlay, provenance
from napari_cryoet.captions import Caption
from napari_cryoet.colors import RGBA, color_of, instance_colormap, object_key
from napari_cryoet.contrast import robust_limits
from napari_cryoet.diameters import diameter_angstrom
from napari_cryoet.exceptions import FormatError, StoppedError, StreamError
from napari_cryoet.formats import ndjson
from napari_cryoet.formats.tilt_angles import MAX_FILE_BYTES, parse_tilt_angles
from napari_cryoet.layer_spec import METADATA_KEY, LayerSpec
from napari_cryoet.mask_values import labels_in_memory
from napari_cryoet.picks import Picks
from napari_cryoet.point_layers import UNKNOWN_SPACING_ANGSTROM, arrows_spec, points_spec
from napari_cryoet.policy import shared_policy
from napari_cryoet.records import Annotation, AnnotationFile, Run, TiltSeries, Tomogram
from napari_cryoet.vocabulary import ShapeType
from napari_cryoet.volumes import Volume, name_of, open_volume, spacing_in_layout, suffix_of
from napari_cryoet.wording import joined, plain, spacing_text

AXES: Final = ("z", "y", "x")
TILT_AXES: Final = ("tilt", "y", "x")
MAX_SPACING_ANGSTROM: Final = 1e6
MASK_OPACITY: Final = 0.5

#: Longer parts of a layer's name lose their middle.
_MAX_NAME_PART: Final = 60
_NO_MARKUP: Final = str.maketrans("<>", "‹›")  # napari's status bar takes names for HTML

_SHAPE_WORDS: Final = {
    ShapeType.POINT: "points",
    ShapeType.ORIENTED_POINT: "oriented points",
    ShapeType.INSTANCE_SEGMENTATION: "instances",
    ShapeType.SEGMENTATION_MASK: "mask",
    ShapeType.INSTANCE_SEGMENTATION_MASK: "instance mask",
    ShapeType.MESH: "mesh",
}
_NO_SPACING: Final = "The file doesn't say how large its voxels are, so positions are in voxels, not in ångström."


def load_tomogram(
    tomogram: Tomogram | str | Path,
    *,
    spacing_angstrom: float | None = None,
    stop: threading.Event | None = None,
) -> LayerSpec:
    """A tomogram as a multiscale image that reads its voxels when they are asked for.

    Contrast limits come from the full-resolution planes that are seen first; these are the only voxels that are read.

    Parameters
    ----------
    tomogram
        A record of the portal, or the path or address of an OME-Zarr, zarr or MRC volume.
    spacing_angstrom
        The voxel spacing of a bare file, if you know better than the file. A record has its own.
    stop
        Set by whoever no longer wants the layer.

    Raises
    ------
    FormatError
        If there is no volume, or no readable one.
    StreamError
        If it can't be reached.
    StoppedError
        When ``stop`` is set.
    """
    if not isinstance(tomogram, Tomogram):
        with _opened(os.fspath(tomogram), stop) as volume:
            return _image_spec(volume, stop, name=_stem(tomogram), **_bare(volume, tomogram, spacing_angstrom))
    url = tomogram.https_omezarr_dir or tomogram.https_mrc_file
    if not url:
        raise FormatError("The portal lists no OME-Zarr and no MRC file for this tomogram.")
    about = provenance.of_tomogram(tomogram, url)
    with _opened(url, stop) as volume:
        if volume.shape_zyx != tomogram.shape_zyx:
            about["warnings"] = [
                f"The portal says {_by(tomogram.shape_zyx)} voxels (z, y, x), the file has {_by(volume.shape_zyx)}."
            ]
        return _image_spec(
            volume,
            stop,
            name=tomogram_name(tomogram),
            **_world(tomogram.voxel_spacing),
            # Offsets are in voxels, from the canonical tomogram of the run, in whose frame its annotations are.
            translate=tuple(
                offset * tomogram.voxel_spacing for offset in (tomogram.offset_z, tomogram.offset_y, tomogram.offset_x)
            ),
            metadata={METADATA_KEY: about},
            rendering="minip",  # protein is dark in the portal: in 3D the darkest voxel of a ray is what one looks for
        )


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
    url = series.https_omezarr_dir or series.https_mrc_file
    if not url:
        raise FormatError("The portal lists no OME-Zarr and no MRC file for this tilt series.")
    about = provenance.of_tilt_series(series, run, url)
    spacing = _world(series.pixel_spacing)["scale"][0]
    with _opened(url, stop) as volume:
        n_images = volume.shape_zyx[0]
        angles, warnings = _tilt_angles(series, n_images, stop)
        first, step, unit = _tilt_scale(angles)
        return _image_spec(
            volume,
            stop,
            name=_layer_name(run.name if run is not None else f"TS-{series.id}", "tilt series", spacing_text(spacing)),
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
        angles = parse_tilt_angles(_fetch(series.https_angle_list, stop, MAX_FILE_BYTES), series.https_angle_list)
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


def load_annotation(
    file: AnnotationFile | str | Path,
    tomogram: Tomogram | float | None = None,
    *,
    color: RGBA | None = None,
    stop: threading.Event | None = None,
) -> tuple[LayerSpec, ...]:
    """An annotation file as layers: points (and arrows where they are oriented), a multiscale mask, or a mesh.

    Whether it fits a tomogram is for `overlay.fit` to say; here it is drawn where its file puts it. What doesn't fit
    the tomogram that is given has ``unaligned`` in its name, and the reason among its warnings.

    Parameters
    ----------
    file
        A record of the portal with its shape and annotation, or the path or address of an ``.ndjson`` file, a mask or a
        ``.glb`` mesh.
    tomogram
        What the annotation is to lie on. It also helps where the file's record doesn't say its voxel spacing. Of a bare
        file nothing else is known: give a tomogram of the same spacing, or the spacing in ångström.
    color
        Of the object, if it shall not be the one that `color_of` gives it.
    stop
        Set by whoever no longer wants the layers.

    Raises
    ------
    FormatError
        If the file can't be drawn, in words that say why.
    StreamError
        If it can't be reached.
    StoppedError
        When ``stop`` is set.
    """
    if not isinstance(file, AnnotationFile):
        return _load_bare_annotation(file, tomogram, color, stop)
    obstacle = overlay.why_not_drawable(file)
    if obstacle:
        raise FormatError(obstacle, hint="Read it with load_captions." if overlay.is_caption(file) else "")
    spacing = overlay.spacing_angstrom(file, tomogram if isinstance(tomogram, Tomogram) else None)
    spacing = spacing if spacing is not None else _given_spacing(tomogram)
    about = provenance.of_annotation_file(file, file.https_path, spacing)
    mark = _mark_misfit(about, file, tomogram) if isinstance(tomogram, Tomogram) else ""
    assert file.shape is not None  # noqa: S101 - else it would not be drawable
    annotation = file.shape.annotation
    shape_type = file.shape.shape_type
    name = joined(annotation_name(annotation, shape_type), mark)
    object_id, object_name = (annotation.object_id, annotation.object_name) if annotation else (None, None)
    chosen = color or color_of(object_key(object_id, object_name))
    if suffix_of(file.https_path) == ".ndjson" or file.format == "ndjson":
        points = ndjson.read_points(_fetch(file.https_path, stop))
        diameter = diameter_angstrom(object_id, object_name)
        return _point_specs(points, about, name=name, color=chosen, diameter_angstrom=diameter, spacing=spacing)
    if shape_type == ShapeType.MESH:
        return (_mesh_spec(file.https_path, about, name=name, color=chosen, spacing=spacing, stop=stop),)
    is_instances = shape_type == ShapeType.INSTANCE_SEGMENTATION_MASK
    with _opened(file.https_path, stop) as volume:
        if is_instances and volume.pyramid is not None:
            volume.pyramid.coarse_offset = "strided"  # the portal takes every second voxel; its files don't all say so
        return (_labels_spec(volume, _with_spacing(about, spacing), name, None if is_instances else chosen, stop),)


def load_captions(file: AnnotationFile | str | Path, *, stop: threading.Event | None = None) -> tuple[Caption, ...]:
    """The texts of a caption, plain, in the order of its file.

    Parameters
    ----------
    file
        A record of the portal, or the path or address of a ``.json`` file of captions.
    stop
        Set by whoever no longer wants them.

    Raises
    ------
    FormatError
        If it is no file of captions.
    StreamError
        If it can't be reached.
    StoppedError
        When ``stop`` is set.
    """
    if isinstance(file, AnnotationFile) and not overlay.is_caption(file):
        raise FormatError("This annotation is no text.", hint="Load it with load_annotation.")
    address = file.https_path if isinstance(file, AnnotationFile) else os.fspath(file)
    return captions.parse_captions(_fetch(address, stop, captions.MAX_FILE_BYTES), name_of(address))


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
    about = dict(picks.about)
    object_id, object_name = about.get("object_id"), about.get("object_name")
    common = _with_spacing(about, picks.spacing_angstrom)
    looks: dict[str, Any] = {
        "color": color or color_of(object_key(object_id, object_name) if object_id or object_name else name),
        "diameter_angstrom": diameter_angstrom(object_id, object_name or name),
        "spacing_angstrom": picks.spacing_angstrom or 10.0,
    }
    drawn = points_spec(picks, common, name=_layer_name(name), **looks)
    arrows = arrows_spec(picks, common, name=_layer_name(name, "orientation"), **looks)
    return (drawn,) if arrows is None else (drawn, arrows)


def tomogram_name(tomogram: Tomogram) -> str:
    """What tells a tomogram from the others: ``TS_026 · raw · 13.48 Å``."""
    run_name = tomogram.run.name if tomogram.run is not None else tomogram.name or f"TM-{tomogram.id}"
    return _layer_name(run_name, str(tomogram.processing), spacing_text(tomogram.voxel_spacing))


def annotation_name(annotation: Annotation | None, shape_type: ShapeType | None) -> str:
    """What tells an annotation from the others: ``TS_026 · cytosolic ribosome · points · AN-1162``."""
    word = _SHAPE_WORDS.get(shape_type, "") if shape_type is not None else ""
    if annotation is None:
        return word or "annotation"
    run_name = annotation.run.name if annotation.run is not None else ""
    return _layer_name(run_name, annotation.object_name, word, f"AN-{annotation.id}")


def _load_bare_annotation(
    source: str | Path, tomogram: Tomogram | float | None, color: RGBA | None, stop: threading.Event | None
) -> tuple[LayerSpec, ...]:
    address = os.fspath(source)
    name = _stem(source)
    chosen = color or color_of(name)
    if suffix_of(source) == ".ndjson":
        given = _given_spacing(tomogram)
        spacing = given if given is not None else spacing_in_layout(source)
        about = provenance.of_bare_file("annotation", address, spacing)
        points = ndjson.read_points(_fetch(address, stop))
        diameter = diameter_angstrom(None, name)
        return _point_specs(points, about, name=name, color=chosen, diameter_angstrom=diameter, spacing=spacing)
    if suffix_of(source) == ".glb":
        given = _given_spacing(tomogram)
        spacing = given if given is not None else spacing_in_layout(source)
        about = provenance.of_bare_file("annotation", address, spacing)
        return (_mesh_spec(address, about, name=name, color=chosen, spacing=spacing, stop=stop),)
    with _opened(address, stop) as volume:
        options = _bare(volume, source, _given_spacing(tomogram))
        is_instances = volume.is_labels or volume.dtype.itemsize > 1  # the portal keeps plain masks as int8
        return (_labels_spec(volume, options, name, None if is_instances else chosen, stop),)


def _point_specs(
    points: ndjson.Points,
    about: dict[str, Any],
    *,
    name: str,
    color: RGBA,
    diameter_angstrom: float,
    spacing: float | None,
) -> tuple[LayerSpec, ...]:
    if len(points) == 0 and points.skipped:
        raise FormatError(f"None of this file's {len(points.skipped):,} lines is a point that can be drawn.")
    common = _with_spacing(about | {"warnings": [*about.get("warnings", ()), *points.warnings]}, spacing)
    sizes = {"diameter_angstrom": diameter_angstrom, "spacing_angstrom": spacing or UNKNOWN_SPACING_ANGSTROM}
    picks = points.to_picks(spacing, alignment_id=about.get("alignment_id"), about=about)
    drawn = points_spec(picks, common, name=name, color=color, **sizes)
    arrows = arrows_spec(picks, common, name=f"{name} · orientation", color=color, **sizes)
    return (drawn,) if arrows is None else (drawn, arrows)


def _mesh_spec(
    address: str,
    about: dict[str, Any],
    *,
    name: str,
    color: RGBA,
    spacing: float | None,
    stop: threading.Event | None,
) -> LayerSpec:
    mesh = meshes.read_mesh(_fetch(address, stop, meshes.MAX_FILE_BYTES), name_of(address))
    about = about | {"warnings": [*about.get("warnings", ()), meshes.ASSUMED_UNIT, meshes.ONLY_IN_3D]}
    # Its positions don't depend on a voxel spacing: where none is known, it counts in ångström.
    common = _world(1.0 if spacing is None else spacing) | {"metadata": {METADATA_KEY: about}}
    return meshes.surface_spec(mesh, common, name=name, color=color, spacing_angstrom=spacing)


def _mark_misfit(about: dict[str, Any], file: AnnotationFile, tomogram: Tomogram) -> str:
    """Say in a layer's metadata how it lies over a tomogram; what its name has to say of that."""
    fit = overlay.fit(file, tomogram)
    about["fit"] = {"kind": fit.kind, "tomogram_id": tomogram.id, "tomogram_alignment_id": tomogram.alignment_id}
    if fit.is_unaligned:
        about["warnings"] = [*about.get("warnings", ()), fit.reason]
    return overlay.unaligned_mark(file, tomogram)


def _labels_spec(
    volume: Volume, common: dict[str, Any], name: str, color: RGBA | None, stop: threading.Event | None
) -> LayerSpec:
    """A Labels layer: one colour for all that isn't background, or without a colour one in turn for each instance."""
    levels = list(volume.levels) if volume.dtype.kind in "iu" else [labels_in_memory(volume, stop=stop)]
    options = common | {
        "name": name,
        "multiscale": len(levels) > 1,
        "colormap": instance_colormap() if color is None else {None: color, 0: (0.0, 0.0, 0.0, 0.0), 1: color},
        "opacity": MASK_OPACITY,
    }
    return LayerSpec(_levels(levels), options, "labels")


def _levels(levels: list[Any]) -> Any:
    """The levels, or the array itself where there is only one: napari's Labels take no list of one."""
    return levels if len(levels) > 1 else levels[0]


def _image_spec(volume: Volume, stop: threading.Event | None, **options: Any) -> LayerSpec:
    limits = _limits(volume, stop)
    options |= {"multiscale": len(volume.levels) > 1, "colormap": "gray"}
    return LayerSpec(_levels(volume.levels), options | ({} if limits is None else {"contrast_limits": limits}), "image")


def _limits(volume: Volume, stop: threading.Event | None) -> tuple[float, float] | None:
    """By the middle planes, or others where those hold nothing."""
    level = len(volume.levels) - 1 if _stays_coarse(volume) else 0
    for at in (0.5, 0.25, 0.75):
        limits = robust_limits(volume.sample(stop=stop, at=at, level=level))
        if limits is not None:
            return limits
    return None if volume.dtype.kind in "ui" else (0.0, 1.0)


def _stays_coarse(volume: Volume) -> bool:
    """Whether the finest planes aren't what is seen first."""
    return shared_policy().coarse_only and volume.pyramid is not None and bool(volume.pyramid.line)


@contextmanager
def _opened(url: str, stop: threading.Event | None) -> Iterator[Volume]:
    """A volume for a layer to keep; if no layer comes of it, whatever is still being fetched of it ends."""
    if stop is not None and stop.is_set():
        raise StoppedError
    volume = open_volume(url, stop=stop)
    try:
        yield volume
    except BaseException:
        volume.close()
        raise


def _fetch(url: str, stop: threading.Event | None, max_bytes: int = ndjson.MAX_FILE_BYTES) -> bytes:
    """A whole file, or one byte more than ``max_bytes``."""
    from napari_cryoet.streaming.sources import open_source

    piece = open_source(url).read("", length=max_bytes + 1, stop=stop)
    if piece is None:
        raise FormatError(f"There is no file at {url}.", hint="The portal lists it, but the server doesn't have it.")
    return piece.content


def _world(spacing: float | Iterable[float]) -> dict[str, Any]:
    scale = (float(spacing),) * 3 if isinstance(spacing, (int, float)) else tuple(spacing)
    if not all(0 < each <= MAX_SPACING_ANGSTROM for each in scale):  # what isn't a number compares false
        raise FormatError(f"A voxel can't be {scale[0]:g} Å wide.", hint="Give the voxel spacing in ångström yourself.")
    return {"scale": scale, "units": ("angstrom",) * 3, "axis_labels": AXES}


def _with_spacing(about: dict[str, Any], spacing: float | tuple[float, float, float] | None) -> dict[str, Any]:
    """Scale, units and metadata for a known spacing, or for none."""
    if spacing is not None:
        return _world(spacing) | {"metadata": {METADATA_KEY: about}}
    about = about | {"warnings": [*about.get("warnings", ()), _NO_SPACING]}
    return {
        "scale": (1.0, 1.0, 1.0),
        "units": ("pixel",) * 3,
        "axis_labels": AXES,
        "metadata": {METADATA_KEY: about},
    }


def _bare(volume: Volume, source: str | Path, given: float | None) -> dict[str, Any]:
    known = given if given is not None else spacing_in_layout(source)
    spacing = volume.spacing_angstrom if known is None else (known,) * 3
    return _with_spacing(provenance.of_bare_file("volume", str(source), spacing), spacing)


def _given_spacing(tomogram: Tomogram | float | None) -> float | None:
    return tomogram.voxel_spacing if isinstance(tomogram, Tomogram) else tomogram


def _stem(source: str | Path) -> str:
    name = name_of(source)
    return _layer_name(name.rsplit(".", 1)[0] or name)


def _by(shape_zyx: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape_zyx))


def _layer_name(*parts: str) -> str:
    """A name of parts that may be remote text, so that it is short and no markup."""
    return joined(*(_shortened(plain(part).translate(_NO_MARKUP)) for part in parts))


def _shortened(part: str) -> str:
    half = _MAX_NAME_PART // 2
    return part if len(part) <= _MAX_NAME_PART else f"{part[:half].rstrip()}…{part[1 - half :].lstrip()}"
