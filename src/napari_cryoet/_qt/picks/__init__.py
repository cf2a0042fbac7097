"""Layers of picks."""
