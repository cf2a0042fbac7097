"""How large a particle is, so that a pick is drawn as a disc of its true size."""

from __future__ import annotations

from typing import Final

from napari_cryoet.colors import object_key

#: For objects that aren't in the table.
DEFAULT_DIAMETER_ANGSTROM: Final = 100.0

# Diameter of the sphere that holds most of the particle. Those of the CZII challenge (2024) are twice the radii that
# its organisers gave; the others are rounded from the structures in the PDB and EMDB.
_DIAMETERS_ANGSTROM: Final = (
    (300.0, "GO:0022626", "GO:0005840", "cytosolic ribosome", "ribosome", "80s ribosome"),
    (300.0, "membrane bound ribosome", "membrane-bound ribosome"),
    (250.0, "70s ribosome", "GO:0005761", "mitochondrial ribosome"),
    (260.0, "GO:0005835", "fatty acid synthase complex", "fatty acid synthase", "fas"),
    (150.0, "GO:0000502", "proteasome complex", "proteasome"),
    (120.0, "GO:0070288", "ferritin complex", "ferritin", "apo-ferritin", "apoferritin"),
    (130.0, "UniProtKB:P10537", "beta-amylase"),
    (180.0, "UniProtKB:P00722", "beta-galactosidase"),
    (260.0, "UniProtKB:P01267", "thyroglobulin"),
    (270.0, "GO:0170047", "virus-like capsid", "virus-like particle"),
    (150.0, "chaperonin groel", "groel"),
    (160.0, "GO:0005832", "chaperonin-containing t-complex", "tric"),
    (110.0, "GO:0000786", "nucleosome"),
    (120.0, "GO:0048492", "rubisco complex", "rubisco"),
    (1200.0, "GO:0005643", "nuclear pore", "nuclear pore complex"),
    (450.0, "bacterial-type flagellum motor"),
    (250.0, "GO:0005874", "microtubule"),
    (80.0, "GO:0005884", "actin filament", "actin"),
)
_BY_OBJECT: Final = {object_key(None, word): diameter for diameter, *words in _DIAMETERS_ANGSTROM for word in words}


def diameter_angstrom(object_id: str | None, object_name: str | None = None) -> float:
    """The diameter to draw an object with, by its id or else its name.

    >>> diameter_angstrom("GO:0022626"), diameter_angstrom(None, "Ribosome"), diameter_angstrom(None, "Snoopy")
    (300.0, 300.0, 100.0)
    """
    for key in (object_key(object_id), object_key(None, object_name)):
        if key in _BY_OBJECT:
            return _BY_OBJECT[key]
    return DEFAULT_DIAMETER_ANGSTROM
