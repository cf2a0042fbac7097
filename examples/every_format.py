"""Write picks and a mask in every format, read them again, and see what each held and where they come from."""

import sys
from pathlib import Path

import numpy as np

from napari_cryoet import load_annotation, open_portal, read_picks, write_mask, write_picks
from napari_cryoet.layer_spec import METADATA_KEY, PICKS_KEY
from napari_cryoet.mask_files import FORMATS as MASK_FORMATS
from napari_cryoet.pick_files import FORMATS, SUFFIXES
from napari_cryoet.volumes import open_volume

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "exports")
page = open_portal("demo").run_page(9001)  # or "live", a portal's address, a pack's folder; and the id of a run
tomogram = page.default_tomogram
files = {file.id: file for file in page.annotation_files}

picks = load_annotation(files[9004], tomogram)[0].options["metadata"][PICKS_KEY]
picks = picks.rescaled(tomogram.voxel_spacing, tomogram.shape_zyx)  # RELION 5 counts from the centre of the tomogram
picks = picks.take(np.arange(50), "kept the first 50").changed(
    "scored by their height", scores=picks.points_zyx[:50, 0]
)
for kind in FORMATS:
    made = write_picks(picks, folder / f"{kind}{SUFFIXES[kind]}", format=kind, overwrite=True, who="Rosalind")
    again = read_picks(made.path)
    off_angstrom = np.abs(again.positions_angstrom_zyx - picks.positions_angstrom_zyx).max()
    off_turn = np.abs(again.rotations_zyx - picks.rotations_zyx).max()
    print(f"{made.path.name}: {len(again)} picks, off by {off_angstrom:.0e} Å, turned by {off_turn:.0e}")
    print(f"  by {again.about['authors'][0]}, AL-{again.alignment_id}, {again.edits[-1]}; losses: {len(made.losses)}")

labels = load_annotation(files[9013], tomogram)[0]  # vesicles, one number each
about = labels.options["metadata"][METADATA_KEY]
for kind in MASK_FORMATS:
    path = folder / f"{kind}{'.mrc' if kind == 'mrc' else '.zarr'}"
    spacing = labels.options["scale"][0]
    made = write_mask(labels.data[0], path, spacing_angstrom=spacing, format=kind, about=about, overwrite=True)
    volume = open_volume(path)
    print(f"{path.name}: {made.dtype}, {volume.shape_zyx}, {volume.spacing_angstrom} Å")
