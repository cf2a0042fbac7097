"""Browse, stream, overlay and download the CZ CryoET Data Portal.

The names below are the public API. Each is imported at first use, so importing this package costs
nothing.

>>> import napari_cryoet
>>> "open_portal" in dir(napari_cryoet)
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_cryoet._version import __version__

if TYPE_CHECKING:
    from napari_cryoet._qt.picks.layer_picks import LivePicks, live_picks_of, picks_of
    from napari_cryoet._qt.picks.orientations import show_orientations
    from napari_cryoet._qt.picks.popover import show_diameter
    from napari_cryoet._qt.picks.slabs import show_slabs
    from napari_cryoet._qt.streaming.progressive import StreamStatus, make_layer
    from napari_cryoet._qt.streaming.state import StreamState
    from napari_cryoet._qt.viewer.adding import add_layers
    from napari_cryoet.basket.basket import Basket, read_basket, write_basket
    from napari_cryoet.basket.matches import add_matches
    from napari_cryoet.basket.split import split_basket
    from napari_cryoet.check.findings import Findings, check_picks
    from napari_cryoet.comparison.comparing import compare
    from napari_cryoet.comparison.inputs import open_annotation
    from napari_cryoet.comparison.masks import MaskComparison, PicksInMask
    from napari_cryoet.comparison.picks import PicksComparison
    from napari_cryoet.discovery.facets import count_facets
    from napari_cryoet.discovery.index import Index, read_index
    from napari_cryoet.discovery.listing import list_matches
    from napari_cryoet.discovery.search import Condition, Matches, Search, find
    from napari_cryoet.download.run import download_basket
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
    from napari_cryoet.exports import export
    from napari_cryoet.exports.selection import Selection, select_basket
    from napari_cryoet.formats.masks import write_mask
    from napari_cryoet.formats.registry import read_picks, write_picks
    from napari_cryoet.layers.compared import comparison_layers
    from napari_cryoet.layers.load import (
        load_annotation,
        load_captions,
        load_picks,
        load_tilt_series,
        load_tomogram,
    )
    from napari_cryoet.layers.progressive import layer_specs
    from napari_cryoet.layers.specs import LayerSpec
    from napari_cryoet.measure.measuring import measure_picks
    from napari_cryoet.picks import Picks
    from napari_cryoet.portal.portal import Portal, open_portal
    from napari_cryoet.runs.fit import Fit, fit
    from napari_cryoet.runs.outline import outline_run
    from napari_cryoet.volumes import Mask, Volume, open_volume

__all__ = [
    "Basket",
    "ComparisonError",
    "Condition",
    "CryoETError",
    "DownloadError",
    "ExistsError",
    "Findings",
    "Fit",
    "FormatError",
    "Index",
    "LayerSpec",
    "LivePicks",
    "Mask",
    "MaskComparison",
    "Matches",
    "MissingContextError",
    "NetworkError",
    "NotFoundError",
    "PackError",
    "Picks",
    "PicksComparison",
    "PicksInMask",
    "Portal",
    "PortalError",
    "SaveError",
    "Search",
    "Selection",
    "StoppedError",
    "StreamError",
    "StreamState",
    "StreamStatus",
    "Volume",
    "__version__",
    "add_layers",
    "add_matches",
    "check_picks",
    "compare",
    "comparison_layers",
    "count_facets",
    "download_basket",
    "export",
    "find",
    "fit",
    "layer_specs",
    "list_matches",
    "live_picks_of",
    "load_annotation",
    "load_captions",
    "load_picks",
    "load_tilt_series",
    "load_tomogram",
    "make_layer",
    "measure_picks",
    "open_annotation",
    "open_portal",
    "open_volume",
    "outline_run",
    "picks_of",
    "read_basket",
    "read_index",
    "read_picks",
    "select_basket",
    "show_diameter",
    "show_orientations",
    "show_slabs",
    "split_basket",
    "write_basket",
    "write_mask",
    "write_picks",
]

_NAMES_BY_MODULE = {
    "_qt.picks.layer_picks": ["LivePicks", "live_picks_of", "picks_of"],
    "_qt.picks.orientations": ["show_orientations"],
    "_qt.picks.popover": ["show_diameter"],
    "_qt.picks.slabs": ["show_slabs"],
    "_qt.streaming.progressive": ["StreamStatus", "make_layer"],
    "_qt.streaming.state": ["StreamState"],
    "_qt.viewer.adding": ["add_layers"],
    "basket.basket": ["Basket", "read_basket", "write_basket"],
    "basket.matches": ["add_matches"],
    "basket.split": ["split_basket"],
    "check.findings": ["Findings", "check_picks"],
    "comparison.comparing": ["compare"],
    "comparison.inputs": ["open_annotation"],
    "comparison.masks": ["MaskComparison", "PicksInMask"],
    "comparison.picks": ["PicksComparison"],
    "discovery.facets": ["count_facets"],
    "discovery.index": ["Index", "read_index"],
    "discovery.listing": ["list_matches"],
    "discovery.search": ["Condition", "Matches", "Search", "find"],
    "exports": ["export"],
    "exports.selection": ["Selection", "select_basket"],
    "download.run": ["download_basket"],
    "formats.masks": ["write_mask"],
    "formats.registry": ["read_picks", "write_picks"],
    "layers.compared": ["comparison_layers"],
    "layers.load": [
        "load_annotation",
        "load_captions",
        "load_picks",
        "load_tilt_series",
        "load_tomogram",
    ],
    "layers.progressive": ["layer_specs"],
    "layers.specs": ["LayerSpec"],
    "measure.measuring": ["measure_picks"],
    "picks": ["Picks"],
    "portal.portal": ["Portal", "open_portal"],
    "runs.fit": ["Fit", "fit"],
    "runs.outline": ["outline_run"],
    "volumes": ["Mask", "Volume", "open_volume"],
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF.get(name, 'exceptions')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
