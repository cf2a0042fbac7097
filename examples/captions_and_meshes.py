"""Read the texts about a tomogram and the mesh of its membrane: no layer is made of a text, a surface of a mesh."""

from napari_cryoet import fit, load_annotation, load_captions, open_portal
from napari_cryoet.layer_spec import METADATA_KEY

page = open_portal("demo").run_page(9001)  # or "live", a portal's address, a pack's folder; and the id of a run
tomogram = page.default_tomogram
for file in page.annotation_files:
    if fit(file, tomogram).kind == "text":
        for caption in load_captions(file):  # plain, whatever looks like markup in it
            print(f"{file.shape.shape_type} AF-{file.id}: {caption.text}")
    elif file.format == "glb":
        (surface,) = load_annotation(file, tomogram)
        vertices, faces, *_values = surface.data  # vertices in voxels of the file's spacing, z, y, x
        print(f"{surface.options['name']}: {len(vertices):,} vertices, {len(faces):,} triangles")
        extent_nm = (vertices.max(axis=0) - vertices.min(axis=0)) * surface.options["scale"] / 10
        print("it is", " x ".join(f"{size:.0f}" for size in extent_nm), "nm large (z, y, x)")
        print("\n".join(surface.options["metadata"][METADATA_KEY]["warnings"]))
