"""Change picks as values: choose, move, add, join, turn; every change is told, and each pick keeps its id."""

import numpy as np

from napari_cryoet import load_annotation, open_portal
from napari_cryoet.layer_spec import PICKS_KEY
from napari_cryoet.picks import joined

page = open_portal("demo").run_page(9001)  # or "live", a portal's address, a pack's folder; and the id of a run
tomogram = page.default_tomogram
oriented, plain = (
    load_annotation(file, tomogram)[0].options["metadata"][PICKS_KEY]
    for file in page.annotation_files
    if file.id in (9001, 9003)  # planted ribosomes with orientations; ribosomes that a person picked
)
for picks in (oriented, plain):
    print(f"{picks.are_oriented.sum()} of {len(picks)} have a proper rotation: {picks.about['annotation_method']}")

# Positions are voxel indices in z, y, x; places in ångström don't depend on the voxel spacing.
coarse = oriented.rescaled(2 * oriented.spacing_angstrom)
print(
    "moved by rescaling:", np.abs(coarse.positions_angstrom_zyx - oriented.positions_angstrom_zyx).max().round(9), "Å"
)

# Columns of a rotation are the particle's own axes: 5 nm along each particle's z axis lies something else of it.
axes_zyx = oriented.particle_axes_zyx(2)
beside = oriented.changed(
    "moved by 50 Å along z", points_zyx=oriented.points_zyx + axes_zyx * (50 / oriented.spacing_angstrom)
)

upper = beside.take(beside.points_zyx[:, 0] < tomogram.shape_zyx[0] / 2, "kept the upper half")
more = upper.added([[10.0, 20.0, 30.0]], "added one by hand")  # nothing but its place is known
both = joined(
    [more, plain], "joined with those that a person picked"
)  # in the grid of the first, with ids of their own

print(f"{len(oriented)} -> {len(upper)} -> {len(more)} -> {len(both)} picks, {len(set(both.ids.tolist()))} ids")
print("; ".join(both.edits))
