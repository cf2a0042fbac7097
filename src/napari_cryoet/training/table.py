"""One table of the picks of all runs, CSV or Parquet, with units in the names of columns.

The columns of `formats.tables` (positions in voxels and ångström, the particle's axes, instance, score), and before
them whose picks of what they are: the run, the object, the annotation, its authors, the split.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from napari_cryoet.exceptions import CryoETError, SaveError
from napari_cryoet.files import path_to_write, written_whole
from napari_cryoet.formats.tables import arrow_table
from napari_cryoet.training.selection import ExportReport, Progress, Selection, read_points, side_by_side

_SUFFIXES: Final = (".csv", ".parquet")
#: Columns of what is the same for all picks of a file.
_FACTS: Final = (
    *("dataset_id", "run_id", "run_name", "split", "object_name", "object_id", "annotation_id", "annotation_file_id"),
    *("alignment_id", "shape_type", "is_ground_truth", "method_type", "annotation_software", "authors"),
)


def export_table(
    selection: Selection,
    path: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress = lambda _share, _words: None,
    stop: threading.Event | None = None,
) -> ExportReport:
    """Write the picks of all runs into one ``.csv`` or ``.parquet`` file.

    Parameters and errors are those of `export_copick`; SaveError for another ending.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    path = path_to_write(path).expanduser()
    if path.suffix.lower() not in _SUFFIXES:
        raise SaveError(f"A name like {path.name} doesn't say in which format.", hint="Let it end in .csv or .parquet.")
    points = [each for each in selection.annotations if each.is_points]
    if not points:
        raise CryoETError("There are no picks to export.", hint="Choose annotations that are points.")
    with written_whole(path, overwrite=overwrite) as unfinished:
        tables = []
        for each, picks in side_by_side(read_points, points, progress, stop):
            own = arrow_table(picks)
            authors = "; ".join(picks.about["authors"])
            about = {**picks.about, "run_name": each.run.name, "split": each.run.split, "authors": authors}
            facts = {name: pa.repeat(about[name], own.num_rows) for name in _FACTS}
            tables.append(pa.table(facts | {name: own[name] for name in own.column_names if name not in facts}))
        table = pa.concat_tables(tables, promote_options="permissive")
        if path.suffix.lower() == ".parquet":
            pa.parquet.write_table(table, str(unfinished))
        else:
            pa.csv.write_csv(table, str(unfinished), pa.csv.WriteOptions(quoting_style="needed"))
    n_runs = len({each.run.name for each in points})
    return ExportReport(path=path, n_runs=n_runs, n_picks=table.num_rows, left_out=selection.left_out)
