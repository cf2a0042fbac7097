"""Draw picks as one wants to see them: slabs, triads, sizes; change them and take it back: the dock, as a script."""

import napari
import numpy as np

from napari_cryoet import add_layers, load_annotation, load_tomogram, open_portal, outline_run
from napari_cryoet.picks_on_screen import link_of, show_diameter, show_orientations, show_slabs

page = open_portal("demo").run_page(9001)
tomogram = page.default_tomogram
specs = [load_tomogram(tomogram)]
for file in outline_run(page, tomogram).defaults():
    specs += load_annotation(file, tomogram)
viewer = napari.Viewer()
add_layers(viewer, specs)
picks_layer = next(layer for layer in viewer.layers if isinstance(layer, napari.layers.Points))

show_slabs(viewer, picks_nm=30, density_nm=5)  # picks of 30 nm, mean density of 5 nm around the plane
print(show_orientations(viewer, picks_layer, "triads", length_angstrom=300) or "All picks are oriented.")
show_diameter(viewer, picks_layer, 30)  # of all ribosomes, from now on; 30 nm is what is built in

link = link_of(picks_layer)
link.changed.connect(lambda: print(link.picks.edits))
planes = link.picks.points_zyx[:, 0]
link.set(link.picks.take(planes >= np.median(planes), "kept the upper half"))
picks_layer.add([44, 100, 100])  # as a person does with a click: a pick of its own, not oriented
link.undo()
link.select(link.picks.ids[:3])

napari.run()
