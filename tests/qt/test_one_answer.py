"""One question has one answer: in the window, on the command line, in Python and in SQL written apart."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from generated_portal import generated_tables, write_generated_pack
from napari_cryoet.cli import main
from napari_cryoet.discovery.index import read_index
from napari_cryoet.discovery.search import Condition, Search
from napari_cryoet.portal.portal import open_portal

SIZES: Final = {"n_datasets": 20, "n_runs": 300, "n_annotations": 900, "seed": 11}
N_QUESTIONS: Final = 50

RIBOSOMES: Final = (
    "ribosome",
    "cytosolic ribosome",
    "70S ribosome",
    "80S ribosome with HCV-IRES",
)
MEMBRANES: Final = ("membrane", "plasma membrane", "mitochondrial outer membrane")
#: What users type for objects, and the names that they mean.
OBJECTS: Final = {
    "ribosome": RIBOSOMES,
    "ribosxxe": (),
    "ribosme": RIBOSOMES,
    "Membranes": MEMBRANES,
    '"ribosome"': ("ribosome",),
    "TRiC": ("chaperonin-containing T-complex",),
    "vesicle": ("synaptic vesicle",),
    "spike": ("spike protein",),
    "GO:0048492": ("RubisCO complex",),
    "pdb-5mdz": ("70S ribosome",),
}
#: Words that name an object, or that only datasets have.
WORDS: Final = {
    "ribosomes": RIBOSOMES,
    "membrane": MEMBRANES,
    "tric": OBJECTS["TRiC"],
    "synapse": None,
    "motor": None,
}


class Question(NamedTuple):
    """A question as fields of a search, as options of the command, and as SQL for ids of runs."""

    fields: dict[str, Any]
    options: list[str]
    sql: str


def one_of(column: str, values: Iterable[str]) -> str:
    return f"{column} IN ({', '.join(repr(each) for each in values)})"


def has(table: str, *conditions: str) -> str:
    where = " AND ".join(("runId = runs.id", *conditions))
    return f"EXISTS (SELECT 1 FROM {table} WHERE {where})"


def annotation_fields(chance: random.Random) -> Question:
    """Some fields of one annotation; the SQL is the conditions on its row."""
    fields: dict[str, Any] = {}
    options: list[str] = []
    conditions = ["TRUE"]
    if chance.random() < 0.6:
        name = chance.choice([*OBJECTS])
        fields["objects"] = name
        options += ["--object", name]
        conditions.append(one_of("objectName", OBJECTS[name]))
    if chance.random() < 0.3:
        shape = chance.choice(("Point", "SegmentationMask"))
        fields["shapes"] = shape
        options += ["--shape", shape.lower()]
        shaped = f"SELECT annotationId FROM annotationShapes WHERE shapeType = '{shape}'"
        conditions.append(f"annotations.id IN ({shaped})")
    if chance.random() < 0.3:
        fields["is_ground_truth"] = True
        options.append("--ground-truth")
        conditions.append("groundTruthStatus")
    if chance.random() < 0.3:
        method = chance.choice(("automated", "manual"))
        fields["methods"] = method
        options += ["--method", method.title()]
        conditions.append(f"methodType = '{method}'")
    if chance.random() < 0.2:
        fields["min_count"] = 100
        options += ["--min-count", "100"]
        conditions.append("objectCount >= 100")
    return Question(fields, options, " AND ".join(conditions))


def about_annotations(chance: random.Random) -> Question:
    """Words, and fields of one annotation that they are about if they name an object."""
    fields, options, row = annotation_fields(chance)
    sql = []
    word = chance.choice((*WORDS, "", "", ""))
    objects = WORDS.get(word)
    if word:
        fields["text"] = word
        options.append(word)
        if objects is None or not fields.keys() - {"text"}:
            texts = " || ".join(("datasets.title", "datasets.description", "depositions.title"))
            found = f"{texts} LIKE '%{word.removesuffix('s')}%'"
            if objects is not None:
                named = one_of("objectName", objects)
                found = (
                    f"({found} OR {has('annotations', named)} OR {has('identifiedObjects', named)})"
                )
            sql.append(found)
        else:
            row += f" AND {one_of('objectName', objects)}"
    if fields.keys() - {"text"}:
        found = has("annotations", row)
        if fields.keys() <= {"text", "objects"}:  # objects alone may be identified only
            named = row.removeprefix("TRUE AND ")
            found = f"({found} OR {has('identifiedObjects', named)})"
        sql.append(found)
    return Question(fields, options, " AND ".join(sql))


def about_data(chance: random.Random) -> Question:
    """Fields of datasets, tomograms and tilt series."""
    fields: dict[str, Any] = {}
    options: list[str] = []
    sql: list[str] = []
    tomogram: list[str] = []
    if chance.random() < 0.2:
        fields["sample_types"] = "tissue", "in_vitro"
        options += ["--sample", "Tissue", "--sample", "in-vitro"]
        sql.append(one_of("datasets.sampleType", ("tissue", "in_vitro")))
    if chance.random() < 0.3:
        processing = chance.choice(("raw", "denoised"))
        fields["processing"] = processing
        options += ["--processing", processing.upper()]
        tomogram.append(f"processing = '{processing}'")
    if chance.random() < 0.3:
        fields["reconstruction"] = "WBP"
        options += ["--reconstruction", "wbp"]
        tomogram.append("reconstructionMethod = 'WBP'")
    if chance.random() < 0.3:
        fields["spacing_angstrom"] = (None, 10)
        options += ["--spacing", "..10"]
        tomogram.append("voxelSpacing <= 10.05")
    if tomogram:
        sql.append(has("tomograms", *tomogram))
    if chance.random() < 0.2:
        fields["tilt_quality"] = 4, 5
        options += ["--quality", "4", "--quality", "5"]
        sql.append(has("tiltseries", "tiltSeriesQuality >= 4"))
    return Question(fields, options, " AND ".join(sql))


def questions() -> Iterable[Question]:
    chance = random.Random(33)
    found = 0
    while found < N_QUESTIONS:
        annotations, data = about_annotations(chance), about_data(chance)
        if annotations.fields or data.fields:
            found += 1
            parts = [part for part in (annotations.sql, data.sql) if part]
            options = [*annotations.options, *data.options]
            fields = annotations.fields | data.fields
            yield Question(fields, options, " AND ".join(parts))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_generated_pack(tmp_path_factory.mktemp("pack"), **SIZES).folder


@pytest.fixture(scope="module")
def database() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    for table, rows in generated_tables(**SIZES).items():
        names = [*rows[0]]
        database.execute(f"CREATE TABLE {table} ({', '.join(names)})")
        cells = ([row.get(name) for name in names] for row in rows)
        database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})", cells)
    return database


@pytest.mark.slow
def test_fifty_questions_have_one_answer_each(
    qtbot, make_browser, pack, database, capsys, monkeypatch
) -> None:
    # fifty commands read the pack: keep its tables, as those of a large one
    monkeypatch.setattr("napari_cryoet.portal.transport._LARGE_PACK_BYTES", 1000)
    index = read_index(open_portal(pack))
    browser = make_browser()
    with qtbot.waitSignal(browser.session.catalogue_changed):
        browser.use_source(str(pack))
    browser.screens.switch.setCurrentIndex(1)
    n_with_runs = 0
    for fields, options, condition in questions():
        query = f"""SELECT runs.id FROM runs JOIN datasets ON datasets.id = runs.datasetId
            JOIN depositions ON depositions.id = datasets.depositionId WHERE {condition}"""
        expected = sorted(run for (run,) in database.execute(query))
        matches = index.find(**fields)
        assert list(matches.run_ids) == expected, fields

        assert main(["list", "runs", str(pack), "--ids", *options]) == 0
        printed = capsys.readouterr().out.split()
        assert sorted(map(int, printed)) == expected, options

        of_annotation = {
            name: fields[name] for name in Condition.__struct_fields__ if name in fields
        }
        others = {name: value for name, value in fields.items() if name not in of_annotation}
        conditions = (Condition(**of_annotation),) if of_annotation else ()
        search = Search(annotations=conditions, **others)
        browser.finder.set_search(search)
        qtbot.waitUntil(lambda search=search: browser.finder.answer.search == search)
        assert browser.screens.switch.tabText(1) == f"Runs {len(expected)}", fields
        n_with_runs += bool(expected)
    assert N_QUESTIONS > n_with_runs > N_QUESTIONS / 2
