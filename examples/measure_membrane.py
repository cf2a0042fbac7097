"""Measure how far picks are from a membrane, as a table."""

from napari_cryoet import measure_picks, open_annotation, open_portal

files = {file.id: file for file in open_portal("demo").run_page(9001).annotation_files}
picks, membrane = open_annotation(files[9001]), open_annotation(files[9009])
table = measure_picks(picks, membrane).to_dataframe()
print(table[["surface_distance_nm", "is_inside", "nearest_neighbour_nm"]].describe())
