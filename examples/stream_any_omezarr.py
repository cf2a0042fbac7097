"""Open any OME-Zarr image in napari, remote or local, and let it sharpen while it loads.

    python examples/stream_any_omezarr.py https://host/image.zarr    (or s3://bucket/image.zarr, or a path)

Channels become layers where an image has three more axes, else they stay on a slider, as time and other axes do. Of
several images in one file (series, plates) the first is shown; others have addresses of their own. Not supported:
complex numbers, buckets that need a key.
"""

import argparse

import napari

from napari_cryoet.exceptions import CryoETError, OtherKindError
from napari_cryoet.progressive import LayerSpec, layer_specs, make_layer
from napari_cryoet.streaming import Pyramid, find_labels, open_pyramid


def add_image(viewer: napari.Viewer, address: str, *, with_labels: bool = True) -> list[napari.layers.Layer]:
    """Add an image and its labels, one layer for each channel; returns the layers."""
    pyramid, address = open_first(address)  # this and the next lines could be done in a thread
    specs = layer_specs(pyramid)
    for each in labels_of(address) if with_labels else []:
        specs += label_specs(each)
    layers = []
    for spec in specs:
        layer, _status = make_layer(spec, viewer=viewer)
        layers.append(viewer.add_layer(layer))
    return layers


def open_first(address: str) -> tuple[Pyramid, str]:
    """The image at an address, or the first one in it (of a series, of a well, of a plate's first well), and where."""
    try:
        return open_pyramid(address), address
    except OtherKindError as error:
        has_query = "?" in address and address.strip().lower().startswith("http")
        if not error.first_image or has_query:
            raise
        inside = f"{address.strip().rstrip('/')}/{error.first_image}"
        print(f"{address} holds several images: this is {inside}.")
        return open_first(inside)


def labels_of(address: str) -> list[str]:
    """The addresses of its label images; none where a store refuses to say, as many do of what they don't have."""
    try:
        return find_labels(address)
    except CryoETError as error:
        print(f"Label images are left out. {error}")
        return []


def label_specs(address: str) -> list[LayerSpec]:
    """What layers show a label image; none where it is listed, but can't be read."""
    try:
        return layer_specs(open_pyramid(address, is_labels=True))
    except CryoETError as error:
        print(f"A label image is left out. {error}")
        return []


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="http(s):// or s3:// address, or path")
    parser.add_argument("--no-labels", action="store_true", help="leave out the image's own label images")
    given = parser.parse_args(arguments)
    add_image(napari.Viewer(), given.address, with_labels=not given.no_labels)
    napari.run()


if __name__ == "__main__":
    main()
