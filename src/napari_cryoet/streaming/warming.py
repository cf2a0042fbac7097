"""Do early what the first opening of something on a server would else take a quarter of a second for."""

from __future__ import annotations


def warm_up() -> None:
    """Import what reading from servers and keeping it on disk needs, and make what requests have in common."""
    import dask.array  # noqa: F401
    import numcodecs.blosc  # noqa: F401 - else all who decode a first chunk wait for it, and the window beside them

    from napari_cryoet.http import shared_http
    from napari_cryoet.streaming import disk_settings, exact, making  # noqa: F401

    shared_http().warm_up()
