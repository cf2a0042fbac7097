"""Servers on this computer are known by their names alone."""

import pytest

from napari_cryoet.this_computer import is_this_computer


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "files.localhost",
        "127.0.0.1",
        "127.0.0.2",
        "127.255.255.254",
        "0.0.0.0",
        "::1",
        "[::1]",
        "0:0:0:0:0:0:0:1",
        "::",
        "[::]",
        "::ffff:127.0.0.1",
        "[::FFFF:7f00:2]",
        "::ffff:0.0.0.0",
    ],
)
def test_it_is_this_computer(host):
    assert is_this_computer(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "[]",
        "files.org",
        "localhost.org",
        "mylocalhost",
        "126.0.0.1",
        "128.0.0.1",
        "127.0.0.1.org",
        "127.0.0.256",
        "10.0.0.1",
        "192.168.0.1",
        "::2",
        "fe80::1",
        "::ffff:128.0.0.1",
    ],
)
def test_it_may_be_another_computer(host):
    assert not is_this_computer(host)
