"""From a search to training data: ground-truth ribosomes at 10 Å or finer, with a denoised tomogram of each run."""

import sys
from pathlib import Path

from napari_cryoet import Basket, download_basket, export, open_portal, read_index, select_basket

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "ribosomes")
coarsest_angstrom = float(sys.argv[2] if len(sys.argv) > 2 else 10)
portal = open_portal("demo")  # or "live"
matches = read_index(portal).find(
    objects="ribosome",
    is_ground_truth=True,
    processing="denoised",
    spacing_angstrom=(None, coarsest_angstrom),
)
print(matches.to_dataframe("runs")[["run", "spacings_angstrom", "objects"]])

basket = Basket(source=portal.source.name).add(matches)
print(download_basket(basket, portal, folder / "pack").fetched_bytes, "bytes")
pack = open_portal(folder / "pack")  # a download opens like a portal
project = export(select_basket(basket, pack), "copick", folder / "copick")
print(project.n_runs, "runs", project.n_picks, "picks")
