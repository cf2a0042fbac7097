"""The script that does what the dock *Picks on screen* does, and the public names that it uses."""

from __future__ import annotations

import runpy

import napari
import numpy as np
import pytest

import napari_cryoet
from napari_cryoet._qt.picks.orientation_display import orientation_of
from napari_cryoet._qt.picks.slabs import slabs_of


@pytest.fixture
def viewer(viewer_in_hidden_window):
    return viewer_in_hidden_window


def test_the_example_runs_and_does_what_it_says(viewer, demo_pack, project_folder, monkeypatch, capsys):
    open_portal = napari_cryoet.open_portal
    monkeypatch.setattr("napari_cryoet.open_portal", lambda _source: open_portal(str(demo_pack)))
    monkeypatch.setattr(napari, "Viewer", lambda: viewer)
    monkeypatch.setattr(napari, "run", lambda: None)
    names = runpy.run_path(str(project_folder / "examples" / "picks_on_screen.py"))
    link, display = names["link"], orientation_of(names["picks_layer"])

    assert (slabs_of(viewer).picks_nm, slabs_of(viewer).density_nm) == (30, pytest.approx(5))
    assert (display.orientation, display.length_angstrom) == ("triads", 300)
    assert link.picks.edits == ("kept the upper half",)
    assert link.redo_text == "added 1 pick"
    assert len(display.layer.data) == 3 * len(link.picks)
    assert "('kept the upper half',)" in capsys.readouterr().out


def test_a_persons_own_points_can_be_oriented_from_python(viewer):
    points = viewer.add_points(np.zeros((2, 3)), size=3, scale=(1, 1, 1), units="nm")
    link = napari_cryoet.link_of(points)
    link.set(link.picks.changed("turned", rotations_zyx=np.tile(np.eye(3), (2, 1, 1))))

    assert napari_cryoet.show_orientations(viewer, points, "arrows", length_angstrom=40) == ""
    np.testing.assert_allclose(orientation_of(points).layer.data[0, 1], [4, 0, 0])
