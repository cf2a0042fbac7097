"""Rows of a portal with runs that have a tomogram and picks each, at ``URL/0.zarr``, ``URL/0.ndjson`` etc."""

from __future__ import annotations

from typing import Any

from portal_rows import Tables


def rows_of_runs(
    url: str, n_runs: int, shape_zyx: tuple[int, ...], spacing_angstrom: float
) -> dict[str, list[dict[str, Any]]]:
    rows = Tables()
    for name in ("annotationAuthors", "depositions", "datasets", "tiltseries"):
        rows[name] = []
    size_z, size_y, size_x = shape_zyx
    for number in range(n_runs):
        run = rows.add("runs", name=f"run{number}", datasetId=1)
        spacing = rows.add("tomogramVoxelSpacings", runId=run, voxelSpacing=spacing_angstrom)
        grid = {"alignmentId": 1, "tomogramVoxelSpacingId": spacing}
        rows.add(
            "tomograms",
            runId=run,
            voxelSpacing=spacing_angstrom,
            sizeX=size_x,
            sizeY=size_y,
            sizeZ=size_z,
            **dict.fromkeys(("offsetX", "offsetY", "offsetZ"), 0),
            httpsOmezarrDir=f"{url}/{number}.zarr",
            **grid,
        )
        annotation = rows.add(
            "annotations", runId=run, objectName="ribosome", groundTruthStatus=True
        )
        shape = rows.add("annotationShapes", annotationId=annotation, shapeType="Point")
        path = f"{url}/{number}.ndjson"
        rows.add(
            "annotationFiles", annotationShapeId=shape, format="ndjson", httpsPath=path, **grid
        )
    return rows
