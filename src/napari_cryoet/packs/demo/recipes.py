"""The scenes of the demo: what is planted in each run. All lengths in ångström, x, y, z."""

from __future__ import annotations

from typing import Final

from napari_cryoet.packs.demo.geometry import Membrane, Microtubule
from napari_cryoet.packs.demo.truth import SceneRecipe

_CYTOPLASM: Final = SceneRecipe(
    name="cytoplasm",
    extent_xyz=(2960.0, 3200.0, 960.0),
    particles={"ribosome": 52, "fatty_acid_synthase": 9, "proteasome": 14},
    membranes=(
        Membrane(
            "endoplasmic reticulum",
            (380.0, 1500.0, 520.0),
            (190.0, 1750.0, 1500.0),
            ((0.0, 5.0, 1.0, 0.4, 0.10), (1.0, 9.0, -2.0, 2.1, 0.05)),
        ),
        Membrane("vesicle", (2350.0, 780.0, 450.0), (330.0, 310.0, 300.0), ((2.0, -1.5, 1.0, 0.3, 0.05),)),
        Membrane("vesicle", (2180.0, 2720.0, 560.0), (250.0, 262.0, 240.0), ((1.0, 2.0, -1.5, 1.3, 0.04),)),
        Membrane("vesicle", (1050.0, 2800.0, 380.0), (205.0, 190.0, 200.0)),
    ),
    microtubules=(
        Microtubule((900.0, -60.0, 640.0), (1980.0, 3260.0, 500.0), (70.0, -25.0, 0.0)),
        Microtubule((2750.0, 1330.0, 260.0), (1130.0, 1500.0, 330.0), (0.0, 30.0, 0.0)),
    ),
    bound_ribosomes={0: 13},
    crowding=1.0,
)

_MITOCHONDRION: Final = SceneRecipe(
    name="mitochondrion",
    extent_xyz=(2120.0, 1880.0, 800.0),
    particles={"ribosome": 22, "fatty_acid_synthase": 4},
    membranes=(
        Membrane("mitochondrion", (600.0, 900.0, 400.0), (800.0, 720.0, 900.0), ((2.0, 1.0, 0.5, 0.2, 0.03),)),
        Membrane("mitochondrion", (600.0, 900.0, 400.0), (670.0, 592.0, 770.0), ((2.0, 1.0, 0.5, 0.2, 0.035),)),
        Membrane("mitochondrion", (330.0, 760.0, 400.0), (75.0, 330.0, 640.0), ((1.0, 3.0, 0.0, 0.5, 0.08),)),
        Membrane("mitochondrion", (760.0, 1010.0, 420.0), (75.0, 300.0, 600.0), ((1.0, 4.0, 0.0, 1.5, 0.08),)),
    ),
    crowding=1.1,
)

_CYTOSOL: Final = SceneRecipe(
    name="cytosol",
    extent_xyz=(1480.0, 1680.0, 720.0),
    particles={"ribosome": 24, "proteasome": 6},
    crowding=1.0,
)

_TILT_ONLY: Final = SceneRecipe(
    name="tilt_only",
    extent_xyz=(1480.0, 1600.0, 680.0),
    particles={"ribosome": 16},
    membranes=(Membrane("vesicle", (800.0, 700.0, 350.0), (420.0, 400.0, 320.0)),),
    crowding=0.6,
)

_MIXTURE: Final = SceneRecipe(
    name="mixture",
    extent_xyz=(1160.0, 1220.0, 530.0),
    particles={"ribosome": 7, "apoferritin": 34, "beta_galactosidase": 16, "thyroglobulin": 12},
    membranes=(Membrane("vesicle", (880.0, 920.0, 270.0), (185.0, 175.0, 170.0)),),
    gold_beads=((240.0, 980.0, 90.0),),
    crowding=0.02,
)

_MICROTUBULES: Final = SceneRecipe(
    name="microtubules",
    extent_xyz=(1065.0, 1160.0, 500.0),
    particles={"beta_galactosidase": 8, "apoferritin": 14},
    microtubules=(
        Microtubule((210.0, -60.0, 240.0), (420.0, 1240.0, 260.0)),
        Microtubule((700.0, -60.0, 270.0), (620.0, 1240.0, 235.0)),
        Microtubule((960.0, -60.0, 220.0), (980.0, 830.0, 255.0)),
    ),
    gold_beads=((820.0, 1040.0, 420.0),),
    crowding=0.02,
)

_RIBOSOMES: Final = SceneRecipe(
    name="ribosomes",
    extent_xyz=(1003.0, 909.0, 470.0),
    particles={"ribosome": 15},
    gold_beads=((850.0, 130.0, 380.0),),
    crowding=0.02,
)

RECIPES: Final = {
    recipe.name: recipe
    for recipe in (_CYTOPLASM, _MITOCHONDRION, _CYTOSOL, _TILT_ONLY, _MIXTURE, _MICROTUBULES, _RIBOSOMES)
}
