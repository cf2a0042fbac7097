"""Records and files to layer specs: what napari needs to draw them, without napari."""
