"""Compare a careless annotation with the ground truth: what the dock *Compare annotations* does, as a script.

    python examples/compare_annotations.py [SOURCE] [--show]

SOURCE is "demo" or a pack's folder. With --show the picks that match, and those that only one of the two has, open in
napari over the tomogram.
"""

import sys

from napari_cryoet import (
    add_layers,
    compare,
    comparison_layers,
    load_tomogram,
    open_annotation,
    open_portal,
    report_text,
)

sources = [argument for argument in sys.argv[1:] if argument != "--show"]
page = open_portal(sources[0] if sources else "demo").run_page(9001)
points = {
    file.shape.annotation.annotation_method: file
    for file in reversed(page.annotation_files)  # of one annotation's files the first, which has orientations, is kept
    if file.format == "ndjson" and file.shape.annotation.object_name == "cytosolic ribosome"
}
truth = open_annotation(points["Planted positions of the simulation"])

for method in ("Template matching (imitated)", "Careless automated picking (imitated)"):
    found = compare(
        open_annotation(points[method]), truth, radius_angstrom=120, beta=4
    )  # B, the second, is the reference
    print(report_text(found))

# The careless picks are all off in one direction: what matches is not where the particle is.
shifts_angstrom_zyx = found.a.positions_angstrom_zyx[found.rows_a] - found.b.positions_angstrom_zyx[found.rows_b]
print("mean shift in ångström (z, y, x):", shifts_angstrom_zyx.mean(axis=0).round(1))

if "--show" in sys.argv:
    import napari

    add_layers(napari.Viewer(), [load_tomogram(page.default_tomogram), *comparison_layers(found)])
    napari.run()
