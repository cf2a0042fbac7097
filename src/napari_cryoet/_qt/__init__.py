"""Everything that needs Qt or napari: a thin skin over the rest of the package."""
