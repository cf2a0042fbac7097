"""Compare a careless annotation with the ground truth: what the dock *Compare annotations* does, as a script.

    python examples/compare_annotations.py [SOURCE] [--show]

SOURCE is "demo" or a pack's folder, of which the first run counts that has two annotations of one object as points: its
ground truth, or else its first, is the reference. With --show the picks that match, and those that only one of the two
has, open in napari over the tomogram.
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


def annotations_of_one_object(page):
    """A file of points of each annotation of the first object that has several on one alignment, the truth first."""
    groups = {}
    for file in page.annotation_files:
        about = file.shape.annotation
        if file.format == "ndjson":  # of one annotation's files the first, which has orientations, is kept
            groups.setdefault((about.object_name, file.alignment_id), {}).setdefault(about.id, file)
    several = [list(files.values()) for files in groups.values() if len(files) > 1]
    return sorted(several[0], key=lambda file: not file.shape.annotation.ground_truth_status) if several else []


sources = [argument for argument in sys.argv[1:] if argument != "--show"]
portal = open_portal(sources[0] if sources else "demo")
datasets = sorted(portal.datasets(), key=lambda dataset: dataset.id)
pages = (portal.run_page(run.id) for dataset in datasets for run in portal.runs(dataset.id))
page, files = next(((page, files) for page in pages if (files := annotations_of_one_object(page))), (None, []))
if not files:
    sys.exit("No run here has two annotations of one object as points, so there is nothing to compare.")

truth = open_annotation(files[0])
for file in files[1:]:
    found = compare(open_annotation(file), truth, radius_angstrom=120, beta=4)  # B, the second, is the reference
    print(report_text(found))

# Where picks are all off in one direction, as the demo's careless ones, what matches is not where the particle is.
shifts_angstrom_zyx = found.a.positions_angstrom_zyx[found.rows_a] - found.b.positions_angstrom_zyx[found.rows_b]
if len(shifts_angstrom_zyx):
    print("mean shift of the last in ångström (z, y, x):", shifts_angstrom_zyx.mean(axis=0).round(1))

if "--show" in sys.argv:
    import napari

    add_layers(napari.Viewer(), [load_tomogram(page.default_tomogram), *comparison_layers(found)])
    napari.run()
