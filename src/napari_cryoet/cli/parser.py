"""What can be typed. Imports nothing heavy: ``--help`` must come at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from napari_cryoet._version import __version__
from napari_cryoet.cli.arguments import (
    KEPT,
    alignment_id,
    angstrom,
    cache_limit,
    dataset_id,
    deposition_id,
    kept_thing,
    megabytes,
    one_or_two_spacings,
    port,
    positive_number,
    run_id,
    seconds,
    share,
    symmetry,
    volume_shape,
    which_annotations,
    window_size,
    words_of,
)
from napari_cryoet.cli.console import harmless

_SOURCE_HELP = "live, demo, the address of a GraphQL server, or the folder of a pack"
_WHAT = ("tomogram", "annotations", "metadata")


class _Parser(argparse.ArgumentParser):
    """Says what is wrong without passing on to the terminal whatever was typed or pasted."""

    def error(self, message: str) -> NoReturn:
        super().error(harmless(message))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; ``options.command(options)`` runs what was asked for."""
    parser = _Parser(
        prog="napari-cryoet",
        description="Browse, stream, overlay and download the CZ CryoET Data Portal.",
        epilog=_examples(
            ("napari-cryoet demo", "a small made-up portal; needs no network"),
            ("napari-cryoet open live --dataset 10000", "a dataset of the live portal"),
            ("napari-cryoet search live ribosome pombe", "datasets about both words"),
            ("napari-cryoet download live --run 506 --what tomogram,annotations --to runs", ""),
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"napari-cryoet {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        *(_add_demo, _add_open, _add_search, _add_download),
        *(_add_convert, _add_compare, _add_check),
        *(_add_pack, _add_serve, _add_cache),
    ):
        add(commands)
    return parser


def _add_demo(commands: Any) -> None:
    parser = _command(
        commands,
        "demo",
        "open the demo: a small made-up portal that needs no network",
        "view:demo",
        ("napari-cryoet demo", ""),
        ("napari-cryoet demo --screenshot demo.png", "a picture of the window, also without a display"),
    )
    _add_window_options(parser)
    parser.set_defaults(source="demo", deposition=None, dataset=None, run=None, offline=False, max_mb=None)


def _add_open(commands: Any) -> None:
    parser = _command(
        commands,
        "open",
        "open a portal, a deposition, a dataset or a run in napari",
        "view:open_source",
        ("napari-cryoet open live", "the live portal"),
        ("napari-cryoet open live --run 506 --annotations all", "a run with all its annotations"),
        ("napari-cryoet open my-pack --dataset 10000", "a dataset of a pack"),
        ("napari-cryoet open live --deposition CZCDP-10310", "a deposition and what it added to"),
        ("napari-cryoet open live --run 506 --max-mb 200", "at most 200 MB over the network"),
        ("napari-cryoet open live --offline", "what was loaded before, without the network"),
    )
    _add_source(parser)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--deposition", type=deposition_id, metavar="ID", help="show this deposition")
    place.add_argument("--dataset", type=dataset_id, metavar="ID", help="show this dataset")
    place.add_argument("--run", type=run_id, metavar="ID", help="open this run's default tomogram")
    parser.add_argument("--offline", action="store_true", help="send nothing: show only what was loaded before")
    parser.add_argument("--max-mb", type=megabytes, metavar="N", help="let at most N MB come over the network")
    _add_window_options(parser)


def _add_search(commands: Any) -> None:
    parser = _command(
        commands,
        "search",
        "list the datasets that match all words",
        "query:search",
        ("napari-cryoet search live ribosome pombe", ""),
        ("napari-cryoet search demo membrane --json", "for other programs"),
    )
    _add_source(parser)
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="in title, organism, authors, annotated objects, ids; none lists everything",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_download(commands: Any) -> None:
    parser = _command(
        commands,
        "download",
        "download files of a run",
        "download:download",
        ("napari-cryoet download live --run 506 --to runs --dry-run", "says what and how big"),
        ("napari-cryoet download live --run 506 --what tomogram --format mrc --to runs", ""),
        ("napari-cryoet download demo --run 9001 --what annotations,metadata --to runs", ""),
        after="Files lie in the folder as in the portal's bucket, with a manifest.json. Started again, a download "
        "fetches only what isn't complete.",
    )
    _add_source(parser)
    parser.add_argument("--run", type=run_id, required=True, metavar="ID", help="the run")
    parser.add_argument(
        "--what",
        type=words_of(_WHAT),
        default=("tomogram", "annotations"),
        metavar="WHAT",
        help="tomogram, annotations, metadata; several with commas (default: tomogram,annotations)",
    )
    parser.add_argument(
        "--format", choices=("zarr", "mrc"), default="zarr", help="of the tomogram and of masks (default: zarr)"
    )
    _add_annotations(parser, default="all")
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="where to")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and fetch nothing")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there and differ")


def _add_compare(commands: Any) -> None:
    parser = _command(
        commands,
        "compare",
        "compare two annotations: picks, masks, or picks with a mask",
        "compare:compare",
        ("napari-cryoet compare mine.ndjson truth.ndjson --radius 75 --spacing 10", "one spacing for both"),
        ("napari-cryoet compare mine.ndjson truth.ndjson --radius 75 --spacing 10,13.48", "of A and of B"),
        ("napari-cryoet compare AN-9003 AF-9001 --source demo --radius 75 --beta 4", "annotations of a portal"),
        ("napari-cryoet compare mine.star AF-9001 --source demo --radius 75", "one's own picks with a portal's"),
        ("napari-cryoet compare mine.mrc truth.zarr --json", "two masks, for other programs"),
        after="A is judged, B is the reference. Each is a file of picks, a mask (.zarr, .mrc), or with --source "
        "the id of an annotation (AN-9003) or of one of its files (AF-9004). Picks match one to one if they are no "
        "farther apart than the radius.",
    )
    parser.add_argument("a", metavar="A", help="what is judged: a file, or the id of an annotation or its file")
    parser.add_argument("b", metavar="B", help="the reference, such as a ground truth")
    parser.add_argument("--source", metavar="SOURCE", help=f"where ids are looked up: {_SOURCE_HELP}")
    parser.add_argument(
        "--radius", type=angstrom, metavar="Å", help="how far apart the same particle may be, in ångström"
    )
    parser.add_argument(
        "--beta",
        type=positive_number,
        default=1.0,
        help="how many times as important recall is as precision (default: 1; the CZII challenge took 4)",
    )
    parser.add_argument(
        "--method",
        choices=("optimal", "greedy"),
        default="optimal",
        help="as many matches as can be at the least total distance, or the nearest two first (default: optimal)",
    )
    parser.add_argument(
        "--symmetry", type=symmetry, default="C1", metavar="Cn", help="of the particle about its z axis (default: C1)"
    )
    parser.add_argument(
        "--iou",
        type=share,
        default=0.5,
        metavar="IOU",
        help="from which overlap on two objects are one (default: 0.5)",
    )
    parser.add_argument(
        "--spacing",
        type=one_or_two_spacings,
        metavar="Å",
        help="voxel spacing of files that don't say it: of both, or of A,B",
    )
    parser.add_argument(
        "--shape",
        type=volume_shape,
        metavar="Z,Y,X",
        help="size of the volume, in voxels, where a file of picks needs it",
    )
    parser.add_argument("--tomogram", metavar="NAME", help="which one, where a file of picks has several tomograms")
    parser.add_argument(
        "--insist",
        action="store_true",
        help="compare also what was made on different alignments or runs, or take the spacings of A,B for masks whose "
        "files say others",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_convert(commands: Any) -> None:
    parser = _command(
        commands,
        "convert",
        "write the picks of a file in another format",
        "convert:convert",
        ("napari-cryoet convert ribosomes.ndjson ribosomes.star --spacing 13.48 --shape 1000,928,960", "for RELION 5"),
        ("napari-cryoet convert run_data.star kept.ndjson --tomogram TS_026 --spacing 10 --shape 400,928,960", ""),
        ("napari-cryoet convert final.tbl picks.json --spacing 10", "Dynamo's table for copick"),
        after="The names' endings say the formats: .ndjson, .star, .tbl, .json (copick), .csv, .parquet. What the new "
        "file can't hold is said. What a file doesn't say is never guessed: give it.",
    )
    parser.add_argument("source", metavar="IN", help="the file to read")
    parser.add_argument("target", metavar="OUT", help="the file to write")
    parser.add_argument("--spacing", type=angstrom, metavar="Å", help="the width of a voxel, in which to count")
    parser.add_argument("--shape", type=volume_shape, metavar="Z,Y,X", help="the size of the volume in these voxels")
    parser.add_argument("--tomogram", metavar="NAME", help="which one, of a file with several")
    parser.add_argument(
        "--alignment",
        type=alignment_id,
        metavar="ID",
        help="which one, of a file with the picks of several; of any other file, the one that it belongs to",
    )
    parser.add_argument("--to", choices=("relion5", "relion4", "relion3"), help="for which RELION a .star file is")
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")


def _add_check(commands: Any) -> None:
    parser = _command(
        commands,
        "check",
        "say whether picks make sense in a volume",
        "check:check",
        ("napari-cryoet check picks.ndjson TS_026.zarr --spacing 13.48 --diameter 300", ""),
        ("napari-cryoet check run_data.star TS_026.mrc --tomogram TS_026", "of a file with several tomograms"),
        ("napari-cryoet check picks.ndjson TS_026.mrc --json", "for other programs"),
        after="What is odd is marked with an exclamation mark. Picks and volume are only read.",
    )
    parser.add_argument(
        "picks",
        metavar="PICKS",
        help="a file of picks: portal ndjson, RELION STAR, Dynamo, copick JSON, CSV, Parquet",
    )
    parser.add_argument("volume", metavar="VOLUME", help="path or address of an OME-Zarr, zarr, MRC or TIFF volume")
    parser.add_argument(
        "--spacing",
        type=angstrom,
        metavar="Å",
        help="voxel spacing that the picks count in, where their file doesn't say it (default: that of its folder, "
        "else of the volume); also the volume's, if nothing says it",
    )
    parser.add_argument(
        "--diameter", type=angstrom, metavar="Å", help="of the particle (default: by the file's name, else 100)"
    )
    parser.add_argument("--tomogram", metavar="NAME", help="which one, of a file of picks with several")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_pack(commands: Any) -> None:
    parser = _command(
        commands,
        "pack",
        "write a pack: a folder that can be opened and served like a portal",
        "packs:write_pack",
        ("napari-cryoet pack demo demo-pack", "the demo as a folder"),
    )
    parser.add_argument("what", choices=("demo",), help="what to write")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to; must not be there yet, or be empty")


def _add_serve(commands: Any) -> None:
    parser = _command(
        commands,
        "serve",
        "serve a pack over HTTP, until Ctrl+C",
        "packs:serve",
        ("napari-cryoet serve demo-pack", "for programs on this machine"),
        ("napari-cryoet serve demo-pack --host 0.0.0.0 --port 8000", "for a class"),
        after='When ready it prints one line of JSON: {"graphql": URL, "files": URL, "s3": URL}.',
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the pack")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: only this machine)")
    parser.add_argument("--port", type=port, default=0, help="the port to listen on (default: any that is free)")
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="NAME",
        help="another name of this computer; repeatable",
    )
    parser.add_argument(
        "--cors", action="append", default=[], metavar="ORIGIN", help="let web pages of this origin read; repeatable"
    )


def _add_cache(commands: Any) -> None:
    parser = _command(
        commands,
        "cache",
        "show, limit or clear what is kept on this computer",
        "cache:cache",
        ("napari-cryoet cache", "what is kept, where, and how much it may become"),
        ("napari-cryoet cache limit 5GB", "of pixels; or: off, default"),
        ("napari-cryoet cache clear pixels", ""),
        ("napari-cryoet cache clear", "all of it"),
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action")
    actions.add_parser("show", help="show it (default)", description="Show what is kept on this computer.")
    limit = actions.add_parser("limit", help="say how much pixels may take", description="Limit the kept pixels.")
    limit.add_argument("limit", type=cache_limit, metavar="SIZE", help="5GB, 500MB, off or default")
    clear = actions.add_parser("clear", help="delete it", description="Delete what is kept on this computer.")
    clear.add_argument(
        "what", nargs="*", type=kept_thing, metavar="WHAT", help=f"{', '.join(KEPT)}; nothing means all of it"
    )
    parser.set_defaults(action="show")


def _command(
    commands: Any, name: str, summary: str, target: str, *examples: tuple[str, str], after: str = ""
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog="\n\n".join(part for part in (after, _examples(*examples)) if part),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=_lazily(target))
    # after the command too, where one looks for it; without a default it doesn't undo the one before the command
    parser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return parser


def _lazily(target: str) -> Callable[[argparse.Namespace], int]:
    """Return a function that imports the one that does the work when it is called."""

    def run(options: argparse.Namespace) -> int:
        module, _, function = target.partition(":")
        return int(getattr(import_module(f"napari_cryoet.cli.{module}"), function)(options))

    return run


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help=_SOURCE_HELP)


def _add_window_options(parser: argparse.ArgumentParser) -> None:
    _add_annotations(parser, default="default")
    parser.add_argument(
        "--unaligned",
        action="store_true",
        help="show annotations of another alignment too: they lie beside where they belong, and their names say so",
    )
    parser.add_argument(
        "--screenshot",
        type=Path,
        metavar="FILE",
        help="draw the whole window into this PNG file once all is shown, and leave",
    )
    parser.add_argument("--size", type=window_size, metavar="WxH", help="of the window (of a picture: 1280x800)")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=120.0,
        metavar="SECONDS",
        help="how long a screenshot may take (default: 120)",
    )


def _add_annotations(parser: argparse.ArgumentParser, *, default: str) -> None:
    parser.add_argument(
        "--annotations",
        type=which_annotations,
        default=default,
        metavar="WHICH",
        help=f"all, default (the curators' choice), none, or ids with commas (default: {default})",
    )


def _examples(*examples: tuple[str, str]) -> str:
    width = max(len(command) for command, _ in examples)
    lines = (f"  {command:{width}}  # {note}" if note else f"  {command}" for command, note in examples)
    return "examples:\n" + "\n".join(lines)
