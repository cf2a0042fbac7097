"""``napari-cryoet cache``: what is kept on this computer."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_cryoet.cli import main


def test_the_cache_is_shown_and_cleared(user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import platformdirs

    assert main(["cache"]) == 0
    assert "nothing is kept" in capsys.readouterr().out
    cache = platformdirs.user_cache_path("napari-cryoet")
    (cache / "answers").mkdir(parents=True)
    (cache / "answers" / "one.json").write_bytes(b"x" * 2000)
    (cache / "link").symlink_to(user_folder)
    assert main(["cache", "show"]) == 0
    assert "2 KB" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert not any(cache.iterdir())
    assert user_folder.is_dir()
