"""What the dock *Picks on screen* does, for scripts: slabs, orientations and sizes of picks in a viewer."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.layers import Points

from napari_cryoet._qt.picks import pick_sizes
from napari_cryoet._qt.picks.orientation_display import orientation_of
from napari_cryoet._qt.picks.slabs import slabs_of
from napari_cryoet.picks.orientations import Orientation


def show_slabs(viewer: ViewerModel, *, picks_nm: float | None = None, density_nm: float | None = None) -> None:
    """Let the 2D view show a slab of picks, and of density, around its plane; what isn't given stays as it is.

    Parameters
    ----------
    viewer
        A `napari.Viewer`.
    picks_nm
        How thick the slab of picks is; at 0 those show that the plane cuts.
    density_nm
        How thick the slab is over which images are averaged; at 0 they show one plane.

    Raises
    ------
    ValueError
        If a thickness is negative, or too large; the message says why there is a limit.
    """
    slabs = slabs_of(viewer)
    if density_nm is not None:
        slabs.show_density(density_nm)
    if picks_nm is not None:
        slabs.show_picks(picks_nm)


def show_orientations(
    viewer: ViewerModel,
    layer: Points,
    orientation: Orientation | str | None = None,
    *,
    length_angstrom: float | None = None,
) -> str:
    """Draw the orientations of a layer's picks as arrows, as triads or not at all; what isn't given stays as it is.

    Parameters
    ----------
    viewer
        In whose layers the arrows are put.
    layer
        Of picks; the arrows follow it from then on.
    orientation
        ``"arrows"`` along the particles' z axes, ``"triads"`` of all three axes, or ``"off"``.
    length_angstrom
        Of an arrow, or of a triad's z axis; until it is given, the particle's diameter.

    Returns
    -------
    str
        What to know of what is drawn, such as how many picks have no valid orientation; empty if nothing.

    Raises
    ------
    ValueError
        If there is no such orientation or length.
    """
    display = orientation_of(layer, viewer.layers)
    display.show(orientation, length_angstrom)
    return display.remark


def show_diameter(viewer: ViewerModel, layer: Points, diameter_nm: float) -> None:
    """Draw the object of a layer's picks with another diameter, in all layers that show it, and remember that.

    Raises
    ------
    ValueError
        If there is no such diameter.
    FormatError
        If it can't be remembered.
    """
    pick_sizes.show_diameter(viewer.layers, layer, diameter_nm)
