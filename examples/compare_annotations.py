"""Compare two annotations with the ground truth, and find out why one of them is poor."""

from napari_cryoet import compare, open_annotation, open_portal

files = {file.id: file for file in open_portal("demo").run_page(9001).annotation_files}
truth = open_annotation(files[9001])
matched = open_annotation(files[9004])  # by template matching
careless = open_annotation(files[9005])

for picks in (matched, careless):
    result = compare(
        picks, truth, radius_angstrom=120, beta=4
    )  # the second argument is the reference
    print(result.text)

shifts_zyx = (
    result.a.positions_angstrom_zyx[result.rows_a] - result.b.positions_angstrom_zyx[result.rows_b]
)
print("mean shift in ångström (z, y, x):", shifts_zyx.mean(axis=0).round(1))
