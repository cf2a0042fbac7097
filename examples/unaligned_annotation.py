"""Show what was made on another alignment all the same: it is said in the layer's name and in its metadata."""

from napari_cryoet import fit, load_annotation, open_portal, outline_run
from napari_cryoet.layer_spec import METADATA_KEY

page = open_portal("demo").run_page(9001)  # or "live", a portal's address, a pack's folder; and the id of a run
for tomogram in page.tomograms:
    files = [file for file in page.annotation_files if fit(file, tomogram).is_drawable]
    unaligned = [file for file in files if not fit(file, tomogram).fits]
    shown = outline_run(page, tomogram).defaults()  # never those of another alignment
    print(f"TM-{tomogram.id} on AL-{tomogram.alignment_id}: {len(files) - len(unaligned)} fit, {len(unaligned)} don't")
    assert not {file.id for file in shown} & {file.id for file in unaligned}

file = next(file for file in page.annotation_files if fit(file, page.default_tomogram).is_unaligned)
(layer, *_arrows) = load_annotation(file, page.default_tomogram)  # as the dock does once somebody insists
about = layer.options["metadata"][METADATA_KEY]
print(layer.options["name"])
print(about["fit"], "-", about["warnings"][-1])
