"""Written volumes match the portal's, down to each chunk's bytes."""

import json
from math import ceil

import mrcfile
import numcodecs
import numpy as np
import pytest
import zarr

from napari_cryoet.formats.mrc import write_mrc
from napari_cryoet.formats.ome_zarr import write_pyramid

ODD_SHAPE = (5, 301, 11)
SPACING = 13.48


@pytest.fixture
def tomogram():
    return np.random.default_rng(3).normal(size=ODD_SHAPE).astype(np.float32)


def decoded_chunk(path, index, dtype, chunk_shape=(256, 256, 256)):
    frame = path.joinpath(*map(str, index)).read_bytes()
    return np.frombuffer(numcodecs.Blosc().decode(frame), dtype).reshape(chunk_shape), frame


def test_metadata_match_the_portals(tmp_path, tomogram):
    write_pyramid(tmp_path / "a.zarr", tomogram, SPACING)
    scales = [[SPACING * f] * 3 for f in (1, 2, 4)]
    assert json.loads((tmp_path / "a.zarr/.zattrs").read_text()) == {
        "multiscales": [
            {
                "version": "0.4",
                "name": "/",
                "axes": [{"name": n, "type": "space", "unit": "angstrom"} for n in "zyx"],
                "datasets": [
                    {
                        "path": str(k),
                        "coordinateTransformations": [{"type": "scale", "scale": scale}],
                    }
                    for k, scale in enumerate(scales)
                ],
            }
        ]
    }
    assert json.loads((tmp_path / "a.zarr/1/.zarray").read_text()) == {
        "chunks": [256, 256, 256],
        "compressor": {"blocksize": 0, "clevel": 5, "cname": "lz4", "id": "blosc", "shuffle": 1},
        "dimension_separator": "/",
        "dtype": "<f4",
        "fill_value": 0.0,
        "filters": None,
        "order": "C",
        "shape": [3, 151, 6],
        "zarr_format": 2,
    }
    assert not (tmp_path / "a.zarr/.zmetadata").exists()


def test_coarse_levels_are_block_means_padded_with_zeros(tmp_path, tomogram):
    write_pyramid(tmp_path / "a.zarr", tomogram, SPACING)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    np.testing.assert_array_equal(group["0"][:], tomogram)
    for level, factor in ((1, 2), (2, 4)):
        shape = [ceil(n / factor) for n in ODD_SHAPE]
        padded = np.zeros([n * factor for n in shape])
        padded[tuple(slice(n) for n in ODD_SHAPE)] = tomogram
        z, y, x = shape
        expected = padded.reshape(z, factor, y, factor, x, factor).mean(axis=(1, 3, 5))
        np.testing.assert_allclose(group[str(level)][:], expected, atol=1e-6)


def test_chunks_are_full_size_blosc_frames_padded_with_zeros(tmp_path, tomogram):
    write_pyramid(tmp_path / "a.zarr", tomogram, SPACING)
    for y in (0, 1):
        chunk, frame = decoded_chunk(tmp_path / "a.zarr/0", (0, y, 0), "<f4")
        part = tomogram[:, y * 256 : (y + 1) * 256]
        np.testing.assert_array_equal(chunk[tuple(slice(n) for n in part.shape)], part)
        assert np.count_nonzero(chunk) == np.count_nonzero(part)
        flags, typesize, raw_bytes, block_bytes = (
            frame[2],
            frame[3],
            *np.frombuffer(frame[4:12], "<u4"),
        )
        assert flags & 0x1, "bytes are shuffled"
        assert flags >> 5 == 1, "the codec is lz4"
        assert (typesize, raw_bytes, block_bytes) == (4, 256**3 * 4, 512 * 1024)


def test_tilt_series_keep_all_images_with_one_per_chunk(tmp_path):
    images = np.random.default_rng(1).normal(size=(3, 12, 9)).astype(np.float32)
    write_pyramid(tmp_path / "t.zarr", images, 2.5, "tiltseries")
    group = zarr.open_group(tmp_path / "t.zarr", mode="r")
    assert [group[str(k)].shape for k in range(3)] == [(3, 12, 9), (3, 6, 5), (3, 3, 3)]
    assert group["0"].chunks == (1, 1024, 1024)
    scales = [
        d["coordinateTransformations"][0]["scale"]
        for d in group.attrs.asdict()["multiscales"][0]["datasets"]
    ]
    assert scales == [[2.5, 2.5, 2.5], [2.5, 5, 5], [2.5, 10, 10]]
    chunk, _ = decoded_chunk(tmp_path / "t.zarr/0", (2, 0, 0), "<f4", (1, 1024, 1024))
    np.testing.assert_array_equal(chunk[0, :12, :9], images[2])


@pytest.mark.parametrize(("dtype", "mode"), [("f4", 2), ("i1", 0), ("u2", 6), ("i2", 1)])
def test_mrc_files_have_the_portals_mode_and_voxel_size(tmp_path, dtype, mode):
    volume = np.random.default_rng(5).integers(0, 90, (4, 5, 6)).astype(dtype)
    size_bytes = write_mrc(tmp_path / "a.mrc", volume, SPACING)
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        np.testing.assert_array_equal(mrc.data, volume)
        assert mrc.header.mode == mode
        assert mrc.header.ispg == 1
        assert mrc.voxel_size.x == pytest.approx(SPACING)
        assert mrc.header.dmean == pytest.approx(volume.mean(), rel=1e-5)
        assert mrc.header.rms == pytest.approx(volume.std(), rel=1e-5)
        assert (mrc.header.dmin, mrc.header.dmax) == (volume.min(), volume.max())
    assert mrcfile.validate(tmp_path / "a.mrc")
    assert size_bytes == (tmp_path / "a.mrc").stat().st_size == 1024 + volume.nbytes
