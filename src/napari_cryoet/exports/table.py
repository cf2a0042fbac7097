"""Export the picks of all runs to one CSV or Parquet table, with units in the column names.

Columns for the run, object, annotation, authors and split come first, then those of
`formats.tables` (positions in voxels and ångström, the particle's axes, instance, score).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec.structs import asdict

from napari_cryoet.exceptions import CryoETError, SaveError
from napari_cryoet.exports.selection import ExportReport, Selection, map_concurrently, read_points
from napari_cryoet.files import written_whole
from napari_cryoet.formats.tables import arrow_table, write_table
from napari_cryoet.locations import path_to_write
from napari_cryoet.task import UNWATCHED, Task

_SUFFIXES: Final = (".csv", ".parquet")
#: Columns that are constant for all picks of a file.
_FACTS: Final = (
    "dataset_id",
    "run_id",
    "run_name",
    "split",
    "object_name",
    "object_id",
    "annotation_id",
    "annotation_file_id",
    "alignment_id",
    "shape_type",
    "is_ground_truth",
    "method_type",
    "annotation_software",
    "authors",
)


def export_table(
    selection: Selection,
    path: str | Path,
    *,
    overwrite: bool = False,
    task: Task = UNWATCHED,
) -> ExportReport:
    """Write the picks of all runs into one ``.csv`` or ``.parquet`` file; SaveError for another suffix.

    For parameters and other errors see `export_copick`.
    """
    import pyarrow as pa

    path = path_to_write(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise SaveError(f"The format of {path.name} isn't known.", hint="Use .csv or .parquet.")
    points = [each for each in selection.annotations if each.is_points]
    if not points:
        raise CryoETError(
            "There are no picks to export.", hint="Choose annotations that are points."
        )
    with written_whole(path, overwrite=overwrite) as unfinished:
        tables = []
        for each, picks in map_concurrently(read_points, points, task):
            own = arrow_table(picks)
            about = asdict(picks.about) | {
                "run_name": each.run.name,
                "split": each.run.split,
                "authors": "; ".join(picks.about.authors),
            }
            facts = {name: pa.repeat(about[name], own.num_rows) for name in _FACTS}
            tables.append(
                pa.table(
                    facts | {name: own[name] for name in own.column_names if name not in facts}
                )
            )
        table = pa.concat_tables(tables, promote_options="permissive")
        write_table(table, unfinished, path.suffix.lower().removeprefix("."))
    n_runs = len({each.run.name for each in points})
    return ExportReport(
        path=path,
        n_runs=n_runs,
        n_picks=table.num_rows,
        left_out=selection.left_out,
        remarks=selection.remarks,
    )
