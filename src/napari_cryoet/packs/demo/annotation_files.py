"""The files and rows of a run's annotations, in every shape that the portal has."""

from __future__ import annotations

import json
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from napari_cryoet.packs.demo import rows, sidecars
from napari_cryoet.packs.demo.content import AnnotationPlan, RunPlan, Size
from napari_cryoet.packs.demo.geometry import Membrane
from napari_cryoet.packs.demo.mesh import membrane_glb
from napari_cryoet.packs.demo.phantom import Grid, filled_mask, membrane_labels, microtubule_labels, particle_labels
from napari_cryoet.packs.demo.picks import Picks, ndjson, picks_of
from napari_cryoet.packs.demo.place import Place
from napari_cryoet.packs.demo.truth import scene
from napari_cryoet.packs.portal_zarr import Kind, write_mrc, write_pyramid

POINT_SHAPES: Final = ("Point", "OrientedPoint", "InstanceSegmentation")


@dataclass(frozen=True, slots=True)
class _Written:
    """A file that was written."""

    place: Place
    format: str
    size_bytes: int

    def columns(self) -> rows.Row:
        """What its row says about it."""
        return {
            "format": self.format,
            "s3Path": self.place.s3,
            "httpsPath": self.place.https,
            "fileSize": float(self.size_bytes),
        }


class AnnotationWriter:
    """Writes a run's annotations one after the other.

    Parameters
    ----------
    tables
        Where their rows go.
    run, size
        What is written.
    alignment_ids, voxel_spacing_ids
        Ids in the tables, by the alignment's number and by the binning.
    stop
        Set it to give up between two chunks of a mask.
    """

    def __init__(
        self,
        tables: rows.Tables,
        run: RunPlan,
        *,
        size: Size,
        alignment_ids: dict[int, int],
        voxel_spacing_ids: dict[int, int],
        stop: threading.Event | None = None,
    ) -> None:
        self._tables = tables
        self._run = run
        self._size: Size = size
        self._alignment_ids = alignment_ids
        self._voxel_spacing_ids = voxel_spacing_ids
        self._stop = stop

    def write(self, spacing_place: Place, plan: AnnotationPlan) -> None:
        """Write the files of all shapes of an annotation, its metadata and its rows."""
        with self._tables.later_ids() if plan.is_later_addition else nullcontext():
            self._write(spacing_place, plan)

    def _write(self, spacing_place: Place, plan: AnnotationPlan) -> None:
        stem = spacing_place / f"Annotations/{plan.number}/{file_stem(plan)}"
        picks = picks_of(self._run, plan, self._size) if set(plan.shapes) & set(POINT_SHAPES) else None
        row = self._annotation_row(stem, plan, picks)
        annotation_id = self._tables.add("annotations", row)
        rows.add_authors(self._tables, "annotationAuthors", "annotationId", annotation_id, row["depositionId"])
        if plan.method == "template_matching":
            self._add_method_links(annotation_id)
        files: list[dict[str, Any]] = []
        for shape_type in plan.shapes:
            shape_id = self._tables.add("annotationShapes", {"annotationId": annotation_id, "shapeType": shape_type})
            for file in self._write_shape(stem, plan, shape_type, picks):
                common = self._file_row(plan, shape_type)
                file_row = {"annotationShapeId": shape_id, **common, **file.columns()}
                self._tables.add("annotationFiles", file_row)
                files.append(sidecars.annotation_file_entry(file.place, file.format, shape_type, file_row))
        sidecars.write_annotation(stem, self._run, plan, row, files)

    def _annotation_row(self, stem: Place, plan: AnnotationPlan, picks: Picks | None) -> rows.Row:
        words = rows.METHODS[plan.method]
        about = rows.object_of(plan)
        metadata = Place(stem.root, f"{stem.key}.json")
        is_judged = plan.method == "template_matching" and picks is not None
        return {
            "runId": self._run.id,
            "depositionId": plan.deposition or rows.deposition_of(self._run),
            "tomogramVoxelSpacingId": self._voxel_spacing_ids[plan.binning],
            "s3MetadataPath": metadata.s3,
            "httpsMetadataPath": metadata.https,
            "annotationPublication": rows.PUBLICATION,
            "annotationMethod": words.method,
            "annotationIngestId": f"{plan.number}-{file_stem(plan)}",
            "groundTruthStatus": words.is_ground_truth and plan.subject != "scene",
            "objectId": about.id,
            "objectName": about.name,
            "objectDescription": None,
            "objectState": None,
            "objectCount": self._object_count(plan, picks),
            "confidencePrecision": picks.precision if is_judged and picks else None,
            "confidenceRecall": picks.recall if is_judged and picks else None,
            "groundTruthUsed": self._ground_truth_file(plan) if is_judged else None,
            "annotationSoftware": words.software,
            "isCuratorRecommended": plan.is_recommended,
            "methodType": words.kind,
            **rows.dates_of(plan.deposition or rows.deposition_of(self._run)),
        }

    def _object_count(self, plan: AnnotationPlan, picks: Picks | None) -> int:
        if picks is not None:
            return picks.object_count
        truth = scene(self._run.recipe)
        if plan.subject == "vesicles":
            return len(_vesicles(self._run))
        if "InstanceSegmentationMask" not in plan.shapes:
            return 0
        return len(truth.recipe.membranes if plan.subject == "membranes" else truth.recipe.microtubules)

    def _ground_truth_file(self, plan: AnnotationPlan) -> str | None:
        for other in self._run.annotations:
            if other.method == "planted" and other.species == plan.species:
                return f"{other.number}/{file_stem(other)}.json"
        return None

    def _add_method_links(self, annotation_id: int) -> None:
        link = {
            "annotationId": annotation_id,
            "linkType": "documentation",
            "name": "How template matching works (imaginary page)",
            "link": "https://napari-cryoet-demo.invalid/template-matching",
        }
        self._tables.add("annotationMethodLinks", link)

    def _file_row(self, plan: AnnotationPlan, shape_type: str) -> rows.Row:
        is_community = plan.deposition not in (0, rows.deposition_of(self._run))
        return {
            "alignmentId": None if plan.alignment is None else self._alignment_ids[plan.alignment],
            "tomogramVoxelSpacingId": self._voxel_spacing_ids[plan.binning],
            "isVisualizationDefault": shape_type in plan.default_shapes,
            "source": "community" if is_community else "dataset_author",
        }

    def _write_shape(self, stem: Place, plan: AnnotationPlan, shape_type: str, picks: Picks | None) -> list[_Written]:
        """Write the files of one shape."""
        spacing = self._run.spacing_angstrom(self._size, plan.binning)
        place = Place(stem.root, f"{stem.key}_{shape_type.lower()}")
        match shape_type:
            case "Point" | "OrientedPoint" | "InstanceSegmentation":
                if picks is None:
                    raise ValueError(f"{shape_type} without points")
                file = Place(stem.root, f"{place.key}.ndjson")
                return [_Written(file, "ndjson", file.write_text(ndjson(picks, shape_type, spacing)))]
            case "GlobalCaption" | "AnnotationCaption":
                return [self._write_caption(stem, place, plan, shape_type)]
            case "Mesh":
                file = Place(stem.root, f"{stem.key}_triangularmesh.glb")
                return [_Written(file, "glb", file.write_bytes(membrane_glb(_vesicles(self._run))))]
            case "SegmentationMask":
                labels = (self._labels(plan) > 0).astype(np.int8)
            case "InstanceSegmentationMask":
                labels = self._labels(plan)
            case _:
                raise ValueError(f"the portal has no shape {shape_type!r}")
        kind: Kind = "mask" if shape_type == "SegmentationMask" else "instances"
        zarr, mrc = (Place(stem.root, f"{place.key}.{ending}") for ending in ("zarr", "mrc"))
        return [
            _Written(zarr, "zarr", write_pyramid(zarr.path, labels, spacing, kind, stop=self._stop)),
            _Written(mrc, "mrc", write_mrc(mrc.path, labels, spacing, stop=self._stop)),
        ]

    def _labels(self, plan: AnnotationPlan) -> NDArray[Any]:
        grid = Grid(self._run.shape_zyx(self._size, plan.binning), self._run.spacing_angstrom(self._size, plan.binning))
        truth = scene(self._run.recipe)
        match plan.subject:
            case "particles":
                return particle_labels(truth, plan.species, grid)
            case "microtubules":
                return microtubule_labels(truth, grid)
            case "organelle":
                return filled_mask(truth.recipe.membranes[0], grid)
            case "membranes":
                return membrane_labels(truth.recipe.membranes, grid, self._stop)
            case "vesicles" | "scene":
                raise ValueError(f"{plan.subject} have no mask")

    def _write_caption(self, stem: Place, place: Place, plan: AnnotationPlan, shape_type: str) -> _Written:
        if shape_type == "GlobalCaption":
            text = "Simulated, crowded cytoplasm: a cisterna with ribosomes on the left, vesicles, two microtubules."
            key = place.key
        else:
            text = "Ribosomes planted at random orientations; the small subunit points to the particle's -z."
            key = f"{stem.key}_{plan.shapes[0].lower()}_caption"
        file = Place(stem.root, f"{key}.json")
        caption = json.dumps({"captions": [{"id": 0, "text": text}]}, indent=4) + "\n"
        return _Written(file, "json", file.write_text(caption))


def _vesicles(run: RunPlan) -> tuple[Membrane, ...]:
    return tuple(membrane for membrane in scene(run.recipe).recipe.membranes if membrane.name == "vesicle")


def file_stem(plan: AnnotationPlan) -> str:
    """How an annotation's files begin: the object's name in the portal's spelling, and the version."""
    words = rows.object_of(plan).name.lower()
    cleaned = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in words)
    return f"{cleaned}-{sidecars.VERSION}"
