"""Compare picks of a symmetric particle, picks with a mask, and a mask with a mask."""

import numpy as np
from scipy import ndimage

from napari_cryoet import Mask, compare, open_annotation, open_portal

files = {file.id: file for file in open_portal("demo").run_page(9001).annotation_files}
matched, planted = open_annotation(files[9004]), open_annotation(files[9001])
membrane, vesicles = open_annotation(files[9009]), open_annotation(files[9013])  # a mask; instances

# If a particle looks the same after half a turn, such a turn isn't an error.
half_turn_zyx = np.diag([1.0, -1.0, -1.0])
turned = matched.changed(
    "turned by 180° about z", rotations_zyx=matched.rotations_zyx @ half_turn_zyx
)
for symmetry in ("C1", "C2"):
    error = compare(turned, planted, radius_angstrom=50, symmetry=symmetry).rotation_error
    print(f"{symmetry}: median rotation error {error.median:.1f}°")

print(compare(planted, membrane).text)  # distances to the surface are negative inside
print(compare(vesicles, membrane).text)  # a coarse voxel counts as eight fine ones

pieces, _count = ndimage.label(membrane.read(0, membrane.shape_zyx[0]))
mine = Mask(pieces, membrane.spacing_angstrom, alignment_id=membrane.alignment_id)
print(compare(mine, vesicles, iou_threshold=0.5).text)
