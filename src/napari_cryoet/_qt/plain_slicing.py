"""What is left where napari's pictures can't be made to sharpen: let it slice on its own thread, for this session."""

from __future__ import annotations


class NoSeamError(Exception):
    """Why a layer can't be drawn progressively in this napari."""


def slice_on_another_thread() -> None:
    """Turn napari's asynchronous slicing on as the variable NAPARI_ASYNC does: what a person has saved stays."""
    from napari.settings import get_settings

    settings = get_settings()
    if settings.experimental.async_:
        return
    settings.env_settings.setdefault("experimental", {})["async_"] = True  # what is there, napari doesn't save
    settings.experimental.async_ = True
