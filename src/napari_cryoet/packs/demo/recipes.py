"""The scenes of the demo: what is planted in each run. All lengths in ångström, x, y, z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from napari_cryoet.packs.demo.geometry import Membrane, Microtubule, Vector


@dataclass(frozen=True, slots=True)
class SceneRecipe:
    """What to plant in a run; the extent is in ångström, x, y, z."""

    name: str
    extent_xyz: Vector
    particles: Mapping[str, int]
    membranes: tuple[Membrane, ...] = ()
    microtubules: tuple[Microtubule, ...] = ()
    bound_ribosomes: Mapping[int, int] | None = None
    crowding: float = 0.0
    gold_beads: tuple[Vector, ...] = ()


_CYTOPLASM: Final = SceneRecipe(
    name="cytoplasm",
    extent_xyz=(2800.0, 3040.0, 880.0),
    particles={"ribosome": 72, "fatty_acid_synthase": 9, "proteasome": 14},
    membranes=(
        Membrane(
            "endoplasmic reticulum",
            (360.0, 1500.0, 440.0),
            (170.0, 2700.0, 1500.0),
            ((0.6, 9.0, 1.5, 0.4, 0.16), (-0.5, 17.0, -3.0, 2.1, 0.10), (0.0, 31.0, 4.0, 1.1, 0.04)),
            (130.0, 2900.0, 0.6),
        ),
        Membrane(
            "vesicle",
            (2300.0, 760.0, 430.0),
            (350.0, 300.0, 310.0),
            ((3.0, -1.5, 1.0, 0.3, 0.05), (-2.0, 4.0, 1.0, 0.7, 0.03)),
        ),
        Membrane("vesicle", (2350.0, 2540.0, 500.0), (255.0, 272.0, 245.0), ((2.0, 3.0, -1.5, 1.3, 0.06),)),
        Membrane("vesicle", (1080.0, 2650.0, 380.0), (205.0, 190.0, 200.0)),
    ),
    microtubules=(
        Microtubule((900.0, -60.0, 480.0), (1920.0, 3100.0, 420.0), (70.0, -25.0, 0.0)),
        Microtubule((3000.0, 1650.0, 150.0), (900.0, 1250.0, 250.0), (0.0, 40.0, 0.0)),
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
        Membrane(
            "mitochondrion",
            (290.0, 850.0, 400.0),
            (72.0, 425.0, 640.0),
            ((0.5, 5.0, 0.0, 0.5, 0.07),),
            (35.0, 900.0, 0.3),
        ),
        Membrane(
            "mitochondrion",
            (610.0, 690.0, 410.0),
            (68.0, 335.0, 600.0),
            ((0.5, 6.0, 0.0, 1.5, 0.07),),
            (40.0, 700.0, 1.9),
        ),
        Membrane(
            "mitochondrion",
            (900.0, 1010.0, 380.0),
            (72.0, 345.0, 620.0),
            ((0.5, 5.0, 1.0, 1.5, 0.07),),
            (30.0, 800.0, 4.0),
        ),
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
    particles={"ribosome": 13},
    gold_beads=((850.0, 130.0, 380.0),),
    crowding=0.02,
)

RECIPES: Final = {
    recipe.name: recipe
    for recipe in (_CYTOPLASM, _MITOCHONDRION, _CYTOSOL, _TILT_ONLY, _MIXTURE, _MICROTUBULES, _RIBOSOMES)
}
