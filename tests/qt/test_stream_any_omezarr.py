"""The example that opens any OME-Zarr with the public API, in a real viewer and from a server."""

import runpy

import numpy as np

from ome_images import noise, write_image, write_label_list
from server import Server


def test_five_axes_with_channels_and_labels(qtbot, viewer_in_window, tmp_path, project_folder):
    viewer, example = (
        viewer_in_window,
        runpy.run_path(str(project_folder / "examples" / "stream_any_omezarr.py")),
    )
    values = noise((2, 2, 6, 40, 50))
    cells = (values[:, :1] % 5).astype("u2")
    omero = {"channels": [{"label": "DNA", "color": "0000FF"}, {"label": "actin"}]}
    options = {"chunks": (1, 1, 3, 16, 16), "zarr_format": 3}
    write_image(tmp_path / "a.zarr", values, "tczyx", omero=omero, **options)
    write_image(tmp_path / "a.zarr/labels/cells", cells, "tczyx", **options, **{"image-label": {}})
    write_label_list(tmp_path / "a.zarr", ["cells"], zarr_format=3)
    with Server(tmp_path) as served:
        dna, actin, labels = example["add_image"](viewer, f"{served.url}/a.zarr")
        assert [layer.name for layer in (dna, actin)] == ["DNA · cells", "actin · cells"]
        assert type(labels).__name__ == "Labels"
        assert viewer.dims.axis_labels == ("t", "z", "y", "x")
        assert [str(unit) for unit in dna.units] == ["second", *["micrometer"] * 3]
        assert tuple(dna.scale) == (1.0, 2.0, 0.5, 0.5)
        assert tuple(dna.colormap.colors[-1]) == (0, 0, 1, 1)
        viewer.dims.current_step = (1, 4, 0, 0)
        for layer, plane in (
            (dna, values[1, 0, 4]),
            (actin, values[1, 1, 4]),
            (labels, cells[1, 0, 4]),
        ):
            qtbot.waitUntil(
                lambda layer=layer, plane=plane: np.array_equal(layer._slice.image.raw, plane)
            )
