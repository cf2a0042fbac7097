"""Small packs and their rows."""

from napari_cryoet.packs.graphql import execute
from napari_cryoet.packs.pack import PackManifest
from napari_cryoet.tables.database import Database
from portal_rows import blank_row

HTTPS = "https://files.example.org/"
S3 = "s3://bucket/"
MANIFEST = PackManifest(
    title="Small", https_prefix=HTTPS, s3_prefix=S3, source="a test", created="2025-06-01"
)


def row(table, **cells):
    """A row with defaults for all required columns that aren't given."""
    return blank_row(table) | cells


def placed(name, path):
    """The URLs of a path below the prefixes."""
    return {f"https{name}": HTTPS + path, f"s3{name}": S3 + path}


def small_tables():
    """Two depositions, three datasets (the last one empty), four runs, six annotations."""
    return {
        "depositions": [
            row("depositions", id=1, title="Alpha"),
            row("depositions", id=2, title="beta", tag="ml"),
        ],
        "datasets": [
            row("datasets", id=10, depositionId=1, title="Yeast 100%", organismName="S. pombe", organismTaxid=4896,
                sampleType="cell", releaseDate="2024-01-01T00:00:00+00:00", fileSize=10.5, **placed("Prefix", "10/")),
            row("datasets", id=11, depositionId=2, title="Yeast_two", organismName="S. cerevisiae", organismTaxid=4932,
                sampleType="organism", releaseDate="2025-06-01", **placed("Prefix", "11/")),
            row("datasets", id=12, depositionId=2, title="In vitro", sampleType="in_vitro",
                releaseDate="2025-06-01T02:00:00+02:00", fileSize=0.5, **placed("Prefix", "12/")),
        ],
        "datasetAuthors": [
            row("datasetAuthors", id=1, datasetId=10, name="Irene", authorListOrder=2, primaryAuthorStatus=False),
            row("datasetAuthors", id=2, datasetId=10, name="Alba", authorListOrder=1, primaryAuthorStatus=True),
            row("datasetAuthors", id=3, datasetId=11, name="Alba", authorListOrder=1),
        ],
        "runs": [
            row("runs", id=100, datasetId=10, name="TS_026", **placed("Prefix", "10/TS_026/")),
            row("runs", id=101, datasetId=10, name="TS_1 [a]+b #2 50%", **placed("Prefix", "10/TS_1 [a]+b #2 50%/")),
            row("runs", id=102, datasetId=11, name="ts_3", **placed("Prefix", "11/ts_3/")),
            row("runs", id=103, datasetId=11, name="bare", **placed("Prefix", "11/bare/")),
        ],
        "tomogramVoxelSpacings": [
            row("tomogramVoxelSpacings", id=1, runId=100, voxelSpacing=13.48),
            row("tomogramVoxelSpacings", id=2, runId=102, voxelSpacing=10),
        ],
        "tomograms": [
            row("tomograms", id=1, runId=100, depositionId=1, tomogramVoxelSpacingId=1, processing="raw",
                isVisualizationDefault=False, sizeX=960, voxelSpacing=13.48),
            row("tomograms", id=2, runId=100, depositionId=2, tomogramVoxelSpacingId=1, processing="denoised",
                isVisualizationDefault=True, sizeX=961, voxelSpacing=13.48),
            row("tomograms", id=3, runId=102, depositionId=2, tomogramVoxelSpacingId=2, processing="raw",
                sizeX=10, voxelSpacing=10),
        ],
        "annotations": [
            row("annotations", id=1, runId=100, depositionId=1, objectName="ribosome", objectCount=838,
                confidencePrecision=80.0, groundTruthStatus=True, methodType="hybrid"),
            row("annotations", id=2, runId=100, depositionId=1, objectName="membrane", methodType="manual"),
            row("annotations", id=3, runId=100, depositionId=2, objectName="ribosome", objectCount=12,
                groundTruthStatus=False, methodType="automated"),
            row("annotations", id=4, runId=101, depositionId=None, objectName="Ribosome, large", objectCount=3,
                methodType="manual"),
            row("annotations", id=5, runId=102, depositionId=2, objectName="FAS", objectCount=0, methodType="manual"),
            row("annotations", id=6, runId=None, depositionId=2, objectName="orphan", methodType="manual"),
        ],
        "annotationShapes": [
            row("annotationShapes", id=1, annotationId=1, shapeType="Point"),
            row("annotationShapes", id=2, annotationId=1, shapeType="OrientedPoint"),
            row("annotationShapes", id=3, annotationId=2, shapeType="SegmentationMask"),
            row("annotationShapes", id=4, annotationId=3, shapeType="Point"),
            row("annotationShapes", id=5, annotationId=5, shapeType="Point"),
        ],
    }  # fmt: skip


def database(tables=None):
    """A database of tables, by default the small ones."""
    return Database(small_tables() if tables is None else tables)


def ask(source, query, limits=None, **variables):
    """The data of a query's answer."""
    return execute(source, query, variables, moved_url=str, limits=limits)
