"""Exports for training and processing: copick projects, RELION 5, tables, Croissant and crops."""
