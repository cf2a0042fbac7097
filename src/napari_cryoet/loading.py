"""Records and files to layer specs: what napari needs to draw them, without napari.

World is ångström in z, y, x, with its origin at the centre of voxel (0, 0, 0): ``world = index * spacing``. A record's
spacing is the API's. For a bare file it is the one that the caller gives, else that of the portal's folder layout
around it, else what a volume says itself. Where none is known, layers are in voxels and say so: units are ``"pixel"``
and the metadata has a warning. Nothing is guessed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

from napari_cryoet import provenance
from napari_cryoet.appearance.colors import RGBA, color_of, object_key
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.exceptions import FormatError
from napari_cryoet.expecting import expect, path_text
from napari_cryoet.formats import mesh, ndjson, sidecars
from napari_cryoet.formats.common import spacing_in_layout
from napari_cryoet.formats.notes import of_bare_file
from napari_cryoet.formats.sidecars import Caption
from napari_cryoet.layer_names import annotation_name, file_layer_name, layer_name, tomogram_name
from napari_cryoet.layer_parts import (
    fetch_parsed,
    image_spec,
    in_angstrom,
    in_world_of_file,
    labels_spec,
    opened_volume,
    surface_spec,
    with_origin,
    with_spacing,
)
from napari_cryoet.layer_spec import METADATA_KEY, LayerSpec
from napari_cryoet.picks import Picks
from napari_cryoet.point_layers import UNKNOWN_SPACING_ANGSTROM, arrows_spec, points_spec
from napari_cryoet.records import AnnotationFile, ShapeType, Tomogram
from napari_cryoet.run import fit as fits
from napari_cryoet.volumes import name_of, own_provenance, suffix_of
from napari_cryoet.wording import joined

_A_RECORD: Final = "an AnnotationFile of a portal"


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
        A record of the portal, or the path or address of an OME-Zarr, zarr, MRC or TIFF volume.
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
        address = path_text(tomogram, "tomogram", or_else="a Tomogram of a portal")
        with opened_volume(address, stop) as volume:
            return image_spec(
                volume, stop, name=file_layer_name(tomogram), **in_world_of_file(volume, tomogram, spacing_angstrom)
            )
    url = tomogram.https_omezarr_dir or tomogram.https_mrc_file
    if not url:
        raise FormatError("The portal lists no OME-Zarr and no MRC file for this tomogram.")
    about = provenance.of_tomogram(tomogram, url)
    with opened_volume(url, stop) as volume:
        if volume.shape_zyx != tomogram.shape_zyx:
            about["warnings"] = [
                f"The portal says {_by(tomogram.shape_zyx)} voxels (z, y, x), the file has {_by(volume.shape_zyx)}."
            ]
        return image_spec(
            volume,
            stop,
            name=tomogram_name(tomogram),
            **in_angstrom(tomogram.voxel_spacing),
            # Offsets are in voxels, from the canonical tomogram of the run, in whose frame its annotations are.
            translate=tuple(
                offset * tomogram.voxel_spacing for offset in (tomogram.offset_z, tomogram.offset_y, tomogram.offset_x)
            ),
            metadata={METADATA_KEY: with_origin(about, volume)},
            rendering="minip",  # protein is dark in the portal: in 3D the darkest voxel of a ray is what one looks for
        )


def load_annotation(
    file: AnnotationFile | str | Path,
    tomogram: Tomogram | float | None = None,
    *,
    run_tomograms: Iterable[Tomogram] = (),
    color: RGBA | None = None,
    stop: threading.Event | None = None,
) -> tuple[LayerSpec, ...]:
    """An annotation file as layers: points (and arrows where they are oriented), a multiscale mask, or a mesh.

    Whether it fits a tomogram is for `fits.fit` to say; here it is drawn where its file puts it. What doesn't fit
    the tomogram that is given says so in its name, and the reason among its warnings.

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
    obstacle = fits.why_not_drawable(file)
    if obstacle:
        raise FormatError(obstacle, hint="Read it with load_captions." if fits.is_caption(file) else "")
    spacing = fits.spacing_angstrom(file, tomogram if isinstance(tomogram, Tomogram) else None)
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
        given = [tomogram] if isinstance(tomogram, Tomogram) else []
        size = fits.shape_zyx(file, given) or fits.shape_zyx(file, run_tomograms)
        picks = _fetch_points(file.https_path, about, spacing, stop, alignment_id=file.alignment_id, shape_zyx=size)
        return _point_specs(picks, name=name, color=chosen, diameter_angstrom=diameter_angstrom(object_id, object_name))
    if shape_type == ShapeType.MESH:
        return (_mesh_spec(file.https_path, about, name=name, color=chosen, spacing=spacing, stop=stop),)
    is_instances = shape_type == ShapeType.INSTANCE_SEGMENTATION_MASK
    with opened_volume(file.https_path, stop) as volume:
        if is_instances and volume.pyramid is not None:
            volume.pyramid.coarse_offset = "strided"  # the portal takes every second voxel; its files don't all say so
        placed = with_spacing(with_origin(about, volume), spacing)
        return (labels_spec(volume, placed, name, None if is_instances else chosen, stop),)


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
    if isinstance(file, AnnotationFile) and not fits.is_caption(file):
        raise FormatError("This annotation is no text.", hint="Load it with load_annotation.")
    address = file.https_path if isinstance(file, AnnotationFile) else path_text(file, "file", or_else=_A_RECORD)
    return fetch_parsed(
        address, partial(sidecars.parse_captions, where=name_of(address)), stop, sidecars.MAX_FILE_BYTES
    )


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

    Raises
    ------
    FormatError
        If the picks' voxels are wider than any can be.
    """
    expect(picks, Picks, "picks", "Read a file with read_picks first.")
    about = dict(picks.about)
    object_id, object_name = about.get("object_id"), about.get("object_name")
    common = with_spacing(about, picks.spacing_angstrom)
    looks: dict[str, Any] = {
        "color": color or color_of(object_key(object_id, object_name) if object_id or object_name else name),
        "diameter_angstrom": diameter_angstrom(object_id, object_name or name),
        "spacing_angstrom": picks.spacing_angstrom or 10.0,
    }
    drawn = points_spec(picks, common, name=layer_name(name), **looks)
    arrows = arrows_spec(picks, common, name=layer_name(name, "orientation"), **looks)
    return (drawn,) if arrows is None else (drawn, arrows)


def _load_bare_annotation(
    source: str | Path, tomogram: Tomogram | float | None, color: RGBA | None, stop: threading.Event | None
) -> tuple[LayerSpec, ...]:
    address = path_text(source, "file", or_else=_A_RECORD)
    name = file_layer_name(source)
    chosen = color or color_of(name)
    if suffix_of(source) == ".ndjson":
        given = _given_spacing(tomogram)
        spacing = given if given is not None else spacing_in_layout(source)
        about = of_bare_file("annotation", address, spacing)
        picks = _fetch_points(address, about, spacing, stop)
        return _point_specs(picks, name=name, color=chosen, diameter_angstrom=diameter_angstrom(None, name))
    if suffix_of(source) == ".glb":
        given = _given_spacing(tomogram)
        spacing = given if given is not None else spacing_in_layout(source)
        about = of_bare_file("annotation", address, spacing)
        return (_mesh_spec(address, about, name=name, color=chosen, spacing=spacing, stop=stop),)
    with opened_volume(address, stop) as volume:
        options = in_world_of_file(volume, source, _given_spacing(tomogram))
        about, own = options["metadata"][METADATA_KEY], own_provenance(volume, address)
        said = [*about.get("warnings", ()), *own.get("warnings", ())]
        options["metadata"][METADATA_KEY] = about | own | ({"warnings": said} if said else {})
        is_instances = volume.is_labels or volume.dtype.itemsize > 1  # the portal keeps plain masks as int8
        return (labels_spec(volume, options, name, None if is_instances else chosen, stop),)


def _fetch_points(
    address: str, about: dict[str, Any], spacing: float | None, stop: threading.Event | None, **known: Any
) -> Picks:
    parse = partial(ndjson.read_points, where=name_of(address), spacing_angstrom=spacing, about=about, **known)
    return fetch_parsed(address, parse, stop)


def _point_specs(picks: Picks, *, name: str, color: RGBA, diameter_angstrom: float) -> tuple[LayerSpec, ...]:
    spacing = picks.spacing_angstrom
    common = with_spacing(dict(picks.about), spacing)
    sizes = {"diameter_angstrom": diameter_angstrom, "spacing_angstrom": spacing or UNKNOWN_SPACING_ANGSTROM}
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
    surface = fetch_parsed(address, partial(mesh.read_mesh, where=name_of(address)), stop, mesh.MAX_FILE_BYTES)
    about = about | {"warnings": [*about.get("warnings", ()), mesh.ASSUMED_UNIT, mesh.ONLY_IN_3D]}
    # Its positions don't depend on a voxel spacing: where none is known, it counts in ångström.
    common = in_angstrom(1.0 if spacing is None else spacing) | {"metadata": {METADATA_KEY: about}}
    return surface_spec(surface, common, name=name, color=color, spacing_angstrom=spacing)


def _mark_misfit(about: dict[str, Any], file: AnnotationFile, tomogram: Tomogram) -> str:
    """Say in a layer's metadata how it lies over a tomogram; what its name has to say of that."""
    fit = fits.fit(file, tomogram)
    about["fit"] = {"kind": fit.kind, "tomogram_id": tomogram.id, "tomogram_alignment_id": tomogram.alignment_id}
    if fit.is_unaligned:
        about["warnings"] = [*about.get("warnings", ()), fit.reason]
    return fits.alignment_mark(file, tomogram)


def _given_spacing(tomogram: Tomogram | float | None) -> float | None:
    return tomogram.voxel_spacing if isinstance(tomogram, Tomogram) else tomogram


def _by(shape_zyx: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape_zyx))
