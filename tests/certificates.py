"""A certificate for servers of tests that speak https, for which nobody vouches."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from socketserver import TCPServer
from typing import Any

import pytest


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """What ``files.test`` and this computer speak https with, and the file by which one may trust them."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=files.test", "-addext", "subjectAltName=DNS:files.test,DNS:localhost,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


def speak_https(server: TCPServer, context: ssl.SSLContext) -> None:
    """Have a server that runs encrypt its connections from now on.

    What it listens with stays as it is: wrapping that closes it for a moment, in which a thread may begin to use it.
    """
    accept = server.get_request

    def get_request() -> tuple[socket.socket, Any]:
        connection, address = accept()
        return context.wrap_socket(connection, server_side=True), address

    server.get_request = get_request  # type: ignore[method-assign]
