"""Build an offline pack from real data: the portal's own tables, a real microtubule, real picks.

    python scripts/build_real_pack.py ../shared/real my-pack

The tables are a dump of the portal's API for dataset 10000. Its volumes are too large to store, so
they are generated: a crop of a microtubule from a real tomogram is inverted, resampled to the run's
voxel spacing and repeated to fill the volume. One run has its true size of 960 x 928 x 500; the
others are small, with their sizes in the tables. A run of dataset 10445 has 43 real picks.
``provenance.json`` in the pack lists which data is real and which is generated.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from real_microtubule import Microtubule, Tiled

from napari_cryoet.demo.write import save_photo
from napari_cryoet.formats.mrc import write_mrc
from napari_cryoet.formats.ome_zarr import folder_bytes, write_pyramid
from napari_cryoet.packs.pack import Pack, PackManifest, write_pack

Row = dict[str, Any]
Tables = dict[str, list[Row]]

HTTPS = "https://files.cryoetdataportal.cziscience.com/"
S3 = "s3://cryoet-data-portal-public/"
DUMPED = (
    "alignments",
    "annotationFiles",
    "annotationShapes",
    "annotations",
    "datasets",
    "runs",
    "tiltseries",
    "tomograms",
)
FULL_SIZE_RUN = "TS_043"
FULL_SHAPE_ZYX = (500, 928, 960)
PICKS_SPACING_ANGSTROM = 4.99
POINTS_PER_INSTANCE = 40
NOT_IN_DUMP = "Not in the data that this pack was made from."

PROVENANCE = {
    "real": [
        "all rows of dataset 10000 in "
        + ", ".join(DUMPED)
        + " as dumped from the portal's API, except the columns named below",
        "title, organism, publications and authors of datasets 10000 and 10445 (the reply to a query)",
        "10445/TS_105_5: the 43 picks (the file's bytes), the spacings 4.99 and 10.012, the size 630 x 630 x 184, the "
        "ids of voxel spacings (17909, 17910) and alignment (18924)",
        "the grey values of all volumes: a tomogram's crop of a 13-protofilament microtubule (BSD-3-Clause, hanjinliu)",
    ],
    "made": [
        "volumes: the crop resampled and repeated until it fills them; they do not show the run that they stand for",
        f"sizes of all tomograms and alignments but {FULL_SIZE_RUN}'s: reduced; all file sizes are those of this pack",
        "picks and masks of dataset 10000: they lie on the microtubules' density; counts of picks are the tables'",
        "voxel spacings' rows, depositions (ids and dates are real, titles placeholders), annotationIngestId, photos",
        "10445/TS_105_5: ids of the run, tomogram and annotation; what was picked is not known",
    ],
    "leftOut": [
        f"MRC files of {FULL_SIZE_RUN} and of 10445/TS_105_5, unless asked for",
        "tilt series' images and angles: the columns of what is left out are null, or the rows absent",
    ],
}


def build_real_pack(
    shared_real: Path,
    out: Path,
    *,
    with_large_mrc: bool = False,
    full_shape_zyx: tuple[int, int, int] = FULL_SHAPE_ZYX,
) -> Pack:
    """Build the pack in a new folder; takes a minute and 1 GB of disk, less for a smaller run."""
    import tifffile

    out.mkdir(parents=True)
    crop = tifffile.imread(shared_real / "tomograms" / "13pf_MT.tif")
    builder = Builder(shared_real, out / "files", crop, with_large_mrc, full_shape_zyx)
    builder.build()
    (out / "provenance.json").write_text(json.dumps(PROVENANCE, indent=2) + "\n", encoding="utf-8")
    manifest = PackManifest(
        title="Real tables, real microtubule (dataset 10000)",
        https_prefix=HTTPS,
        s3_prefix=S3,
        source="Tables and picks of the CryoET Data Portal; volumes, masks and most picks are made from a crop of a "
        f"real microtubule, and only {FULL_SIZE_RUN} has its true size. See provenance.json.",
        created="2026-11-24",
        licence="CC0-1.0; the microtubule's grey values BSD-3-Clause, (c) 2021 hanjinliu",
    )
    shutil.copy(shared_real / "tomograms" / "LICENSE", out / "LICENSE-microtubule")
    return write_pack(out, manifest, builder.tables)


class Builder:
    """Converts the dump to consistent rows and files."""

    def __init__(
        self,
        real: Path,
        files: Path,
        crop: NDArray[np.uint8],
        with_large_mrc: bool,
        full_shape_zyx: tuple[int, int, int],
    ) -> None:
        self.real, self.files, self.with_large_mrc, self.full_shape_zyx = (
            real,
            files,
            with_large_mrc,
            full_shape_zyx,
        )
        self.tables: Tables = {
            name: camel_rows(real / "dataset_10000" / f"{name}.json") for name in DUMPED
        }
        self.catalogue = {
            row["id"]: row for row in read_json(real / "catalog.reply.json")["data"]["datasets"]
        }
        self.microtubules = {spacing: Microtubule(crop, spacing) for spacing in (13.48, 10.012)}
        self.run_names = {row["id"]: row["name"] for row in self.tables["runs"]}
        self.shapes_zyx = {
            run: self._shape_zyx(number) for number, run in enumerate(self.run_names)
        }

    def build(self) -> None:
        self._add_columns_of_later_schemas()
        for tomogram in self.tables["tomograms"]:
            self._write_tomogram(tomogram, self.shapes_zyx[tomogram["runId"]])
        self._shrink_alignments()
        self._write_annotations()
        self._add_real_picks()
        for row in self.tables["tiltseries"]:
            without_files(row, "OmezarrDir", "MrcFile", "AngleList")
        self._finish_datasets()
        self._add_depositions()

    def _shape_zyx(self, number: int) -> tuple[int, int, int]:
        """The true size for one run.

        Small sizes, odd and different along each axis, for the others.
        """
        if list(self.run_names.values())[number] == FULL_SIZE_RUN:
            return self.full_shape_zyx
        return 41 + 2 * number, 151 + 3 * number, 121 + 4 * number

    def _add_columns_of_later_schemas(self) -> None:
        spacings: dict[int, Row] = {}
        for row in self.tables["tomograms"]:
            prefix = re.sub(
                r"(VoxelSpacing[\d.]+/).*", r"\1", row["httpsOmezarrDir"].removeprefix(HTTPS)
            )
            spacing = {
                "id": row["tomogramVoxelSpacingId"],
                "runId": row["runId"],
                "voxelSpacing": row["voxelSpacing"],
            }
            spacings[row["runId"]] = spacing | prefixes(prefix)
        self.tables["tomogramVoxelSpacings"] = list(spacings.values())
        for row in self.tables["annotations"]:
            *_, number, name = row["httpsMetadataPath"].split("/")
            row["annotationIngestId"] = f"{number}-{name.removesuffix('.json')}"
            row["tomogramVoxelSpacingId"] = spacings[row["runId"]]["id"]

    def _write_tomogram(self, row: Row, shape_zyx: tuple[int, int, int]) -> None:
        spacing = row["voxelSpacing"]
        volume = self._tiled("grey", shape_zyx, spacing)
        row["sizeZ"], row["sizeY"], row["sizeX"] = shape_zyx
        for level in range(3):
            row[f"scale{level}Dimensions"] = ",".join(
                str(-(-n // 2**level)) for n in shape_zyx[::-1]
            )
        row["fileSizeOmezarr"] = float(
            write_pyramid(self._path(row["httpsOmezarrDir"]), volume, spacing)
        )
        if np.prod(shape_zyx) < 2**24 or self.with_large_mrc:
            planes = Tiled(
                volume.tile.astype(np.int16), shape_zyx, self.microtubules[spacing].drift
            )
            row["fileSizeMrc"] = float(write_mrc(self._path(row["httpsMrcFile"]), planes, spacing))
        else:
            without_files(row, "MrcFile")
        self._save_photos(row, volume)
        self._write_sidecar(
            f"{row['httpsOmezarrDir'].rpartition('/')[0]}/tomogram_metadata.json", row
        )

    def _save_photos(self, row: Row, volume: Tiled) -> None:
        planes = volume[slice(9, 18), slice(None), slice(None)]
        for column, longest_side in (("keyPhotoUrl", 512), ("keyPhotoThumbnailUrl", 134)):
            save_photo(self._path(row[column]), planes, longest_side)

    def _shrink_alignments(self) -> None:
        for row in self.tables["alignments"]:
            for axis, size in zip("ZYX", self.shapes_zyx[row["runId"]], strict=True):
                row[f"volume{axis}Dimension"] = size * 13.48
            self._write_sidecar(row["httpsAlignmentMetadata"], row)

    def _write_annotations(self) -> None:
        annotations = {row["id"]: row for row in self.tables["annotations"]}
        shapes = {row["id"]: row for row in self.tables["annotationShapes"]}
        kept = []
        for row in self.tables["annotationFiles"]:
            shape = shapes[row["annotationShapeId"]]
            annotation = annotations[shape["annotationId"]]
            size_bytes = self._write_annotation_file(row, annotation, shape["shapeType"])
            if size_bytes is not None:
                kept.append(row | {"fileSize": float(size_bytes)})
        self.tables["annotationFiles"] = kept
        for annotation in annotations.values():
            self._write_sidecar(annotation["httpsMetadataPath"], annotation)

    def _write_annotation_file(self, row: Row, annotation: Row, shape_type: str) -> int | None:
        """Write a file and return its size in bytes; None if it is left out."""
        shape_zyx = self.shapes_zyx[annotation["runId"]]
        path = self._path(row["httpsPath"])
        if row["format"] == "ndjson":
            count = annotation["objectCount"]
            is_point = shape_type == "Point"
            points, ids = self._picks(
                annotation["id"], shape_zyx, count if is_point else None, count
            )
            return write_ndjson(path, points, None if is_point else ids)
        part = self._rows_of(annotation, shape_zyx)
        mask = self._tiled("is_protein", shape_zyx, rows=part)
        if row["format"] == "zarr":
            return write_pyramid(path, mask, 13.48, "mask")
        if shape_zyx == self.full_shape_zyx and not self.with_large_mrc:
            return None
        return write_mrc(path, mask, 13.48)

    def _rows_of(self, annotation: Row, shape_zyx: tuple[int, int, int]) -> slice:
        """A band along y for each annotation of a run, so that their masks differ."""
        own = [
            row["id"] for row in self.tables["annotations"] if row["runId"] == annotation["runId"]
        ]
        number, height = own.index(annotation["id"]), shape_zyx[1]
        return slice(number * height // len(own), (number + 1) * height // len(own))

    def _picks(
        self, seed: int, shape_zyx: tuple[int, int, int], count: int | None, instances: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Unique voxels (x, y, z) on protein: ``count`` of them, or a few per instance, which is a band along y."""
        protein = self._tiled("is_protein", shape_zyx)
        candidates = np.random.default_rng(seed).integers(0, shape_zyx[::-1], (120_000, 3))
        voxels = np.unique(candidates[protein.at(candidates) == 1], axis=0)
        voxels = np.random.default_rng(seed).permutation(voxels)
        if count is not None:
            return voxels[:count], np.zeros(count, np.int64)
        ids = 1 + voxels[:, 1] * instances // shape_zyx[1]
        chosen = np.concatenate(
            [
                np.flatnonzero(ids == number)[:POINTS_PER_INSTANCE]
                for number in range(1, instances + 1)
            ]
        )
        return voxels[chosen], ids[chosen]

    def _add_real_picks(self) -> None:
        """Add 10445/TS_105_5: real picks at 4.99 Å, and a tomogram of true size at 10.012 Å with the same alignment."""
        source = self.real / "ndjson" / "10445-TS_105_5-69546_Point.ndjson"
        root, run_id, moment = "10445/TS_105_5/", 900_001, "2025-02-25T00:00:00+00:00"
        dates = dict.fromkeys(("depositionDate", "releaseDate", "lastModifiedDate"), moment)
        self.tables["runs"].append(
            {"id": run_id, "datasetId": 10445, "name": "TS_105_5"} | prefixes(root)
        )
        self.tables["alignments"].append({"id": 18924, "runId": run_id, "depositionId": 10310})
        for spacing_id, spacing in ((17909, 10.012), (17910, PICKS_SPACING_ANGSTROM)):
            folder = f"{root}Reconstructions/VoxelSpacing{spacing:.3f}/"
            row = {"id": spacing_id, "runId": run_id, "voxelSpacing": spacing}
            self.tables["tomogramVoxelSpacings"].append(row | prefixes(folder))
        model = next(
            row for row in self.tables["tomograms"] if self.run_names[row["runId"]] == FULL_SIZE_RUN
        )
        tomogram = (
            model
            | dates
            | {"id": run_id, "runId": run_id, "alignmentId": 18924, "depositionId": 10310}
        )
        tomogram |= {"tomogramVoxelSpacingId": 17909, "voxelSpacing": 10.012, "name": "TS_105_5"}
        tomogram |= {
            "neuroglancerConfig": None,
            "publications": None,
            "relatedDatabaseEntries": None,
        }
        tomogram |= addresses(f"{root}Reconstructions/VoxelSpacing10.012/", "TS_105_5")
        self._write_tomogram(tomogram, (184, 630, 630))
        self.tables["tomograms"].append(tomogram)
        stem = f"{root}Reconstructions/VoxelSpacing4.990/Annotations/100/unnamed_object-1.0"
        annotation: Row = dates | {
            "id": 69546,
            "runId": run_id,
            "depositionId": 10310,
            "tomogramVoxelSpacingId": 17910,
            "annotationMethod": NOT_IN_DUMP,
            "annotationIngestId": "100-unnamed_object-1.0",
            "objectId": "unknown",
            "objectName": "object that the file does not name",
            "objectCount": len(source.read_text().splitlines()),
            "methodType": "automated",
            "s3MetadataPath": f"{S3}{stem}.json",
            "httpsMetadataPath": f"{HTTPS}{stem}.json",
        }
        self.tables["annotations"].append(annotation)
        self._write_sidecar(f"{HTTPS}{stem}.json", annotation)
        self.tables["annotationShapes"].append(
            {"id": 69546, "annotationId": 69546, "shapeType": "Point"}
        )
        file: Row = {
            "id": 69546,
            "annotationShapeId": 69546,
            "alignmentId": 18924,
            "tomogramVoxelSpacingId": 17910,
        }
        file |= {
            "format": "ndjson",
            "s3Path": f"{S3}{stem}_point.ndjson",
            "httpsPath": f"{HTTPS}{stem}_point.ndjson",
        }
        shutil.copy(source, self._path(file["httpsPath"]))
        file |= {"fileSize": float(source.stat().st_size), "isVisualizationDefault": True}
        self.tables["annotationFiles"].append(file)

    def _finish_datasets(self) -> None:
        known = self.catalogue[10445]
        row = {
            key: value
            for key, value in known.items()
            if key not in {"authors", "keyPhotoThumbnailUrl"}
        }
        row |= {
            "description": NOT_IN_DUMP,
            "keyPhotoUrl": None,
            "keyPhotoThumbnailUrl": None,
        } | prefixes("10445/")
        row |= dict.fromkeys(("depositionDate", "lastModifiedDate"), row["releaseDate"])
        self.tables["datasets"].append(row)
        own = self.tables["datasets"][0]
        self._save_photos(own, self._tiled("grey", (28, 232, 240)))
        authors: list[Row] = []
        for dataset in self.tables["datasets"]:
            dataset["fileSize"] = float(folder_bytes(self.files / str(dataset["id"])))
            for order, edge in enumerate(
                self.catalogue[dataset["id"]]["authors"]["edges"], start=1
            ):
                authors.append(
                    {"id": len(authors) + 1, "datasetId": dataset["id"], "authorListOrder": order}
                    | edge["node"]
                )
        self.tables["datasetAuthors"] = authors

    def _add_depositions(self) -> None:
        depositions: dict[int, Row] = {}
        kinds: set[tuple[int, str]] = set()
        for table, kind in (
            ("datasets", "dataset"),
            ("tomograms", "tomogram"),
            ("annotations", "annotation"),
        ):
            for row in self.tables[table]:
                number = row["depositionId"]
                kinds.add((number, kind))
                dates = {
                    key: row[key] for key in ("depositionDate", "releaseDate", "lastModifiedDate")
                }
                title = f"Deposition {number} (its title is not in the dump)"
                depositions.setdefault(
                    number, {"id": number, "title": title, "description": NOT_IN_DUMP} | dates
                )
        self.tables["depositions"] = list(depositions.values())
        self.tables["depositionTypes"] = [
            {"id": order, "depositionId": number, "type": kind}
            for order, (number, kind) in enumerate(sorted(kinds), start=1)
        ]

    def _tiled(
        self,
        what: Literal["grey", "is_protein"],
        shape_zyx: tuple[int, int, int],
        spacing: float = 13.48,
        rows: slice = slice(None),
    ) -> Tiled:
        microtubule = self.microtubules[spacing]
        tile = microtubule.grey if what == "grey" else microtubule.is_protein
        return Tiled(tile, shape_zyx, microtubule.drift, rows)

    def _path(self, url: str) -> Path:
        path = self.files / url.removeprefix(HTTPS)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write_sidecar(self, url: str, row: Row) -> None:
        """Write the row as a metadata file: the dump doesn't include the portal's own."""
        self._path(url).write_text(
            json.dumps({"note": "made from the row of the API", **row}, indent=4), encoding="utf-8"
        )


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def camel_rows(path: Path) -> list[Row]:
    """Read rows dumped by the Python client, with the API's names and dates."""
    return [
        {
            re.sub(r"_(\w)", lambda m: m.group(1).upper(), key): api_value(key, value)
            for key, value in row.items()
        }
        for row in read_json(path)
    ]


def api_value(key: str, value: Any) -> Any:
    return value.replace(" ", "T", 1) if key.endswith("_date") and value else value


def prefixes(path: str) -> Row:
    return {"s3Prefix": S3 + path, "httpsPrefix": HTTPS + path}


def addresses(folder: str, run_name: str) -> Row:
    """URLs of a tomogram in the portal's layout."""
    stem, photos = f"{folder}Tomograms/100/{run_name}", f"{HTTPS}{folder}Images/100/key-photo"
    return {
        "s3OmezarrDir": f"{S3}{stem}.zarr",
        "httpsOmezarrDir": f"{HTTPS}{stem}.zarr",
        "s3MrcFile": f"{S3}{stem}.mrc",
        "httpsMrcFile": f"{HTTPS}{stem}.mrc",
        "keyPhotoUrl": f"{photos}-snapshot.png",
        "keyPhotoThumbnailUrl": f"{photos}-thumbnail.png",
    }


def without_files(row: Row, *names: str) -> None:
    """Set URLs and sizes of files that aren't in the pack to null."""
    for name in names:
        row |= dict.fromkeys((f"s3{name}", f"https{name}"))
        size = f"fileSize{name.removesuffix('Dir').removesuffix('File')}"
        if size in row:
            row[size] = None


def write_ndjson(path: Path, points_xyz: NDArray[np.int64], ids: NDArray[np.int64] | None) -> int:
    lines = []
    for number, point in enumerate(points_xyz.tolist()):
        line: Row = {"type": "point", "location": dict(zip("xyz", map(float, point), strict=True))}
        if ids is not None:
            line |= {"type": "instancePoint", "instance_id": int(ids[number])}
        lines.append(json.dumps(line) + "\n")
    return path.write_bytes("".join(lines).encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("real", type=Path, help="the folder with the real data")
    parser.add_argument("out", type=Path, help="the folder of the new pack; must not exist")
    parser.add_argument(
        "--large-mrc",
        action="store_true",
        help="also write the MRC files of the large runs (5 GB more)",
    )
    arguments = parser.parse_args()
    pack = build_real_pack(arguments.real, arguments.out, with_large_mrc=arguments.large_mrc)
    print(f"{pack.manifest.title}: {folder_bytes(pack.folder) / 1e9:.1f} GB in {pack.folder}")
