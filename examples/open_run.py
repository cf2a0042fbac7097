"""Open a run with its annotations in napari: what the dock does, as a script."""

import napari

from napari_cryoet import add_layers, load_annotation, load_tomogram, open_portal, outline_run

page = open_portal("demo").run_page(9001)  # or "live", a portal's address, a pack's folder; and the id of a run
tomogram = page.default_tomogram
specs = [load_tomogram(tomogram)]
for file in outline_run(page, tomogram).defaults():  # those that the curators show and that fit the tomogram
    specs += load_annotation(file, tomogram)

add_layers(napari.Viewer(), specs)
napari.run()
