"""A class whose server is killed while answers arrive, and started again: none is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from classroom.classes import LESSON, make_pack
from command_line import serving
from napari_cryoet.classroom.client import ClassClient
from napari_cryoet.exceptions import NetworkError
from napari_cryoet.lessons.class_pack import zip_folder
from napari_cryoet.lessons.lesson import ChooseAnswer

CLASS = ("--class", "Monday")


def test_no_answer_is_lost_if_the_server_of_a_zip_is_killed(
    tmp_path: Path, user_folder: Path
) -> None:
    pack = make_pack(tmp_path / "pack")
    (pack / "lessons" / "one").mkdir(parents=True)
    (pack / "lessons" / "one" / "lesson.md").write_text(LESSON)
    (pack / "files" / "picks.ndjson").write_text("{}\n")
    zip_folder(pack, tmp_path / "pack.zip")
    students = []
    with serving(tmp_path / "pack.zip", *CLASS) as (process, said):
        for number in range(3):
            joined = ClassClient.join(
                said["page"], said["join_code"], f"S{number}", folder=tmp_path / "kept"
            )
            students.append(joined.open_lesson("one"))
        assert students[0].grade("choose", ChooseAnswer(choice=0)).score == 0
        process.kill()
        assert process.stderr is not None
        words = process.stderr.read()
    for shown in ("1 lesson", said["join_code"], said["teacher_code"], "--host 0.0.0.0"):
        assert shown in words
    with pytest.raises(NetworkError, match="kept"):
        students[1].grade("choose", ChooseAnswer(choice=1))

    (answers,) = user_folder.rglob("answers")
    assert [json.loads(path.read_bytes())["nickname"] for path in answers.iterdir()] == ["S0"]
    assert os.name == "nt" or answers.parent.stat().st_mode & 0o077 == 0
    with serving(tmp_path / "pack.zip", *CLASS) as (_, said_again):
        assert said_again == said  # the same port and codes
        students[1].student.deliver(print, print)
        students[2].grade("choose", ChooseAnswer(choice=1))
        scores = {
            each["nickname"]: each["feedback"]["score"]
            for each in map(json.loads, (path.read_bytes() for path in answers.iterdir()))
        }
    assert scores == {"S0": 0, "S1": 1, "S2": 1}
