"""One table of the picks of all runs, CSV or Parquet, with units in the names of columns.

The columns of `formats.tables` (positions in voxels and ångström, the particle's axes, instance, score), and before
them whose picks of what they are: the run, the object, the annotation, its authors, the split.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final

from napari_cryoet.exceptions import CryoETError, SaveError
from napari_cryoet.files import path_to_write, written_whole
from napari_cryoet.formats.tables import arrow_table
from napari_cryoet.training.selection import (
    ExportReport,
    Progress,
    SelectedAnnotation,
    Selection,
    read_points,
    side_by_side,
)

SUFFIXES: Final = (".csv", ".parquet")


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
    if path.suffix.lower() not in SUFFIXES:
        raise SaveError(f"A name like {path.name} doesn't say in which format.", hint="Let it end in .csv or .parquet.")
    points = [each for each in selection.annotations if each.is_points]
    if not points:
        raise CryoETError("There are no picks to export.", hint="Choose annotations that are points.")
    with written_whole(path, overwrite=overwrite) as unfinished:
        tables = []
        for each, picks in side_by_side(read_points, points, progress, stop):
            own = arrow_table(picks)
            facts = {
                name: pa.repeat(pa.scalar(value, kind), own.num_rows)
                for name, (value, kind) in _facts(each, pa).items()
            }
            tables.append(pa.table(facts | {name: own[name] for name in own.column_names if name not in facts}))
        table = pa.concat_tables(tables, promote_options="permissive")
        if path.suffix.lower() == ".parquet":
            pa.parquet.write_table(table, str(unfinished))
        else:
            pa.csv.write_csv(table, str(unfinished), pa.csv.WriteOptions(quoting_style="needed"))
    n_runs = len({each.run.name for each in points})
    return ExportReport(path=path, n_runs=n_runs, n_picks=table.num_rows, left_out=selection.left_out)


def _facts(each: SelectedAnnotation, pa: Any) -> dict[str, tuple[Any, Any]]:
    """What is the same for all picks of a file: value and type."""
    annotation, run, text, number = each.annotation, each.run.run, pa.string(), pa.int64()
    people = sorted(annotation.authors, key=lambda author: author.author_list_order)
    return {
        "dataset_id": (run.dataset_id, number),
        "run_id": (run.id, number),
        "run_name": (each.run.name, text),
        "split": (each.run.split or None, text),
        "object_name": (annotation.object_name, text),
        "object_id": (annotation.object_id, text),
        "annotation_id": (annotation.id, number),
        "annotation_file_id": (each.file.id, number),
        "alignment_id": (each.file.alignment_id, number),
        "shape": (each.shape, text),
        "is_ground_truth": (annotation.ground_truth_status, pa.bool_()),
        "method_type": (annotation.method_type, text),
        "software": (annotation.annotation_software, text),
        "authors": ("; ".join(author.name for author in people), text),
    }
