"""The labels of RELION's STAR files that say where and how particles lie, and ours beside them."""

from __future__ import annotations

from typing import Final, Literal

#: The versions that files are written for.
Dialect = Literal["relion3", "relion4", "relion5"]

PIXELS: Final = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
CENTRED: Final = ("rlnCenteredCoordinateXAngst", "rlnCenteredCoordinateYAngst", "rlnCenteredCoordinateZAngst")
ANGLES: Final = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
SUBTOMOGRAM_ANGLES: Final = ("rlnTomoSubtomogramRot", "rlnTomoSubtomogramTilt", "rlnTomoSubtomogramPsi")
PRIORS: Final = ("rlnAngleRotPrior", "rlnAngleTiltPrior", "rlnAnglePsiPrior")
SHIFTS_ANGSTROM: Final = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
SHIFTS_PIXELS: Final = ("rlnOriginX", "rlnOriginY", "rlnOriginZ")
#: How a particle's image lies beside the particle, and is turned.
OF_IMAGES: Final = (*SHIFTS_ANGSTROM, *SUBTOMOGRAM_ANGLES)
#: What is true of one particle only, whoever else is called as it is.
OF_ONE_PARTICLE: Final = (*OF_IMAGES, "rlnImageName", "rlnTomoParticleName")
SIZES: Final = ("rlnTomoSizeX", "rlnTomoSizeY", "rlnTomoSizeZ")
TOMOGRAM_NAMES: Final = ("rlnTomoName", "rlnMicrographName")
PIXEL_SIZES: Final = ("rlnTomoTiltSeriesPixelSize", "rlnMicrographPixelSize")
#: How wide the pixels of the particles' own images are, or what RELION 3.0 and Warp say in place of it.
IMAGE_PIXELS: Final = ("rlnImagePixelSize", "rlnPixelSize")
MAGNIFIED: Final = ("rlnDetectorPixelSize", "rlnMagnification")
#: The first that a file has is the score: RELION's own, then those of pytom-match-pick.
SCORES: Final = ("rlnAutopickFigureOfMerit", "rlnLCCmax", "ptmLCCmax")
GROUP: Final = "rlnOpticsGroup"
IMAGE: Final = "rlnImageName"
PICK_ID, INSTANCE_ID, IS_ORIENTED = "napariCryoetPickId", "napariCryoetInstanceId", "napariCryoetIsOriented"

#: What other columns of a file can't be called, since these say where and how a particle lies.
OWN: Final = frozenset(
    {*PIXELS, *CENTRED, *ANGLES, *SUBTOMOGRAM_ANGLES, *SHIFTS_ANGSTROM, *SHIFTS_PIXELS, *SIZES, *PIXEL_SIZES}
    | {GROUP, PICK_ID, INSTANCE_ID, IS_ORIENTED}
)
