"""Portals of any size for tests and benchmarks: reproducible rows in the real portal's proportions.

The real one has 370 datasets, 21,246 runs of which 9,072 have no annotation, 28,666 tomograms,
29,714 annotations, 55,228 annotation files.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from napari_cryoet.packs.pack import Pack, PackManifest, write_pack
from napari_cryoet.runs.runs import file_columns
from napari_cryoet.tables.database import tables
from portal_rows import blank_row

Row = dict[str, Any]

#: A small portal, made once for all tests.
SIZES = {"n_datasets": 12, "n_runs": 120, "n_annotations": 400, "seed": 7}
HTTPS, S3 = "https://files.example.org/", "s3://example/"

#: Annotated objects: name, id, frequency per thousand annotations, and usual shapes.
OBJECTS = (
    ("membrane", "GO:0016020", 180, "mask"),
    ("cytosolic ribosome", "GO:0022626", 90, "points"),
    ("ribosome", "GO:0005840", 60, "points"),
    ("nuclear envelope", "GO:0005635", 40, "mask"),
    ("mitochondrion", "GO:0005739", 40, "mask"),
    ("RubisCO complex", "GO:0048492", 40, "points"),
    ("synaptic vesicle", "GO:0008021", 30, "mask"),
    ("plasma membrane", "GO:0005886", 30, "mask"),
    ("chaperonin-containing T-complex", "GO:0005832", 30, "points"),
    ("Thyroglobulin", "UniProtKB:P01267", 20, "points"),
    ("80S ribosome with HCV-IRES", "PDB-4UJD", 10, "points"),
    ("70S ribosome", "PDB-5MDZ", 10, "points"),
    ("mitochondrial outer membrane", "GO:0005741", 10, "mask"),
    ("actin filament", "GO:0005884", 10, "mask"),
    *(
        (f"protein complex {number}", f"PDB-{1000 + number}", 0.1, "points")
        for number in range(150)
    ),
)
ORGANISMS = (
    *(
        "Homo sapiens",
        "Legionella pneumophila",
        "Helicobacter pylori",
        "Vibrio cholerae",
        "Campylobacter jejuni",
    ),
    *(
        "Escherichia coli",
        "Mycoplasma pneumoniae",
        "Schizosaccharomyces pombe",
        "Chlamydomonas reinhardtii",
    ),
    *(
        "Mus musculus",
        "Saccharomyces cerevisiae",
        "Rattus norvegicus",
        "Drosophila melanogaster",
        "not_reported",
    ),
    *(f"Bacterium species{number}" for number in range(40)),
)
SAMPLES = (
    "cell_line",
    "primary_cell_culture",
    "tissue",
    "organism",
    "organelle",
    "virus",
    "in_vitro",
    "in_silico",
)
SPACINGS = (4.99, 7.84, 10.0, 10.012, 13.48, 13.7, 14.08, 16.0)
WORDS = (
    *(
        "lamellae",
        "acquired",
        "with",
        "defocus",
        "phase",
        "plate",
        "FIB",
        "milled",
        "cells",
        "infected",
        "virus",
    ),
    *("assembly", "synapse", "motor"),
)
METHODS = ("automated", "manual", "hybrid")
SOFTWARE = ("PyTom", "crYOLO", "MemBrain-seg", "IMOD", "DeepFindET", "Relion 4", None)


def generated_tables(
    n_datasets: int = 370, n_runs: int = 21_000, n_annotations: int = 30_000, *, seed: int = 1
) -> dict[str, list[Row]]:
    """The tables, with the columns used by searches."""
    chance = random.Random(seed)
    tables: dict[str, list[Row]] = {}
    numbers = {
        name: count(first) for name, first in {"datasets": 10000, "depositions": 10300}.items()
    }

    def add(table: str, **cells: Any) -> int:
        row_id = next(numbers.setdefault(table, count(1)))
        tables.setdefault(table, []).append({"id": row_id} | cells)
        return row_id

    people = [f"{chance.choice(_FIRST)} {chance.choice(_LAST)}{number}" for number in range(600)]
    depositions = [
        add(
            "depositions",
            title=f"Deposition of {_phrase(chance)}",
            releaseDate=_day(chance),
            description="",
        )
        for _ in range(max(2, n_datasets // 4))
    ]
    sizes = _shares(n_datasets, n_runs, chance)
    runs: list[tuple[int, float]] = []
    for size in sizes:
        deposition, organism = chance.choice(depositions), chance.choice(ORGANISMS)
        dataset = add(
            "datasets",
            title=f"{organism} {_phrase(chance)}",
            depositionId=deposition,
            organismName=organism,
            sampleType=chance.choice(SAMPLES),
            description=" ".join(_phrase(chance) for _ in range(30)),
            releaseDate=_day(chance),
            datasetPublications=f"10.1101/{chance.randrange(10**8):08d}",
            relatedDatabaseEntries=f"EMPIAR-{chance.randrange(10000, 13000)}",
        )
        for order in range(1, 5):
            add(
                "datasetAuthors",
                datasetId=dataset,
                name=chance.choice(people),
                authorListOrder=order,
            )
        kinds = [(chance.choice(SPACINGS), "raw", None)]
        if chance.random() < 0.35:
            kinds.append((kinds[0][0], "denoised", chance.choice(("cryoCARE", "IsoNet"))))
        for number in range(size):
            run = add("runs", datasetId=dataset, name=f"TS_{number:03d}")
            quality, degrees = chance.randrange(1, 6), chance.choice((78.0, 100.0, 120.0))
            tilts = {"tiltRange": degrees, "tiltSeriesQuality": quality, "fileSizeMrc": 2.3e9}
            series = add("tiltseries", runId=run, depositionId=deposition, **tilts)
            alignment = add("alignments", runId=run, depositionId=deposition, tiltseriesId=series)
            spacing = add("tomogramVoxelSpacings", runId=run, voxelSpacing=kinds[0][0])
            for angstrom, processing, software in kinds:
                add(
                    "tomograms",
                    runId=run,
                    depositionId=deposition,
                    alignmentId=alignment,
                    tomogramVoxelSpacingId=spacing,
                    voxelSpacing=angstrom,
                    processing=processing,
                    processingSoftware=software,
                    reconstructionMethod=chance.choice(("WBP", "WBP", "SIRT")),
                    fileSizeOmezarr=1.6e9,
                    fileSizeMrc=1.7e9,
                    sizeX=960,
                    sizeY=928,
                    sizeZ=500,
                )
            if chance.random() < 0.1:
                add("frames", runId=run, depositionId=deposition, fileSize=1e8)
            runs.append((run, chance.random()))
    annotated = [run for run, draw in runs if draw > 0.43] or [runs[0][0]]
    of_run = {row["runId"]: row for row in tables["tomogramVoxelSpacings"]}
    alignment_of = {row["runId"]: row["id"] for row in tables["alignments"]}
    weights = [weight for _, _, weight, _ in OBJECTS]
    for name, object_id, _, kind in chance.choices(OBJECTS, weights, k=n_annotations):
        run, is_mask = chance.choice(annotated), kind == "mask"
        annotation = add(
            "annotations",
            runId=run,
            depositionId=chance.choice(depositions),
            objectName=name,
            objectId=object_id,
            objectCount=0 if is_mask else min(10**6, int(chance.paretovariate(0.6) * 5)),
            methodType=chance.choices(METHODS, (5, 2, 1))[0],
            annotationMethod=f"Method {chance.randrange(60)}",
            annotationSoftware=chance.choice(SOFTWARE),
            groundTruthStatus=chance.random() < 0.2,
        )
        for _ in range(3):
            add("annotationAuthors", annotationId=annotation, name=chance.choice(people))
        for shape_type, formats in (
            _SHAPES_MASK if is_mask else _SHAPES_POINTS[: chance.choice((1, 1, 2))]
        ):
            shape = add("annotationShapes", annotationId=annotation, shapeType=shape_type)
            for each in formats:
                keys = {
                    "alignmentId": alignment_of[run],
                    "tomogramVoxelSpacingId": of_run[run]["id"],
                }
                size = 2.5e6 if is_mask else 6e4
                add("annotationFiles", annotationShapeId=shape, format=each, fileSize=size, **keys)
    names = [*(each[:2] for each in OBJECTS[:6]), ("spike protein", "PDB-9000")]
    for run, _ in runs[::9]:
        name, object_id = names[run % len(names)]
        add("identifiedObjects", runId=run, objectName=name, objectId=object_id)
    return tables


def write_generated_pack(folder: Path, **sizes: int) -> Pack:
    """A pack with complete rows and no files; rows contain the URLs that files would have."""
    tables = {
        name: [blank_row(name) | _places(name, row) | _filled(row) for row in rows]
        for name, rows in generated_tables(**sizes).items()
    }
    return write_pack(
        folder, PackManifest(title="A generated portal", https_prefix=HTTPS, s3_prefix=S3), tables
    )


def _places(name: str, row: Row) -> Row:
    """The URLs of files with known sizes, and of those in every row."""
    places: Row = {}
    if name in {"datasets", "runs"}:
        path = f"{row.get('datasetId', row['id'])}/" + (f"{row['name']}/" if name == "runs" else "")
        places |= {"httpsPrefix": HTTPS + path, "s3Prefix": S3 + path}
    for https, beside in file_columns().get(name, {}).items():
        if tables()[name].columns[https].is_required or (beside.size and row.get(beside.size)):
            path = f"{name}/{row['id']}/{https.removeprefix('https')}"
            places |= {https: HTTPS + path} | ({beside.s3: S3 + path} if beside.s3 else {})
    return places


def _filled(row: Row) -> Row:
    return {name: cell for name, cell in row.items() if cell is not None}


def _shares(n_datasets: int, n_runs: int, chance: random.Random) -> Iterator[int]:
    """The number of runs per dataset; a few datasets have most of them."""
    draws = [chance.lognormvariate(0, 1.4) for _ in range(n_datasets)]
    done, at = 0, 0.0
    for draw in draws:
        at += draw * n_runs / sum(draws)
        yield round(at) - done
        done = round(at)


def _phrase(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=6))


def _day(chance: random.Random) -> str:
    return (date(2023, 1, 1) + timedelta(days=chance.randrange(1200))).isoformat()


_SHAPES_POINTS = (("Point", ("ndjson",)), ("OrientedPoint", ("ndjson",)))
_SHAPES_MASK = (("SegmentationMask", ("mrc", "zarr")),)
_FIRST = ("Irene", "Ada", "Jörg", "Mei", "Tilo", "Amara", "Luis", "Nadia", "Kofi", "Yuki")
_LAST = (
    "Teresa",
    "Schäfer",
    "Chen",
    "Okafor",
    "García",
    "Novak",
    "Rossi",
    "Haddad",
    "Mensah",
    "Tanaka",
)
