"""Do these picks make sense? Checks of picks against the volume that they are said to be in."""

from napari_cryoet.fitness.check import check_picks, diameter_of
from napari_cryoet.fitness.findings import Findings, Mark, Statement
from napari_cryoet.fitness.readings import Reading

__all__ = ["Findings", "Mark", "Reading", "Statement", "check_picks", "diameter_of"]
