"""The graphical interface: all code that needs Qt or napari, as a thin layer over the rest of the package."""
