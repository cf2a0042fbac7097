"""States of the portal's viewer, as the portal's pipeline makes them, and its page's own codec."""

from __future__ import annotations

import gzip
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from urllib.parse import quote, unquote

STORAGE = "https://files.cryoetdataportal.cziscience.com"
SPACING_FOLDER = "10000/TS_043/Reconstructions/VoxelSpacing13.480"
TOMOGRAM_PATH = f"{SPACING_FOLDER}/Tomograms/100/TS_043.zarr"
PAGE = "https://cryoetdataportal.czscience.com/view/runs/249"
#: The size in the file's header differs from that in the name of the folder.
DIMENSIONS = {axis: [1.3481000000000001e-09, "m"] for axis in "xyz"}
CONFIG_LAYERS = (
    "100-fatty_acid_synthase_complex-1.0_point",
    "101-cytosolic_ribosome-1.0_orientedpoint",
    "101-cytosolic_ribosome-1.0_orientedmesh",
    "102-membrane-1.0_segmentationmask",
    "103-vesicle-1.0_segmentationmask",
)


def source(url: str) -> dict[str, Any]:
    transform = {"outputDimensions": DIMENSIONS, "inputDimensions": DIMENSIONS}
    return {"url": url, "transform": transform}


def config() -> dict[str, Any]:
    """The state of a tomogram with four annotations, of which the mesh is visible."""
    contrast = {"range": [-25.625011563301086, 28.373781085014343], "window": [-36.4, 39.2]}
    image = {
        **{
            "type": "image",
            "name": "TS_043",
            "source": source(f"zarr://{STORAGE}/{TOMOGRAM_PATH}"),
        },
        **{"opacity": 1.0, "blend": "additive", "tab": "rendering", "visible": True},
        "shader": "#uicontrol invlerp contrast\nvoid main() { emitGrayscale(contrast()); } // 50%",
        "shaderControls": {"contrast": contrast, "invert_contrast": False},
    }
    layers = [image, *(annotation_layer(name) for name in CONFIG_LAYERS)]
    return {
        **{"dimensions": DIMENSIONS, "crossSectionScale": 2.4, "layers": layers},
        "projectionOrientation": [0.3826834323650898, 0.0, 0.0, 0.9238795325112867],
        "selectedLayer": {"visible": True, "layer": "TS_043", "side": "left"},
        **{"layout": "4panel", "showSlices": True, "position": [480.0, 464.0, 250.0]},
        "projectionScale": 1056.0,
    }


def annotation_layer(folder: str) -> dict[str, Any]:
    number, _, rest = folder.partition("-")
    shape = rest.rpartition("_")[2]
    words = rest.partition("-")[0].replace("_", " ")
    layer = {
        "name": f"{number} {words} {shape.removesuffix('mask')}",
        "source": source(
            f"precomputed://{STORAGE}/{SPACING_FOLDER}/NeuroglancerPrecompute/{folder}"
        ),
        **{"tab": "rendering", "visible": shape == "orientedmesh"},
    }
    if shape.endswith("point"):
        return {"type": "annotation", "annotationColor": "#db1181", **layer}
    return {"type": "segmentation", "segments": [1], "segmentDefaultColor": "#0080ff", **layer}


def component(data: Any) -> str:
    """JavaScript's ``encodeURIComponent(JSON.stringify(data))``."""
    return quote(json.dumps(data, separators=(",", ":")), safe="!'()*-._~")


def page_state(link: str) -> dict[str, Any]:
    """The state in the portal's link, read as its page does."""
    packed = link.partition("#!")[2]
    text = gzip.decompress(urlsafe_b64decode(packed + "=" * (-len(packed) % 4))).decode()
    return json.loads(unquote(text))


def inner_state(link: str) -> dict[str, Any]:
    return json.loads(unquote(page_state(link)["neuroglancer"].removeprefix("#!")))


def page_link(page: dict[str, Any]) -> str:
    """The link that the portal's page writes."""
    packed = gzip.compress(component(page).encode())
    return f"{PAGE}#!{urlsafe_b64encode(packed).decode().rstrip('=')}"


def moved_link(link: str, **changes: Any) -> str:
    """A link after somebody moved on in the portal's page, which keeps unknown keys."""
    state = inner_state(link) | changes
    return page_link(page_state(link) | {"neuroglancer": f"#!{component(state)}"})
