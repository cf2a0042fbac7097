"""``napari-cryoet convert``, ``compare``, ``rank``, ``consensus`` and ``check``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from typer import Argument, BadParameter, Option, Typer

import napari_cryoet
from napari_cryoet.cli.console import say, say_json, say_table, tell, working
from napari_cryoet.cli.options import (
    JsonOption,
    ShapeOption,
    TomogramOption,
    UnitOption,
    positive,
    record_id,
    region_angstrom,
    spacings,
    symmetry,
)
from napari_cryoet.cli.portals import open_session
from napari_cryoet.exceptions import ComparisonError, MissingContextError
from napari_cryoet.task import Task
from napari_cryoet.wording import count_text, spacing_text

if TYPE_CHECKING:
    from napari_cryoet.records import AnnotationFile

app = Typer()

SpacingOption = Annotated[
    float | None,
    Option(parser=positive, metavar="Å", help="Voxel spacing, if a file doesn't state it."),
]

_SAME_WIDTH: Final = 1e-3  # relative difference: headers round the size of the whole volume

SourceOption = Annotated[
    str | None, Option(metavar="SOURCE", help="The portal of ids such as AN-9003 or AF-9001.")
]
RadiusOption = Annotated[
    float | None,
    Option(parser=positive, metavar="Å", help="Largest distance between matching picks."),
]
BetaOption = Annotated[
    float,
    Option(
        parser=positive,
        metavar="BETA",
        help="Weight of recall relative to precision; the CZII challenge used 4.",
    ),
]
MethodOption = Annotated[
    Literal["optimal", "greedy"],
    Option(
        help="optimal: most matches at the smallest total distance; greedy: nearest pairs first."
    ),
]
SymmetryOption = Annotated[
    str,
    Option(
        "--symmetry",
        parser=symmetry,
        metavar="Cn",
        help="Symmetry of the particle about its z axis.",
    ),
]
IouOption = Annotated[
    float, Option(min=0, max=1, metavar="IOU", help="Smallest overlap of matching objects.")
]
RegionOption = Annotated[
    Any,
    Option(
        "--region",
        parser=region_angstrom,
        metavar="Z:Z[,Y:Y,X:X]",
        help="Only this slab or box, in ångström, such as 200:800 for z.",
    ),
]
InsistOption = Annotated[
    bool,
    Option(
        "--insist",
        help="Compare despite different alignments, "
        "or use --spacing A,B instead of what masks state.",
    ),
]


@app.command()
def convert(
    source: Annotated[str, Argument(metavar="IN", help="The file to read.")],
    target: Annotated[
        str, Argument(metavar="OUT", help="The file to write; its suffix selects the format.")
    ],
    spacing: SpacingOption = None,
    shape: ShapeOption = None,
    tomogram: TomogramOption = None,
    unit: UnitOption = None,
    alignment: Annotated[
        int | None,
        Option(
            parser=record_id("alignment"),
            metavar="ID",
            help="Alignment to use, if the file has several.",
        ),
    ] = None,
    to: Annotated[
        Literal["relion5", "relion4", "relion3"] | None,
        Option(help="RELION version of a .star file."),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Convert picks to another format: .ndjson, .star, .tbl, .json (copick), .csv or .parquet.

    \b
    napari-cryoet convert ribosomes.ndjson ribosomes.star --spacing 13.48 --shape 1000,928,960
    napari-cryoet convert run_data.star kept.ndjson --tomogram TS_026 --spacing 10 --shape 400,928,960
    """
    from napari_cryoet.formats.registry import (
        TITLES,
        format_for,
        losses,
        missing_for,
    )

    options = {"spacing_angstrom": spacing, "shape_zyx": shape, "tomogram": tomogram, "unit": unit}
    picks = napari_cryoet.read_picks(source, alignment_id=alignment, **options)
    name = to or format_for(target, picks)
    if not missing_for(picks, name):
        for note in (*picks.about.warnings, *losses(picks, name)):
            say(f"note: {note}")
    made = napari_cryoet.write_picks(picks, target, format=name, overwrite=overwrite)
    counted = (
        f", counted in voxels of {spacing_text(picks.spacing_angstrom)}"
        if picks.spacing_angstrom
        else ""
    )
    say(f"{made.path}: {count_text(made.count, 'pick')} as {TITLES[made.format]}{counted}")


@app.command()
def check(
    picks: Annotated[str, Argument(metavar="PICKS", help="A file of picks.")],
    volume: Annotated[
        str,
        Argument(metavar="VOLUME", help="Path or URL of an OME-Zarr, zarr, MRC or TIFF volume."),
    ],
    spacing: SpacingOption = None,
    diameter: Annotated[
        float | None, Option(parser=positive, metavar="Å", help="Diameter of the particle.")
    ] = None,
    tomogram: TomogramOption = None,
    unit: UnitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check whether picks fit a volume. Problems are marked with an exclamation mark.

    napari-cryoet check picks.ndjson TS_026.zarr --spacing 13.48 --diameter 300
    """
    with (
        working() as task,
        closing(napari_cryoet.open_volume(volume, task=task)) as opened,
    ):
        opened_volume = opened
        if opened.spacing_angstrom is None and spacing is not None:
            opened_volume = replace(opened, spacing_angstrom=(spacing,) * 3)
        read = _read_picks(picks, spacing, opened_volume, {"tomogram": tomogram, "unit": unit})
        found = napari_cryoet.check_picks(
            read, opened_volume, diameter_angstrom=diameter, task=task
        )
    warnings = [*read.about.warnings, *opened_volume.remarks]
    if as_json:
        say_json(found.to_dict() | {"warnings": warnings})
        return
    say(found.text.rstrip("\n"))
    for warning in warnings:
        say(f"note: {warning}")


@app.command()
def compare(
    a: Annotated[
        str,
        Argument(
            metavar="A",
            help="The annotation to score: a file of picks, a mask, or with --source an id.",
        ),
    ],
    b: Annotated[str, Argument(metavar="B", help="The reference, such as a ground truth.")],
    source: SourceOption = None,
    radius: RadiusOption = None,
    beta: BetaOption = 1.0,
    method: MethodOption = "optimal",
    point_group: SymmetryOption = "C1",
    iou: IouOption = 0.5,
    region: RegionOption = None,
    spacing: Annotated[
        Any,
        Option(
            parser=spacings,
            metavar="Å",
            help="Voxel spacing of files that don't state it, one for both or A,B.",
        ),
    ] = None,
    shape: ShapeOption = None,
    tomogram: TomogramOption = None,
    unit: UnitOption = None,
    insist: InsistOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two annotations: picks, masks, or picks with a mask.

    \b
    napari-cryoet compare mine.ndjson truth.ndjson --radius 75 --spacing 10
    napari-cryoet compare AN-9003 AF-9001 --source demo --radius 75 --beta 4
    napari-cryoet compare mine.mrc truth.zarr --json
    """
    options = {"shape_zyx": shape, "tomogram": tomogram, "unit": unit, "insist": insist}
    annotations = _resolved((a, b), source)
    with working() as task:
        sides = [
            _opened_side(each, spacing or (), number, task, options)
            for number, each in enumerate(annotations)
        ]
        found = napari_cryoet.compare(
            *sides,
            radius_angstrom=radius,
            beta=beta,
            method=method,
            symmetry=point_group,
            iou_threshold=iou,
            region_angstrom=region or (),
            insist=insist,
            task=task,
        )
    if as_json:
        say_json(found.to_dict())
        return
    say(found.text.rstrip("\n"))
    for letter, side in zip("AB", sides, strict=True):
        for note in side.about.warnings:
            say(f"note on {letter}: {note}")


@app.command()
def rank(
    reference: Annotated[
        str,
        Argument(metavar="REFERENCE", help="What you trust: a file, or with --source an id."),
    ],
    annotations: Annotated[
        list[str] | None,
        Argument(
            metavar="[A]...",
            help="Files or ids to rank; by default, all of the reference's object in its run.",
        ),
    ] = None,
    source: SourceOption = None,
    radius: RadiusOption = None,
    beta: BetaOption = 1.0,
    method: MethodOption = "optimal",
    point_group: SymmetryOption = "C1",
    iou: IouOption = 0.5,
    region: RegionOption = None,
    spacing: SpacingOption = None,
    insist: InsistOption = False,
    as_json: JsonOption = False,
) -> None:
    """Rank all annotations of an object in a run by how well they agree with one of them.

    \b
    napari-cryoet rank AF-9001 --source demo --radius 120
    napari-cryoet rank AF-9001 --source demo --region 200:500
    napari-cryoet rank truth.ndjson mine.ndjson theirs.ndjson
    """
    from napari_cryoet.comparison.comparing import rivals_at

    truth, *others = _resolved((reference, *(annotations or ())), source)
    with working() as task:
        others = others or [*rivals_at(truth, task=task)]
        if not others:
            raise ComparisonError("There is nothing to rank.", hint="Name more annotations.")
        ranking = napari_cryoet.rank_annotations(
            others,
            truth,
            radius_angstrom=radius,
            beta=beta,
            method=method,
            symmetry=point_group,
            iou_threshold=iou,
            region_angstrom=region or (),
            spacing_angstrom=spacing,
            insist=insist,
            task=task,
        )
    if as_json:
        say_json(ranking.to_dict())
        return
    columns = ("annotation", ">picks", ">precision", ">recall", ">F", "why not")
    say_table(columns, (row.texts for row in ranking.rows))


@app.command()
def consensus(
    annotations: Annotated[
        list[str], Argument(metavar="A B...", help="Each person's picks: files, or ids.")
    ],
    source: SourceOption = None,
    radius: Annotated[
        float, Option(parser=positive, metavar="Å", help="Largest distance from the consensus.")
    ] = ...,  # type: ignore[assignment] # typer's word for a required option
    min_votes: Annotated[
        int | None,
        Option(min=1, metavar="N", help="Save picks of at least N people; more than half."),
    ] = None,
    to: Annotated[
        Path | None, Option(metavar="FILE", help="Save the consensus; see convert.")
    ] = None,
    spacing: SpacingOption = None,
    shape: ShapeOption = None,
    tomogram: TomogramOption = None,
    unit: UnitOption = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace FILE if it exists.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Combine the picks of several people: how many made each, and how well they agree.

    \b
    napari-cryoet consensus anna.ndjson ben.star carla.csv --radius 75 --to consensus.ndjson
    """
    if (min_votes or 1) > len(annotations):
        raise BadParameter(
            f"{min_votes} votes of {count_text(len(annotations), 'person', 'people')}"
        )
    options = {"spacing_angstrom": spacing, "shape_zyx": shape, "tomogram": tomogram, "unit": unit}
    with working() as task:
        picks = []
        for each in _resolved(annotations, source):
            side = napari_cryoet.open_annotation(each, task=task, **options)
            if not isinstance(side, napari_cryoet.Picks):
                raise ComparisonError("A consensus is of picks, not of masks.")
            picks.append(side)
        found = napari_cryoet.consensus(picks, radius, task=task)
    if to is not None:
        agreed = found.at_least(min_votes or found.majority)
        made = napari_cryoet.write_picks(agreed, to, overwrite=overwrite)
        tell(f"{made.path}: {count_text(made.count, 'pick')}")
    if as_json:
        say_json(found.to_dict())
        return
    say(found.text.rstrip("\n"))


def _read_picks(
    path: str, spacing: float | None, volume: napari_cryoet.Volume, options: dict[str, Any]
) -> napari_cryoet.Picks:
    """Read picks in their own grid, or in the volume's if their file needs one."""
    from napari_cryoet.formats.common import Context
    from napari_cryoet.formats.registry import read_in_own_grid

    try:
        return read_in_own_grid(path, Context(spacing, **options))
    except MissingContextError as error:
        widths = volume.spacing_angstrom or (math.nan,)
        is_cubic = all(math.isclose(width, widths[0], rel_tol=_SAME_WIDTH) for width in widths)
        if "tomogram" in error.missing or not is_cubic:
            raise
        # such positions are in ångström from the centre, so they are the same for any voxel size
        return napari_cryoet.read_picks(
            path, spacing_angstrom=widths[0], shape_zyx=volume.shape_zyx, **options
        )


def _resolved(texts: Sequence[str], source: str | None) -> list[AnnotationFile | str]:
    """Replace ids by files of the portal; paths and URLs stay as they are."""
    from napari_cryoet.comparison.inputs import ANNOTATION_ID, named_file

    ids = [text for text in texts if ANNOTATION_ID.fullmatch(text) and not Path(text).exists()]
    if not ids:
        return list(texts)
    if source is None:
        raise ComparisonError("An id needs a portal.", hint="Add --source, such as live.")
    with open_session(source) as session:
        return [
            named_file(session.portal, text, task=session.task) if text in ids else text
            for text in texts
        ]


def _opened_side(
    annotation: AnnotationFile | str,
    spacings: tuple[float, ...],
    number: int,
    task: Task,
    options: dict[str, Any],
) -> napari_cryoet.Picks | napari_cryoet.Mask:
    """Open one side; a single spacing for both applies only to files that don't state theirs."""
    spacing = spacings[number % len(spacings)] if spacings else None
    try:
        return napari_cryoet.open_annotation(
            annotation, spacing_angstrom=spacing, task=task, **options
        )
    except ComparisonError as error:
        if len(spacings) == 1:
            return napari_cryoet.open_annotation(annotation, task=task)
        hint = "If the file is wrong, use --spacing A,B with both spacings, and --insist."
        raise ComparisonError(error.message, hint=hint) from error
