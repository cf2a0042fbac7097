"""The plots of ``streaming_scaling.py``: seconds and bytes until the first exact plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLORS = {"ours": "#0072b2", "rival": "#d55e00"}
NAMES = {"ours": "napari-cryoet", "rival": "zarr + fsspec + dask, 16 threads"}


def draw(result: dict[str, Any], folder: Path) -> None:
    """Write one SVG for each kind of row that there is."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "scaling", "font.size": 9}
    line = f"{result['connection_mb_s']:g} MB/s a connection, {result['total_mb_s']:g} MB/s in all"
    at = f"{result['latency_ms']:g} ms a request, {line}"
    rows = result["rows"]
    if "size" in rows:
        values = [[_gigabytes(row), row] for row in rows["size"]]
        _plot(folder / "streaming-size.svg", values, "Size of the volume, GB", at, is_log=True)
    if "latency" in rows:
        values = [[row["latency_ms"], row] for row in rows["latency"]]
        about = f"500 x 960 x 928, {line}"
        _plot(folder / "streaming-latency.svg", values, "Time a request takes, ms", about, is_log=True)
    if "layers" in rows:
        values = [[row["layers"], row] for row in rows["layers"]]
        about = f"512 x 512 x 512 each, {at}"
        _plot(folder / "streaming-layers.svg", values, "Layers at once", about, is_log=False)


def _gigabytes(row: dict[str, Any]) -> float:
    z, y, x = row["shape"]
    return z * y * x * 4 / 1e9


def _plot(path: Path, values: list[Any], xlabel: str, about: str, *, is_log: bool) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    for axes, key, label in zip(figure.subplots(1, 2), ("first_s", "first_mb"), ("seconds", "MB"), strict=True):
        for kind, color in COLORS.items():
            points = [(x, row[key]) for x, row in values if row["kind"] == kind]
            axes.plot(*zip(*points, strict=True), "o-", color=color, label=NAMES[kind], markersize=4)
        axes.set(yscale="log", xlabel=xlabel, title=f"First exact plane, {label}")
        if is_log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.supxlabel(about, fontsize=8)
    figure.savefig(path, metadata={"Date": None})
