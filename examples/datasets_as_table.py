"""List all datasets as a pandas table."""

from napari_cryoet import open_portal

datasets = open_portal("demo").catalogue().to_dataframe()  # or "live"
print(datasets[["id", "title", "run_count", "objects"]])
