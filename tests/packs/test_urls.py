from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import pytest

from napari_cryoet.exceptions import PackError
from napari_cryoet.packs.pack import write_pack
from napari_cryoet.packs.urls import is_safe, local_urls, moved_urls, path_below
from packs.small_pack import HTTPS, MANIFEST

NAMES = ["TS_026", "run 1", "a+b", "[0]", "50%", "#2", "50%20", "what?", "µ ä", "a;b,c=d&e", "100%25 sure"]


@pytest.fixture
def pack(tmp_path):
    return write_pack(tmp_path / "a pack", MANIFEST, {})


def path_of(url):
    return Path(url2pathname(urlsplit(url).path))


@pytest.mark.parametrize("name", NAMES)
def test_a_plainly_stored_url_leads_to_the_file_of_that_name(pack, name):
    file = pack.files / "10" / name / "volume.mrc"
    file.parent.mkdir(parents=True)
    file.write_text(name)
    url = local_urls(pack)(f"{HTTPS}10/{name}/volume.mrc")
    assert urlsplit(url).scheme == "file"
    assert not urlsplit(url).query
    assert not urlsplit(url).fragment
    assert path_of(url).read_text() == name


@pytest.mark.parametrize("name", ["run 1", "[0]", "#2", "50%", "µ ä"])
def test_a_percent_encoded_url_leads_to_the_file_too(pack, name):
    from urllib.parse import quote

    (pack.files / name).write_text(name)
    assert path_of(local_urls(pack)(HTTPS + quote(name))).read_text() == name


def test_a_folder_keeps_its_slash(pack):
    assert local_urls(pack)(f"{HTTPS}10/").endswith("/files/10/")


def test_urls_of_others_stay_as_they_are(pack):
    for url in ("https://elsewhere.org/10/x.png", "s3://bucket/10/x", "HTTPS://files.example.org.evil/x"):
        assert local_urls(pack)(url) == url


@pytest.mark.parametrize("url", ["file:///secrets", "//server/share", r"\\server\share", "javascript:x()", "text", ""])
def test_what_is_no_url_of_the_web_is_blanked(pack, url):
    assert local_urls(pack)(url) == ""


def test_urls_can_lead_to_a_server(pack):
    rewrite = moved_urls(pack, "http://127.0.0.1:8000/files/")
    assert rewrite(f"{HTTPS}10/TS 1 [a]+b #2 50%/x.zarr") == (
        "http://127.0.0.1:8000/files/10/TS%201%20%5Ba%5D%2Bb%20%232%2050%25/x.zarr"
    )


@pytest.mark.parametrize(
    "rest", ["../pack.json", "10/../../x", "10/%2e%2e/%2E%2E/x", "%2fetc/passwd", "..%5cx", "a\\b", "C:/x", "a%00b"]
)
def test_a_url_that_leads_out_of_the_pack_is_refused(pack, rest):
    with pytest.raises(PackError, match="leads out of its files"):
        local_urls(pack)(HTTPS + rest)


def test_a_percent_sign_of_the_name_itself_comes_first(pack):
    (pack.files / "a%20b").write_text("")
    assert path_below(pack.files, "a%20b") == "a%20b"
    assert path_below(pack.files, "c%20d") == "c d"


@pytest.mark.parametrize("path", ["a", "a/b", "a b/c.d", ".zattrs", "a/.zarray", "...", "ab:c", ""])
def test_plain_paths_are_safe(path):
    assert is_safe(path)


def test_names_survive_the_way_there_and_back(pack):
    rewrite = moved_urls(pack, "http://host/files/")
    for name in NAMES:
        (pack.files / name).write_text("")
        assert unquote(urlsplit(rewrite(HTTPS + name)).path.removeprefix("/files/")) == name
