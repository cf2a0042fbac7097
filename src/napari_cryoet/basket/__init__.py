"""Baskets: selections to download, saved as small files, with contents, remarks, changes and splits."""
