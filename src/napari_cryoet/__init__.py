"""Browse, stream, overlay and download the CZ CryoET Data Portal.

The names below are the public API. Each is imported when it is first used, so importing this package costs nothing.

>>> import napari_cryoet
>>> sorted(napari_cryoet.__all__)[:3]
['ComparisonError', 'CryoETError', 'DownloadError']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_cryoet._version import __version__

if TYPE_CHECKING:
    from napari_cryoet._qt.layers.manager import add_layers
    from napari_cryoet._qt.picks.layer_picks import PicksLink, link_of, picks_of
    from napari_cryoet._qt.picks.orientations import show_orientations
    from napari_cryoet._qt.picks.popover import show_diameter
    from napari_cryoet._qt.picks.slabs import show_slabs
    from napari_cryoet._qt.streaming.progressive import StreamState, StreamStatus, make_layer
    from napari_cryoet.check.findings import Findings, check_picks
    from napari_cryoet.comparison.comparing import compare
    from napari_cryoet.comparison.inputs import open_annotation
    from napari_cryoet.comparison.masks import Mask, MaskComparison, PicksInMask
    from napari_cryoet.comparison.picks import PicksComparison
    from napari_cryoet.comparison.report import report_text
    from napari_cryoet.exceptions import (
        ComparisonError,
        CryoETError,
        DownloadError,
        ExistsError,
        FormatError,
        MissingContextError,
        NetworkError,
        NotFoundError,
        PackError,
        PortalError,
        SaveError,
        StoppedError,
        StreamError,
    )
    from napari_cryoet.formats.masks import write_mask
    from napari_cryoet.formats.registry import read_picks, write_picks
    from napari_cryoet.layers.compared import comparison_layers
    from napari_cryoet.layers.load import load_annotation, load_captions, load_picks, load_tilt_series, load_tomogram
    from napari_cryoet.layers.progressive import layer_specs
    from napari_cryoet.layers.specs import LayerSpec
    from napari_cryoet.picks import Picks
    from napari_cryoet.portal.portal import Portal, open_portal
    from napari_cryoet.run.fit import Fit, fit
    from napari_cryoet.run.outline import outline_run

__all__ = [
    "ComparisonError",
    "CryoETError",
    "DownloadError",
    "ExistsError",
    "Findings",
    "Fit",
    "FormatError",
    "LayerSpec",
    "Mask",
    "MaskComparison",
    "MissingContextError",
    "NetworkError",
    "NotFoundError",
    "PackError",
    "Picks",
    "PicksComparison",
    "PicksInMask",
    "PicksLink",
    "Portal",
    "PortalError",
    "SaveError",
    "StoppedError",
    "StreamError",
    "StreamState",
    "StreamStatus",
    "__version__",
    "add_layers",
    "check_picks",
    "compare",
    "comparison_layers",
    "fit",
    "layer_specs",
    "link_of",
    "load_annotation",
    "load_captions",
    "load_picks",
    "load_tilt_series",
    "load_tomogram",
    "make_layer",
    "open_annotation",
    "open_portal",
    "outline_run",
    "picks_of",
    "read_picks",
    "report_text",
    "show_diameter",
    "show_orientations",
    "show_slabs",
    "write_mask",
    "write_picks",
]

_HOMES = {
    "_qt.layers.manager": ["add_layers"],
    "_qt.picks.layer_picks": ["PicksLink", "link_of", "picks_of"],
    "_qt.picks.orientations": ["show_orientations"],
    "_qt.picks.popover": ["show_diameter"],
    "_qt.picks.slabs": ["show_slabs"],
    "_qt.streaming.progressive": ["StreamState", "StreamStatus", "make_layer"],
    "check.findings": ["Findings", "check_picks"],
    "comparison.comparing": ["compare"],
    "comparison.inputs": ["open_annotation"],
    "comparison.masks": ["Mask", "MaskComparison", "PicksInMask"],
    "comparison.picks": ["PicksComparison"],
    "comparison.report": ["report_text"],
    "formats.masks": ["write_mask"],
    "formats.registry": ["read_picks", "write_picks"],
    "layers.compared": ["comparison_layers"],
    "layers.load": ["load_annotation", "load_captions", "load_picks", "load_tilt_series", "load_tomogram"],
    "layers.progressive": ["layer_specs"],
    "layers.specs": ["LayerSpec"],
    "picks": ["Picks"],
    "portal.portal": ["Portal", "open_portal"],
    "run.fit": ["Fit", "fit"],
    "run.outline": ["outline_run"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF.get(name, 'exceptions')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
