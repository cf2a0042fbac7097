"""Write the demo as a pack, with the portal's file layout and lessons, and cache it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.demo import rows
from napari_cryoet.demo.annotations import object_count, pick_particles, points_of, write_shape
from napari_cryoet.demo.rows import (
    AnnotationPlan,
    DemoPath,
    Method,
    RunPlan,
    Size,
    Tables,
    TomogramPlan,
)
from napari_cryoet.demo.scenes import RECIPES, Floats, rng_for, scene
from napari_cryoet.demo.simulate import TILTS_DEGREE, Imaging, Volume32
from napari_cryoet.files import cache_path, prepare_target, written_whole
from napari_cryoet.formats import ndjson
from napari_cryoet.formats.mrc import write_mrc
from napari_cryoet.formats.notes import written_with_notes
from napari_cryoet.formats.ome_zarr import ImageKind, write_pyramid
from napari_cryoet.packs.pack import is_pack, write_pack
from napari_cryoet.picks import Picks
from napari_cryoet.task import UNWATCHED, Task

if TYPE_CHECKING:
    from napari_cryoet.tables.database import Row


_CONTENT_VERSION: Final = 13  # increase it when the content changes, to invalidate cached demos
_STEPS_PER_UNIT: Final = 16  # of non-integer grey values
_PHOTO_SIZES: Final = {"snapshot": 512, "thumbnail": 134}  # longer side in pixels

#: The run whose picks are hidden: it has a tomogram and no annotation.
_LESSON_RUN: Final = next(run for run in rows.RUNS if run.name == "DEMO_003")
_TEXTS: Final = Path(__file__).with_name("lessons")
_FINDING: Final = "2-finding-ribosomes"
_TRUSTING: Final = "3-can-you-trust-this-annotation"
#: The annotators of the lesson about trust: one is shifted, one is right, and one is sloppy.
_ANNOTATORS: Final = {
    "A": Method("", "", jitter=12, shift_xyz=(150.0, 0.0, 0.0), missed=0.1),
    "B": Method("", "", jitter=10, missed=0.08),
    "C": Method("", "", jitter=40, missed=0.45, invented=0.3),
}
_CANDIDATES: Final = Method("", "", jitter=20, missed=0.6)
_N_NOISE: Final = 3
_NOWHERE_ANGSTROM: Final = 200.0  # from a ribosome


def demo_folder() -> Path:
    """The folder of the cached demo."""
    return cache_path() / f"demo-{_CONTENT_VERSION}"


def ensure_demo_pack(task: Task = UNWATCHED, *, size: Size = "full") -> Path:
    """Get the cached demo, or create it with `write_demo_pack`.

    Concurrent callers wait for the same one.
    """
    from filelock import FileLock, Timeout

    folder = demo_folder()
    if is_pack(folder):
        return folder
    lock = FileLock(prepare_target(folder, overwrite=True).with_name(f"{folder.name}.lock"))
    while not lock.is_locked:
        task.check()
        try:
            lock.acquire(timeout=0.1)
        except Timeout:
            task.step(0.0, "Waiting for another window that is making the demo")
    try:
        if not is_pack(folder):
            shutil.rmtree(folder, ignore_errors=True)  # a damaged demo in our own cache
            write_demo_pack(folder, size=size, task=task)
    finally:
        lock.release()
    return folder


def write_demo_pack(
    folder: Path | str,
    *,
    size: Size = "full",
    task: Task = UNWATCHED,
) -> Path:
    """Write the demo to a new or empty folder (else ExistsError), atomically.

    ``size`` "tiny" has the same content with voxels four times as large, for tests.
    """
    folder = Path(folder)
    is_empty = folder.is_dir() and not any(folder.iterdir())
    with written_whole(folder, overwrite=is_empty, flush=False) as unfinished:
        files, tables = unfinished / "files", Tables()
        voxels = [
            math.prod(run.shape_zyx("full")) * (1 + 2 * len(run.tomograms)) for run in rows.RUNS
        ]
        for number, run in enumerate(rows.RUNS):
            fraction = 0.97 * sum(voxels[:number]) / sum(voxels)
            task.step(fraction, f"Simulating run {run.name}")
            _RunWriter(run, files, tables, size, task).write()
        task.step(0.98, "Writing tables")
        rows.add_depositions(tables, files)
        for dataset in rows.DATASETS.values():
            rows.add_dataset(tables, dataset, files)
        write_lessons(unfinished / "lessons", size)
        write_pack(unfinished, rows.MANIFEST, tables)
    task.step(1.0, "The demo is ready")
    return folder


class _RunWriter:
    """Writes one run and its rows."""

    def __init__(self, run: RunPlan, files: Path, tables: Tables, size: Size, task: Task) -> None:
        self._run, self._files, self._tables, self._stop = run, files, tables, task
        self._size: Size = size
        self._folder = DemoPath(files, f"{run.dataset_id}/{run.name}")
        self._imaging = Imaging(run, size, task)
        self._common = {"runId": run.id, "depositionId": run.dataset.deposition_id}
        self._tilt_series_id: int | None = None
        self._alignment_ids: dict[int, int | None] = {0: None}
        self._spacing_ids: dict[int, int] = {}

    def write(self) -> None:
        row = {"id": self._run.id, "datasetId": self._run.dataset_id, "name": self._run.name}
        self._tables.add("runs", row, (self._folder + "/").addresses("Prefix"))
        if self._run.has_tilt_series:
            self._tilt_series_id = self._write_tilt_series()
            self._alignment(100)
        for tomogram in self._run.tomograms:
            self._write_tomogram(tomogram)
        for annotation in self._run.annotations:
            self._write_annotation(annotation)
        for name in self._run.identified:
            object_id, object_name = rows.OBJECTS[name]
            columns = {"runId": self._run.id, "objectId": object_id, "objectName": object_name}
            self._tables.add("identifiedObjects", columns)

    def _write_tilt_series(self) -> int:
        images = self._imaging.tilt_images()
        count, height, width = images.shape
        spacing = self._run.spacing_angstrom(self._size)
        stem = self._folder + f"/TiltSeries/100/{self._run.name}"
        angles = stem + ".rawtlt"
        angles.write("".join(f"{tilt:.2f}\n" for tilt in TILTS_DEGREE).encode())
        files = self._write_volume(stem, images, spacing, "tiltseries")
        row = {"pixelSpacing": spacing, "sizeX": width, "sizeY": height, "sizeZ": count}
        return self._tables.add(
            "tiltseries", self._common, row, files, angles.addresses("AngleList")
        )

    def _alignment(self, number: int) -> int | None:
        """The id of an alignment, which is written on first use."""
        if number not in self._alignment_ids:
            metadata = self._folder + f"/Alignments/{number}/alignment_metadata.json"
            shape, spacing = self._run.shape_zyx(self._size), self._run.spacing_angstrom(self._size)
            row: Row = {
                f"volume{axis}Dimension": n * spacing for axis, n in zip("ZYX", shape, strict=True)
            }
            row["tiltseriesId"] = self._tilt_series_id
            metadata.write(row | {"tiltAngles": TILTS_DEGREE})
            addresses = metadata.addresses("AlignmentMetadata")
            self._alignment_ids[number] = self._tables.add(
                "alignments", self._common, row, addresses
            )
        return self._alignment_ids[number]

    def _spacing(self, binning: int) -> tuple[DemoPath, int]:
        """The folder and id of a voxel spacing."""
        spacing = self._run.spacing_angstrom(self._size, binning)
        folder = self._folder + f"/Reconstructions/VoxelSpacing{spacing:.3f}"
        if binning not in self._spacing_ids:
            row = {
                "runId": self._run.id,
                "voxelSpacing": spacing,
                **(folder + "/").addresses("Prefix"),
            }
            self._spacing_ids[binning] = self._tables.add("tomogramVoxelSpacings", row)
        return folder, self._spacing_ids[binning]

    def _write_tomogram(self, plan: TomogramPlan) -> None:
        volume = self._imaging.tomogram(plan)
        depth, height, width = volume.shape
        dataset, spacing = self._run.dataset, self._run.spacing_angstrom(self._size, plan.binning)
        folder, spacing_id = self._spacing(plan.binning)
        photos = folder + f"/Images/{plan.number}"
        _save_photos(photos, volume, "key-photo-")
        images = DemoPath(self._files, f"{dataset.id}/Images")
        for cover in (images, rows.deposition_images(self._files, dataset.deposition_id)):
            if plan.is_default and not cover.path.exists():
                _save_photos(cover, volume)
        if dataset.is_float:
            volume /= _STEPS_PER_UNIT
        stem = folder + f"/Tomograms/{plan.number}/{self._run.name}"
        files = self._write_volume(stem, volume, spacing, "tomogram")
        row = {
            "alignmentId": self._alignment(plan.alignment),
            "tomogramVoxelSpacingId": spacing_id,
            "name": self._run.name,
            "sizeX": width,
            "sizeY": height,
            "sizeZ": depth,
            "voxelSpacing": spacing,
            "fiducialAlignmentStatus": "FIDUCIAL"
            if RECIPES[self._run.scene].gold_beads
            else "NON_FIDUCIAL",
            "processing": plan.processing,
            "isVisualizationDefault": plan.is_default,
            **rows.dates(dataset.deposition_id),
        }
        tomogram_id = self._tables.add(
            "tomograms", self._common, row, files, photos.photos("key-photo-")
        )
        self._tables.add_authors("tomogram", tomogram_id, dataset.deposition_id)

    def _write_volume(
        self, stem: DemoPath, volume: Volume32, spacing: float, kind: ImageKind
    ) -> Row:
        """Write a volume as OME-Zarr and MRC; return the columns for both."""
        zarr, mrc = stem + ".zarr", stem + ".mrc"
        is_float = kind == "tomogram" and self._run.dataset.is_float
        write_pyramid(zarr.path, volume, spacing, kind, task=self._stop)
        write_mrc(
            mrc.path, volume if is_float else volume.astype(np.int16), spacing, task=self._stop
        )
        sizes = {"fileSizeOmezarr": zarr.size_bytes, "fileSizeMrc": mrc.size_bytes}
        return zarr.addresses("OmezarrDir") | mrc.addresses("MrcFile") | sizes

    def _write_annotation(self, plan: AnnotationPlan) -> None:
        points = points_of(self._run, plan, self._size)
        folder, spacing_id = self._spacing(plan.binning)
        row = rows.annotation_row(self._run, plan)
        row |= {
            "tomogramVoxelSpacingId": spacing_id,
            "objectCount": object_count(self._run, plan, points),
        }
        name = "".join(letter if letter.isalnum() else "_" for letter in row["objectName"].lower())
        stem = folder + f"/Annotations/{plan.number}/{name}-1.0"
        is_scored = rows.METHODS[plan.method].is_scored
        if points is not None and is_scored:
            row |= {"confidencePrecision": points.precision, "confidenceRecall": points.recall}
            row["groundTruthUsed"] = f"100/{name}-1.0.json"
        metadata = stem + ".json"
        metadata.write(row)
        annotation_id = self._tables.add("annotations", row, metadata.addresses("MetadataPath"))
        self._tables.add_authors("annotation", annotation_id, row["depositionId"])
        if is_scored:
            self._tables.add("annotationMethodLinks", {"annotationId": annotation_id})
        common = {
            "alignmentId": self._alignment(plan.alignment),
            "tomogramVoxelSpacingId": spacing_id,
            "source": "community" if plan.community else "dataset_author",
        }
        for shape in plan.shapes:
            shape_id = self._tables.add(
                "annotationShapes", {"annotationId": annotation_id, "shapeType": shape}
            )
            for file in write_shape(
                stem, self._run, plan, shape, points, size=self._size, task=self._stop
            ):
                columns = {
                    "annotationShapeId": shape_id,
                    "isVisualizationDefault": plan.is_default and shape == plan.shapes[0],
                    "format": file.path.suffix.removeprefix("."),
                    "fileSize": file.size_bytes,
                }
                self._tables.add("annotationFiles", common, columns, file.addresses("Path"))


def save_photo(path: Path, volume_zyx: NDArray[Any], longest_side: int) -> None:
    """Save the mean of the central planes, with robust contrast, as an image.

    ``longest_side`` is in pixels.
    """
    from PIL import Image

    centre = volume_zyx.shape[0] // 2
    planes = volume_zyx[max(centre - 1, 0) : centre + 2].mean(axis=0)
    low, high = np.percentile(planes, (0.5, 99.5))
    grey = np.clip((planes - low) / max(float(high - low), 1e-9), 0, 1)
    image = Image.fromarray(np.round(grey * 255).astype(np.uint8))
    factor = longest_side / max(image.size)
    size = round(image.width * factor), round(image.height * factor)
    path.parent.mkdir(parents=True, exist_ok=True)
    # 5 % larger than with the default level, in half of the time
    image.resize(size, Image.Resampling.BICUBIC).save(path, compress_level=1)


def _save_photos(folder: DemoPath, volume_zyx: Volume32, start: str = "") -> None:
    for name, longest_side in _PHOTO_SIZES.items():
        save_photo(folder.path / f"{start}{name}.png", volume_zyx, longest_side)


# lessons


def write_lessons(folder: Path, size: Size) -> None:
    """Write all lessons into a folder, one folder each."""
    spacing = _LESSON_RUN.spacing_angstrom(size)
    shown_spacing = f"{_LESSON_RUN.spacing_angstrom('full'):.3f}"
    for path in sorted(_TEXTS.glob("*/lesson.md")):
        text = path.read_text(encoding="utf-8").replace(shown_spacing, f"{spacing:.3f}")
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True)
        target.write_text(text, encoding="utf-8", newline="\n")
    shape = _LESSON_RUN.shape_zyx(size)
    notes = {"voxel_spacing_angstrom": spacing, "shape_zyx": shape}
    for name, positions_xyz in _positions():
        picks = Picks(positions_xyz[:, ::-1] / spacing, spacing, shape_zyx=shape)
        target = folder / name
        with written_with_notes(target, notes, flush=False) as unfinished:
            ndjson.write(picks, unfinished, target, "ndjson")


def _positions() -> Iterator[tuple[str, Floats]]:
    """The files of picks by name, and their positions (n, 3) in ångström, x, y, z."""
    truth = scene(_LESSON_RUN.scene)
    ribosomes = truth.positions_angstrom_xyz["ribosome"]
    proteasomes = truth.positions_angstrom_xyz["proteasome"]
    yield f"{_FINDING}/answers/ribosomes.ndjson", ribosomes
    yield f"{_FINDING}/answers/proteasomes.ndjson", proteasomes
    yield f"{_TRUSTING}/answers/ribosomes.ndjson", ribosomes

    rng = rng_for("lessons", "candidates")
    some = pick_particles(_CANDIDATES, truth, "ribosome", rng).positions_xyz
    anywhere = rng.uniform(0.1, 0.9, (200, 3)) * truth.recipe.extent_xyz
    distances = np.linalg.norm(anywhere[:, None] - ribosomes, axis=-1).min(axis=1)
    noise = anywhere[distances > _NOWHERE_ANGSTROM][:_N_NOISE]
    candidates = np.concatenate([some, proteasomes, noise])
    yield f"{_FINDING}/picks/candidates.ndjson", rng.permutation(candidates)

    for name, method in _ANNOTATORS.items():
        points = pick_particles(method, truth, "ribosome", rng_for("lessons", name))
        positions = points.positions_xyz
        inside = ((positions >= 0) & (positions <= truth.recipe.extent_xyz)).all(axis=1)
        yield f"{_TRUSTING}/picks/{name}.ndjson", positions[inside]
