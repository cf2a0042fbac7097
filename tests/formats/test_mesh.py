"""Meshes: all instances in a scene are read, and malicious files are refused."""

import json
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet.exceptions import FormatError
from napari_cryoet.formats import mesh as meshes
from napari_cryoet.formats.mesh import read_mesh

LOW_XYZ, HIGH_XYZ = (
    (9.0, 18.0, 26.0),
    (11.0, 22.0, 34.0),
)  # different along every axis: no swap can hide


@pytest.fixture(scope="module")
def box() -> bytes:
    return glb(trimesh.creation.box(bounds=(LOW_XYZ, HIGH_XYZ)))


def glb(mesh) -> bytes:
    return mesh.export(file_type="glb")


def changed(content: bytes, change, binary: bytes | None = None) -> bytes:
    """A .glb with a modified JSON header."""
    (length,) = struct.unpack_from("<I", content, 12)
    header = json.loads(content[20 : 20 + length])
    change(header)
    header_bytes = json.dumps(header).encode()
    header_bytes += b" " * (-len(header_bytes) % 4)
    binary = content[20 + length + 8 :] if binary is None else binary
    chunks = [
        struct.pack("<I4s", len(header_bytes), b"JSON"),
        header_bytes,
        struct.pack("<I4s", len(binary), b"BIN\0"),
        binary,
    ]
    return b"glTF" + struct.pack("<II", 2, 12 + sum(map(len, chunks))) + b"".join(chunks)


def test_only_nodes_of_the_default_scene_are_read(box):
    def add_another(header):
        header["nodes"] = [
            {"mesh": 0},
            {"mesh": 0, "translation": [100.0, 0.0, 0.0]},
            {"children": [0]},
        ]
        header["scenes"], header["scene"] = [{"nodes": [1]}, {"nodes": [2]}], 1

    mesh = read_mesh(changed(box, add_another), "a.glb")
    np.testing.assert_array_equal(mesh.vertices_zyx.max(axis=0), HIGH_XYZ[::-1])


def refer_to_another_file(header):
    header["buffers"][0]["uri"] = "file:///etc/passwd"


def claim_huge_counts(header):
    for accessor in header["accessors"]:
        accessor["count"] = 3_000_000_000
        accessor.pop("bufferView", None)


def claim_too_many_elements(header):
    for accessor in header["accessors"]:
        accessor["count"] *= 3


@pytest.mark.parametrize(
    "change",
    [
        refer_to_another_file,
        claim_huge_counts,
        claim_too_many_elements,
        lambda header: header.update(nodes=[{"children": [0]}]),
        lambda header: header.update(nodes=[{"mesh": 9}]),
        lambda header: header.update(nodes=[], meshes=[]),
    ],
)
def test_malicious_headers_are_refused(box, change):
    with pytest.raises(FormatError, match=r"a\.glb"):
        read_mesh(changed(box, change), "a.glb")


def test_meshes_with_too_many_corners_are_refused(box, monkeypatch):
    monkeypatch.setattr(meshes, "MAX_CORNERS", 11)
    with pytest.raises(FormatError, match="too large"):
        read_mesh(box, "a.glb")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nonfinite_vertices_are_refused(value):
    box = trimesh.creation.box()
    box.vertices[3, 1] = value
    with pytest.raises(FormatError, match="nowhere"):
        read_mesh(glb(box), "a.glb")


@given(data=st.data())
def test_corrupted_bytes_give_a_mesh_or_a_format_error(box, data):
    content = bytearray(box)
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        mesh = read_mesh(bytes(content), "a.glb")
    except FormatError:
        return
    assert np.isfinite(mesh.vertices_zyx).all()
    assert 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices_zyx)
