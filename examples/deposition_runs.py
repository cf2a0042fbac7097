"""List the runs of other people's datasets that a deposition added to: what its page in the dock does, as a script."""

import sys

from napari_cryoet import open_portal

portal = open_portal(sys.argv[1] if len(sys.argv) > 1 else "demo")  # or "live", a portal's address, a pack's folder
for deposition in portal.depositions():
    page = portal.deposition_page(deposition.id)
    print(f"CZCDP-{deposition.id} {deposition.title}")
    for dataset in page.datasets:
        kind = "brought" if dataset.is_own else "added to"
        print(f"  {kind} DS-{dataset.dataset_id}: {dataset.annotation_count} annotations")
        for run in page.runs_of(dataset.dataset_id):
            added = ", ".join(f"{each.object_name} {each.count} {each.method_type}" for each in run.contributions)
            print(f"    RN-{run.id} {run.name}: {added or f'{run.tomogram_count} tomograms'}")
