"""Download a run's tomogram and annotations to a folder that opens like a portal.

Run it again to resume.
"""

from __future__ import annotations

import sys

from napari_cryoet import Basket, Task, download_basket, open_portal

source = sys.argv[1] if len(sys.argv) > 1 else "demo"  # or "live", or the folder of a pack
folder = sys.argv[2] if len(sys.argv) > 2 else "runs"


def show(fraction: float, text: str) -> None:
    """Print the progress."""
    print(f"\r{fraction:4.0%}  {text}", end="", flush=True)


portal = open_portal(source)
dataset = portal.datasets()[-1]
run = next(run for run in portal.runs(dataset.id) if run.tomogram_count)

page = portal.run_page(run.id)
basket = Basket(source=portal.source.name)  # ids of another portal would name other records
basket = basket.with_ids("annotations", [annotation.id for annotation in page.annotations])
basket = basket.with_choices(
    with_tomogram="default"
)  # for all of a run: basket.with_ids("runs", [run.id])

report = download_basket(basket, portal, folder, task=Task(show))
print(
    f"\n{report.n_fetched} files fetched, {report.n_skipped} already complete; see {report.folder}"
)
print("downloaded runs:", *(run.name for run in open_portal(folder).runs(dataset.id)))
