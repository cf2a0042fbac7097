"""The command that makes packs."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from lessons.sample_lesson import view_at, write_lesson
from napari_cryoet import open_portal
from napari_cryoet.basket.basket import Basket, write_basket
from napari_cryoet.cli import main
from napari_cryoet.demo.write import demo_folder
from napari_cryoet.lessons.folder import lessons_of
from napari_cryoet.packs.pack import open_pack
from napari_cryoet.packs.zipped import unpacked
from napari_cryoet.views.view import View, ViewedRun
from views.cameras import camera_at

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("arguments", "n_tomograms"),
    [
        ("demo to --run RN-9001 --title Class", 4),
        ("demo to --lesson a-lesson", 1),
        ("a-lesson to", 1),
        ("a-view.view.json to --level 2 --around 5", 1),
        ("basket.toml to.zip", 1),
    ],
)
def test_each_kind_of_content_is_packed(
    arguments: str,
    n_tomograms: int,
    demo_at_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.chdir(tmp_path)
    page = open_portal("demo").run_page(9001)
    assert page.default_tomogram is not None
    view = view_at(open_portal("demo"), (100.0, 400.0, 400.0))
    (tmp_path / "a-view.view.json").write_bytes(view.to_json())
    write_lesson(tmp_path / "a-lesson", view)
    basket = Basket(source="demo", tomograms=(page.default_tomogram.id,))
    write_basket(basket, tmp_path / "basket.toml")
    to = tmp_path / arguments.split()[1]
    if "a-lesson to" in arguments:
        assert main(["pack", *shlex.split(arguments), "--dry-run"]) == 0
        assert "tomograms" in capsys.readouterr().out
        assert not to.exists()
    assert main(["pack", *shlex.split(arguments)]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f", in {to}")
    assert len(open_portal(to).run_page(9001).tomograms) == n_tomograms


def test_the_whole_demo_becomes_a_zip_and_a_dry_run_writes_nothing(
    demo_pack: Path, tmp_path: Path, capsys: Captured
) -> None:
    shutil.copytree(demo_pack, demo_folder())
    to = tmp_path / "to.zip"
    assert main(["pack", "demo", str(to), "--dry-run"]) == 0
    assert "MB" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert main(["pack", "demo", str(to)]) == 0
    assert open_pack(unpacked(to)).id == open_pack(demo_pack).id
    assert main(["pack", "demo", str(to)]) == 1
    assert "--overwrite" not in capsys.readouterr().err


def test_a_lesson_of_the_source_is_packed_by_its_key(
    demo_at_home: Path, tmp_path: Path, capsys: Captured
) -> None:
    to = tmp_path / "to"
    assert main(["pack", "demo", str(to), "--lesson", "2-finding-ribosomes"]) == 0
    assert [each.lesson.key for each in lessons_of(to)] == ["2-finding-ribosomes"]
    assert open_portal(to).run_page(9003).tomograms
    assert main(["pack", str(demo_at_home), str(to), "--lesson", "ribosomes"]) == 1
    assert "2-finding-ribosomes" in capsys.readouterr().err


def test_a_source_alone_or_a_view_of_an_unnamed_host_is_refused(
    demo_pack: Path, tmp_path: Path, capsys: Captured
) -> None:
    to = str(tmp_path / "to")
    assert main(["pack", str(demo_pack), to]) == 2
    run = ViewedRun(source="https://elsewhere.invalid/graphql", run_name="TS_1")
    view = View(runs=(run,), camera=camera_at())
    assert main(["pack", view.link(), to]) == 1
    assert "elsewhere.invalid" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
