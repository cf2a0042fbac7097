"""Save layers as napari's *Save as…* does, through the plugin's writers, and open the files again."""

import sys
from pathlib import Path

import napari
import numpy as np

from napari_cryoet import load_annotation, open_portal

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "saved")
folder.mkdir(exist_ok=True)
page = open_portal("demo").run_page(9001)  # or "live", a portal's address, a pack's folder; and the id of a run
files = {file.id: file for file in page.annotation_files}
points, _arrows = load_annotation(files[9001], page.default_tomogram)
labels = load_annotation(files[9013], page.default_tomogram)[0]

viewer = napari.Viewer(show=False)
picks_layer = viewer.add_layer(napari.layers.Points(points.data, **points.options))
mask_layer = viewer.add_layer(napari.layers.Labels(labels.data, **labels.options))
picks_layer.data = picks_layer.data + np.array([0, 0, 1])  # an edit is saved too
for layer, name in ((picks_layer, "ribosomes.tbl"), (picks_layer, "ribosomes.picks.csv"), (mask_layer, "vesicles.mrc")):
    print(layer.name, "->", [Path(path).name for path in layer.save(str(folder / name), plugin="napari-cryoet")])
    again = viewer.open(folder / name, plugin="napari-cryoet")
    print("  opens as", ", ".join(f"{layer.name} ({type(layer).__name__})" for layer in again))
