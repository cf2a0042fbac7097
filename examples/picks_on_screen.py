"""Show picks in a slab, with orientations, and edit them."""

import napari
import numpy as np

from napari_cryoet import (
    load_annotation,
    load_tomogram,
    open_portal,
)
from napari_cryoet.viewer import (
    add_layers,
    live_picks_of,
    show_diameter,
    show_orientations,
    show_slabs,
)

page = open_portal("demo").run_page(9001)
tomogram = page.default_tomogram
specs = [load_tomogram(tomogram)]
for file in page.outline(tomogram).defaults():
    specs += load_annotation(file, tomogram)
viewer = napari.Viewer()
add_layers(viewer, specs)
picks_layer = next(layer for layer in viewer.layers if isinstance(layer, napari.layers.Points))

show_slabs(viewer, picks_nm=30)
show_orientations(viewer, picks_layer, "triads", length_angstrom=300)
show_diameter(viewer, picks_layer, 30)  # nm; applies to all ribosomes from now on

live = live_picks_of(picks_layer)
z = live.picks.points_zyx[:, 0]  # picks are immutable: keep `live.picks` to restore it
live.set(live.picks.take(z >= np.median(z), "kept the upper half"))
picks_layer.add([44, 100, 100])  # like a click
print(live.picks.edits)

napari.run()
