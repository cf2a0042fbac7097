"""Print what Neuroglancer's own package reads of links: place, zoom, layout and layers, as JSON."""

import json
import sys
from pathlib import Path

from neuroglancer.url_state import parse_url


def facts(url: str) -> dict[str, object]:
    state = parse_url(url)
    scales = dict(zip(state.dimensions.names, state.dimensions.scales.tolist(), strict=True))
    position = dict(zip(state.dimensions.names, map(float, state.position), strict=True))
    orientation = state.projection_orientation
    return {
        "voxels_zyx": [position[axis] for axis in "zyx"],
        "angstrom_zyx": [position[axis] * scales[axis] * 1e10 for axis in "zyx"],
        "cross_section_scale": state.cross_section_scale,
        "projection_orientation": None if orientation is None else list(map(float, orientation)),
        "layout": state.layout.type,
        "visible": [layer.name for layer in state.layers if layer.visible],
    }


links = json.loads(Path(sys.argv[1]).read_text())
json.dump([facts(link) for link in links], sys.stdout)
