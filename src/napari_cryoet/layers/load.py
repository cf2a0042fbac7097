"""Load tomograms, annotations, tilt series and picks as layer specs, from portal records or bare files.

A record's voxel spacing comes from the API. For a bare file it is the caller's, else that of the
portal's folder layout, else the file's own. Nothing is guessed. Set ``task`` to cancel with
`StoppedError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from napari_cryoet.appearance.colors import RGBA, color_of
from napari_cryoet.appearance.diameters import diameter_angstrom
from napari_cryoet.exceptions import FormatError, StreamError
from napari_cryoet.formats import mesh, ndjson
from napari_cryoet.formats.common import MAX_FILE_BYTES, spacing_in_layout
from napari_cryoet.formats.notes import source_of
from napari_cryoet.layers.specs import (
    METADATA_KEY,
    UNKNOWN_SPACING_ANGSTROM,
    LayerSpec,
    image_spec,
    labels_spec,
    picks_specs,
    surface_spec,
    world,
)
from napari_cryoet.locations import Location, PathOrUrl
from napari_cryoet.picks import Picks
from napari_cryoet.portal import provenance
from napari_cryoet.provenance import Provenance
from napari_cryoet.records import AnnotationFile, Run, ShapeType, TiltSeries, Tomogram
from napari_cryoet.runs import fit as fits
from napari_cryoet.task import UNWATCHED, Task
from napari_cryoet.volumes import (
    Volume,
    fetch_file,
    open_volume,
    own_provenance,
)
from napari_cryoet.wording import layer_name, plain, spacing_text

TILT_AXES: Final = ("tilt", "y", "x")
_MAX_TEXT_BYTES: Final = 4 * 2**20  # of captions and tilt angles


class Caption(msgspec.Struct, frozen=True):
    """A text about a tomogram or an annotation; ``id`` is its id in the file, if any."""

    text: str
    id: int | str | None = None


class _Captions(msgspec.Struct):
    captions: list[Caption]


def load_tomogram(
    tomogram: Tomogram | PathOrUrl,
    *,
    spacing_angstrom: float | None = None,
    task: Task = UNWATCHED,
) -> LayerSpec:
    """Load a tomogram as a lazy multiscale image.

    Only the planes that are displayed first are read, for contrast limits. Raises FormatError if
    there is no readable volume, StreamError if it can't be reached.

    Parameters
    ----------
    tomogram
        A portal record, or the path or URL of an OME-Zarr, zarr, MRC or TIFF volume.
    spacing_angstrom
        Overrides the voxel spacing of a bare file. Records have their own.
    """
    if not isinstance(tomogram, Tomogram):
        location = _location(tomogram, "tomogram")
        with _opened(location, task, spacing_angstrom) as volume:
            return load_volume(volume, location, task=task)
    with _opened(tomogram, task) as volume:
        about = provenance.of_tomogram(tomogram, tomogram.url or "")
        if volume.shape_zyx != tomogram.shape_zyx:
            stated, actual = (
                " x ".join(map(str, shape)) for shape in (tomogram.shape_zyx, volume.shape_zyx)
            )
            about = about.with_warnings(
                f"The portal states {stated} voxels (z, y, x), the file has {actual}."
            )
        options = world(_with_remarks(about, volume), tomogram.voxel_spacing) | {
            "name": tomogram_name(tomogram),
            "translate": volume.start_angstrom,
            "rendering": "minip",  # protein is dark in the portal's tomograms
        }
        return image_spec(volume, options, task)


def load_volume(volume: Volume, location: Location, *, task: Task = UNWATCHED) -> LayerSpec:
    """Load an opened file as a tomogram; errors are as in `load_tomogram`."""
    options = _world_of_file(volume, location) | {"name": layer_name(location.stem)}
    source = source_of(location.path, None)
    if source.tomogram_id is not None:
        options["metadata"][METADATA_KEY] = options["metadata"][METADATA_KEY].updated(source)
        spacing = spacing_text(options["scale"][0])
        options["name"] = layer_name(source.processing, spacing, source.run_name)
    return image_spec(volume, options, task)


def load_mask(
    volume: Volume,
    location: Location,
    *,
    color: RGBA | None = None,
    task: Task = UNWATCHED,
) -> LayerSpec:
    """Load an opened file as a mask; parameters and errors are as in `load_annotation`."""
    portal = downloaded_annotation(location)
    name = _name_of_file(location, portal)
    options = _world_of_file(volume, location) | {"name": name}
    metadata = options["metadata"]
    metadata[METADATA_KEY] = metadata[METADATA_KEY].updated(own_provenance(volume, location))
    # the portal stores plain masks as int8
    is_instances = volume.is_labels or volume.dtype.itemsize > 1
    if portal.shape_type:
        is_instances = portal.shape_type == ShapeType.INSTANCE_SEGMENTATION_MASK
    if is_instances:
        return labels_spec(volume, options, None, task)
    color = color or color_of(portal.object_id, portal.object_name or name)
    return labels_spec(volume, options, color, task)


def load_annotation(
    file: AnnotationFile | PathOrUrl,
    tomogram: Tomogram | float | None = None,
    *,
    run_tomograms: Iterable[Tomogram] = (),
    color: RGBA | None = None,
    task: Task = UNWATCHED,
) -> tuple[LayerSpec, ...]:
    """Load an annotation file as layers: points (with arrows if oriented), a multiscale mask, or a mesh.

    Positions are those in the file; `fit` tells whether they fit a tomogram. If they don't fit the
    given tomogram, the layer's name and warnings say so. Raises FormatError if the file can't be
    drawn, StreamError if it can't be reached.

    Parameters
    ----------
    file
        A portal record with its shape and annotation, or the path or URL of an ``.ndjson`` file, a mask or a ``.glb``
        mesh.
    tomogram
        The tomogram under the annotation. Its voxel spacing is used if the file's record has none. For a bare file,
        give a tomogram of the same spacing, or the spacing in ångström.
    run_tomograms
        All tomograms of the run, if available. If ``tomogram`` has another grid than the file, one of these may give
        the size of the grid, which export to RELION 5 requires.
    color
        The colour of the object; by default from `color_of`.
    """
    known_spacing = tomogram.voxel_spacing if isinstance(tomogram, Tomogram) else tomogram
    if not isinstance(file, AnnotationFile):
        return _load_bare_annotation(_location(file, "file"), known_spacing, color, task)
    if obstacle := fits.why_not_drawable(file):
        raise FormatError(
            obstacle, hint="Read it with load_captions." if fits.is_caption(file) else ""
        )
    shown_on = tomogram if isinstance(tomogram, Tomogram) else None
    spacing = fits.spacing_angstrom(file, shown_on) or known_spacing
    about = provenance.of_annotation_file(file, file.https_path, spacing)
    mark = ""
    if shown_on is not None:
        fit = fits.fit(file, shown_on)
        shown_fit = {
            "kind": fit.kind,
            "tomogram_id": shown_on.id,
            "tomogram_alignment_id": shown_on.alignment_id,
        }
        about = replace(about, fit=shown_fit)
        about = about.with_warnings(fit.reason) if fit.is_unaligned else about
        mark = fit.mark
    object_id, object_name = about.object_id, about.object_name
    count = None if file.annotation is None else file.annotation.object_count
    name = annotation_name(about, count, mark)
    color_chosen = color or color_of(object_id, object_name)
    location = Location.of(file.https_path)
    if file.format == "ndjson":
        size = fits.shape_zyx(file, [shown_on] if shown_on else []) or fits.shape_zyx(
            file, run_tomograms
        )
        picks = ndjson.read_points(
            fetch_file(location, MAX_FILE_BYTES, task),
            where=location.name,
            spacing_angstrom=spacing,
            about=about,
            alignment_id=file.alignment_id,
            shape_zyx=size,
        )
        return _picks_specs(picks, name, color_chosen, diameter_angstrom(object_id, object_name))
    if file.shape_type == ShapeType.MESH:
        surface = mesh.read_mesh(
            fetch_file(location, mesh.MAX_FILE_BYTES, task), where=location.name
        )
        return (surface_spec(surface, about, spacing, name=name, color=color_chosen),)
    is_instances = file.shape_type == ShapeType.INSTANCE_SEGMENTATION_MASK
    with _opened(location, task) as volume:
        if is_instances and volume.pyramid is not None:
            volume.pyramid.coarse_offset = (
                "strided"  # the portal keeps every second voxel, often without saying so
            )
        options = world(_with_remarks(about, volume), spacing) | {"name": name}
        return (labels_spec(volume, options, None if is_instances else color_chosen, task),)


def load_captions(
    file: AnnotationFile | PathOrUrl, *, task: Task = UNWATCHED
) -> tuple[Caption, ...]:
    """Load the texts of a caption file; FormatError if it isn't one, StreamError if it can't be reached.

    Parameters
    ----------
    file
        A portal record, or the path or URL of a ``.json`` file of captions.
    """
    address = file.https_path if isinstance(file, AnnotationFile) else file
    location = _location(address, "file")
    try:
        captions = msgspec.json.decode(
            fetch_file(location, _MAX_TEXT_BYTES, task), type=_Captions
        ).captions
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{location.name} isn't a caption file ({error}).") from error
    texts = ["\n".join(map(plain, caption.text.splitlines())).strip() for caption in captions]
    return tuple(
        Caption(text, caption.id) for text, caption in zip(texts, captions, strict=True) if text
    )


def load_picks(picks: Picks, *, name: str, color: RGBA | None = None) -> tuple[LayerSpec, ...]:
    """Create layers for picks: points, and arrows if oriented.

    Parameters
    ----------
    picks
        Without a voxel spacing, layers are in voxels and have a warning.
    name
        The name of the Points layer.
    color
        The colour of the object; by default from `color_of`.
    """
    if not isinstance(picks, Picks):
        raise TypeError(
            f"picks must be Picks, not {type(picks).__name__}. Read a file with read_picks first."
        )
    object_id, object_name = picks.about.object_id, picks.about.object_name
    return _picks_specs(
        picks,
        layer_name(name),
        color or color_of(object_id, object_name or name),
        diameter_angstrom(object_id, object_name or name),
    )


def load_tilt_series(
    series: TiltSeries, *, run: Run | None = None, task: Task = UNWATCHED
) -> LayerSpec:
    """Load a tilt series as a lazy multiscale image with the axes tilt, y, x.

    y and x are in ångström. The tilt axis is in degrees if the portal's angle list is evenly
    spaced; else it counts images, with the unit ``"pixel"``. The metadata has the angles as
    ``tilt_angles_degree``, None if there is no matching list. Raises FormatError if there is no
    readable stack, StreamError if it can't be reached.

    Parameters
    ----------
    series
        A portal record.
    run
        Its run, for the layer's name and provenance.
    """
    url = series.url
    if not url:
        raise FormatError("The portal lists no OME-Zarr and no MRC file for this tilt series.")
    about = provenance.of_tilt_series(series, run, url)
    with _opened(Location.of(url), task) as volume:
        angles, warnings = _tilt_angles(series, volume.shape_zyx[0], task)
        first, step, unit = _tilt_scale(angles)
        options = world(
            replace(
                about, tilt_angles_degree=None if angles is None else tuple(angles)
            ).with_warnings(*warnings),
            series.pixel_spacing,
        )
        options |= {
            "name": layer_name(
                "tilt series",
                spacing_text(series.pixel_spacing),
                run.name if run else f"TS-{series.id}",
            ),
            "scale": (step, *options["scale"][1:]),
            "translate": (first, 0.0, 0.0),
            "units": (unit, "angstrom", "angstrom"),
            "axis_labels": TILT_AXES,
        }
        return image_spec(volume, options, task)


def tomogram_name(tomogram: Tomogram) -> str:
    """The layer name of a tomogram: ``raw · 13.48 Å · TS_026``."""
    run_name = (
        tomogram.run.name if tomogram.run is not None else tomogram.name or f"TM-{tomogram.id}"
    )
    return layer_name(str(tomogram.processing), spacing_text(tomogram.voxel_spacing), run_name)


def annotation_name(about: Provenance, count: int | None, mark: str = "") -> str:
    """The layer name of an annotation: ``cytosolic ribosome · 85 oriented · ground truth · TS_026``.

    A mark is last, where napari's list shows it.
    """
    shape = fits.shape_text(about.shape_type, count) if about.shape_type else ""
    method = "ground truth" if about.is_ground_truth else about.method_type
    return layer_name(about.object_name or "annotation", shape, method, about.run_name, mark)


def _load_bare_annotation(
    location: Location, spacing: float | None, color: RGBA | None, task: Task
) -> tuple[LayerSpec, ...]:
    suffix = location.suffix
    if suffix not in {".ndjson", ".glb"}:
        with _opened(location, task, spacing) as volume:
            return (load_mask(volume, location, color=color, task=task),)
    portal = downloaded_annotation(location)
    name = _name_of_file(location, portal)
    object_id, object_name = portal.object_id, portal.object_name
    color_chosen = color or color_of(object_id, object_name or name)
    spacing = spacing if spacing is not None else spacing_in_layout(location)
    about = Provenance.of_file("annotation", location, spacing).updated(portal)
    if suffix == ".glb":
        surface = mesh.read_mesh(
            fetch_file(location, mesh.MAX_FILE_BYTES, task), where=location.name
        )
        return (surface_spec(surface, about, spacing, name=name, color=color_chosen),)
    content = fetch_file(location, MAX_FILE_BYTES, task)
    picks = ndjson.read_points(content, where=location.name, spacing_angstrom=spacing, about=about)
    if object_name and not picks.is_cloud:
        name = annotation_name(portal, len(picks))
    return _picks_specs(
        picks, name, color_chosen, diameter_angstrom(object_id, object_name or name)
    )


def _name_of_file(location: Location, portal: Provenance) -> str:
    """The layer name of an annotation's file."""
    return annotation_name(portal, None) if portal.object_name else layer_name(location.stem)


def downloaded_annotation(location: Location) -> Provenance:
    """The provenance of a downloaded annotation file, from the download's manifest.

    Empty for other files.
    """
    source = source_of(location.path, None)
    return source if source.annotation_id and source.object_name else Provenance()


def _picks_specs(picks: Picks, name: str, color: RGBA, diameter: float) -> tuple[LayerSpec, ...]:
    specs = picks_specs(
        picks,
        world(picks.about, picks.spacing_angstrom),
        name=name,
        color=color,
        diameter_angstrom=diameter,
        spacing_angstrom=picks.spacing_angstrom or UNKNOWN_SPACING_ANGSTROM,
    )
    return tuple(specs)


@contextmanager
def _opened(
    source: Tomogram | Location,
    task: Task,
    spacing_angstrom: float | None = None,
) -> Iterator[Volume]:
    """Open a volume for a layer; close it only if creating the layer fails."""
    volume = open_volume(source, spacing_angstrom=spacing_angstrom, task=task)
    try:
        yield volume
    except BaseException:
        volume.close()
        raise


def _world_of_file(volume: Volume, location: Location) -> dict[str, Any]:
    """Placement of a bare file."""
    about = Provenance.of_file("volume", location, volume.spacing_angstrom)
    return world(_with_remarks(about, volume), volume.spacing_angstrom, volume.proportions)


def _with_remarks(about: Provenance, volume: Volume) -> Provenance:
    """Add a file's origin, for comparisons, and its warnings to provenance."""
    if volume.origin_angstrom is not None:
        about = replace(about, origin_zyx_angstrom=volume.origin_angstrom)
    return about.with_warnings(*volume.remarks)


def _tilt_angles(
    series: TiltSeries, n_images: int, task: Task
) -> tuple[list[float] | None, list[str]]:
    """Tilt angles in degrees and warnings; None if there is no matching list."""
    if not series.https_angle_list:
        return None, ["The portal lists no tilt angles for this tilt series."]
    try:
        lines = fetch_file(series.https_angle_list, _MAX_TEXT_BYTES, task).splitlines()
        angles = [float(line) for line in lines if line.strip()]
    except (FormatError, StreamError, ValueError) as error:
        return None, [f"The tilt angles could not be read: {error}"]
    if not all(abs(angle) <= 180 for angle in angles):  # NaN compares false
        return None, ["The tilt angles could not be read: some are beyond 180 degrees."]
    if len(angles) != n_images:
        return None, [f"There are {len(angles)} tilt angles for {n_images} images."]
    return angles, []


def _tilt_scale(angles: list[float] | None) -> tuple[float, float, str]:
    """Start, step and unit of the tilt axis: degrees, or pixels if tilts aren't evenly spaced."""
    if angles is None or len(angles) < 2:
        return 0.0, 1.0, "pixel"
    step = (angles[-1] - angles[0]) / (len(angles) - 1)
    is_even = all(abs(angles[0] + i * step - angle) < step / 4 for i, angle in enumerate(angles))
    return (angles[0], step, "degree") if is_even else (0.0, 1.0, "pixel")


def _location(source: PathOrUrl, name: str) -> Location:
    """Parse what was given instead of a record."""
    try:
        return Location.of(source)
    except TypeError as error:
        raise TypeError(
            f"{name} must be a portal record, a path or a URL, not {type(source).__name__}."
        ) from error
