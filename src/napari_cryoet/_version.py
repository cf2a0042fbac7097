"""The version of this package; hatch reads it."""

__version__ = "0.1.0.dev0"
