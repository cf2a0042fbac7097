"""Read a RELION 5 STAR file that doesn't state the size of its tomogram."""

import sys
from pathlib import Path

from napari_cryoet import (
    MissingContextError,
    load_picks,
    open_annotation,
    open_portal,
    read_picks,
    write_picks,
)

page = open_portal("demo").run_page(9001)
tomogram = page.default_tomogram
path = Path(sys.argv[1] if len(sys.argv) > 1 else "particles.star")
if not path.exists():  # create one like RELION's
    picks = open_annotation(page.annotation_files[0])
    made = write_picks(picks.rescaled(tomogram.voxel_spacing, tomogram.shape_zyx), path)
    made.provenance_path.unlink()

try:
    mine = read_picks(path)
except MissingContextError as error:
    print(error, error.missing)
    mine = read_picks(path, spacing_angstrom=tomogram.voxel_spacing, shape_zyx=tomogram.shape_zyx)

print(f"{len(mine)} picks at {mine.spacing_angstrom} Å")
for spec in load_picks(mine, name=path.stem):  # layers for `add_layers`
    print(spec.kind, spec.options["name"])
