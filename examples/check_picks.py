"""Ask whether picks make sense in a tomogram, and read them anew where they don't: what the dock does, as a script."""

import numpy as np

from napari_cryoet import check_picks, load_annotation, open_portal, outline_run
from napari_cryoet.layer_spec import PICKS_KEY

page = open_portal("demo").run_page(9001)
tomogram = page.default_tomogram
file = next(file for file in outline_run(page, tomogram).defaults() if file.format == "ndjson")
picks = load_annotation(file, tomogram)[0].options["metadata"][PICKS_KEY]

flipped = picks.points_zyx.copy()
flipped[:, 1] = tomogram.shape_zyx[1] - 1 - flipped[:, 1]  # as a program writes them that counts y from the other end
mine = picks.changed(points_zyx=flipped)

found = check_picks(mine, tomogram)
for statement in found.statements:
    print("!" if statement.is_odd else " ", statement.text)

if found.suggestion is not None:
    better = found.suggested_picks()
    print("off by at most", np.abs(better.points_zyx - picks.points_zyx).max(), "voxels once read as suggested")
