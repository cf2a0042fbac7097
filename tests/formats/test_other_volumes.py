"""Volumes and meshes written by mrcfile, tifffile and trimesh."""

import mrcfile
import numpy as np
import pytest
import tifffile
import trimesh

from napari_cryoet import load_annotation, load_tomogram
from napari_cryoet.exceptions import CryoETError, FormatError
from napari_cryoet.volumes import open_volume
from server import Server

SHAPE = (7, 33, 46)


def source(dtype="<f4", shape=SHAPE):
    values = np.random.default_rng(0).integers(0, 100, shape)
    return (values % 2 if np.dtype(dtype).kind == "b" else values).astype(dtype)


def values_of(spec):
    """The finest level of a layer."""
    finest = spec.data[0]
    return np.asarray(finest)


class TestMrc:
    @staticmethod
    def write(path, values, spacing_xyz=13.48, extended=b""):
        with mrcfile.new(path, overwrite=True) as file:
            file.set_data(values)
            file.voxel_size = spacing_xyz
            if extended:
                file.set_extended_header(np.frombuffer(extended, "V1"))
        return path

    @pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f4", "f2"])
    @pytest.mark.parametrize("ending", ["mrc", "map", "rec"])
    def test_every_mode_is_read_exactly(self, ending, dtype, tmp_path):
        values = source(dtype) - (50 if np.dtype(dtype).kind != "u" else 0)
        spec = load_tomogram(self.write(tmp_path / f"a.{ending}", values.astype(dtype)))

        np.testing.assert_array_equal(values_of(spec), values)
        assert spec.options["scale"] == pytest.approx((13.48,) * 3)
        assert set(spec.options["units"]) == {"angstrom"}

    def test_an_extended_header_is_skipped(self, tmp_path):
        path = self.write(tmp_path / "a.mrc", source(), extended=bytes(range(256)) * 3)

        np.testing.assert_array_equal(values_of(load_tomogram(path)), source())

    @pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f4"])
    def test_big_endian_files_are_read_exactly(self, dtype, tmp_path):
        path = self.write(tmp_path / "a.mrc", source(dtype))
        with mrcfile.open(path) as file:
            header, values = file.header.copy(), file.data.copy()
        header = header.astype(header.dtype.newbyteorder(">"))
        header["machst"] = [0x11, 0x11, 0, 0]
        path.write_bytes(header.tobytes() + values.astype(values.dtype.newbyteorder(">")).tobytes())
        with mrcfile.open(path) as file:
            np.testing.assert_array_equal(file.data, source(dtype))

        np.testing.assert_array_equal(values_of(load_tomogram(path)), source(dtype))

    def test_only_requested_planes_are_read_over_http(self, tmp_path):
        values = source(shape=(200, 128, 128))
        self.write(tmp_path / "a.mrc", values)
        with Server(tmp_path) as server:
            volume = open_volume(f"{server.url}/a.mrc")
            np.testing.assert_array_equal(volume.read_planes(slice(17, 18)), values[17:18])
            assert server.sent_bytes() < values.nbytes / 2
            np.testing.assert_array_equal(np.asarray(volume.levels[0][:, 5, 9]), values[:, 5, 9])

    @pytest.mark.parametrize("size", [0, 500, 1024, 2000])
    def test_truncated_files_are_refused(self, size, tmp_path):
        path = self.write(tmp_path / "a.mrc", source())
        path.write_bytes(path.read_bytes()[:size])

        with pytest.raises(CryoETError):
            values_of(load_tomogram(path))

    def test_a_real_average_matches_mrcfile(self, real_data):
        path = real_data / "tomograms" / "EMD-3197.map"
        spec = load_tomogram(path)

        np.testing.assert_array_equal(values_of(spec), mrcfile.read(path))
        assert spec.options["scale"] == pytest.approx((11.4,) * 3)


class TestTiff:
    @pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "f4", "f2", "f8"])
    @pytest.mark.parametrize("byteorder", ["<", ">"])
    def test_every_type_is_read_exactly(self, byteorder, dtype, tmp_path):
        tifffile.imwrite(
            tmp_path / "a.tif", source(dtype), byteorder=byteorder, photometric="minisblack"
        )

        np.testing.assert_array_equal(values_of(load_tomogram(tmp_path / "a.tif")), source(dtype))

    @pytest.mark.parametrize(
        "options",
        [
            {"compression": "zlib"},
            {"compression": "zlib", "predictor": True},
            {"compression": "zlib", "tile": (16, 16)},
            {"tile": (32, 32)},
            {"rowsperstrip": 5},
            {"bigtiff": True},
            {"bigtiff": True, "compression": "zlib", "tile": (16, 32)},
            {"imagej": True, "metadata": {"axes": "ZYX"}},
            {"ome": True, "metadata": {"axes": "ZYX"}},
            {"metadata": None},
        ],
        ids=str,
    )
    def test_every_layout_and_compression_is_read_exactly(self, options, tmp_path):
        tifffile.imwrite(tmp_path / "a.tiff", source("u2"), photometric="minisblack", **options)
        volume = open_volume(tmp_path / "a.tiff")

        assert volume.shape_zyx == SHAPE
        np.testing.assert_array_equal(np.asarray(volume.levels[0]), source("u2"))
        np.testing.assert_array_equal(
            np.asarray(volume.levels[0][3:5, 4:20, 7]), source("u2")[3:5, 4:20, 7]
        )
        np.testing.assert_array_equal(volume.read_planes(slice(2, 4)), source("u2")[2:4])

    def test_noncontiguous_pages_are_read(self, tmp_path):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            for plane in source("u1"):
                writer.write(plane, contiguous=False, metadata=None, photometric="minisblack")

        np.testing.assert_array_equal(values_of(load_tomogram(tmp_path / "a.tif")), source("u1"))

    def test_units_are_pixels_unless_a_spacing_is_given(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", source("u1"), photometric="minisblack")

        assert set(load_tomogram(tmp_path / "a.tif").options["units"]) == {"pixel"}
        options = load_tomogram(tmp_path / "a.tif", spacing_angstrom=10.52).options
        assert (options["scale"], set(options["units"])) == (
            pytest.approx((10.52,) * 3),
            {"angstrom"},
        )

    @pytest.mark.parametrize("shape", [(20, 30), (3, 7, 20, 30)])
    def test_images_that_are_not_3d_are_refused(self, shape, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", source("u1", shape), photometric="minisblack")

        with pytest.raises(FormatError):
            load_tomogram(tmp_path / "a.tif")

    def test_a_real_crop_matches_tifffile(self, real_data):
        path = real_data / "tomograms" / "13pf_MT.tif"

        np.testing.assert_array_equal(values_of(load_tomogram(path)), tifffile.imread(path))


class TestMeshes:
    """Vertices of a .glb are in ångström along x, y, z."""

    LOW_XYZ, HIGH_XYZ = (
        (9.0, 18.0, 26.0),
        (11.0, 22.0, 34.0),
    )  # different along every axis: no swap can hide

    @staticmethod
    def volume_of(vertices_zyx, faces):
        """The signed volume: positive if triangles face outwards, in z, y, x as in x, y, z."""
        a, b, c = np.moveaxis(vertices_zyx[faces], 1, 0)
        return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)

    @pytest.mark.parametrize("spacing", [None, 4.0])
    def test_vertices_keep_their_positions(self, spacing, tmp_path):
        box = trimesh.creation.box(bounds=(self.LOW_XYZ, self.HIGH_XYZ))
        (tmp_path / "a.glb").write_bytes(box.export(file_type="glb"))
        (spec,) = load_annotation(tmp_path / "a.glb", spacing)

        vertices, faces = spec.data[:2]
        world_zyx = vertices * np.asarray(spec.options["scale"])
        assert spec.kind == "surface"
        np.testing.assert_allclose(world_zyx.min(axis=0), self.LOW_XYZ[::-1])
        np.testing.assert_allclose(world_zyx.max(axis=0), self.HIGH_XYZ[::-1])
        assert self.volume_of(world_zyx, faces) == pytest.approx(2 * 4 * 8)

    def test_scene_transforms_are_applied_to_parts(self, tmp_path):
        scene, part = trimesh.Scene(), trimesh.creation.icosphere(subdivisions=2)
        for shift_xyz in ((0, 0, 0), (100, 20, 3)):
            scene.add_geometry(
                part, transform=trimesh.transformations.translation_matrix(shift_xyz)
            )
        (tmp_path / "a.glb").write_bytes(scene.export(file_type="glb"))
        (spec,) = load_annotation(tmp_path / "a.glb", 1.0)

        assert len(spec.data[1]) == 2 * len(part.faces)
        np.testing.assert_allclose(spec.data[0].max(axis=0), (4, 21, 101), atol=1e-6)
        assert self.volume_of(*spec.data[:2]) == pytest.approx(2 * part.volume)

    @pytest.mark.parametrize("content", [b"", b"glTF" + bytes(20), b"solid a\nendsolid a\n"])
    def test_files_that_are_not_meshes_are_refused(self, content, tmp_path):
        (tmp_path / "a.glb").write_bytes(content)
        with pytest.raises(FormatError):
            load_annotation(tmp_path / "a.glb")
