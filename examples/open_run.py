"""Open a run with its default tomogram and the annotations that the curators chose."""

import napari

from napari_cryoet import load_annotation, load_tomogram, open_portal
from napari_cryoet.viewer import add_layers

page = open_portal("demo").run_page(9001)  # or "live", and the id of a run
tomogram = page.default_tomogram
specs = [load_tomogram(tomogram)]
for file in page.outline(tomogram).defaults():  # the curators' choice
    specs += load_annotation(file, tomogram)

add_layers(napari.Viewer(), specs)
napari.run()
