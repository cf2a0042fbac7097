"""Orthogonal views of a volume."""
