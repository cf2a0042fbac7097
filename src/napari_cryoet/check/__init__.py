"""Do these picks make sense? Checks of picks against the volume that they should be in."""
