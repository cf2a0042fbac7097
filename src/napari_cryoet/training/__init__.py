"""Exports for training and processing: copick projects, RELION 5, tables, Croissant and crops."""

from collections.abc import Callable, Mapping
from typing import Final

from napari_cryoet.training.copick import export_copick
from napari_cryoet.training.croissant import export_croissant
from napari_cryoet.training.crops import export_crops
from napari_cryoet.training.relion import export_relion5
from napari_cryoet.training.selection import ExportReport
from napari_cryoet.training.table import export_table

#: All take a selection, a path, ``overwrite``, ``progress`` and ``stop``; `export_crops` has
#: further options.
EXPORTERS: Final[Mapping[str, Callable[..., ExportReport]]] = {
    "copick": export_copick,
    "relion5": export_relion5,
    "table": export_table,
    "croissant": export_croissant,
    "crops": export_crops,
}
