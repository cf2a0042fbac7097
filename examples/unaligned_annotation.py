"""List the annotations that fit each tomogram, and load one that doesn't."""

from napari_cryoet import fit, load_annotation, open_portal

page = open_portal("demo").run_page(9001)
for tomogram in page.tomograms:
    fits = [file for file in page.annotation_files if fit(file, tomogram).fits]
    print(
        f"TM-{tomogram.id} on AL-{tomogram.alignment_id}: {len(fits)} of {len(page.annotation_files)} files fit"
    )

tomogram = page.default_tomogram
file = next(file for file in page.annotation_files if fit(file, tomogram).is_unaligned)
layer = load_annotation(file, tomogram)[0]
print(fit(file, tomogram).reason)
print(layer.options["name"])
