"""Lay annotations over tomograms of other voxel spacings: in ångström all of them meet, and `fit` says how they lie."""

import numpy as np

from napari_cryoet import fit, load_annotation, load_tomogram, open_portal
from napari_cryoet.layer_spec import PICKS_KEY

page = open_portal("demo").run_page(9001)  # or "live", a portal's address, a pack's folder; and the id of a run
alignment_id = page.default_tomogram.alignment_id
tomograms = [tomogram for tomogram in page.tomograms if tomogram.alignment_id == alignment_id]
files = {file.id: file for file in page.annotation_files}
ribosomes, vesicles = files[9001], files[9013]  # picks at the fine spacing, instances at the coarse one

for tomogram in tomograms:
    volume = load_tomogram(tomogram)
    print(f"{volume.options['name']}: {tomogram.shape_zyx} voxels")
    for file in (ribosomes, vesicles):
        layer = load_annotation(file, tomogram)[0]
        how = fit(file, tomogram)
        print(f"  {layer.options['name']}, counted in {layer.options['scale'][0]} Å: {how.reason or 'the same grid'}")

# The same pick in both volumes: the place in ångström is one, the voxel isn't.
picks = load_annotation(ribosomes, tomograms[0])[0].options["metadata"][PICKS_KEY]
place_zyx = picks.positions_angstrom_zyx[0]
for spacing in sorted({tomogram.voxel_spacing for tomogram in tomograms}):
    voxel = picks.rescaled(spacing).points_zyx[0]
    print(f"{place_zyx.round(1)} Å is voxel {np.round(voxel, 2)} at {spacing} Å")
