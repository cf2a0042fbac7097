"""One table of the picks of all runs, CSV or Parquet, with units in the names of columns.

The columns of `formats.tables` (positions in voxels and ångström, the particle's axes, instance, score), and before
them whose picks of what they are: the run, the object, the annotation, its authors, the split.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from napari_cryoet.exceptions import CryoETError, SaveError, raise_if_stopped
from napari_cryoet.files import path_to_write, written_whole
from napari_cryoet.formats.tables import arrow_table
from napari_cryoet.training.copick import ExportReport, Progress
from napari_cryoet.training.naming import run_names
from napari_cryoet.training.selection import SelectedRun, Selection, annotation_of, read_each, shape_of

if TYPE_CHECKING:
    import pyarrow as pa

    from napari_cryoet.records import AnnotationFile

SUFFIXES: Final = (".csv", ".parquet")


def export_table(
    selection: Selection,
    path: str | Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> ExportReport:
    """Write the picks of all runs into one ``.csv`` or ``.parquet`` file.

    Parameters and errors are those of `export_copick`; SaveError for another ending.
    """
    path = path_to_write(path).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise SaveError(f"A name like {path.name} doesn't say in which format.", hint="Let it end in .csv or .parquet.")
    with written_whole(path, overwrite=overwrite) as unfinished:
        table, n_files = _table_of(selection, progress or (lambda _share, _words: None), stop)
        _write(table, unfinished)
    return ExportReport(
        path=path,
        n_runs=sum(bool(run.points) for run in selection.runs),
        n_files=n_files,
        n_picks=table.num_rows,
        left_out=selection.left_out,
    )


def _table_of(selection: Selection, tell: Progress, stop: threading.Event | None) -> tuple[pa.Table, int]:
    import pyarrow as pa

    names = run_names(selection.runs)
    files = [(name, run, file) for name, run in zip(names, selection.runs, strict=True) for file in run.points]
    if not files:
        raise CryoETError("There are no picks to export.", hint="Choose annotations that are points.")
    tables = []
    read = read_each([(file, run) for _, run, file in files], stop=stop)
    for number, ((name, run, file), picks) in enumerate(zip(files, read, strict=True)):
        raise_if_stopped(stop)
        tell(number / len(files), name)
        table = arrow_table(picks)
        facts = {key: pa.scalar(value, kind) for key, (value, kind) in _facts(name, run, file, pa).items()}
        columns = {key: pa.repeat(value, table.num_rows) for key, value in facts.items()}
        tables.append(pa.table(columns | {key: table[key] for key in table.column_names if key not in columns}))
    return pa.concat_tables(tables, promote_options="permissive"), len(files)


def _facts(name: str, run: SelectedRun, file: AnnotationFile, pa: Any) -> dict[str, tuple[Any, Any]]:
    """What is the same for all picks of a file: value and type."""
    annotation, text, number = annotation_of(file), pa.string(), pa.int64()
    people = sorted(annotation.authors, key=lambda author: author.author_list_order)
    return {
        "dataset_id": (run.run.dataset_id, number),
        "run_id": (run.run.id, number),
        "run_name": (name, text),
        "split": (run.split or None, text),
        "object_name": (annotation.object_name, text),
        "object_id": (annotation.object_id, text),
        "annotation_id": (annotation.id, number),
        "annotation_file_id": (file.id, number),
        "alignment_id": (file.alignment_id, number),
        "shape": (shape_of(file), text),
        "is_ground_truth": (annotation.ground_truth_status, pa.bool_()),
        "method_type": (annotation.method_type, text),
        "software": (annotation.annotation_software, text),
        "authors": ("; ".join(author.name for author in people), text),
    }


def _write(table: pa.Table, path: Path) -> None:
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(table, str(path))
    else:
        from pyarrow import csv

        csv.write_csv(table, str(path), csv.WriteOptions(quoting_style="needed"))
