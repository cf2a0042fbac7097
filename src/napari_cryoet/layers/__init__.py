"""Convert records and files to layer specs, the data and options of napari layers, without importing napari."""
