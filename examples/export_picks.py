"""Write picks for RELION, Dynamo and copick, and print what each file can't hold."""

import sys
from pathlib import Path

from napari_cryoet import open_annotation, open_portal, write_picks

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "exports")
page = open_portal("demo").run_page(9001)
tomogram = page.default_tomogram
picks = open_annotation(
    page.annotation_files[0]
)  # or: read_picks("mine.ndjson", spacing_angstrom=13.48)
picks = picks.rescaled(tomogram.voxel_spacing, tomogram.shape_zyx)  # RELION 5 needs the size

for name in ("ribosomes.star", "ribosomes.tbl", "ribosomes.json"):
    written = write_picks(picks, folder / name, overwrite=True, who="Rosalind")
    print(written.path, written.losses)
