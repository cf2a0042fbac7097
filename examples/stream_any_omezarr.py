"""Open any OME-Zarr image in napari, with its labels, loading progressively.

python examples/stream_any_omezarr.py https://host/image.zarr    (or s3://bucket/image.zarr, or a
path; without an address, the demo's first tomogram)
"""

import sys

import napari

from napari_cryoet import CryoETError, open_portal
from napari_cryoet.streaming import find_labels, open_pyramid
from napari_cryoet.viewer import layer_specs, make_layer


def add_image(viewer: napari.Viewer, address: str) -> list[napari.layers.Layer]:
    """Add an image and its labels; channels become layers. You can open the image in a thread."""
    specs = layer_specs(open_pyramid(address))
    try:
        for labels in find_labels(address):
            specs += layer_specs(open_pyramid(labels, is_labels=True))
    except CryoETError as error:  # some servers return an error for missing files
        print(f"Labels are left out. {error}")
    return [viewer.add_layer(make_layer(spec, viewer=viewer)[0]) for spec in specs]


if __name__ == "__main__":
    if len(sys.argv) == 2:
        address = sys.argv[1]
    else:
        address = open_portal("demo").run_page(9001).default_tomogram.https_omezarr_dir
    add_image(napari.Viewer(), address)
    napari.run()
