"""Print as JSON what copick reads from a project, given its configuration.

Needs an environment with copick.
"""

import json
import sys

import copick
import zarr

root = copick.from_file(sys.argv[1])
project = {
    "objects": {
        each.name: [each.is_particle, each.label, each.radius, each.identifier]
        for each in root.pickable_objects
    },
    "runs": {},
}
for run in root.runs:
    picks = {}
    for each in run.picks:
        points, matrices = each.numpy()
        picks[f"{each.user_id} {each.session_id} {each.pickable_object_name}"] = {
            "points": points.tolist(),
            "matrices": matrices.tolist(),
            "trust": each.trust_orientation,
        }
    volumes = {}
    for spacing in run.voxel_spacings:
        for tomogram in spacing.tomograms:
            volumes[f"{spacing.voxel_size} {tomogram.tomo_type}"] = [*tomogram.numpy().shape]
    masks = {}
    for each in run.get_segmentations(is_instance=None):
        array = each.numpy()
        name = f"{each.voxel_size} {each.user_id} {each.session_id} {each.name} {each.segmentation_type}"
        masks[name] = [*array.shape, int((array > 0).sum())]
    project["runs"][run.name] = {"picks": picks, "tomograms": volumes, "masks": masks}
    truth = run.get_picks(session_id="ground-truth")
    project["runs"][run.name]["truth"] = sorted(each.pickable_object_name for each in truth)
assert zarr.__version__.startswith("2.")
json.dump(project, sys.stdout)
