"""Read picks of another program whose file doesn't say all: what napari's dialog asks, a script is told by an error.

    python examples/read_picks.py [FILE]

FILE is a .star, .tbl, copick .json, .ndjson, .picks.csv or .parquet file; without one, a STAR file of RELION 5 is made
as RELION writes it. It counts from the centre of a tomogram that somebody has to name: here the demo's.
"""

import sys
from pathlib import Path

import numpy as np

from napari_cryoet import MissingContextError, load_annotation, load_picks, open_portal, read_picks, write_picks
from napari_cryoet.layer_spec import METADATA_KEY, PICKS_KEY

page = open_portal("demo").run_page(9001)  # or "live", a portal's address, a pack's folder; and the id of a run
tomogram = page.default_tomogram
picks = load_annotation(page.annotation_files[0], tomogram)[0].options["metadata"][PICKS_KEY]
path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("particles.star")
if len(sys.argv) < 2:
    write_picks(picks.rescaled(tomogram.voxel_spacing, tomogram.shape_zyx), path, overwrite=True)
    path.write_text(path.read_text().partition("\n")[2])  # RELION's own files don't have our first line

try:
    mine = read_picks(path)
except MissingContextError as error:
    print(error)
    known = {"spacing_angstrom": tomogram.voxel_spacing, "shape_zyx": tomogram.shape_zyx}
    mine = read_picks(path, **known)  # and tomogram="TS_026" of a file with several

print(f"{len(mine)} picks at {mine.spacing_angstrom} Å, oriented: {mine.rotations_zyx is not None}")
if len(sys.argv) < 2:
    off_angstrom = np.abs(mine.positions_angstrom_zyx - picks.positions_angstrom_zyx).max()
    print(f"off by {off_angstrom:.0e} Å from what was written")
for spec in load_picks(mine, name=path.stem):  # layers for `add_layers`: points, and arrows where they are oriented
    warnings = spec.options["metadata"][METADATA_KEY].get("warnings", [])
    print(f"{spec.options['name']}: {spec.kind}, warnings: {warnings}")
