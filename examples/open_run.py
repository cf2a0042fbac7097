"""Open a run with its annotations in napari: what the dock does, as a script."""

import napari

from napari_cryoet import fit, load_annotation, load_tomogram, open_portal

page = open_portal("demo").run_page(9001)  # or "live", a portal's address, a pack's folder; and the id of a run
tomogram = page.default_tomogram
specs = [load_tomogram(tomogram)]
for file in page.annotation_files:
    if file.is_visualization_default and fit(file, tomogram).fits:
        specs += load_annotation(file, tomogram)

viewer = napari.Viewer()
for data, options, kind in specs:
    viewer.add_layer(napari.layers.Layer.create(data, options, kind))
napari.run()
