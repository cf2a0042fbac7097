"""Rank all annotations of an object in a run against the ground truth."""

from napari_cryoet import open_portal, rank_annotations, rivals_of

page = open_portal("demo").run_page(9001)
truth = next(file for file in page.annotation_files if file.id == 9001)
ranking = rank_annotations(
    rivals_of(page, truth), truth, radius_angstrom=120, region_angstrom=[(200, 600)]
)  # a slab in z
print(ranking.to_dataframe()[["name", "precision", "recall", "f_score"]])
