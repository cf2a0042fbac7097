"""Save the three planes of a tomogram through its first ribosome, as one picture."""

import sys

import numpy as np
from PIL import Image

from napari_cryoet import load_annotation, load_tomogram, open_portal, outline_run

page = open_portal("demo").run_page(9001)
tomogram = page.default_tomogram
volume = load_tomogram(tomogram)
picks = load_annotation(outline_run(page, tomogram).defaults()[0], tomogram)[0]

levels = volume.data  # lazy; computing a part of it reads that part, exactly
place_angstrom = picks.data[0] * picks.options["scale"]  # the cursor: z, y, x
z, y, x = np.round(place_angstrom / volume.options["scale"]).astype(int)
planes = [levels[0][z].compute(), levels[0][:, y].compute(), levels[0][:, :, x].compute()]  # XY, XZ, YZ

low, high = volume.options["contrast_limits"]
width = max(plane.shape[1] for plane in planes)
rows = [np.pad(plane, ((0, 4), (0, width - plane.shape[1])), constant_values=low) for plane in planes]
grey = 255 * np.clip((np.concatenate(rows) - low) / (high - low), 0, 1)
Image.fromarray(grey.astype(np.uint8)).save(sys.argv[1] if len(sys.argv) > 1 else "planes.png")
