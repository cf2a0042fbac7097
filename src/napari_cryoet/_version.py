"""The version of the installed package, which a tag of the repository determines."""

from importlib.metadata import version

__version__ = version("napari-cryoet")
