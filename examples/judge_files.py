"""Judge a file of picks in a volume, without a portal: check them, measure them, keep some, compare, write the kept.

    python examples/judge_files.py PICKS VOLUME [SPACING]

PICKS is any file of picks that can be read, VOLUME an OME-Zarr or MRC volume, SPACING the width of a voxel in ångström
that the picks count in, where their file doesn't say it. Without arguments, the demo's.
"""

import sys

from napari_cryoet import check_picks, compare, load_tomogram, open_portal, read_picks, write_picks
from napari_cryoet.review import (
    CropReader,
    Frame,
    Order,
    Review,
    Subject,
    Verdict,
    distances_nm,
    kept_picks,
    open_for_review,
)

if len(sys.argv) > 2:
    picks_path, volume_path, spacing = sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else None
else:
    page = open_portal("demo").run_page(9001)
    picks_path = page.annotation_files[0].https_path.removeprefix("file://")
    volume_path, spacing = page.default_tomogram.https_omezarr_dir, page.default_tomogram.voxel_spacing

picks = read_picks(picks_path, spacing_angstrom=spacing)
if picks.spacing_angstrom is None:
    sys.exit("This file doesn't say how wide the voxels are that its picks count in. Say it in ångström, as SPACING.")
tomogram = load_tomogram(volume_path)
for statement in check_picks(picks, volume_path).statements:
    print("!" if statement.is_odd else " ", statement.text)

volume = open_for_review(tomogram.data, tomogram.options["scale"])
in_volume = picks.rescaled(tomogram.options["scale"][0])  # the two may have different voxel spacings
review = Review(picks, Subject.of(picks, name="picks", path=str(picks_path)))
review.set_measured(distances_nm(in_volume.points_zyx, volume.shape, volume.spacing_zyx))
review.look_at(Order("nearest_nm", is_descending=True), "edge_nm > 10 and nearest_nm > 20")
reader = CropReader(volume, in_volume.points_zyx, in_volume.rotations_zyx)
crops = [crop.values for crop in reader.read(review.rows[:12], Frame(side_angstrom=400, slab_angstrom=50, plane="xz"))]
if not crops:
    sys.exit(f"None of {len(picks)} picks stands alone and away from the edge of this volume, so none is kept.")
review.judge(review.rows, Verdict.KEPT)  # a person would look at each
review.save()
print(f"{len(review.rows)} of {len(picks)} stand alone; crops of {crops[0].shape[0]} pixels")

kept = kept_picks(review.picks, review.decisions)
found = compare(kept, picks, radius_angstrom=10)
print(f"precision {found.scores.precision:.0%}, recall {found.scores.recall:.0%} of all picks")
print(write_picks(kept, "kept.tbl", overwrite=True).path)
