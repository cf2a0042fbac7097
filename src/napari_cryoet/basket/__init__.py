"""Baskets: what was picked to download, kept as a small file, with its size, its remarks, its age and its split."""
