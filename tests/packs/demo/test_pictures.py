"""Pictures show a slab of the volume with its contrast stretched."""

import numpy as np
from PIL import Image

from napari_cryoet.packs.demo.pictures import central_slab, save_cover, save_key_photos


def volume():
    values = np.random.default_rng(0).normal(size=(9, 40, 30)).astype(np.float32)
    values[:, 10, 5] = -50
    return values


def test_the_slab_is_y_by_x_and_uses_the_whole_range():
    slab = central_slab(volume())
    assert slab.shape == (40, 30)
    assert slab.dtype == np.uint8
    assert slab[10, 5] == 0
    assert slab.max() == 255
    assert 90 < np.median(slab) < 165


def test_a_flat_volume_gives_a_flat_picture():
    assert np.unique(central_slab(np.full((3, 4, 5), 7, np.float32))).size == 1


def test_key_photos_have_the_portals_names_and_sizes(tmp_path):
    save_key_photos(tmp_path, central_slab(volume()))
    sizes = {path.name: Image.open(path).size for path in tmp_path.iterdir()}
    assert sizes == {
        "key-photo-original.png": (30, 40),
        "key-photo-snapshot.png": (384, 512),
        "key-photo-thumbnail.png": (100, 134),
        "key-photo-expanded.png": (768, 1024),
    }


def test_a_cover_is_a_snapshot_and_a_thumbnail(tmp_path):
    save_cover(tmp_path / "Images", central_slab(volume()))
    assert {p.name: max(Image.open(p).size) for p in (tmp_path / "Images").iterdir()} == {
        "snapshot.png": 512,
        "thumbnail.png": 134,
    }
