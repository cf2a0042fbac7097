"""Review picks without a window: sort, keep and reject them, then average and write the kept ones."""

import numpy as np

from napari_cryoet import (
    measure_picks,
    open_annotation,
    open_portal,
    open_volume,
    write_picks,
)
from napari_cryoet.review import (
    CropReader,
    Cube,
    Frame,
    Order,
    Review,
    RunningMean,
    Subject,
    Verdict,
    kept_picks,
)

page = open_portal("demo").run_page(9001)
tomogram = page.default_tomogram
file = next(file for file in page.annotation_files if file.id == 9004)  # oriented ribosomes
picks = open_annotation(file).rescaled(tomogram.voxel_spacing)
volume = open_volume(tomogram)
picks = measure_picks(picks, volume, columns="density", diameter_angstrom=300)
crops = CropReader(volume, picks.points_zyx, picks.rotations_zyx)

review = Review(
    picks, Subject.of(picks, name="ribosomes")
)  # resumes an earlier review of these picks
review.look_at(Order("density"), "")  # protein is dark here: the darkest first

# You would look at each crop. Here, picks with a dark centre are kept.
for crop in crops.read(review.rows, Frame(side_angstrom=480, slab_angstrom=50, plane="xy")):
    third = len(crop.values) // 3
    is_dark = np.nanmean(crop.values[third:-third, third:-third]) < np.nanmean(crop.values)
    review.judge([crop.row], Verdict.KEPT if is_dark else Verdict.REJECTED)
review.save()
print(review.counts)

average = RunningMean()
for cube in crops.read(review.rows_with(Verdict.KEPT), Cube(side_angstrom=480, is_oriented=True)):
    average.change(cube)
print(f"average of {len(average)} picks: {average.mean.shape}")

kept = kept_picks(review.picks, review.decisions)
print(kept.edits[-1])
write_picks(kept, "kept.ndjson", overwrite=True)
