"""``napari-cryoet search``: datasets that match."""

from __future__ import annotations

import argparse
import json
from contextlib import closing

from napari_cryoet.cli.console import ProgressLine, say, stop_on_interrupt, tell
from napari_cryoet.cli.sources import open_source
from napari_cryoet.portal.pages import Catalogue, CatalogueRow, objects_text
from napari_cryoet.portal.search import search_catalogue
from napari_cryoet.provenance import plain_data
from napari_cryoet.wording import count_text, joined, plain, reported


def search(options: argparse.Namespace) -> int:
    """Print a row for each dataset that matches all words."""
    with (
        stop_on_interrupt() as stop,
        ProgressLine() as line,
        closing(open_source(options.source, line, stop)) as portal,
    ):
        catalogue = portal.catalogue(stop=stop)
    rows = search_catalogue(catalogue, " ".join(options.words))
    if options.json:
        say(json.dumps(plain_data(rows), indent=1))
    else:
        for row in rows:
            say(_line_of(row))
    _tell_state(catalogue, len(rows))
    return 0


def _line_of(row: CatalogueRow) -> str:
    facts = joined(
        plain(reported(row.organism_name)),
        count_text(row.run_count, "run"),
        count_text(row.annotation_count, "annotation"),
        objects_text(row.objects),
    )
    return f"DS-{row.id}  {plain(row.title)}\n          {facts}"


def _tell_state(catalogue: Catalogue, n_found: int) -> None:
    state = f"{n_found} of {count_text(len(catalogue.rows), 'dataset')}"
    if catalogue.freshness.is_offline:
        state = f"{state}, {catalogue.freshness.text}"
    tell(state)
