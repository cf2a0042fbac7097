"""Edit picks as a pandas table."""

import sys

from napari_cryoet import read_picks, write_picks

picks = read_picks(sys.argv[1])
table = picks.to_dataframe()  # z_voxel, y_voxel, x_voxel, z_angstrom, …
upper_half = read_picks(table[table["z_voxel"] > table["z_voxel"].median()])
print(write_picks(upper_half, "upper_half.star").count, "of", len(picks))
