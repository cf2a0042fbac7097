"""Meshes: vertices where the file has them, outside stays outside, and hostile files are refused in words."""

import json
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from napari_cryoet import meshes
from napari_cryoet.exceptions import FormatError
from napari_cryoet.meshes import read_mesh, surface_spec

LOW_XYZ, HIGH_XYZ = (9.0, 18.0, 26.0), (11.0, 22.0, 34.0)  # different along every axis: no swap can hide


@pytest.fixture(scope="module")
def box() -> bytes:
    return glb(trimesh.creation.box(bounds=(LOW_XYZ, HIGH_XYZ)))


def glb(mesh) -> bytes:
    return mesh.export(file_type="glb")


def header_of(content: bytes):
    (length,) = struct.unpack_from("<I", content, 12)
    return json.loads(content[20 : 20 + length]), content[20 + length + 8 :]


def changed(content: bytes, change, binary: bytes | None = None) -> bytes:
    """A .glb whose description was changed."""
    header, kept = header_of(content)
    change(header)
    described = json.dumps(header).encode()
    described += b" " * (-len(described) % 4)
    binary = kept if binary is None else binary
    chunks = (
        struct.pack("<I4s", len(described), b"JSON") + described + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    )
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def volume_of(mesh) -> float:
    """Positive where the triangles look outward."""
    a, b, c = np.moveaxis(mesh.vertices_zyx[mesh.faces], 1, 0)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def test_vertices_are_the_files_in_z_y_x(box):
    mesh = read_mesh(box, "a.glb")

    np.testing.assert_array_equal(mesh.vertices_zyx.min(axis=0), LOW_XYZ[::-1])
    np.testing.assert_array_equal(mesh.vertices_zyx.max(axis=0), HIGH_XYZ[::-1])
    assert mesh.faces.shape == (12, 3)


def test_outside_stays_outside(box):
    assert volume_of(read_mesh(box, "a.glb")) == pytest.approx(2 * 4 * 8)


def test_parts_lie_where_the_file_places_them():
    scene = trimesh.Scene()
    part = trimesh.creation.box(extents=(1, 1, 1))
    for shift_xyz in ((0, 0, 0), (100, 20, 3)):
        scene.add_geometry(part, transform=trimesh.transformations.translation_matrix(shift_xyz))

    mesh = read_mesh(glb(scene), "a.glb")

    assert len(mesh.faces) == 24
    np.testing.assert_allclose(mesh.vertices_zyx.max(axis=0), (3.5, 20.5, 100.5))
    assert volume_of(mesh) == pytest.approx(2)


def test_what_the_file_s_scene_leaves_out_is_not_drawn(box):
    def add_another(header):
        header["nodes"] = [{"mesh": 0}, {"mesh": 0, "translation": [100.0, 0.0, 0.0]}, {"children": [0]}]
        header["scenes"] = [{"nodes": [1]}, {"nodes": [2]}]
        header["scene"] = 1

    mesh = read_mesh(changed(box, add_another), "a.glb")

    np.testing.assert_array_equal(mesh.vertices_zyx.max(axis=0), HIGH_XYZ[::-1])


@pytest.mark.parametrize("scene", [{"nodes": [7]}, {"nodes": "all"}, {"nodes": [1]}])
def test_a_scene_of_what_is_no_root_is_refused(box, scene):
    def choose(header):
        header["nodes"] = [{"children": [1]}, {"mesh": 0}]
        header["scenes"] = [scene]

    with pytest.raises(FormatError, match="no tree"):
        read_mesh(changed(box, choose), "a.glb")


def test_a_layer_lies_in_angstrom_and_counts_in_voxels_of_its_spacing(box):
    mesh = read_mesh(box, "a.glb")

    spec = surface_spec(mesh, {"scale": (4.0,) * 3}, name="a", color=(1, 0.5, 0, 1), spacing_angstrom=4.0)

    assert spec.kind == "surface"
    vertices, faces, values = spec.data
    np.testing.assert_allclose(vertices * 4.0, mesh.vertices_zyx)
    assert faces is mesh.faces
    assert set(values) == {1.0}
    assert spec.options["colormap"]["colors"] == [[1.0, 0.5, 0.0, 1.0]] * 2


def test_lines_and_points_beside_the_triangles_are_left_out(box):
    def add_points(header):
        header["meshes"][0]["primitives"].append({"mode": 0, "attributes": {"POSITION": 0}})

    assert len(read_mesh(changed(box, add_points), "a.glb").faces) == 12


class TestHostileFiles:
    @pytest.mark.parametrize("where", ["buffers", "images"])
    @pytest.mark.parametrize("uri", ["https://files.invalid/a.bin", "file:///etc/passwd", "a.bin", "data:;base64,AAAA"])
    def test_that_point_elsewhere_are_refused_and_nothing_is_fetched(self, box, where, uri):
        def point_elsewhere(header):
            header.setdefault(where, []).append({"uri": uri, "byteLength": 4})

        with pytest.raises(FormatError, match="outside of the file"):
            read_mesh(changed(box, point_elsewhere), "a.glb")

    def test_that_need_an_extension_are_refused_by_its_name(self, box):
        content = changed(box, lambda header: header.update(extensionsRequired=["KHR_draco_mesh_compression"]))

        with pytest.raises(FormatError, match="KHR_draco_mesh_compression"):
            read_mesh(content, "a.glb")

    def test_with_huge_counts_take_no_memory(self, box):
        def claim(header):
            for accessor in header["accessors"]:
                accessor["count"] = 3_000_000_000
                accessor.pop("bufferView", None)

        with pytest.raises(FormatError, match=r"which is too much|is no view"):
            read_mesh(changed(box, claim), "a.glb")

    def test_with_more_than_the_file_holds_are_refused(self, box):
        def claim(header):
            for accessor in header["accessors"]:
                accessor["count"] = 3 * accessor["count"]

        with pytest.raises(FormatError, match="larger than the file"):
            read_mesh(changed(box, claim), "a.glb")

    def test_that_repeat_a_part_without_end_are_refused(self, box, monkeypatch):
        monkeypatch.setattr(meshes, "MAX_VERTICES", 100)

        def repeat(header):
            place = next(node for node in header["nodes"] if "mesh" in node)
            header["nodes"] = [{"mesh": place["mesh"]} for _ in range(50)]

        with pytest.raises(FormatError, match="which is too much"):
            read_mesh(changed(box, repeat), "a.glb")

    @pytest.mark.parametrize(
        "nodes", [[{"children": [0]}], [{"children": [1, 1]}, {}], [{"children": [7]}], [{"mesh": 9}]]
    )
    def test_whose_parts_are_no_tree_are_refused(self, box, nodes):
        with pytest.raises(FormatError, match=r"no tree|not in the file"):
            read_mesh(changed(box, lambda header: header.update(nodes=nodes)), "a.glb")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
    def test_with_vertices_that_are_nowhere_are_refused(self, value):
        box = trimesh.creation.box()
        box.vertices[3, 1] = value

        with pytest.raises(FormatError, match="nowhere"):
            read_mesh(glb(box), "a.glb")

    def test_with_corners_that_are_not_there_are_refused(self):
        box = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
        content = glb(box)
        header, binary = header_of(content)
        view = header["bufferViews"][header["accessors"][header["meshes"][0]["primitives"][0]["indices"]]["bufferView"]]
        at = view.get("byteOffset", 0)
        broken = binary[:at] + struct.pack("<I", 5) + binary[at + 4 :]

        with pytest.raises(FormatError, match="isn't there"):
            read_mesh(changed(content, lambda _header: None, broken), "a.glb")

    def test_with_fans_of_triangles_are_refused_rather_than_shown_without_them(self, box):
        def add_fan(header):
            (part,) = header["meshes"][0]["primitives"]
            header["meshes"][0]["primitives"].append(part | {"mode": 6})

        with pytest.raises(FormatError, match="fans of triangles"):
            read_mesh(changed(box, add_fan), "a.glb")

    def test_of_no_triangles_are_refused(self, box):
        with pytest.raises(FormatError, match="no triangles"):
            read_mesh(changed(box, lambda header: header.update(nodes=[], meshes=[])), "a.glb")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"glTF",
            b"solid a\n",
            b"glTF" + struct.pack("<II", 1, 20) + bytes(8),
            b"glTF" + struct.pack("<II", 2, 20) + b"\xff" * 8,
        ],
    )
    def test_of_another_kind_are_refused(self, content):
        with pytest.raises(FormatError, match="can't be shown as a mesh"):
            read_mesh(content, "a.glb")

    def test_too_large_are_refused_before_they_are_read(self, box, monkeypatch):
        monkeypatch.setattr(meshes, "MAX_FILE_BYTES", 100)

        with pytest.raises(FormatError, match="too large"):
            read_mesh(box, "a.glb")

    @given(data=st.data())
    def test_with_any_bytes_changed_give_a_mesh_or_a_reason(self, box, data):
        content = bytearray(box)
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

        try:
            mesh = read_mesh(bytes(content), "a.glb")
        except FormatError:
            return
        assert np.isfinite(mesh.vertices_zyx).all()
        assert mesh.faces.min() >= 0
        assert mesh.faces.max() < len(mesh.vertices_zyx)
