"""Read a plane of a tomogram; only the bytes of that plane are fetched."""

from napari_cryoet import open_portal, open_volume

volume = open_volume(open_portal("demo").run_page(9001).tomogram())  # or a path or an address
finest = volume.levels[0]  # a dask array in z, y, x; the next levels are coarser
plane = finest[finest.shape[0] // 2].compute()
print(plane.shape, plane.dtype, volume.spacing_angstrom)
