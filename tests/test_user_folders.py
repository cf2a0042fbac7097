"""Where there is no home folder, all goes on but what would be lost."""

import pytest

from napari_cryoet import user_folders
from napari_cryoet.cli import main
from napari_cryoet.exceptions import SaveError
from napari_cryoet.portal.portal import open_portal
from napari_cryoet.review import SessionStore
from napari_cryoet.streaming.disk_settings import cache_folder, named_limit_bytes


@pytest.fixture
def homeless(monkeypatch):
    def nowhere(*_names, **_options):
        raise RuntimeError("could not determine the home directory")

    for name in ("user_cache_path", "user_config_path", "user_data_path"):
        monkeypatch.setattr(user_folders, name, nowhere)
    user_folders._folder.cache_clear()
    yield
    user_folders._folder.cache_clear()


@pytest.mark.usefixtures("homeless")
def test_an_account_without_a_home_has_a_cache_until_the_program_ends(capsys):
    folder = user_folders.cache_path()
    assert folder == user_folders.cache_path() == cache_folder().parent
    assert named_limit_bytes() is None
    assert main(["cache"]) == 0
    assert str(folder) in capsys.readouterr().out
    open_portal("https://portal.example.invalid/graphql")
    user_folders._folder().cleanup()
    assert not folder.parent.exists()


@pytest.mark.usefixtures("homeless")
def test_an_account_without_a_home_is_told_that_reviews_cant_be_kept():
    with pytest.raises(SaveError, match="no home folder"):
        SessionStore()
