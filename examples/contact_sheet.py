"""Draw the contact sheet of a review as a picture: crops in their order, and the mean of the kept ones at the end."""

import sys

import numpy as np
from PIL import Image

from napari_cryoet import load_annotation, load_tomogram, open_portal
from napari_cryoet.layer_spec import PICKS_KEY
from napari_cryoet.review import (
    CropReader,
    Cube,
    Frame,
    Order,
    Review,
    RunningMean,
    Subject,
    Verdict,
    densities_at,
    distances_nm,
    open_for_review,
)

page = open_portal("demo").run_page(9001)  # or "live", a portal's address, a pack's folder; and the id of a run
tomogram = page.default_tomogram
file = next(file for file in page.annotation_files if file.id == 9004)  # oriented ribosomes
picks = load_annotation(file, tomogram)[0].options["metadata"][PICKS_KEY].rescaled(tomogram.voxel_spacing)
volume = open_for_review(load_tomogram(tomogram).data, (tomogram.voxel_spacing,) * 3)
reader = CropReader(volume, picks.points_zyx, picks.rotations_zyx)

review = Review(picks, Subject.of(picks, name="ribosomes"))
review.set_measured(distances_nm(picks.points_zyx, volume.shape, volume.spacing_zyx))  # nearest_nm and edge_nm
review.set_measured({"density": densities_at(volume, picks.points_zyx, diameter_angstrom=300)})
review.look_at(Order("density"), "edge_nm > 10 and nearest_nm > 20")  # as in the fields of the dock
review.judge(review.rows[:20], Verdict.KEPT)
review.judge(review.rows[20:], Verdict.REJECTED)
review.undo()  # the last step: those are undecided again
review.save()  # the same picks open with these decisions, here and in the dock
again = Review(picks, Subject.of(picks, name="ribosomes"))
print(f"{len(review.rows)} shown of {len(picks)}; {again.counts}; {again.remark}")

mean = RunningMean()
for cube in reader.read(again.rows_with(Verdict.KEPT), Cube(side_angstrom=400, is_oriented=True)):
    mean.change(cube)
frame = Frame(side_angstrom=400, slab_angstrom=50, plane="xy", is_oriented=True)
crops = {crop.row: crop.values for crop in reader.read(review.rows, frame)}
tiles = [*(crops[row] for row in review.rows), *mean.sections()]

side = max(max(tile.shape) for tile in tiles) + 2
low, high = np.nanpercentile(np.concatenate([tile.ravel() for tile in tiles]), (1, 99))
sheet = np.full((-(-len(tiles) // 8) * side, 8 * side), high)
for place, tile in enumerate(tiles):
    down, right = place // 8 * side, place % 8 * side
    sheet[down : down + tile.shape[0], right : right + tile.shape[1]] = np.nan_to_num(tile, nan=high)
grey = 255 * np.clip((sheet - low) / (high - low), 0, 1)
Image.fromarray(grey.astype(np.uint8)).save(sys.argv[1] if len(sys.argv) > 1 else "sheet.png")
