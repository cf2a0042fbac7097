"""``napari-cryoet compare``: how far two annotations agree, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import threading
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from napari_cryoet.cli.console import ProgressLine, say, stop_on_interrupt
from napari_cryoet.cli.sources import open_source
from napari_cryoet.comparison import comparing
from napari_cryoet.comparison.inputs import is_annotation_id, is_volume, named_file, open_annotation
from napari_cryoet.comparison.masks import Mask
from napari_cryoet.comparison.report import report_text
from napari_cryoet.exceptions import ComparisonError, FormatError, NotFoundError
from napari_cryoet.files import is_address, path_to_read
from napari_cryoet.formats.common import spacing_in_layout
from napari_cryoet.picks import Picks
from napari_cryoet.portal.portal import Portal
from napari_cryoet.records import AnnotationFile


def compare(options: argparse.Namespace) -> int:
    """Print how far A agrees with B."""
    with stop_on_interrupt() as stop, ProgressLine() as line:
        a, b = _opened(options, line, stop)
        found = comparing.compare(
            a,
            b,
            radius_angstrom=options.radius,
            beta=options.beta,
            method=options.method,
            symmetry=options.symmetry,
            iou_threshold=options.iou,
            insist=options.insist,
            progress=lambda share: line.show(f"{share:4.0%}"),
            stop=stop,
        )
    if options.json:
        say(json.dumps(found.plain(), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        say(report_text(found).rstrip("\n"))
        for letter, side in (("A", a), ("B", b)):
            for note in side.about.get("warnings", ()):
                say(f"note on {letter}: {note}")
    return 0


def _opened(
    options: argparse.Namespace, line: ProgressLine, stop: threading.Event
) -> tuple[Picks | Mask, Picks | Mask]:
    sources = _sources(options, line, stop)
    spacings = options.spacing or (None,)
    a, b = (
        _open(options, source, spacing, stop)
        for source, spacing in zip(sources, spacings if len(spacings) == 2 else 2 * spacings, strict=True)
    )
    return a, b


def _sources(
    options: argparse.Namespace, line: ProgressLine, stop: threading.Event
) -> tuple[AnnotationFile | str, AnnotationFile | str]:
    """What A and B mean, or words about all that means nothing."""
    texts: tuple[str, str] = (options.a, options.b)
    with ExitStack() as opened:
        portal = None
        if any(map(_is_id, texts)) and options.source is not None:
            portal = opened.enter_context(closing(open_source(options.source, line, stop)))
        found, wrong = [], []
        for text in texts:
            try:
                found.append(_meant(portal, text, stop))
            except (NotFoundError, FormatError) as error:
                wrong.append(error)
    if len(wrong) == 2 and str(wrong[0]) != str(wrong[1]):
        raise ComparisonError(f"A: {wrong[0]} B: {wrong[1]}")
    if wrong:
        raise wrong[0]
    a, b = found
    return a, b


def _meant(portal: Portal | None, text: str, stop: threading.Event) -> AnnotationFile | str:
    """The file of a portal that an id means, or the path or address as it is."""
    if _is_id(text):
        if portal is None:
            raise ComparisonError("An id needs a portal in which it is looked up.", hint="Add --source, such as live.")
        return named_file(portal, text, stop=stop)
    if not is_address(text) and not os.path.lexists(os.path.expanduser(path_to_read(text))):
        is_name = not Path(text).suffix and Path(text).name == text  # of a file it would be an odd one
        what = f"{text} is no file here, and no id" if is_name else f"There is no file {text}"
        raise FormatError(f"{what}.", hint="Ids look like AN-9003 or AF-9001." if is_name else "")
    return text


def _open(
    options: argparse.Namespace, source: AnnotationFile | str, spacing: float | None, stop: threading.Event
) -> Picks | Mask:
    """One side, or words that name what can be typed."""
    try:
        return _opened_side(options, source, spacing, stop)
    except ComparisonError as error:
        hint = "If the file is wrong, say the spacings of both, --spacing A,B, and --insist."
        raise ComparisonError(error.message, hint=hint) from error


def _opened_side(
    options: argparse.Namespace, source: AnnotationFile | str, spacing: float | None, stop: threading.Event
) -> Picks | Mask:
    """One side; a spacing that was said of both is only that of files that don't say theirs."""
    is_of_both = options.spacing is not None and len(options.spacing) == 1
    if is_of_both and isinstance(source, str) and is_volume(source):
        try:
            return open_annotation(source, spacing_angstrom=spacing, stop=stop)
        except ComparisonError:  # its file says another one, which counts
            return _with_own_spacing_told(open_annotation(source, stop=stop), source, spacing)
    return open_annotation(
        source,
        spacing_angstrom=spacing,
        shape_zyx=options.shape,
        tomogram=options.tomogram,
        insist=options.insist,
        stop=stop,
    )


def _with_own_spacing_told(mask: Picks | Mask, source: str, given: float | None) -> Picks | Mask:
    where = "file" if spacing_in_layout(source) is None else "folder"
    said = f"Its {where} says that voxels are {mask.spacing_angstrom:g} Å wide; that was taken, not {given:g} Å."
    return replace(mask, about=dict(mask.about) | {"warnings": [*mask.about.get("warnings", ()), said]})


def _is_id(text: str) -> bool:
    """Whether it isn't a file of one's own that is called like an id."""
    return is_annotation_id(text) and not Path(text).exists()
