"""Views of the canvas in napari: taking and showing them, pictures and movies."""
