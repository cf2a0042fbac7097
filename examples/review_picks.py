"""Judge picks without a window: look at crops in an order, keep and reject, average what was kept, write it out."""

from pathlib import Path

import numpy as np

from napari_cryoet import load_annotation, load_tomogram, open_portal
from napari_cryoet.layer_spec import PICKS_KEY
from napari_cryoet.pick_files import write_picks
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
    kept_picks,
    open_for_review,
)

page = open_portal("demo").run_page(9001)  # or "live", a portal's address, a pack's folder; and the id of a run
tomogram = page.default_tomogram
file = next(file for file in page.annotation_files if file.id == 9004)  # oriented ribosomes
picks = load_annotation(file, tomogram)[0].options["metadata"][PICKS_KEY]

volume = open_for_review(load_tomogram(tomogram).data, (tomogram.voxel_spacing,) * 3)
reader = CropReader(volume, picks.rescaled(tomogram.voxel_spacing).points_zyx, picks.rotations_zyx)

# An earlier review of these picks goes on where it ended, here and in the dock.
review = Review(picks, Subject.of(picks, name="ribosomes"))
review.set_measured({"density": densities_at(volume, reader.points_zyx, diameter_angstrom=300)})
review.look_at(Order("density"), "")  # protein is dark here: the most ribosome-like first

# A person looks at each crop; here whatever is dark in its middle is kept.
for crop in reader.read(review.rows, Frame(side_angstrom=480, slab_angstrom=50, plane="xy")):
    third = len(crop.values) // 3
    is_dark = np.nanmean(crop.values[third:-third, third:-third]) < np.nanmean(crop.values)
    review.judge([crop.row], Verdict.KEPT if is_dark else Verdict.REJECTED)
print(review.counts)

average = RunningMean()
for cube in reader.read(review.rows_with(Verdict.KEPT), Cube(side_angstrom=480, is_oriented=True)):
    average.change(cube)
print(f"average of {len(average)} picks:", average.mean.shape)

kept = kept_picks(review.picks, review.decisions)
print(kept.edits[-1])
print(write_picks(kept, Path("kept.ndjson"), overwrite=True).path)
review.save()
