"""Searches on the command line."""

from __future__ import annotations

import json
from datetime import date

import pytest

from napari_cryoet.cli import main
from napari_cryoet.cli.searches import bounds, condition, days
from napari_cryoet.discovery.fields import CONTENTS
from napari_cryoet.discovery.search import Condition

Captured = pytest.CaptureFixture[str]


def test_a_condition_is_parsed_from_one_line() -> None:
    for text, expected in (
        (
            "plasma membrane shape=SegmentationMask",
            Condition(objects=("plasma membrane",), shapes=("SegmentationMask",)),
        ),
        ('object="beta amylase" object=actin', Condition(objects=("beta amylase", "actin"))),
        (
            "no-ground-truth min-count=10 author=Peck",
            Condition(is_ground_truth=False, min_count=10, authors=("Peck",)),
        ),
    ):
        assert condition(text) == expected


def test_ranges_use_two_dots_and_dates_may_be_years() -> None:
    assert [bounds("8..14"), bounds("13.48")] == [(8.0, 14.0), (13.48, 13.48)]
    assert days("2024-05-31..2025") == (date(2024, 5, 31), date(2025, 12, 31))


def test_invalid_options_are_refused(capsys: Captured) -> None:
    wrong = (("--and", "colour=red"), ("--and", '"'), ("--spacing", "x"), ("--released", "May"))
    for option, text in wrong:
        assert main(["list", "runs", "demo", option, text]) == 2
        assert option in capsys.readouterr().err


def test_list_prints_text_ids_or_json(demo_pack: object, capsys: Captured) -> None:
    search = [
        "--object",
        "ribosomes",
        "--ground-truth",
        "--processing",
        "denoised",
        "--spacing",
        "..40",
    ]
    membrane = ["--and", "membrane shape=SegmentationMask"]
    call = ["list", "runs", str(demo_pack), *search, *membrane]

    assert main(["list", "runs", str(demo_pack), "--object", "proteasome", "--json"]) == 0
    found = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert found.keys() >= {"DEMO_001", "DEMO_003"}
    assert "proteasome complex" in found["DEMO_003"]["identified"]  # there is no annotation

    assert main([*call, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in rows] == ["DEMO_001"]

    assert main([*call, "--ids"]) == 0
    assert capsys.readouterr().out.split() == [str(row["run_id"]) for row in rows]

    first = ["list", "annotations", str(demo_pack), "--sort", "count", "--limit", "1"]
    assert main([*first, *search, *membrane]) == 0
    printed = capsys.readouterr()
    assert "cytosolic ribosome" in printed.out
    assert "1 of" in printed.err

    assert main(["list", "datasets", str(demo_pack), "yeast", "ribsome"]) == 0
    printed = capsys.readouterr()
    assert "DS-90001" in printed.out
    assert "DS-90002" not in printed.out
    assert "ribosome" in printed.err
    assert main(["list", "runs", str(demo_pack), "membrane", "--object", "ribosme"]) == 0
    advice = capsys.readouterr().err
    assert all(each in advice for each in ("searched for ribosome", "--and membrane", "membrane”"))
    assert main(["list", "runs", str(demo_pack), "--shape", "point", "--sample", "in-vitro"]) == 1
    assert "in_silico" in capsys.readouterr().err
    assert main(["list", "tomograms", str(demo_pack), "--has", "pixels"]) == 2
    refusal = capsys.readouterr().err
    assert all(each in refusal for each in CONTENTS)
    assert main(["list", "runs", str(demo_pack), "--sort", "colour"]) == 1
