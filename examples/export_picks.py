"""Write picks for RELION, Dynamo and copick, and say what each file can't hold: the export form, as a script."""

import sys
from pathlib import Path

from napari_cryoet import load_annotation, open_portal, outline_run, read_picks, write_picks
from napari_cryoet.layer_spec import PICKS_KEY
from napari_cryoet.pick_formats import losses

source, folder = sys.argv[1:] if len(sys.argv) > 2 else ("demo", "exports")  # or "live", a pack's folder; where to
page = open_portal(source).run_page(9001)
tomogram = page.default_tomogram
file = next(file for file in outline_run(page, tomogram).defaults() if file.format == "ndjson")
points, *_arrows = load_annotation(file, tomogram)
picks = points.options["metadata"][PICKS_KEY]  # or: picks = read_picks("my-picks.ndjson", spacing_angstrom=13.48)
picks = picks.rescaled(tomogram.voxel_spacing, tomogram.shape_zyx)  # RELION 5 counts from the centre of the tomogram

for name, kind in (("ribosomes.star", "relion5"), ("ribosomes.tbl", "dynamo"), ("ribosomes.json", "copick")):
    for loss in losses(picks, kind):
        print(f"{kind}: {loss}")
    written = write_picks(picks, Path(folder, name), format=kind, overwrite=True, who="Rosalind")
    again = read_picks(written.path)
    print(f"{name}: {len(again)} picks at {again.spacing_angstrom} Å, by {', '.join(again.about['authors'])}")
