"""The files and rows of one run: alignments, tilt series, tomograms and their photos."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.packs.demo import rows, sidecars
from napari_cryoet.packs.demo.acquire import TILTS_DEGREE, TOTAL_FLUX, Acquisition, pixel_spacing_angstrom
from napari_cryoet.packs.demo.annotation_files import AnnotationWriter
from napari_cryoet.packs.demo.content import MIXTURE_DATASET, RunPlan, Size, TomogramPlan
from napari_cryoet.packs.demo.imaging import Volume32
from napari_cryoet.packs.demo.pictures import central_slab, save_key_photos
from napari_cryoet.packs.demo.place import Place
from napari_cryoet.packs.demo.truth import scene
from napari_cryoet.packs.portal_zarr import as_mrc_dtype, write_mrc, write_pyramid

FLOAT_STEPS_PER_UNIT: Final = 16
"""The mixture's values are sixteenths, float32 in the MRC files too; the cytoplasm's are whole numbers, int16 in MRC,
as in the portal's dataset 10000."""
_IDENTITY_MATRIX: Final = "{{1,0,0,0},{0,1,0,0},{0,0,1,0},{0,0,0,1}}"

_SIMULATED_MICROSCOPE: Final[rows.Row] = {
    "accelerationVoltage": 300_000,
    "sphericalAberrationConstant": 2.7,
    "microscopeManufacturer": "SIMULATED",
    "microscopeModel": "Simulated microscope",
    "microscopeEnergyFilter": "None (simulated)",
    "microscopePhasePlate": None,
    "microscopeImageCorrector": None,
    "microscopeAdditionalInfo": None,
    "cameraManufacturer": "simulated",
    "cameraModel": "simulated",
    "tiltMin": TILTS_DEGREE[0],
    "tiltMax": TILTS_DEGREE[-1],
    "tiltRange": TILTS_DEGREE[-1] - TILTS_DEGREE[0],
    "tiltStep": TILTS_DEGREE[1] - TILTS_DEGREE[0],
    "tiltingScheme": "Continuous from the most negative tilt (simulated)",
    "tiltAxis": 0.0,
    "totalFlux": TOTAL_FLUX,
    "dataAcquisitionSoftware": rows.SOFTWARE,
    "relatedEmpiarEntry": None,
    "binningFromFrames": 1.0,
    "tiltSeriesQuality": 4,
    "isAligned": True,
    "alignedTiltseriesBinning": 1,
}
"""What is the same in all tilt series."""
_RECONSTRUCTION: Final[rows.Row] = {
    "reconstructionMethod": "WBP",
    "tomogramVersion": 1.0,
    "reconstructionSoftware": rows.SOFTWARE,
    "isPortalStandard": False,
    "isAuthorSubmitted": True,
    "ctfCorrected": False,
    "offsetX": 0,
    "offsetY": 0,
    "offsetZ": 0,
    "neuroglancerConfig": None,
    "publications": rows.PUBLICATION,
    "relatedDatabaseEntries": None,
}
"""What is the same in all tomograms."""


class RunWriter:
    """Writes one run below ``files`` and its rows into ``tables``."""

    def __init__(
        self, files: Path, tables: rows.Tables, run: RunPlan, *, size: Size, stop: threading.Event | None = None
    ) -> None:
        self._run = run
        self._size: Size = size
        self._tables = tables
        self._stop = stop
        self._place = Place(files, f"{run.dataset_id}/{run.name}")
        self._deposition_id = rows.deposition_of(run)
        self._acquisition = Acquisition(run, size, stop)
        self._alignment_ids: dict[int, int] = {}
        self._voxel_spacing_ids: dict[int, int] = {}
        self.cover: NDArray[np.uint8] | None = None

    def write(self) -> None:
        """Write everything; `cover` then has a picture of the default tomogram, where there is one."""
        self._tables.add("runs", rows.run_row(self._run), row_id=self._run.id)
        sidecars.write_run(self._place, self._run, self._deposition_id)
        tiltseries_id = self._write_tilt_series() if self._run.has_tilt_series else None
        for number in self._run.alignments:
            self._write_alignment(number, tiltseries_id)
        for binning in self._run.binnings:
            self._add_voxel_spacing(binning)
        for plan in self._run.tomograms:
            self._write_tomogram(plan)
        annotations = AnnotationWriter(
            self._tables,
            self._run,
            size=self._size,
            alignment_ids=self._alignment_ids,
            voxel_spacing_ids=self._voxel_spacing_ids,
            stop=self._stop,
        )
        for annotation in self._run.annotations:
            annotations.write(self._spacing_place(annotation.binning), annotation)
        if not self._run.annotations:
            self._add_identified_objects()

    def _spacing_place(self, binning: int) -> Place:
        spacing = self._run.spacing_angstrom(self._size, binning)
        return self._place / f"Reconstructions/VoxelSpacing{spacing:.3f}"

    def _add_voxel_spacing(self, binning: int) -> None:
        place = self._spacing_place(binning)
        row = {
            "runId": self._run.id,
            "voxelSpacing": self._run.spacing_angstrom(self._size, binning),
            "s3Prefix": place.s3 + "/",
            "httpsPrefix": place.https + "/",
        }
        self._voxel_spacing_ids[binning] = self._tables.add("tomogramVoxelSpacings", row)

    def _write_tilt_series(self) -> int:
        images = self._acquisition.tilt_images()
        spacing = pixel_spacing_angstrom(self._run, self._size)
        place = self._place / "TiltSeries/100"
        zarr, mrc, angles = (place / f"{self._run.name}.{ending}" for ending in ("zarr", "mrc", "rawtlt"))
        row = {
            "runId": self._run.id,
            "depositionId": self._deposition_id,
            "s3OmezarrDir": zarr.s3,
            "fileSizeOmezarr": float(write_pyramid(zarr.path, images, spacing, "tiltseries", stop=self._stop)),
            "s3MrcFile": mrc.s3,
            "fileSizeMrc": float(write_mrc(mrc.path, as_mrc_dtype(images, np.int16), spacing, stop=self._stop)),
            "httpsOmezarrDir": zarr.https,
            "httpsMrcFile": mrc.https,
            "s3AngleList": angles.s3,
            "httpsAngleList": angles.https,
            **_SIMULATED_MICROSCOPE,
            "pixelSpacing": spacing,
            "sizeX": images.shape[2],
            "sizeY": images.shape[1],
            "sizeZ": images.shape[0],
        }
        angles.write_text("".join(f"{tilt:.2f}\n" for tilt in TILTS_DEGREE))
        sidecars.write_tilt_series(place, row)
        return self._tables.add("tiltseries", row)

    def _write_alignment(self, number: int, tiltseries_id: int | None) -> None:
        place = self._place / f"Alignments/{number}"
        spacing = self._run.spacing_angstrom(self._size)
        z, y, x = self._run.shape_zyx(self._size)
        row = {
            "depositionId": self._deposition_id,
            "tiltseriesId": tiltseries_id,
            "runId": self._run.id,
            "alignmentType": "GLOBAL",
            "alignmentMethod": "simulated",
            "volumeXDimension": x * spacing,
            "volumeYDimension": y * spacing,
            "volumeZDimension": z * spacing,
            "volumeXOffset": 0.0,
            "volumeYOffset": 0.0,
            "volumeZOffset": 0.0,
            "xRotationOffset": 0.0,
            "tiltOffset": 0.0,
            "affineTransformationMatrix": _IDENTITY_MATRIX,
            "s3AlignmentMetadata": (place / "alignment_metadata.json").s3,
            "httpsAlignmentMetadata": (place / "alignment_metadata.json").https,
            "isPortalStandard": False,
        }
        alignment_id = self._tables.add("alignments", row)
        self._alignment_ids[number] = alignment_id
        per_section = [
            {
                "alignmentId": alignment_id,
                "zIndex": index,
                "xOffset": 0.0,
                "yOffset": 0.0,
                "volumeXRotation": 0.0,
                "inPlaneRotation": [[1.0, 0.0], [0.0, 1.0]],
                "tiltAngle": tilt,
            }
            for index, tilt in enumerate(TILTS_DEGREE)
        ]
        for section in per_section:
            self._tables.add("perSectionAlignmentParameters", section)
        (place / f"{self._run.name}.tlt").write_text("".join(f"{tilt:.2f}\n" for tilt in TILTS_DEGREE))
        sidecars.write_alignment(place, self._run, row, per_section)

    def _write_tomogram(self, plan: TomogramPlan) -> None:
        volume = self._acquisition.tomogram(plan)
        spacing = self._run.spacing_angstrom(self._size, plan.binning)
        place = self._spacing_place(plan.binning) / f"Tomograms/{plan.number}"
        photos = self._spacing_place(plan.binning) / f"Images/{plan.number}"
        picture = central_slab(volume)
        save_key_photos(photos.path, picture)
        if plan.is_default:
            self.cover = picture
        zarr, mrc = place / f"{self._run.name}.zarr", place / f"{self._run.name}.mrc"
        volume, twin = self._stored(volume)
        z, y, x = volume.shape
        dimensions = [",".join(str(-(-n // 2**level)) for n in (x, y, z)) for level in range(3)]
        row = {
            **_RECONSTRUCTION,
            **rows.dates_of(self._deposition_id),
            "alignmentId": self._alignment_ids[plan.alignment],
            "depositionId": self._deposition_id,
            "runId": self._run.id,
            "tomogramVoxelSpacingId": self._voxel_spacing_ids[plan.binning],
            "name": self._run.name,
            "sizeX": x,
            "sizeY": y,
            "sizeZ": z,
            "voxelSpacing": spacing,
            "fiducialAlignmentStatus": "FIDUCIAL" if scene(self._run.recipe).recipe.gold_beads else "NON_FIDUCIAL",
            "processing": plan.processing,
            "processingSoftware": rows.SOFTWARE if plan.processing == "denoised" else None,
            "isVisualizationDefault": plan.is_default,
            "s3OmezarrDir": zarr.s3,
            "httpsOmezarrDir": zarr.https,
            "fileSizeOmezarr": float(write_pyramid(zarr.path, volume, spacing, stop=self._stop)),
            "s3MrcFile": mrc.s3,
            "httpsMrcFile": mrc.https,
            "fileSizeMrc": float(write_mrc(mrc.path, twin, spacing, stop=self._stop)),
            "scale0Dimensions": dimensions[0],
            "scale1Dimensions": dimensions[1],
            "scale2Dimensions": dimensions[2],
            "keyPhotoUrl": (photos / "key-photo-snapshot.png").https,
            "keyPhotoThumbnailUrl": (photos / "key-photo-thumbnail.png").https,
        }
        tomogram_id = self._tables.add("tomograms", row)
        rows.add_authors(self._tables, "tomogramAuthors", "tomogramId", tomogram_id, self._deposition_id)
        sidecars.write_tomogram(place, self._place, plan, row)

    def _stored(self, volume: Volume32) -> tuple[Volume32, NDArray[np.float32] | NDArray[np.int16]]:
        """The values for the Zarr and for its MRC twin, which are equal."""
        if self._run.dataset_id == MIXTURE_DATASET:
            scaled = volume / np.float32(FLOAT_STEPS_PER_UNIT)
            return scaled, scaled
        return volume, as_mrc_dtype(volume, np.int16)

    def _add_identified_objects(self) -> None:
        from napari_cryoet.packs.demo.species import species

        for key in scene(self._run.recipe).particles:
            kind = species(key)
            row = {
                "runId": self._run.id,
                "objectId": kind.object_id,
                "objectName": kind.object_name,
                "objectDescription": None,
                "objectState": None,
            }
            self._tables.add("identifiedObjects", row)
