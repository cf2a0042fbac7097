"""Exports for training and processing: copick projects, RELION 5, tables, Croissant and crops."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from napari_cryoet.exceptions import require_known
from napari_cryoet.task import shows_progress

if TYPE_CHECKING:
    from napari_cryoet.exports.selection import ExportReport, Selection

ExportKind = Literal["copick", "relion5", "table", "croissant", "crops"]

#: The module of each kind, which is imported when something is exported.
_MODULES: Final[dict[ExportKind, str]] = {
    "copick": "copick",
    "relion5": "relion",
    "table": "table",
    "croissant": "croissant",
    "crops": "crops",
}


@shows_progress
def export(
    selection: Selection, kind: ExportKind, path: str | Path, **options: Any
) -> ExportReport:
    """Export a selection for training or processing. Call it again to resume after a stop.

    Parameters
    ----------
    selection
        From `select_basket`.
    kind
        - "copick": a copick project, which downloads volumes that aren't on this computer
        - "relion5": STAR files of tomograms and of the particles of each object, without images
        - "table": one ``.csv`` or ``.parquet`` file with all picks and their units
        - "croissant": a description of the files with URLs and splits, without a download
        - "crops": a cube around each particle and of background, with masks, in one ``.zarr``
    path
        The folder to write; for a table its file, for crops their Zarr.
    options
        ``overwrite`` to replace an existing export, and ``task``. For copick also
        ``spacing_angstrom``, see `exports.copick.export_copick`. For crops also ``size``,
        ``spacing_angstrom``, ``background``, ``distance_angstrom``, ``seed`` and ``scheduler``, see
        `exports.crops.export_crops`.

    Raises
    ------
    ExistsError
        If there is an export and ``overwrite`` isn't set.
    DownloadError, NetworkError, SaveError
        If a file can't be fetched or written.
    StoppedError
        When ``task`` is stopped.
    CryoETError
        If the selection has nothing of this kind.
    """
    require_known(kind, _MODULES, "kind of export")
    module = import_module(f"napari_cryoet.exports.{_MODULES[kind]}")
    report: ExportReport = getattr(module, f"export_{kind}")(selection, path, **options)
    return report
