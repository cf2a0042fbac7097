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
    from napari_cryoet._qt.adding import add_layers
    from napari_cryoet.check.findings import Findings, check_picks
    from napari_cryoet.comparison.comparing import compare
    from napari_cryoet.comparison.inputs import open_annotation
    from napari_cryoet.comparison.layers import comparison_layers
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
    from napari_cryoet.layer_spec import LayerSpec
    from napari_cryoet.loading import (
        load_annotation,
        load_captions,
        load_picks,
        load_tomogram,
    )
    from napari_cryoet.picks import Picks
    from napari_cryoet.portal import Portal, open_portal
    from napari_cryoet.run.fit import Fit, fit
    from napari_cryoet.run.outline import outline_run
    from napari_cryoet.tilt_series_layers import load_tilt_series

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
    "Portal",
    "PortalError",
    "SaveError",
    "StoppedError",
    "StreamError",
    "__version__",
    "add_layers",
    "check_picks",
    "compare",
    "comparison_layers",
    "fit",
    "load_annotation",
    "load_captions",
    "load_picks",
    "load_tilt_series",
    "load_tomogram",
    "open_annotation",
    "open_portal",
    "outline_run",
    "read_picks",
    "report_text",
    "write_mask",
    "write_picks",
]

_HOMES = {
    "Findings": "check.findings",
    "Fit": "run.fit",
    "LayerSpec": "layer_spec",
    "Mask": "comparison.masks",
    "MaskComparison": "comparison.masks",
    "Picks": "picks",
    "PicksComparison": "comparison.picks",
    "PicksInMask": "comparison.masks",
    "Portal": "portal",
    "add_layers": "_qt.adding",
    "check_picks": "check.findings",
    "compare": "comparison.comparing",
    "comparison_layers": "comparison.layers",
    "fit": "run.fit",
    "load_annotation": "loading",
    "load_captions": "loading",
    "load_picks": "loading",
    "load_tilt_series": "tilt_series_layers",
    "load_tomogram": "loading",
    "open_annotation": "comparison.inputs",
    "open_portal": "portal",
    "outline_run": "run.outline",
    "read_picks": "formats.registry",
    "report_text": "comparison.report",
    "write_mask": "formats.masks",
    "write_picks": "formats.registry",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'exceptions')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
