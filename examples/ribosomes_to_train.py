"""From a search to training data: ground-truth ribosomes at 10 Å or finer, with a denoised tomogram of each run."""

import sys
from pathlib import Path

from napari_cryoet import (
    Basket,
    Condition,
    Search,
    add_matches,
    download_basket,
    export,
    find,
    list_matches,
    open_portal,
    read_index,
    select_basket,
)

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "ribosomes")
coarsest_angstrom = float(sys.argv[2] if len(sys.argv) > 2 else 10)
portal = open_portal("demo")  # or "live"
index = read_index(portal)
search = Search(
    processing=("denoised",),
    spacing_angstrom=(None, coarsest_angstrom),
    annotations=(Condition(objects=("ribosome",), is_ground_truth=True),),
)
for run in list_matches(index, find(index, search), "runs"):
    print(run.run, run.spacings_angstrom, run.objects)

basket = add_matches(Basket(source=portal.source.name), index, search)
print(download_basket(basket, portal, folder / "pack").fetched_bytes, "bytes")
pack = open_portal(folder / "pack")  # a download opens like a portal
project = export(select_basket(basket, pack), "copick", folder / "copick")
print(project.n_runs, "runs", project.n_picks, "picks")
