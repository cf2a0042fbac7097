"""Compare picks of a symmetric particle, picks with a mask, and a mask with a mask: what the dock does, as a script."""

import numpy as np
from scipy import ndimage

from napari_cryoet import Mask, compare, open_annotation, open_portal, report_text

files = {file.id: file for file in open_portal("demo").run_page(9001).annotation_files}  # or "live", a pack's folder
found, planted = open_annotation(files[9004]), open_annotation(files[9001])  # template matching, and the truth
membrane, vesicles = open_annotation(files[9009]), open_annotation(files[9013])  # a mask; instances, half as fine

# Half a turn about a particle's own z axis is no error if it looks the same then: of all such turns, the least counts.
half_turn_zyx = np.diag([1.0, -1.0, -1.0])
turned = found.changed("turned by 180° about z", rotations_zyx=found.rotations_zyx @ half_turn_zyx)
for symmetry in ("C1", "C2"):
    errors = compare(turned, planted, radius_angstrom=50, symmetry=symmetry).rotation_error
    print(f"{symmetry}: rotation error {errors.median:.1f}° in the middle")

print(report_text(compare(planted, membrane)))  # distances to the surface are negative inside
print(report_text(compare(vesicles, membrane)))  # the grids differ by a factor of two: a coarse voxel stands for eight

# A mask of your own, here the membrane's pieces that hang together, object by object with the vesicles.
pieces, _count = ndimage.label(membrane.read(0, membrane.shape_zyx[0]), np.ones((3, 3, 3)))
mine = Mask(pieces, membrane.spacing_angstrom, alignment_id=membrane.alignment_id)
print(report_text(compare(mine, vesicles, iou_threshold=0.5)))
