"""Rows of the portal's tables that do not depend on what lies on disk: depositions, datasets, authors, methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from napari_cryoet.packs.demo.content import (
    CELL_DATASET,
    CELL_DEPOSITION,
    COMMUNITY_DEPOSITION,
    CYTOPLASM,
    HTTPS_PREFIX,
    MEMBRANE,
    MICROTUBULE,
    MITOCHONDRION,
    MIXTURE_DATASET,
    MIXTURE_DEPOSITION,
    S3_PREFIX,
    AnnotationPlan,
    ObjectName,
    RunPlan,
)
from napari_cryoet.packs.demo.species import species

Row = dict[str, Any]

SOFTWARE: Final = "napari-cryoet demo"
PUBLICATION: Final = "10.99999/napari-cryoet-demo"
FIRST_ID: Final = 9001
FIRST_LATER_ID: Final = 9901
_ORCID_FORM: Final = "0000-0000-0000-{:04d}"


class Tables:
    """Tables that grow row by row; ids count up from a start of each table's own, so kinds of records share ids."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        self._counts: Counter[tuple[str, int]] = Counter()
        self._first_id = FIRST_ID

    @contextmanager
    def later_ids(self) -> Iterator[None]:
        """Take ids from a range of their own meanwhile."""
        self._first_id = FIRST_LATER_ID
        try:
            yield
        finally:
            self._first_id = FIRST_ID

    def add(self, table: str, row: Row, *, row_id: int | None = None) -> int:
        """Append a row and give its id."""
        number = row_id if row_id is not None else self._next_id(table)
        self.rows.setdefault(table, []).append({"id": number, **row})
        return number

    def _next_id(self, table: str) -> int:
        key = table, self._first_id
        self._counts[key] += 1
        return self._first_id + self._counts[key] - 1


@dataclass(frozen=True, slots=True)
class _Person:
    name: str
    number: int

    def row(self, order: int, count: int) -> Row:
        """As an author of anything; the ORCID is not one that exists."""
        return {
            "authorListOrder": order,
            "orcid": _ORCID_FORM.format(self.number),
            "kaggleId": None,
            "name": self.name,
            "email": None,
            "affiliationName": "Institute of Imaginary Cells",
            "affiliationAddress": None,
            "affiliationIdentifier": None,
            "correspondingAuthorStatus": order == count,
            "primaryAuthorStatus": order == 1,
        }


PEOPLE: Final[dict[int, tuple[_Person, ...]]] = {
    CELL_DEPOSITION: (_Person("Ada Vitreous", 1), _Person("Tilo Tiltman", 2), _Person("Mina Lamella", 3)),
    MIXTURE_DEPOSITION: (_Person("Gregor Goldbead", 4), _Person("Mina Lamella", 3)),
    COMMUNITY_DEPOSITION: (_Person("Pia Picker", 5),),
}


def dates_of(deposition_id: int) -> Row:
    """The three dates that most records have; here all are the day of the deposition."""
    moment = f"{_DEPOSITIONS[deposition_id][3]}T00:00:00+00:00"
    return {"depositionDate": moment, "releaseDate": moment, "lastModifiedDate": moment}


_DEPOSITIONS: Final[dict[int, tuple[str, str, tuple[str, ...], str]]] = {
    CELL_DEPOSITION: (
        "Demo: simulated tomograms of yeast-like cytoplasm",
        "Simulated by napari-cryoet: membranes, ribosomes, fatty acid synthase, proteasomes and microtubules at "
        "planted positions, imaged by a simulated microscope. Nothing here was measured.",
        ("dataset", "tomogram", "annotation"),
        "2026-06-01",
    ),
    MIXTURE_DEPOSITION: (
        "Demo: simulated tomograms of purified complexes",
        "Simulated by napari-cryoet: ferritin, beta-galactosidase, thyroglobulin, ribosomes, vesicles and microtubules "
        "in thin ice with gold beads. Nothing here was measured.",
        ("dataset", "tomogram", "annotation"),
        "2026-07-15",
    ),
    COMMUNITY_DEPOSITION: (
        "Demo: imitated re-annotation of the simulated tomograms",
        "Picks that imitate template matching, a hurried person and a careless program, for comparing with the planted "
        "positions. Some are wrong on purpose.",
        ("annotation",),
        "2026-09-30",
    ),
}


def add_depositions(tables: Tables) -> None:
    """The depositions with their types and authors."""
    for deposition_id, (title, description, kinds, _) in _DEPOSITIONS.items():
        folder = f"depositions_metadata/{deposition_id}/Images"
        has_photo = deposition_id != COMMUNITY_DEPOSITION
        row = {
            "title": title,
            "description": description,
            "tag": "demo",
            "depositionPublications": PUBLICATION if deposition_id == CELL_DEPOSITION else None,
            "relatedDatabaseEntries": None,
            **dates_of(deposition_id),
            "keyPhotoUrl": f"{HTTPS_PREFIX}{folder}/snapshot.png" if has_photo else None,
            "keyPhotoThumbnailUrl": f"{HTTPS_PREFIX}{folder}/thumbnail.png" if has_photo else None,
        }
        tables.add("depositions", row, row_id=deposition_id)
        for kind in kinds:
            tables.add("depositionTypes", {"depositionId": deposition_id, "type": kind})
        add_authors(tables, "depositionAuthors", "depositionId", deposition_id, deposition_id)


def add_authors(tables: Tables, table: str, key: str, parent_id: int, deposition_id: int) -> None:
    """The people of a deposition as authors of something."""
    people = PEOPLE[deposition_id]
    for order, person in enumerate(people, start=1):
        tables.add(table, {key: parent_id, **person.row(order, len(people))})


def add_dataset(tables: Tables, dataset_id: int, file_size: int) -> None:
    """A dataset with its authors and funding."""
    row = {**dataset_row(dataset_id), "fileSize": float(file_size)}
    tables.add("datasets", row, row_id=dataset_id)
    add_authors(tables, "datasetAuthors", "datasetId", dataset_id, row["depositionId"])
    funding = {"datasetId": dataset_id, "fundingAgencyName": "Imaginary Science Foundation", "grantId": "DEMO-0001"}
    tables.add("datasetFunding", funding)


def _dataset(dataset_id: int, deposition_id: int, **special: str | int | None) -> Row:
    prefix = f"{dataset_id}/"
    nothing = dict.fromkeys(
        (
            "developmentStageName",
            "developmentStageOntologyId",
            "diseaseName",
            "diseaseOntologyId",
            "organismName",
            "organismTaxid",
            "tissueName",
            "tissueId",
            "cellName",
            "cellTypeId",
            "cellStrainName",
            "cellStrainId",
            "cellComponentName",
            "cellComponentId",
            "otherSetup",
        )
    )
    return {
        "depositionId": deposition_id,
        "assayLabel": "cryo-electron tomography",
        "assayOntologyId": "EFO:0022860",
        **nothing,
        "sampleType": "in_silico",
        "samplePreparation": "Simulated: molecules were planted at random positions and orientations.",
        "gridPreparation": "Simulated: no grid.",
        "keyPhotoUrl": f"{HTTPS_PREFIX}{prefix}Images/snapshot.png",
        "keyPhotoThumbnailUrl": f"{HTTPS_PREFIX}{prefix}Images/thumbnail.png",
        **dates_of(deposition_id),
        "datasetPublications": PUBLICATION,
        "relatedDatabaseEntries": None,
        "s3Prefix": f"{S3_PREFIX}{prefix}",
        "httpsPrefix": f"{HTTPS_PREFIX}{prefix}",
        **special,
    }


_DATASETS: Final[dict[int, Row]] = {
    CELL_DATASET: _dataset(
        CELL_DATASET,
        CELL_DEPOSITION,
        title="Simulated cryo-ET of yeast-like cytoplasm (demo)",
        description="In-silico tomograms of a crowded cytoplasm with endoplasmic reticulum, vesicles, a mitochondrion, "
        "ribosomes, fatty acid synthase, proteasomes and microtubules. Positions and orientations are known exactly.",
        organismName="Saccharomyces cerevisiae",
        organismTaxid=4932,
        cellComponentName="cytoplasm",
        cellComponentId="GO:0005737",
    ),
    MIXTURE_DATASET: _dataset(
        MIXTURE_DATASET,
        MIXTURE_DEPOSITION,
        title="Simulated cryo-ET of purified complexes with fiducials (demo)",
        description="In-silico tomograms of ferritin, beta-galactosidase, thyroglobulin, ribosomes, a vesicle and "
        "microtubules in thin ice. Positions and orientations are known exactly.",
        otherSetup="Gold beads of 10 nm were simulated as fiducials.",
    ),
}


def dataset_row(dataset_id: int) -> Row:
    """A dataset, without its size."""
    return _DATASETS[dataset_id]


def run_row(run: RunPlan) -> Row:
    """A run."""
    prefix = f"{run.dataset_id}/{run.name}/"
    return {
        "datasetId": run.dataset_id,
        "name": run.name,
        "s3Prefix": f"{S3_PREFIX}{prefix}",
        "httpsPrefix": f"{HTTPS_PREFIX}{prefix}",
    }


def deposition_of(run: RunPlan) -> int:
    """The deposition that a run came with."""
    return int(_DATASETS[run.dataset_id]["depositionId"])


def object_of(plan: AnnotationPlan) -> ObjectName:
    """What an annotation is about."""
    match plan.subject:
        case "particles":
            kind = species(plan.species)
            return ObjectName(kind.object_id, kind.object_name)
        case "membranes" | "vesicles":
            return MEMBRANE
        case "microtubules":
            return MICROTUBULE
        case "organelle":
            return MITOCHONDRION
        case "scene":
            return CYTOPLASM


@dataclass(frozen=True, slots=True)
class MethodWords:
    """How an annotation says that it was made; imitations say so."""

    method: str
    kind: str
    software: str | None
    is_ground_truth: bool


METHODS: Final[dict[str, MethodWords]] = {
    "planted": MethodWords("Planted positions of the simulation", "simulated", SOFTWARE, True),
    "manual": MethodWords("Manual picking (imitated)", "manual", None, False),
    "template_matching": MethodWords("Template matching (imitated)", "hybrid", f"{SOFTWARE}: matcher", False),
    "sloppy": MethodWords("Careless automated picking (imitated)", "automated", f"{SOFTWARE}: careless", False),
}
