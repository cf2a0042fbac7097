"""Check picks whose y axis is flipped, and correct them."""

import numpy as np

from napari_cryoet import check_picks, open_annotation, open_portal

page = open_portal("demo").run_page(9001)
tomogram = page.default_tomogram
picks = open_annotation(next(file for file in page.annotation_files if file.id == 9001))

flipped = picks.points_zyx.copy()
flipped[:, 1] = tomogram.shape_zyx[1] - 1 - flipped[:, 1]
mine = picks.changed(points_zyx=flipped)

findings = check_picks(mine, tomogram)  # or the path to a volume
print(findings.text)

better = findings.suggested_picks()
print("off by at most", np.abs(better.points_zyx - picks.points_zyx).max(), "voxels")
